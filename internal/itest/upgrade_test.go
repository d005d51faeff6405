package itest

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// TestUpgradeBehindMiddleware is row 28 of the failure table: the upgrade hangs behind middleware.
func TestUpgradeBehindMiddleware(t *testing.T) {
	for _, s := range stacks {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			hub := newHub(t)
			server := httptest.NewServer(s.mount(besidePages(hub)))
			t.Cleanup(server.Close)

			if got := compressed(t, server.URL+"/page"); got != s.compresses {
				t.Fatalf("a page came compressed: %v, want %v", got, s.compresses)
			}
			if s.refuses {
				checkRefused(t, server.URL+"/ws")
				return
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if err := talk(ctx, hub, server.URL+"/ws"); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestBareAcceptFails is the control: where bareFails is set there is something that the hub has to get past.
func TestBareAcceptFails(t *testing.T) {
	for _, s := range stacks {
		if !s.bareFails {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			bare := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if ws, err := websocket.Accept(w, r, nil); err == nil {
					ws.CloseNow()
				}
			})
			server := httptest.NewServer(s.mount(besidePages(bare)))
			t.Cleanup(server.Close)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if ws, _, err := websocket.Dial(ctx, server.URL+"/ws", nil); err == nil {
				ws.CloseNow()
				t.Fatal("a bare Accept works here by now: bareFails is no longer true")
			}
			server.CloseClientConnections() // the handler hangs
		})
	}
}

// besidePages serves an ordinary page at /page, and ws elsewhere.
func besidePages(ws http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/page" {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			io.WriteString(w, strings.Repeat("<p>A page that is worth compressing.</p>\n", 100))
			return
		}
		ws.ServeHTTP(w, r)
	})
}

// compressed says whether the page at url comes gzipped to whoever accepts that.
func compressed(t *testing.T, url string) bool {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept-Encoding", "gzip")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("the page answers %s", resp.Status)
	}
	return resp.Header.Get("Content-Encoding") == "gzip"
}

// checkRefused asks for an upgrade where there can be none: the answer must come at once, and say why.
func checkRefused(t *testing.T, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Connection":             "Upgrade",
		"Upgrade":                "websocket",
		"Sec-WebSocket-Version":  "13",
		"Sec-WebSocket-Key":      "dGhlIHNhbXBsZSBub25jZQ==",
		"Sec-WebSocket-Protocol": "hotline.v1, hotline",
	} {
		r.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusInternalServerError || !strings.Contains(strings.ToLower(string(body)), "hijack") {
		t.Fatalf("answers %s, want 500 with the reason: %s", resp.Status, body)
	}
}
