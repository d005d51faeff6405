package hotline

import (
	"bytes"
	"math/rand/v2"
	"net"
	"slices"
	"testing"

	"github.com/gohotline/hotline/internal/frame"
	"github.com/gohotline/hotline/internal/wire"
)

// TestReaderIsLent: a connection has a coder/websocket Conn only while it reads, and one that coder may still close later
// is lent to nobody else.
func TestReaderIsLent(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	text := func(s string) []byte { return masked(rnd, frame.Text, true, []byte(s)) }
	begin := masked(rnd, frame.Text, false, []byte("on"))
	ping := masked(rnd, frame.Ping, true, []byte("?"))
	end := masked(rnd, 0, true, []byte("e"))
	deflated := masked(rnd, frame.Text, true, frame.NewDeflater().Append(nil, []byte("one")))
	deflated[0] |= 0x40
	for _, tt := range []struct {
		name string
		sent []byte
		keep bool
	}{
		{"whole", text("one"), false},
		{"fragments", slices.Concat(begin, end), false},
		{"a ping within", slices.Concat(begin, ping, end), true},
		{"more has come", slices.Concat(text("one"), text("two")), true},
		{"deflated", deflated, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			hub := newTestHub(nil)
			defer hub.Close()
			c, nc := unserved(t, hub)
			c.under.frames.Deflates = true
			for range 3 { // the first of them makes it
				if _, err := nc.Write(tt.sent); err != nil {
					t.Fatal(err)
				}
				msg, _, err := c.read()
				if err != nil || string(msg) != "one" {
					t.Fatalf("%q, %v", msg, err)
				}
				hub.giveBack(c.under)
				if keeps := c.under.reader != nil; keeps != (tt.keep || !nonBlocking) {
					t.Fatalf("it keeps its reader: %t", keeps)
				}
				if tt.keep || !nonBlocking {
					return
				}
			}
		})
	}
}

// TestReaderOfDeflated: who has agreed on no compression sends nothing deflated, whoever had the reader before.
func TestReaderOfDeflated(t *testing.T) {
	w := newRealWorld(t, &HubOptions{Compression: true})
	deflated := clientFrame(frame.Text, true, frame.NewDeflater().Append(nil, []byte(`{"op":"pub","ref":1,"topic":"a","data":1}`)))
	deflated[0] |= 0x40
	for range 8 {
		good := w.rawDeflate()
		good.hello()
		good.write(deflated)
		if op, body, err := good.read(); err != nil || op != frame.Text || !bytes.Contains(body, []byte(`"ref":1`)) {
			t.Fatalf("%d %q, %v", op, body, err)
		}
		bad := w.raw(wire.Protocol)
		bad.hello()
		bad.write(deflated)
		if code, reason := bad.closed(); code != wire.CloseFrameError {
			t.Fatalf("closed with %d %q", code, reason)
		}
	}
}

// unserved returns a connection of a hub that nobody reads, and its peer's end.
func unserved(t *testing.T, hub *Hub) (*Conn, net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	c := hub.newConn(false)
	c.sock = newSocket(server, hub.limits.WindowBytes)
	c.under = &wireConn{sock: c.sock}
	return c, client
}
