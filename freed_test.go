package hotline

import (
	"fmt"
	"net"
	"net/http"
	"runtime"
	"testing"
	"time"
	"weak"

	"github.com/gohotline/hotline/internal/frame"
	"github.com/gohotline/hotline/internal/wire"
)

// TestConnsAreFreed: of a connection that has ended, in whatever way, nothing stays in memory. What coder/websocket has
// not been told to close its finalizer would keep for ever, with all that it refers to.
func TestConnsAreFreed(t *testing.T) {
	hello := clientFrame(frame.Text, true, []byte(`{"op":"hello"}`))
	reset := func(c *rawClient) {
		_ = c.nc.(*net.TCPConn).SetLinger(0)
		c.nc.Close()
	}
	for name, end := range map[string]func(w *realWorld, c *rawClient){
		"the peer closes":           func(_ *realWorld, c *rawClient) { c.write(clientFrame(frame.Close, true, []byte{0x03, 0xe8})) },
		"the connection is cut":     func(_ *realWorld, c *rawClient) { c.nc.Close() },
		"the connection is reset":   func(_ *realWorld, c *rawClient) { reset(c) },
		"cut in a message":          func(_ *realWorld, c *rawClient) { c.write([]byte{0x81, 0xfe, 1}); c.nc.Close() },
		"the hub closes":            func(w *realWorld, c *rawClient) { w.closeAll(c) },
		"no frame":                  func(_ *realWorld, c *rawClient) { c.write([]byte{0xff, 0x80, 0, 0, 0, 0}) },
		"no message of ours":        func(_ *realWorld, c *rawClient) { c.write(clientFrame(frame.Text, true, []byte("x"))) },
		"a message that is too big": func(_ *realWorld, c *rawClient) { c.write(clientFrame(frame.Text, true, make([]byte, 70_000))) },
		"a message that is no deflate": func(_ *realWorld, c *rawClient) {
			b := clientFrame(frame.Text, true, []byte("\xff\xff\xff\xff"))
			b[0] |= 0x40
			c.write(b)
		},
		"deflated, cut": func(_ *realWorld, c *rawClient) {
			b := clientFrame(frame.Text, false, []byte("\x00"))
			b[0] |= 0x40
			c.write(b)
			c.nc.Close()
		},
	} {
		for _, greeted := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, greeted %t", name, greeted), func(t *testing.T) {
				w := newRealWorld(t, &HubOptions{Compression: true, Authenticate: func(_ *http.Request, token string) (id Identity, err error) {
					if token == "bad" {
						err = ErrDenied
					}
					return id, err
				}})
				c := w.rawDeflate()
				if greeted {
					c.write(hello)
					c.next()
				}
				p := w.onlyConn()
				end(w, c)
				_, _ = c.closed() // or cut
				c.nc.Close()
				for deadline := time.Now().Add(20 * time.Second); p.Value() != nil; runtime.GC() {
					if time.Now().After(deadline) {
						t.Fatal("it is still in memory")
					}
				}
			})
		}
	}
}

// closeAll makes the hub close the connection, or refuse it.
func (w *realWorld) closeAll(c *rawClient) {
	n := 0
	for c := range w.hub.Conns() {
		c.Close(wire.CloseExpired, "")
		n++
	}
	if n == 0 {
		c.write(clientFrame(frame.Text, true, []byte(`{"op":"hello","token":"bad"}`)))
	}
}

// onlyConn waits for the hub to have one connection, greeted or not.
func (w *realWorld) onlyConn() weak.Pointer[Conn] {
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); runtime.Gosched() {
		for c := range w.hub.Conns() {
			return weak.Make(c)
		}
		w.hub.mu.Lock()
		for c := range w.hub.early {
			w.hub.mu.Unlock()
			return weak.Make(c)
		}
		w.hub.mu.Unlock()
	}
	w.t.Fatal("there is no connection")
	return weak.Pointer[Conn]{}
}
