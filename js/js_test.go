package js_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/gohotline/hotline/js"
)

// want is what is on disk without its comments, found in another way than the package's.
func want(t *testing.T) []byte {
	t.Helper()
	file, err := os.ReadFile("hotline.js")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(file), "\n")
	doc := false
	for i, line := range lines {
		code, comment, _ := strings.Cut(line, "//")
		if strings.HasPrefix(strings.TrimSpace(line), "/**") {
			doc = true
		}
		switch {
		case doc:
			doc = !strings.Contains(line, "*/")
			if lines[i] = ""; !doc && !strings.HasSuffix(line, "*/") {
				t.Errorf("line %d: code behind a comment", i+1)
			}
		case strings.Contains(code, "/*"):
			t.Errorf("line %d: a comment in the middle", i+1)
		case code == line:
		case strings.Count(code, `"`)%2+strings.Count(code, "`")%2+strings.Count(code, "'")%2 > 0, !strings.HasPrefix(comment, " "):
			t.Errorf("line %d: is that a comment? Write it so that Handler knows", i+1)
		default:
			lines[i] = strings.TrimRight(code, " \t")
		}
	}
	return []byte(strings.Join(lines, "\n"))
}

// TestGzip: who accepts gzip gets the same in at most 10 KB.
func TestGzip(t *testing.T) {
	want := want(t)
	for accept, gzipped := range map[string]bool{
		"": false, "gzip": true, "gzip, deflate, br, zstd": true, "br;q=1, GZIP;q=0.5": true, "gzip;q=0": false, "gzip;q=0.000": false,
		"br": false, "identity, x-gzip": false,
	} {
		r := httptest.NewRequest(http.MethodGet, "/hotline.js", http.NoBody)
		r.Header.Set("Accept-Encoding", accept)
		w := httptest.NewRecorder()
		js.Handler().ServeHTTP(w, r)
		h := w.Result().Header
		if got := h.Get("Content-Encoding") == "gzip"; got != gzipped || h.Get("Vary") != "Accept-Encoding" {
			t.Errorf("Accept-Encoding %q: %v", accept, h)
		}
		if !gzipped {
			continue
		}
		if n := w.Body.Len(); n > 10_000 {
			t.Errorf("%d bytes gzipped", n)
		}
		z, err := gzip.NewReader(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(z); err != nil || !bytes.Equal(body, want) {
			t.Errorf("Accept-Encoding %q: %d bytes, want %d; %v", accept, len(body), len(want), err)
		}
		r.Header.Set("If-None-Match", h.Get("ETag"))
		w = httptest.NewRecorder()
		js.Handler().ServeHTTP(w, r)
		r.Header.Del("Accept-Encoding")
		plain := httptest.NewRecorder()
		js.Handler().ServeHTTP(plain, r)
		if w.Code != http.StatusNotModified || plain.Code != http.StatusOK {
			t.Errorf("the ETag of gzip: %d, without it %d", w.Code, plain.Code)
		}
	}
}

// TestHandler: the module is what is on disk, but for comments, and is sent again only when it has changed.
func TestHandler(t *testing.T) {
	want := want(t)
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
