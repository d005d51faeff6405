package hubtest

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
)

// get returns the body that url has.
func get(t *testing.T, c *http.Client, url string) string {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func says(s string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, s+" "+r.Host+r.URL.Path) })
}

// each runs f in a bubble and in real time.
func each(t *testing.T, f func(t *testing.T)) {
	bubble(t, "bubble", f)
	t.Run("real", f)
}

func TestHTTPClient(t *testing.T) {
	each(t, func(t *testing.T) {
		s := Serve(t, says("hello"))
		for _, url := range []string{"http://shop.example/a", "https://shop.example/a"} {
			if got := get(t, s.HTTPClient(), url); got != "hello shop.example/a" {
				t.Errorf("%s: %q", url, got)
			}
		}
	})
}

// Connections are kept alive, by all clients together, and CloseIdleConnections closes them.
func TestKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := Serve(t, says("hello"))
		for range 3 {
			get(t, s.HTTPClient(), "http://x/")
			time.Sleep(time.Hour)
		}
		if n := s.links[0].net.Conns(); n != 1 {
			t.Errorf("%d connections", n)
		}
		s.HTTPClient().CloseIdleConnections()
		synctest.Wait()
		if n := s.links[0].net.Conns(); n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
}

// Requests that come after Restart meet the new handler alone, also those that can't be repeated.
func TestRestartHTTP(t *testing.T) {
	each(t, func(t *testing.T) {
		s := Serve(t, says("old"))
		c := s.HTTPClient()
		for _, want := range []string{"new", "newer", "newest"} {
			get(t, c, "http://x/") // and its connection is kept
			s.Restart(says(want))
			resp, err := c.Post("http://x/p", "text/plain", io.MultiReader(strings.NewReader("can't be read twice")))
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if string(b) != want+" x/p" {
				t.Errorf("got %q, want %s", b, want)
			}
		}
	})
}

// What the old process was doing is over: its requests lose their connections.
func TestRestartBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := make(chan struct{})
		s := Serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			time.Sleep(time.Second)
			close(gone)
		}))
		failed := make(chan error)
		go func() {
			resp, err := s.HTTPClient().Post("http://x/", "", nil)
			if err == nil {
				resp.Body.Close()
			}
			failed <- err
		}()
		synctest.Wait()
		s.Restart(says("new"))
		if err := <-failed; err == nil {
			t.Error("a request survived its process")
		}
		if got := get(t, s.HTTPClient(), "http://x/"); got != "new x/" {
			t.Errorf("got %q", got)
		}
		<-gone
	})
}

// Bodies that nobody closes, idle connections, requests under way and WebSockets all end with the test, hijacked or not.
func TestEnd(t *testing.T) {
	each(t, func(t *testing.T) {
		r := &recorder{TB: t}
		hub := newHub()
		mux := http.NewServeMux()
		mux.Handle("/ws", hub)
		mux.HandleFunc("/stream", func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, strings.Repeat("x", 1<<20))
			<-r.Context().Done()
		})
		s := Serve(r, mux)
		for range 2 {
			if _, err := s.HTTPClient().Get("http://x/stream"); err != nil {
				t.Fatal(err)
			}
		}
		under := make(chan error)
		go func() {
			resp, err := s.HTTPClient().Get("http://x/stream")
			if err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			under <- err
		}()
		ws, _, err := websocket.Dial(t.Context(), "ws://x/ws", &websocket.DialOptions{
			HTTPClient: s.HTTPClient(), Subprotocols: []string{"hotline.v1"},
		})
		if err != nil {
			t.Fatal(err)
		}
		r.end()
		if err := <-under; err == nil {
			t.Error("a request has survived the test")
		}
		if _, _, err := ws.Read(t.Context()); err == nil {
			t.Error("a WebSocket has survived the test")
		}
		hub.Close()
		if len(r.errors) > 0 || r.output.Len() > 0 {
			t.Errorf("failed with %q, logged %q", r.errors, r.output.String())
		}
		if _, err := s.HTTPClient().Get("http://x/"); err == nil {
			t.Error("the server outlived its test")
		}
	})
}

func TestEndFails(t *testing.T) {
	bubble(t, "a handler that does not end", func(t *testing.T) {
		release := make(chan struct{})
		failure(t, func(r *recorder) {
			s := Serve(r, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release; panic("nobody logs that") }))
			go s.HTTPClient().Get("http://x/slow?a=b")
			synctest.Wait()
		}, "GET /slow?a=b is still being served 10s after")
		close(release)
		synctest.Wait()
	})
	bubble(t, "a connection that is kept", func(t *testing.T) {
		closed := make(chan func() error, 1)
		failure(t, func(r *recorder) {
			s := Serve(r, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				c, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				closed <- c.Close
			}))
			go s.HTTPClient().Get("http://x/")
			synctest.Wait()
		}, "keeps 1 connections of HTTPClient open")
		(<-closed)()
	})
}

// What net/http has to say about a handler is in the log of the test.
func TestLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{TB: t}
		s := Serve(r, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("oops") }))
		if _, err := s.HTTPClient().Get("http://x/"); err == nil {
			t.Error("no error")
		}
		r.end()
		if got := r.output.String(); !strings.Contains(got, "oops") || !strings.HasPrefix(got, "hubtest: http: panic serving 10.0.0.1") {
			t.Errorf("logged %.100q", got)
		}
	})
}

func TestServeNil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if got := get(t, Serve(t, nil).HTTPClient(), "http://x/nothing/is/here"); !strings.Contains(got, "404") {
			t.Errorf("got %q", got)
		}
	})
}
