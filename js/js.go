// Package js serves hotline's browser client, so that a page needs no more than
//
//	import { connect } from "/hotline.js"
//
// The folder is an npm package too, with types and with hooks for React: see its README.
package js

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"net/http"
	"regexp"
	"strings"
	"time"
)

//go:embed hotline.js
var source []byte

// comments are those of hotline.js: whole lines, and the ends of lines. The tests hold the file to that.
var comments = regexp.MustCompile(`(?m)^[ \t]*(//|/\*\*| \*).*$|[ \t]+// .*$`)

// module is what is served: the source without its comments, a quarter of what would be sent. Lines keep their numbers.
var module = comments.ReplaceAll(source, nil)

// Handler serves the client as one ES module at whatever path it is mounted, with an ETag: browsers ask each time whether
// it has changed, and are answered 304 if not. Who accepts gzip is sent less than 10 KB. Methods other than GET and HEAD are
// answered 405.
func Handler() http.Handler {
	var packed bytes.Buffer
	z, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression) // the level is one of its own
	_, _ = z.Write(module)                                     // into memory
	_ = z.Close()
	sum := sha256.Sum256(module)
	tag := hex.EncodeToString(sum[:12])
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
		h.Add("Vary", "Accept-Encoding")
		body, etag := module, `"`+tag+`"`
		if acceptsGzip(r.Header.Values("Accept-Encoding")) {
			h.Set("Content-Encoding", "gzip")
			body, etag = packed.Bytes(), `"`+tag+`-gzip"`
		}
		h.Set("ETag", etag)
		http.ServeContent(w, r, "hotline.js", time.Time{}, bytes.NewReader(body))
	})
}

// acceptsGzip reads Accept-Encoding (RFC 9110 §12.5.3). A client that wants gzip in a more roundabout way gets the plain module.
func acceptsGzip(lines []string) bool {
	for coding := range strings.SplitSeq(strings.Join(lines, ","), ",") {
		name, q, _ := strings.Cut(coding, ";")
		if !strings.EqualFold(strings.TrimSpace(name), "gzip") {
			continue
		}
		_, weight, weighted := strings.Cut(q, "=")
		return !weighted || strings.Trim(weight, "0. ") != ""
	}
	return false
}
