package js_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/gohotline/hotline/js"
)

// TestHandler: the module is what is on disk, and is sent again only when it has changed.
func TestHandler(t *testing.T) {
	want, err := os.ReadFile("hotline.js")
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/hotline.js", js.Handler())
	ask := func(method string, header ...string) (*http.Response, string) {
		t.Helper()
		r := httptest.NewRequest(method, "/hotline.js", http.NoBody)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		body, err := io.ReadAll(w.Result().Body)
		if err != nil {
			t.Fatal(err)
		}
		return w.Result(), string(body)
	}

	resp, body := ask("GET")
	if resp.StatusCode != http.StatusOK || body != string(want) {
		t.Errorf("GET: %s, %d bytes; the file has %d", resp.Status, len(body), len(want))
	}
	for name, value := range map[string]string{
		"Content-Type": "text/javascript; charset=utf-8", "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff",
	} {
		if got := resp.Header.Get(name); got != value {
			t.Errorf("%s is %q, want %q", name, got, value)
		}
	}
	etag := resp.Header.Get("ETag")
	if len(etag) < 10 || !strings.HasPrefix(etag, `"`) || !strings.HasSuffix(etag, `"`) {
		t.Errorf("ETag is %s, not a strong one", etag)
	}
	if resp, body := ask("HEAD"); resp.StatusCode != http.StatusOK || body != "" || resp.Header.Get("ETag") != etag {
		t.Errorf("HEAD: %s, %q, %v", resp.Status, body, resp.Header)
	}
	for _, match := range []string{etag, `"old", ` + etag, "W/" + etag, "*"} {
		if resp, body := ask("GET", "If-None-Match", match); resp.StatusCode != http.StatusNotModified || body != "" || resp.Header.Get("ETag") != etag {
			t.Errorf("If-None-Match %s: %s, %d bytes, %v", match, resp.Status, len(body), resp.Header)
		}
	}
	if resp, body := ask("GET", "If-None-Match", `"old"`); resp.StatusCode != http.StatusOK || body != string(want) {
		t.Errorf("with another ETag: %s, %d bytes", resp.Status, len(body))
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS"} {
		if resp, _ := ask(method); resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %s, Allow %q", method, resp.Status, resp.Header.Get("Allow"))
		}
	}
}
