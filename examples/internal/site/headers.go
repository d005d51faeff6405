package site

import "net/http"

// Headers sets what every page says, for those that are no files: it takes everything from here, is in nobody's frame, and
// is not kept by caches.
func Headers(h http.Header) {
	head(h)
	h.Set("Cache-Control", "no-store")
}
