package hotline

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gohotline/hotline/internal/frame"
	"github.com/gohotline/hotline/internal/wire"
)

// TestControlFrames: on real sockets some control frames are read before coder/websocket sees them. Wherever they stand,
// also in the middle of a message, and however TCP cuts them, they are answered, and messages are not touched.
func TestControlFrames(t *testing.T) {
	w := newRealWorld(t, &HubOptions{Limits: Limits{PublishRate: -1}})
	for seed := range uint64(8) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		c := w.raw(wire.Protocol)
		c.hello()
		for ref, step := 0, 0; step < 150; step++ {
			var sent []byte
			var want []string
			ping := func() {
				body := make([]byte, rnd.IntN(126))
				for i := range body {
					body[i] = byte(rnd.Uint32())
				}
				if rnd.IntN(4) == 0 {
					sent = append(sent, masked(rnd, frame.Pong, true, body)...)
					return
				}
				sent = append(sent, masked(rnd, frame.Ping, true, body)...)
				want = append(want, fmt.Sprintf("%d %q", frame.Pong, body))
			}
			for range rnd.IntN(6) {
				if rnd.IntN(2) == 0 {
					ping()
					continue
				}
				ref++
				msg := fmt.Appendf(nil, `{"op":"pub","ref":%d,"topic":"a","data":"%s"}`, ref, strings.Repeat("x", rnd.IntN(200)))
				op := frame.Text
				for n := rnd.IntN(3); n > 0; n-- { // fragments
					cut := rnd.IntN(len(msg))
					sent = append(sent, masked(rnd, op, false, msg[:cut])...)
					op, msg = 0, msg[cut:]
					ping()
				}
				sent = append(sent, masked(rnd, op, true, msg)...)
				want = append(want, fmt.Sprintf(`%d ok %d`, frame.Text, ref))
			}
			for len(sent) > 0 {
				n := 1 + rnd.IntN(len(sent))
				c.write(sent[:n])
				sent = sent[n:]
				for range rnd.IntN(3) {
					runtime.Gosched()
				}
			}
			for range want { // a pong is in no order with an answer that waits for the log
				op, body, err := c.read()
				if err != nil {
					t.Fatalf("seed %d, step %d: %v, awaiting %q", seed, step, err, want)
				}
				got := fmt.Sprintf("%d %q", op, body)
				if op == frame.Text {
					var ref int
					if _, err := fmt.Sscanf(string(body), `{"op":"ok","ref":%d`, &ref); err != nil {
						t.Fatalf("seed %d, step %d: %s", seed, step, body)
					}
					got = fmt.Sprintf("%d ok %d", op, ref)
				}
				i := 0
				for i < len(want) && (want[i] == "" || want[i][0] != got[0]) {
					i++
				}
				if i == len(want) || want[i] != got {
					t.Fatalf("seed %d, step %d: %s, want the first of its kind in %q", seed, step, got, want)
				}
				want[i] = ""
			}
		}
	}
}

// masked is a frame of a client's with a random mask.
func masked(rnd *rand.Rand, op byte, fin bool, body []byte) []byte {
	b := clientFrame(op, fin, body)
	mask := [4]byte{byte(rnd.Uint32()), byte(rnd.Uint32()), byte(rnd.Uint32()), byte(rnd.Uint32())}
	payload := b[len(b)-len(body):]
	copy(b[len(b)-len(body)-4:], mask[:])
	for i := range payload {
		payload[i] ^= mask[i%4]
	}
	return b
}

// TestBadControlFrames: a control frame that is not right is closed with 1002 on real sockets too.
func TestBadControlFrames(t *testing.T) {
	w := newRealWorld(t, nil)
	for name, b := range map[string][]byte{
		"reserved bit": {0x99, 0x80, 0, 0, 0, 0},
		"compressed":   {0xca, 0x80, 0, 0, 0, 0},
		"fragmented":   {0x09, 0x80, 0, 0, 0, 0},
		"long":         clientFrame(frame.Ping, true, make([]byte, 126)),
		"not masked":   {0x89, 0x04, 0, 0, 0, 0},
		"after a good one": append(clientFrame(frame.Ping, true, []byte("x")),
			0x8a, 0x04, 0, 0, 0, 0),
	} {
		c := w.raw(wire.Protocol)
		c.hello()
		c.write(b)
		if code, reason := c.closed(); code != wire.CloseFrameError {
			t.Errorf("%s: closed with %d %s", name, code, reason)
		}
	}
}

// next returns the payload of the next frame.
func (c *rawClient) next() []byte {
	c.t.Helper()
	_, body, err := c.read()
	if err != nil {
		c.t.Fatal(err)
	}
	return body
}

// TestHalfControlFrame: for what is left of a control frame that has begun coder/websocket waits 5 s. Whose does not come
// is told so, as whoever is silent: it is to come back.
func TestHalfControlFrame(t *testing.T) {
	for name, sent := range map[string][]byte{
		"ping":              clientFrame(frame.Ping, true, []byte("hello"))[:8],
		"close":             clientFrame(frame.Close, true, []byte("\x03\xe8bye"))[:8],
		"ping in a message": append(clientFrame(frame.Text, false, []byte("{")), clientFrame(frame.Ping, true, []byte("hello"))[:8]...),
	} {
		for _, greeted := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				c := newWorld(t, nil).raw(wire.Protocol)
				if greeted {
					c.hello()
				}
				c.write(sent)
				if code, reason := c.closed(); code != wire.CloseNoPong {
					t.Errorf("%s, greeted %t: closed with %d %s", name, greeted, code, reason)
				}
			})
		}
	}
}

// eagerConn says that the peer has ended along with the last that it sent, as a TLS connection may.
type eagerConn struct {
	net.Conn
	rest []byte
	read bool
}

func (c *eagerConn) Read(p []byte) (n int, err error) {
	if !c.read {
		c.read = true
		if c.rest, err = io.ReadAll(c.Conn); err != nil {
			return 0, err
		}
	}
	n = copy(p, c.rest)
	if c.rest = c.rest[n:]; len(c.rest) == 0 {
		err = io.EOF
	}
	return n, err
}

// eagerWriter is the ResponseWriter of a connection that is one.
type eagerWriter struct{ http.ResponseWriter }

func (w eagerWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	nc, brw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	return &eagerConn{Conn: nc}, brw, err
}

// A message that comes along with the end of the connection is one. What the end has cut short is none, whatever it may
// look like.
func TestMessageAtTheEnd(t *testing.T) {
	two := clientFrame(frame.Binary, true, frame.NewDeflater().Append(nil, []byte("two")))
	two[0] |= 0x40
	two = lastMasked(two)
	for name, tt := range map[string]struct {
		second []byte
		want   []string
	}{
		"whole": {two, []string{"one", "two"}},
		"cut":   {two[:len(two)-1], []string{"one"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			over := make(chan struct{})
			hub := newTestHub(&HubOptions{
				Compression:  true,
				OnMessage:    func(_ context.Context, _ *Conn, data []byte) { got = append(got, string(data)) },
				OnDisconnect: func(context.Context, *Conn, error) { close(over) },
			})
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { hub.ServeHTTP(eagerWriter{w}, r) }))
			defer srv.Close()
			defer hub.Close()
			nc, err := net.Dial("tcp", srv.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			c := newRawClient(t, nc, "\r\nSec-WebSocket-Extensions: permessage-deflate")
			c.write(append(clientFrame(frame.Text, true, []byte("one")), tt.second...))
			if err := nc.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			<-over
			if !slices.Equal(got, tt.want) {
				t.Errorf("OnMessage got %q, want %q", got, tt.want)
			}
		})
	}
}
