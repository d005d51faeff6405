package hotline

import (
	"bytes"
	"compress/flate"
	"math/rand/v2"
	"net"
	"slices"
	"testing"

	"github.com/gohotline/hotline/internal/frame"
)

// TestReaderIsLent: a connection has a coder/websocket Conn only while it reads, and one that coder may still close later
// is lent to nobody else.
func TestReaderIsLent(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	text := func(s string) []byte { return masked(rnd, frame.Text, true, []byte(s)) }
	begin := masked(rnd, frame.Text, false, []byte("on"))
	ping := masked(rnd, frame.Ping, true, []byte("?"))
	end := masked(rnd, 0, true, []byte("e"))
	for _, tt := range []struct {
		name     string
		sent     []byte
		deflates bool
		keep     bool
	}{
		{"whole", text("one"), false, false},
		{"fragments", slices.Concat(begin, end), false, false},
		{"a ping within", slices.Concat(begin, ping, end), false, true},
		{"more has come", slices.Concat(text("one"), text("two")), false, true},
		{"compression", text("one"), true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			hub := newTestHub(nil)
			defer hub.Close()
			c, nc := unserved(t, hub)
			c.under.deflates = tt.deflates
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

// TestUnfinishedDeflate: a compressed message whose last block comes before its last frame leaves coder/websocket in the
// middle of it, while all that it said has been read. Nobody else is to find it there.
func TestUnfinishedDeflate(t *testing.T) {
	w := newRealWorld(t, &HubOptions{Compression: true})
	var b bytes.Buffer
	fw, err := flate.NewWriter(&b, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fw.Write([]byte(`{"op":"pub","ref":1,"topic":"a","data":1}`)); err != nil {
		t.Fatal(err)
	}
	if err := fw.Close(); err != nil { // a last block (RFC 1951 §3.2.3)
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	unfinished := masked(rnd, frame.Text, false, b.Bytes())
	unfinished[0] |= 0x40
	ask := masked(rnd, frame.Text, true, []byte(`{"op":"pub","ref":2,"topic":"b","data":1}`))
	for range 20 {
		bad, good := w.rawDeflate(), w.rawDeflate()
		bad.hello()
		good.hello()
		bad.write(unfinished)
		if op, body, err := bad.read(); err != nil || op != frame.Text || !bytes.Contains(body, []byte(`"ref":1`)) {
			t.Fatalf("%d %q, %v", op, body, err)
		}
		for range 3 {
			good.write(ask)
			if op, body, err := good.read(); err != nil || op != frame.Text || !bytes.Contains(body, []byte(`"ref":2`)) {
				t.Fatalf("%d %q, %v", op, body, err)
			}
		}
		bad.nc.Close()
		good.nc.Close()
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
