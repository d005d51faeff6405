package hubtest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/gohotline/hotline"
	"github.com/gohotline/hotline/internal/leak"
	"github.com/gohotline/hotline/internal/wire"
)

func TestMain(m *testing.M) { leak.Main(m) }

// bubble runs f in a synctest bubble.
func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

func newHub() *hotline.Hub {
	return hotline.NewHub(&hotline.HubOptions{
		AuthorizeSubscribe: hotline.Allow(">"), AuthorizePublish: hotline.Allow(">"),
	})
}

// open returns a hub that is closed when t ends. It is made before Serve, so that the server ends first.
func open(t *testing.T) *hotline.Hub {
	hub := newHub()
	t.Cleanup(func() { hub.Close() })
	return hub
}

func publish(t *testing.T, hub *hotline.Hub, topic string, v any) {
	t.Helper()
	if err := hub.Publish(t.Context(), topic, v); err != nil {
		t.Fatal(err)
	}
}

// raw is a client that does nothing by itself but answer pings.
type raw struct {
	t    *testing.T
	link *Link
	ws   *websocket.Conn
}

// tryRaw connects over link.
func tryRaw(ctx context.Context, t *testing.T, link *Link) (*raw, error) {
	hc, err := link.httpClient(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hc.CloseIdleConnections)
	ws, _, err := websocket.Dial(ctx, "ws://example.com/", &websocket.DialOptions{HTTPClient: hc, Subprotocols: []string{wire.Protocol}})
	if err != nil {
		return nil, err
	}
	ws.SetReadLimit(-1)
	t.Cleanup(func() { ws.CloseNow() })
	return &raw{t, link, ws}, nil
}

// dialRaw connects and subscribes to the topic a, after a position if that is not empty, and returns where it joined.
func dialRaw(t *testing.T, link *Link, after string) (c *raw, at string, before []wire.ServerFrame) {
	t.Helper()
	c, err := tryRaw(t.Context(), t, link)
	if err != nil {
		t.Fatal(err)
	}
	if after != "" {
		after = fmt.Sprintf(`,"after":%q`, after)
	}
	c.send(`{"op":"hello","subs":[{"sub":1,"topic":"a"` + after + `}]}`)
	for {
		f := c.next()
		switch f.Op {
		case "welcome":
		case "ok":
			return c, f.At, before
		default:
			before = append(before, f)
		}
	}
}

func (c *raw) send(frame string) {
	c.t.Helper()
	if err := c.ws.Write(c.t.Context(), websocket.MessageText, []byte(frame)); err != nil {
		c.t.Fatalf("send %s: %v", frame, err)
	}
}

func (c *raw) read() (wire.ServerFrame, error) {
	for {
		typ, msg, err := c.ws.Read(context.Background())
		if err != nil {
			return wire.ServerFrame{}, err
		}
		f, err := wire.DecodeServer(msg, typ == websocket.MessageBinary)
		if err != nil || f.Op != "ping" && f.Op != "at" {
			f.Data = bytes.Clone(f.Data)
			return f, err
		}
		if f.Op == "ping" {
			c.send(`{"op":"pong"}`)
		}
	}
}

func (c *raw) next() wire.ServerFrame {
	c.t.Helper()
	f, err := c.read()
	if err != nil {
		c.t.Fatalf("read: %v", err)
	}
	return f
}

// want reads messages.
func (c *raw) want(data ...string) {
	c.t.Helper()
	for _, want := range data {
		if f := c.next(); f.Op != "" || string(f.Data) != want {
			c.t.Fatalf("got %+v with %s, want the message %s", f, f.Data, want)
		}
	}
}

// recorder is a testing.TB that keeps what it is told, for tests of failures.
type recorder struct {
	testing.TB

	mu       sync.Mutex
	errors   []string
	output   bytes.Buffer
	cleanups []func()
}

func (r *recorder) Helper()                           {}
func (r *recorder) Errorf(format string, args ...any) { r.add(fmt.Sprintf(format, args...)) }
func (r *recorder) Output() io.Writer                 { return r }
func (r *recorder) Cleanup(f func())                  { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Fatalf(format string, args ...any) {
	r.add(fmt.Sprintf(format, args...))
	runtime.Goexit()
}

func (r *recorder) add(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errors = append(r.errors, s)
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.output.Write(p)
}

// end runs the cleanups, as the end of a test does.
func (r *recorder) end() {
	for len(r.cleanups) > 0 {
		f := r.cleanups[len(r.cleanups)-1]
		r.cleanups = r.cleanups[:len(r.cleanups)-1]
		f()
	}
}

// failure runs f as a test of its own, and wants it to fail once, with all of these.
func failure(t *testing.T, f func(tb *recorder), want ...string) {
	t.Helper()
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer r.end()
		f(r)
	}()
	<-done
	if len(r.errors) != 1 {
		t.Fatalf("got %q, want one failure", r.errors)
	}
	for _, w := range want {
		if !strings.Contains(r.errors[0], w) {
			t.Errorf("%q does not say %q", r.errors[0], w)
		}
	}
}

// within fails t unless d is what it should be, give or take a millisecond.
func within(t *testing.T, what string, d, want time.Duration) {
	t.Helper()
	if d < want-time.Millisecond || d > want+time.Millisecond {
		t.Errorf("%s took %v, want %v", what, d, want)
	}
}
