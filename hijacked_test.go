package hotline

import (
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"bufio"

	"github.com/gohotline/hotline/internal/wire"
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

// Nothing is answered on a connection that was taken over: net/http logs that as a mistake of the server's.
func TestGoneDuringUpgrade(t *testing.T) {
	hub := NewHub(&HubOptions{Logger: slog.New(slog.DiscardHandler)})
	defer hub.Close()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for name, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
		"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": wire.Protocol,
	} {
		r.Header.Set(name, value)
	}
	w := &goneWriter{ResponseWriter: httptest.NewRecorder(), t: t}
	hub.ServeHTTP(w, r)
	if s := hub.Stats(); !w.taken || s.Conns != 0 || s.Refused != 1 {
		t.Errorf("%d connections, %d refused", s.Conns, s.Refused)
	}
}
