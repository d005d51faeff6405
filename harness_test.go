package hotline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/gohotline/hotline/internal/leak"
	"github.com/gohotline/hotline/internal/memnet"
	"github.com/gohotline/hotline/internal/wire"
)

func TestMain(m *testing.M) {
	if arg := os.Getenv(benchEnv); arg != "" {
		runBenchClients(arg)
	}
	if os.Getenv(benchHubEnv) != "" {
		runBenchHub()
	}
	leak.Main(m)
}

// anyone lets everybody do everything, for tests that are about something else.
func anyone(context.Context, *Conn, string) error { return nil }

// world is a hub behind a real http.Server on a network in memory, for use in a synctest bubble.
type world struct {
	t   testing.TB
	hub *Hub
	net *memnet.Network
	srv *http.Server
}

// newWorld serves a hub until t ends. Zero hooks become permissive ones.
func newWorld(t testing.TB, opts *HubOptions) *world {
	t.Helper()
	return newWorldOn(t, memnet.New(nil), opts)
}

func newWorldOn(t testing.TB, net *memnet.Network, opts *HubOptions) *world {
	t.Helper()
	w := &world{t: t, hub: newTestHub(opts), net: net}
	w.srv = &http.Server{Handler: w.hub}
	l := w.net.Listen()
	go w.srv.Serve(l)
	t.Cleanup(func() {
		w.srv.Close()
		w.hub.Close()
	})
	return w
}

// publish fails the test on an error.
func (w *world) publish(topic string, v any) {
	w.t.Helper()
	if err := w.hub.Publish(context.Background(), topic, v); err != nil {
		w.t.Fatalf("publish %s: %v", topic, err)
	}
}

// testClient is a client that does nothing by itself: it sends what it is told and shows what it gets.
type testClient struct {
	t    testing.TB
	ws   *websocket.Conn
	link *memnet.Link
	auto bool // answers pings, and leaves them out
}

// dial connects without a hello.
func (w *world) dial(link *memnet.Link, protocols ...string) *testClient {
	w.t.Helper()
	c, err := w.tryDial(link, protocols...)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) tryDial(link *memnet.Link, protocols ...string) (*testClient, error) {
	if link == nil {
		link = w.net.Link()
	}
	tr := &http.Transport{DialContext: wholeMessages(link.DialContext), DisableKeepAlives: true}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "ws://hub/", &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: tr}, Subprotocols: protocols,
	})
	if err != nil {
		return nil, err
	}
	ws.SetReadLimit(4 << 20)
	c := &testClient{t: w.t, ws: ws, link: link, auto: true}
	w.t.Cleanup(func() { ws.CloseNow() })
	return c, nil
}

// wholeMessages makes connections of which coder/websocket reads no message that the end cuts short, see errCut.
func wholeMessages(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &wholeConn{nc}, nil
	}
}

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

type wholeConn struct{ net.Conn }

func (c *wholeConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if errors.Is(err, io.EOF) {
		err = errCut
	}
	return n, err
}

// client connects, says hello with these subscriptions ("topic" or "topic after"), and reads the welcome.
func (w *world) client(subs ...string) *testClient {
	w.t.Helper()
	c := w.dial(nil, wire.Protocol)
	c.hello(subs...)
	return c
}

func (c *testClient) hello(subs ...string) {
	c.t.Helper()
	c.send(helloFrame("", subs...))
	if f := c.next(); f.Op != "welcome" {
		c.t.Fatalf("the first frame is %+v", f)
	}
}

// helloFrame makes a hello; subscriptions are numbered from 1.
func helloFrame(token string, subs ...string) string {
	var list []string
	for i, s := range subs {
		topic, after, _ := strings.Cut(s, " ")
		list = append(list, fmt.Sprintf(`{"sub":%d,"topic":%q%s}`, i+1, topic, subOption(after)))
	}
	return fmt.Sprintf(`{"op":"hello","token":%q,"subs":[%s]}`, token, strings.Join(list, ","))
}

// subOption reads "after", "replay=n" or "after replay=n".
func subOption(s string) (out string) {
	for _, f := range strings.Fields(s) {
		if n, ok := strings.CutPrefix(f, "replay="); ok {
			out += `,"replay":` + n
		} else {
			out += fmt.Sprintf(`,"after":%q`, f)
		}
	}
	return out
}

func (c *testClient) send(frame string) {
	c.t.Helper()
	if err := c.ws.Write(context.Background(), websocket.MessageText, []byte(frame)); err != nil {
		c.t.Fatalf("send %s: %v", frame, err)
	}
}

// read returns the next frame, or why there is none.
func (c *testClient) read() (wire.ServerFrame, error) {
	for {
		typ, msg, err := c.ws.Read(context.Background())
		if err != nil {
			return wire.ServerFrame{}, err
		}
		f, err := wire.DecodeServer(msg, typ == websocket.MessageBinary)
		if err != nil {
			return f, fmt.Errorf("%q: %w", msg, err)
		}
		if c.auto && f.Op == "ping" {
			c.send(`{"op":"pong"}`)
			continue
		}
		if c.auto && f.Op == "at" {
			continue
		}
		return f, nil
	}
}

// next returns the next frame.
func (c *testClient) next() wire.ServerFrame {
	c.t.Helper()
	f, err := c.read()
	if err != nil {
		c.t.Fatalf("read: %v", err)
	}
	return f
}

// want reads frames and compares each with its short form, see brief.
func (c *testClient) want(frames ...string) {
	c.t.Helper()
	for _, want := range frames {
		if got := brief(c.next()); got != want {
			c.t.Fatalf("got %q, want %q", got, want)
		}
	}
}

// brief is a frame as one writes it down: `ok 1`, `chat.a "hi"`, `1: chat.a "hi"` if it is tagged, `gap [1] slow`.
func brief(f wire.ServerFrame) string {
	switch f.Op {
	case "":
		s := f.Topic + " "
		if f.Sub != 0 {
			s = fmt.Sprintf("%d: %s", f.Sub, s)
		}
		if f.Gone {
			return s + "gone"
		}
		return s + string(f.Data)
	case "ok", "err":
		s := f.Op
		if f.HasRef {
			s += fmt.Sprintf(" ref %d", f.Ref)
		} else if f.Sub != 0 {
			s += fmt.Sprintf(" %d", f.Sub)
		}
		return strings.TrimSpace(s + " " + f.Code)
	case "end":
		return strings.TrimSpace(fmt.Sprintf("end %d %s", f.Sub, f.Code))
	case "gap":
		if f.Sub != 0 {
			return fmt.Sprintf("%d: gap %v %s", f.Sub, f.Subs, f.Cause)
		}
		return fmt.Sprintf("gap %v %s", f.Subs, f.Cause)
	case "push":
		return fmt.Sprintf("push %d %s", f.Sub, f.Topic)
	case "reset":
		return fmt.Sprintf("reset %d", f.Sub)
	case "send":
		return "send " + f.Topic + " " + string(f.Data)
	case "bye":
		return fmt.Sprintf("bye %d", f.CloseCode)
	}
	return f.Op
}

// closed reads until the connection has ended, and returns the close code (-1: there was none) and the frames before.
func (c *testClient) closed() (code int, reason string, frames []wire.ServerFrame) {
	for {
		f, err := c.read()
		if err != nil {
			var ce websocket.CloseError
			if errors.As(err, &ce) {
				return int(ce.Code), ce.Reason, frames
			}
			return -1, err.Error(), frames
		}
		frames = append(frames, f)
	}
}

func (c *testClient) close() { c.ws.Close(websocket.StatusNormalClosure, "") }
