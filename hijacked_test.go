package hotline

import (
	"bufio"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

// goneWriter is the ResponseWriter of a client that is gone by the time that it is answered.
type goneWriter struct {
	http.ResponseWriter
	taken bool
	t     *testing.T
}

func (w *goneWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.taken = true
	here, there := net.Pipe()
	there.Close()
	return here, bufio.NewReadWriter(bufio.NewReader(here), bufio.NewWriter(here)), nil
}

func (w *goneWriter) WriteHeader(status int) {
	if w.taken {
		w.t.Errorf("WriteHeader(%d) after Hijack", status)
	}
}

func (w *goneWriter) Write(p []byte) (int, error) {
	if w.taken {
		w.t.Errorf("Write of %q after Hijack", p)
	}
	return len(p), nil
}

// wildWriter is the ResponseWriter of a middleware with a mistake.
type wildWriter struct{ http.ResponseWriter }

func (wildWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) { panic("a nil map") }

// Nothing is answered on a connection that was taken over: net/http logs that as a mistake of the server's.
func TestGoneDuringUpgrade(t *testing.T) {
	hub := NewHub(&HubOptions{Logger: slog.New(slog.DiscardHandler)})
	defer hub.Close()
	w := &goneWriter{ResponseWriter: httptest.NewRecorder(), t: t}
	hub.ServeHTTP(w, upgradeRequest("hub", ""))
	if s := hub.Stats(); !w.taken || s.Conns != 0 || s.Refused != 1 {
		t.Errorf("%d connections, %d refused", s.Conns, s.Refused)
	}
}

// A panic of somebody else's during the upgrade, which net/http recovers, takes no place of a connection with it.
func TestPanicDuringUpgrade(t *testing.T) {
	hub := NewHub(&HubOptions{Logger: slog.New(slog.DiscardHandler), Limits: Limits{Conns: 2}})
	defer hub.Close()
	for range 3 {
		func() {
			defer func() {
				if got := recover(); got != "a nil map" {
					t.Errorf("%v, want the panic of the middleware", got)
				}
			}()
			hub.ServeHTTP(wildWriter{httptest.NewRecorder()}, upgradeRequest("hub", ""))
		}()
	}
	if s := hub.Stats(); s.Conns != 0 || s.Refused != 3 {
		t.Errorf("%d connections, %d refused", s.Conns, s.Refused)
	}
	for _, sh := range hub.shards {
		if n := sh.placed.Load(); n != 0 {
			t.Errorf("%d places are taken on a shard", n)
		}
	}
}
