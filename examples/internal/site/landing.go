package site

import (
	"bytes"
	"html/template"
	"net/http"
)

var landingPage = template.Must(template.ParseFS(files, "web/landing.tmpl"))

// landing is the page that links to all apps.
func landing(apps []*App) http.Handler {
	var page bytes.Buffer
	if err := landingPage.Execute(&page, apps); err != nil {
		panic(err) // the template is embedded, and what it shows are strings
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		head(w.Header())
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(page.Bytes())
	})
}
