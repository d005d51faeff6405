// Package home is the page that links to all examples, and shows what their hub does at the moment.
package home

import (
	"bytes"
	"context"
	"embed"
	"html/template"
	"io/fs"
	"log"
	"net/http"
	"time"

	"github.com/gohotline/hotline"
	"github.com/gohotline/hotline/examples/internal/site"
)

// figures are what the page shows of the hub. Who opens it sees the last minute at once: that is part of the value.
type figures struct {
	Conns int     `json:"conns"`
	Sent  int64   `json:"sent"`  // messages, since the hub was started
	Rates []int64 `json:"rates"` // messages sent in each second of the last minute, the newest last
}

var now = hotline.NewTopic[figures]("home.now")

// New makes the page for apps, with which it shares a hub.
func New(apps ...*site.App) *site.App {
	page := draw(apps)
	return &site.App{
		Name: "home", Title: "Home",
		Options: hotline.HubOptions{
			AuthorizeSubscribe: hotline.Allow(now.String()),
			Topics:             map[string]hotline.TopicOptions{now.String(): {Delivery: hotline.State}},
		},
		Handler: func(hub *hotline.Hub) http.Handler {
			mux := http.NewServeMux()
			mux.Handle("GET /ws", hub)
			mux.Handle("GET /", site.Pages(files))
			mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
				site.Headers(w.Header())
				w.Header().Set("Content-Type", "text/html; charset=utf-8")
				_, _ = w.Write(page)
			})
			return mux
		},
		Run: run,
	}
}

// run publishes the figures once a second.
func run(ctx context.Context, hub *hotline.Hub) {
	f := figures{Rates: make([]int64, 60)}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		s := hub.Stats()
		f.Rates = append(f.Rates[1:], s.MessagesOut-f.Sent)
		f.Conns, f.Sent = s.Conns, s.MessagesOut
		if err := now.Publish(ctx, hub, f); err != nil && ctx.Err() == nil {
			log.Print("home: ", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

var (
	//go:embed web
	files embed.FS
	//go:embed art
	art embed.FS
	//go:embed page.tmpl
	text string
)

// draw makes the page, with the picture that there is for each app.
func draw(apps []*site.App) []byte {
	picture := func(name string) template.HTML {
		svg, err := fs.ReadFile(art, "art/"+name+".svg")
		if err != nil {
			svg, _ = fs.ReadFile(art, "art/other.svg")
		}
		return template.HTML(svg) // ours
	}
	var page bytes.Buffer
	t := template.Must(template.New("page").Funcs(template.FuncMap{"picture": picture}).Parse(text))
	if err := t.Execute(&page, apps); err != nil {
		panic(err) // all that it is made of is in this program
	}
	return page.Bytes()
}
