// Package js serves hotline's browser client, so that a page needs no more than
//
//	import { connect } from "/hotline.js"
//
// The folder is an npm package too, with types and with hooks for React: see its README.
package js

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"net/http"
	"time"
)

//go:embed hotline.js
var module []byte

// Handler serves the client as one ES module at whatever path it is mounted, with an ETag: browsers ask each time whether
// it has changed, and are answered 304 if not. Methods other than GET and HEAD are answered 405.
func Handler() http.Handler {
	sum := sha256.Sum256(module)
	etag := `"` + hex.EncodeToString(sum[:12]) + `"`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		h.Set("Content-Type", "text/javascript; charset=utf-8")
		h.Set("Cache-Control", "no-cache")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("ETag", etag)
		http.ServeContent(w, r, "hotline.js", time.Time{}, bytes.NewReader(module))
	})
}
