package chat

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/gohotline/hotline/examples/internal/site"
	"github.com/gohotline/hotline/internal/memnet"
)

// chat is the whole of it, on a network in memory.
type chat struct {
	t    *testing.T
	net  *memnet.Network
	stop func() error // what SIGINT does
}

// inBubble runs a test of the chat, with a clock that only moves when everybody waits.
func inBubble(t *testing.T, test func(t *testing.T, c *chat)) {
	synctest.Test(t, func(t *testing.T) {
		c := &chat{t: t, net: memnet.New(nil)}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		ln := c.net.Listen()
		go func() { ended <- site.Serve(ctx, ln, New()) }()
		c.stop = func() error {
			cancel()
			return <-ended
		}
		test(t, c)
		if ctx.Err() == nil {
			if err := c.stop(); err != nil {
				t.Error(err)
			}
		}
	})
}

// window is a browser window: a connection that speaks hotline.v1 by hand.
type window struct {
	t  *testing.T
	ws *websocket.Conn
}

// frame is what the hub sends.
type frame struct {
	Op, Topic, ID, Rev, From, Reason string
	Sub, Ref, Retry                  int
	Code, Data                       json.RawMessage
	Held, Gone                       bool
}

// String is a frame as one writes it down in a test.
func (f frame) String() string {
	if f.Op == "" {
		f.Op = strings.TrimSpace(f.From + " " + f.Topic)
	}
	s := f.Op
	if f.Sub != 0 {
		s += fmt.Sprintf(" sub %d", f.Sub)
	}
	if f.Ref != 0 {
		s += fmt.Sprintf(" ref %d", f.Ref)
	}
	if f.Held {
		s += " held"
	}
	if f.Gone {
		s += " gone"
	}
	for _, raw := range [][]byte{f.Code, text(f.Data)} {
		if len(raw) > 0 {
			s += " " + string(raw)
		}
	}
	return s
}

// text is what a line says, as JSON; of other payloads all.
func text(data json.RawMessage) json.RawMessage {
	var l struct{ Text json.RawMessage }
	if json.Unmarshal(data, &l) == nil && l.Text != nil {
		return l.Text
	}
	return data
}

// dial connects as a page of origin does, without a hello.
func (c *chat) dial(origin string) (*websocket.Conn, *http.Response, error) {
	tr := &http.Transport{DialContext: c.net.Link().DialContext, DisableKeepAlives: true}
	return websocket.Dial(c.t.Context(), "ws://localhost:8080/chat/ws", &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: tr}, HTTPHeader: http.Header{"Origin": {origin}}, Subprotocols: []string{"hotline.v1", "hotline"},
	})
}

// open connects under a name, with subscriptions given as in a hello, and waits until all have joined.
func (c *chat) open(name string, subs ...string) *window {
	c.t.Helper()
	ws, _, err := c.dial("http://localhost:8080")
	if err != nil {
		c.t.Fatal(err)
	}
	ws.SetReadLimit(1 << 20)
	w := &window{c.t, ws}
	c.t.Cleanup(func() { ws.CloseNow() })
	for i := range subs {
		subs[i] = fmt.Sprintf(`{"sub":%d,%s}`, i+1, subs[i])
	}
	w.send(`{"op":"hello","token":%q,"subs":[%s]}`, name, strings.Join(subs, ","))
	return w
}

// join is open for a room: 1 is what is said there, 2 who is typing, 3 who is here.
func (c *chat) join(name, room string) *window {
	c.t.Helper()
	w := c.open(name, `"topic":"chat.`+room+`"`, `"topic":"chat.`+room+`.typing"`, `"topic":"chat.`+room+`.here.*"`)
	w.until("ok sub 3")
	return w
}

func (w *window) send(format string, args ...any) {
	w.t.Helper()
	if err := w.ws.Write(w.t.Context(), websocket.MessageText, fmt.Appendf(nil, format, args...)); err != nil {
		w.t.Fatalf("send %s: %v", fmt.Sprintf(format, args...), err)
	}
}

// read returns the next frame, and answers pings. It waits for two minutes at most, on the clock of the bubble.
func (w *window) read() (f frame, err error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Minute)
	defer cancel()
	for {
		_, b, err := w.ws.Read(ctx)
		if err != nil {
			return f, err
		}
		f = frame{}
		if err := json.Unmarshal(b, &f); err != nil {
			return f, fmt.Errorf("%s: %w", b, err)
		}
		switch f.Op {
		case "ping":
			w.send(`{"op":"pong"}`)
		case "at":
		default:
			return f, nil
		}
	}
}

// until reads frames up to the one that is want in short, and returns it and those before it.
func (w *window) until(want string) (last frame, before []string) {
	w.t.Helper()
	for {
		f, err := w.read()
		if err != nil {
			w.t.Fatalf("%v, waiting for %q, after %q", err, want, before)
		}
		if f.String() == want {
			return f, before
		}
		before = append(before, f.String())
	}
}
