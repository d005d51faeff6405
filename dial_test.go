package hotline

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/gohotline/hotline/internal/frame"
	"github.com/gohotline/hotline/internal/wire"
)

// dialWith connects with options of its own, and returns the answer to a request that was refused.
func (w *world) dialWith(o *websocket.DialOptions) (*testClient, *http.Response, error) {
	w.t.Helper()
	link := w.net.Link()
	o.HTTPClient = &http.Client{Transport: &http.Transport{DialContext: wholeMessages(link.DialContext), DisableKeepAlives: true}}
	return dialURL(w.t, "ws://hub/", o)
}

func dialURL(t testing.TB, url string, o *websocket.DialOptions) (*testClient, *http.Response, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ws, resp, err := websocket.Dial(ctx, url, o)
	if err != nil {
		return nil, resp, err
	}
	ws.SetReadLimit(4 << 20)
	t.Cleanup(func() { ws.CloseNow() })
	return &testClient{t: t, ws: ws, auto: true}, resp, nil
}

// realWorld is a hub behind a real http.Server on a loopback socket.
type realWorld struct {
	*world
	url string // ws://
}

// newRealWorld serves a hub until t ends. Zero hooks become permissive ones.
func newRealWorld(t testing.TB, opts *HubOptions) *realWorld {
	t.Helper()
	hub := newTestHub(opts)
	srv := httptest.NewServer(hub)
	t.Cleanup(func() {
		hub.Close()
		srv.Close()
	})
	return &realWorld{&world{t: t, hub: hub}, "ws" + strings.TrimPrefix(srv.URL, "http")}
}

// newTestHub is NewHub with permissive hooks in place of nil, and without a log.
func newTestHub(opts *HubOptions) *Hub {
	o := HubOptions{}
	if opts != nil {
		o = *opts
	}
	if o.AuthorizeSubscribe == nil {
		o.AuthorizeSubscribe = anyone
	}
	if o.AuthorizePublish == nil {
		o.AuthorizePublish = anyone
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return NewHub(&o)
}

// realDial connects over a real socket without a hello.
func (w *realWorld) realDial(protocols ...string) *testClient {
	w.t.Helper()
	c, _, err := dialURL(w.t, w.url, &websocket.DialOptions{Subprotocols: protocols})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// client connects over a real socket and says hello.
func (w *realWorld) client(subs ...string) *testClient {
	w.t.Helper()
	c := w.realDial(wire.Protocol)
	c.hello(subs...)
	return c
}

// raw connects over a real socket and leaves the frames to the test.
func (w *realWorld) raw(protocols ...string) *rawClient {
	w.t.Helper()
	nc, err := net.Dial("tcp", strings.TrimPrefix(w.url, "ws://"))
	if err != nil {
		w.t.Fatal(err)
	}
	return newRawClient(w.t, nc, protocols...)
}

// raw connects over the network in memory and leaves the frames to the test.
func (w *world) raw(protocols ...string) *rawClient {
	w.t.Helper()
	nc, err := w.net.Link().DialContext(context.Background(), "tcp", "")
	if err != nil {
		w.t.Fatal(err)
	}
	return newRawClient(w.t, nc, protocols...)
}

// rawDeflate is raw with permessage-deflate agreed on.
func (w *realWorld) rawDeflate() *rawClient {
	return w.raw(wire.Protocol + "\r\nSec-WebSocket-Extensions: permessage-deflate")
}

// rawClient sends bytes that no WebSocket library would.
type rawClient struct {
	t  testing.TB
	nc net.Conn
	br *bufio.Reader
}

func newRawClient(t testing.TB, nc net.Conn, protocols ...string) *rawClient {
	t.Helper()
	t.Cleanup(func() { nc.Close() })
	c := &rawClient{t: t, nc: nc, br: bufio.NewReader(nc)}
	fmt.Fprintf(nc, "GET / HTTP/1.1\r\nHost: hub\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
	if len(protocols) > 0 {
		fmt.Fprintf(nc, "Sec-WebSocket-Protocol: %s\r\n", strings.Join(protocols, ", "))
	}
	fmt.Fprint(nc, "\r\n")
	resp, err := http.ReadResponse(c.br, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("handshake: %v, %v", resp, err)
	}
	return c
}

// hello says hello and reads the welcome.
func (c *rawClient) hello(subs ...string) {
	c.t.Helper()
	c.write(clientFrame(frame.Text, true, []byte(helloFrame("", subs...))))
	if op, body, err := c.read(); err != nil || op != frame.Text || !bytes.Contains(body, []byte(`"welcome"`)) {
		c.t.Fatalf("the first frame is %d %q %v", op, body, err)
	}
}

func (c *rawClient) write(b []byte) {
	c.t.Helper()
	if _, err := c.nc.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// read returns the next frame. Those of a server are whole messages.
func (c *rawClient) read() (op byte, body []byte, err error) {
	var h frame.Header
	for n := 2; ; n++ {
		b, err := c.br.Peek(n)
		if err != nil {
			return 0, nil, err
		}
		var ok bool
		if h, ok = frame.ParseHeader(b); ok {
			break
		}
	}
	if h.Masked || !h.Fin {
		return 0, nil, fmt.Errorf("a server's frame is %+v", h)
	}
	b := make([]byte, h.Size+h.Len)
	if _, err := io.ReadFull(c.br, b); err != nil {
		return 0, nil, err
	}
	return h.Op, b[h.Size:], nil
}

// closed reads until a Close frame and returns its code; -1 if there is none.
func (c *rawClient) closed() (code int, reason string) {
	for {
		op, body, err := c.read()
		switch {
		case err != nil:
			return -1, err.Error()
		case op == frame.Close && len(body) < 2:
			return wire.CloseNoStatus, ""
		case op == frame.Close:
			return int(binary.BigEndian.Uint16(body)), string(body[2:])
		}
	}
}

// clientFrame is a masked frame; its mask is zero.
func clientFrame(op byte, fin bool, body []byte) []byte {
	b := frame.AppendHeader(nil, op, len(body), false)
	if b[1] |= 0x80; !fin {
		b[0] &^= 0x80
	}
	b = append(b, 0, 0, 0, 0)
	return append(b, body...)
}

// lastMasked masks a frame of clientFrame's such that its payload, to who forgets the mask, is a deflated message of nothing.
func lastMasked(b []byte) []byte {
	b = bytes.Clone(b)
	h, _ := frame.ParseHeader(b)
	mask, payload := b[h.Size-4:h.Size], b[h.Size:]
	copy(mask, []byte{payload[0] ^ 0b011, payload[1]}) // a block that is the last, and its end (RFC 1951 §3.2.3)
	for i := range payload {
		payload[i] ^= mask[i%4]
	}
	return b
}

func isErr(err, target error) bool { return err != nil && errors.Is(err, target) }

// journal is a log that a test reads.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(j, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, string(b))
	return len(b), nil
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.lines, "")
}
