package hotline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/gohotline/hotline/internal/frame"
	"github.com/gohotline/hotline/internal/wire"
)

// provoked is how a connection ended, as its client and as the application sees it.
type provoked struct {
	code   int // -1: no Close frame came
	reason string
	frames []wire.ServerFrame
}

func (c *testClient) provoked() provoked {
	code, reason, frames := c.closed()
	return provoked{code, reason, frames}
}

// provocation makes a hub close a connection.
type provocation struct {
	opts   HubOptions
	do     func(w *world) provoked
	early  bool // it ends before it is authenticated: no hook is called
	plain  bool // it can be told nothing but the code
	unsent bool // nor that: it takes nothing, and a frame was cut
}

// provocations are the causes of every code that a hub sends by itself.
var provocations = map[int]provocation{
	wire.CloseFrameError: {do: func(w *world) provoked {
		c := w.raw(wire.Protocol)
		c.hello()
		c.write([]byte{0x83, 0x80, 0, 0, 0, 0})
		return c.provoked()
	}},
	wire.CloseNotUTF8: {do: func(w *world) provoked {
		c := w.client()
		c.send("{\"op\":\"\xff\"}")
		return c.provoked()
	}},
	wire.CloseTooBig: {do: func(w *world) provoked {
		c := w.client()
		c.send(pubOfSize(64<<10 + 1))
		return c.provoked()
	}},
	wire.CloseInternalError: {
		opts: HubOptions{OnConnect: func(context.Context, *Conn) { panic("provoked") }},
		do: func(w *world) provoked {
			c := w.dial(nil, wire.Protocol)
			c.send(helloFrame(""))
			return c.provoked()
		},
	},
	wire.CloseRestart: {do: func(w *world) provoked {
		c := w.client()
		go w.hub.Shutdown(context.Background())
		return c.provoked()
	}},
	wire.CloseTryLater: {
		early: true,
		opts: HubOptions{Authenticate: func(*http.Request, string) (Identity, error) {
			return Identity{}, errors.New("the database is down")
		}},
		do: func(w *world) provoked {
			c := w.dial(nil, wire.Protocol)
			c.send(helloFrame(""))
			return c.provoked()
		},
	},
	wire.CloseExpired: {
		opts: HubOptions{Authenticate: func(*http.Request, string) (Identity, error) {
			return Identity{Expires: time.Now().Add(time.Minute)}, nil
		}},
		do: func(w *world) provoked { return w.client().provoked() },
	},
	wire.CloseStalled: {unsent: true, do: func(w *world) provoked {
		c := w.client("a")
		c.want("ok 1")
		c.link.Stall()
		for range 1000 {
			w.publish("a", strings.Repeat("x", 1000))
		}
		time.Sleep(21 * time.Second)
		if n := len(w.hub.snapshot()); n > 0 {
			w.t.Errorf("it is still connected after 21 s without progress")
		}
		c.link.Heal()
		return c.provoked()
	}},
	wire.CloseNoPong: {do: func(w *world) provoked {
		c := w.client()
		c.auto = false
		return c.provoked()
	}},
	wire.CloseLapped: {
		plain: true,
		opts: HubOptions{
			Limits:    Limits{LogBytes: 64 << 10},
			OnMessage: func(context.Context, *Conn, []byte) {},
			OnConnect: func(_ context.Context, c *Conn) { c.Subscribe("a") },
		},
		do: func(w *world) provoked {
			c := w.raw()
			synctest.Wait()
			for range 1000 { // it reads nothing meanwhile
				w.publish("a", strings.Repeat("x", 1000))
			}
			return c.provoked()
		},
	},
	wire.CloseUnauthorized: {
		early: true,
		opts:  HubOptions{Authenticate: func(*http.Request, string) (Identity, error) { return Identity{}, ErrDenied }},
		do: func(w *world) provoked {
			c := w.dial(nil, wire.Protocol)
			c.send(helloFrame("bad"))
			return c.provoked()
		},
	},
	wire.CloseVersion: {
		early: true,
		do:    func(w *world) provoked { return w.dial(nil, wire.AnyVersion).provoked() },
	},
	wire.CloseProtocol: {do: func(w *world) provoked {
		c := w.client()
		c.send(helloFrame(""))
		return c.provoked()
	}},
}

func (c *rawClient) provoked() provoked {
	var p provoked
	for {
		op, body, err := c.read()
		switch {
		case err != nil:
			return provoked{code: -1, reason: err.Error()}
		case op == frame.Close:
			p.code, p.reason = int(body[0])<<8|int(body[1]), string(body[2:])
			return p
		case op == frame.Text:
			if f, err := wire.DecodeServer(body, false); err == nil && f.Op != "" {
				p.frames = append(p.frames, f)
			}
		}
	}
}

// P7: every close code that the documents speak of is provoked, or is one that only an application or nobody sends.
// The client gets the code, with bye before it that says the same; the application gets it from OnDisconnect and the
// connection's ctx.
func TestP7CloseCodes(t *testing.T) {
	text, err := os.ReadFile("testdata/protocol/closecodes.json")
	if err != nil {
		t.Fatal(err)
	}
	var table []struct {
		Code, From int
		Name       string
		Final      bool
	}
	if err := json.Unmarshal(text, &table); err != nil {
		t.Fatal(err)
	}
	left := len(provocations)
	for _, row := range table {
		code := max(row.Code, row.From)
		t.Run(row.Name, func(t *testing.T) {
			p, ok := provocations[code]
			if !ok {
				p = provocation{do: func(w *world) provoked {
					c := w.client()
					for conn := range w.hub.Conns() {
						conn.Close(code, "provoked")
					}
					return c.provoked()
				}}
			} else {
				left--
			}
			synctest.Test(t, func(t *testing.T) { provoke(t, p, code, row.Final, ok) })
		})
	}
	if left > 0 {
		t.Errorf("%d provoked codes are not in the table", left)
	}
}

func provoke(t *testing.T, p provocation, code int, final, own bool) {
	var mu sync.Mutex
	var ends []error
	p.opts.OnDisconnect = func(ctx context.Context, c *Conn, err error) {
		mu.Lock()
		defer mu.Unlock()
		if err != context.Cause(c.Context()) || ctx.Err() != nil {
			t.Errorf("OnDisconnect got %v, the cause is %v; ctx %v", err, context.Cause(c.Context()), ctx.Err())
		}
		ends = append(ends, err)
	}
	w := newWorld(t, &p.opts)
	got := p.do(w)
	want := code
	switch code {
	case wire.CloseNoStatus, wire.CloseAbnormal, 1015: // may not be sent
		want = wire.CloseInternalError
	}
	if p.unsent {
		want = -1
	}
	if got.code != want || len(got.reason) > 123 || got.reason == "" {
		t.Errorf("closed with %d %q, want %d", got.code, got.reason, want)
	}
	if want == code && wire.Final(got.code) != final {
		t.Errorf("%d is final: %t, the table says %t", code, !final, final)
	}
	if !p.plain && !p.unsent {
		if bye := got.frames[len(got.frames)-1]; bye.Op != wire.OpBye || bye.CloseCode != want || bye.Reason != got.reason {
			t.Errorf("before it came %+v", bye)
		}
	}
	time.Sleep(5 * time.Second)
	mu.Lock()
	defer mu.Unlock()
	if p.early {
		if len(ends) > 0 || w.hub.Stats().Refused != 1 || w.hub.Stats().Opened != 0 {
			t.Errorf("OnDisconnect was called with %v, %+v", ends, w.hub.Stats())
		}
		return
	}
	if len(ends) != 1 || !errors.Is(ends[0], ErrClosed) {
		t.Fatalf("OnDisconnect was called with %v", ends)
	}
	var byPeer *CloseError
	if errors.As(ends[0], &byPeer) {
		t.Errorf("%v: the peer did not close it", ends[0])
	}
	if own && !strings.Contains(ends[0].Error(), fmt.Sprint(code)) && code != wire.CloseRestart {
		t.Errorf("the cause does not name the code: %v", ends[0])
	}
}

// What a client closes with is answered with the same code, and told to the application.
func TestP7ClosedByClient(t *testing.T) {
	for _, tt := range []struct {
		code   websocket.StatusCode
		reason string
	}{{1000, ""}, {1000, "bye"}, {1001, "leaving the page"}, {4321, strings.Repeat("x", 123)}} {
		synctest.Test(t, func(t *testing.T) {
			ended := make(chan error, 1)
			w := newWorld(t, &HubOptions{OnDisconnect: func(_ context.Context, _ *Conn, err error) { ended <- err }})
			c := w.client("a")
			c.want("ok 1")
			if err := c.ws.Close(tt.code, tt.reason); err != nil {
				t.Errorf("%d: Close: %v", tt.code, err)
			}
			var closed *CloseError
			if err := <-ended; !errors.As(err, &closed) || *closed != (CloseError{int(tt.code), tt.reason}) {
				t.Errorf("%d: OnDisconnect got %v", tt.code, err)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) { // without a Close frame
		ended := make(chan error, 1)
		w := newWorld(t, &HubOptions{OnDisconnect: func(_ context.Context, _ *Conn, err error) { ended <- err }})
		c := w.client("a")
		c.want("ok 1")
		c.link.Cut()
		if err := <-ended; err == nil || errors.Is(err, ErrClosed) {
			t.Errorf("cut: OnDisconnect got %v", err)
		}
		c = w.client("a")
		c.want("ok 1")
		c.ws.CloseNow()
		if err := <-ended; !errors.Is(err, errCut) {
			t.Errorf("gone: OnDisconnect got %v", err)
		}
	})
}

// P7: every code of err and end is provoked, on a connection that lives on.
func TestP7ErrorCodes(t *testing.T) {
	decide := func(topic string) error {
		switch topic {
		case "denied":
			return fmt.Errorf("%w: members only", ErrDenied)
		case "invalid":
			return fmt.Errorf("%w: no such thing", ErrInvalid)
		case "limit":
			return fmt.Errorf("%w: enough", ErrLimit)
		case "unavailable":
			return fmt.Errorf("%w: the store is away", ErrUncertain)
		case "closing":
			return fmt.Errorf("%w: moving", ErrClosed)
		case "internal":
			return errors.New("password of the database: 1234")
		case "panic":
			panic("password of the database: 1234")
		}
		return nil
	}
	hook := func(ctx context.Context, _ *Conn, topic string) error {
		if topic == "timeout" {
			<-ctx.Done()
			return fmt.Errorf("asking: %w", ctx.Err())
		}
		return decide(topic)
	}
	type answer struct {
		code, reason string
		again        bool
	}
	want := map[string]answer{
		"denied": {wire.CodeDenied, "members only", false}, "invalid": {wire.CodeInvalid, "no such thing", false},
		"limit": {wire.CodeLimit, "enough", false}, "unavailable": {wire.CodeUnavailable, "away", true},
		"closing": {wire.CodeClosing, "moving", true}, "internal": {wire.CodeInternal, "internal error", true},
		"panic":   {wire.CodeInternal, "internal error", true},
		"timeout": {wire.CodeTimeout, "did not decide within 10s", true},
		"$own":    {wire.CodeInvalid, "the hub's own", false}, "a..b": {wire.CodeInvalid, "a..b", false},
		"": {wire.CodeInvalid, "empty", false},
	}
	check := func(t *testing.T, what string, f wire.ServerFrame, want answer) {
		t.Helper()
		if f.Code != want.code || f.Again != want.again || !strings.Contains(f.Reason, want.reason) || strings.Contains(f.Reason, "1234") {
			t.Errorf("%s: %+v, want %+v", what, f, want)
		}
	}
	for where, opts := range map[string]HubOptions{
		"AuthorizePublish":   {AuthorizePublish: hook},
		"AuthorizeSubscribe": {AuthorizeSubscribe: hook},
		"AuthorizeHistory": {AuthorizeHistory: func(ctx context.Context, c *Conn, topic string, _ time.Time) error {
			return hook(ctx, c, topic)
		}},
		"OnPublish": {Topics: map[string]TopicOptions{">": {OnPublish: func(ctx context.Context, c *Conn, m *Message) error {
			return hook(ctx, c, m.Topic)
		}}}},
		"Handle": {Topics: map[string]TopicOptions{">": {Handle: func(ctx context.Context, c *Conn, m *Message) error {
			return hook(ctx, c, m.Topic)
		}}}},
	} {
		t.Run(where, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, &opts)
				c := w.client()
				n := 0
				for topic, want := range want {
					n++
					start := time.Now()
					switch where {
					case "AuthorizeHistory":
						c.send(fmt.Sprintf(`{"op":"sub","sub":%d,"topic":%q,"replay":1}`, n, topic))
						if topic == "denied" { // it begins now, and is told so
							c.want(fmt.Sprintf("%d: gap [%d] denied", n, n), fmt.Sprintf("ok %d", n))
							continue
						}
					case "AuthorizeSubscribe":
						c.send(fmt.Sprintf(`{"op":"sub","sub":%d,"topic":%q}`, n, topic))
					default:
						c.send(fmt.Sprintf(`{"op":"pub","ref":%d,"topic":%q,"data":1,"key":"%d"}`, n, topic, n))
					}
					check(t, topic, c.next(), want)
					if d := time.Since(start); topic == "timeout" && d != hookTimeout {
						t.Errorf("the timeout came after %s", d)
					}
				}
				c.send(`{"op":"pub","ref":99,"topic":"fine","data":1}`)
				c.want("ok ref 99")
			})
		})
	}
	t.Run("limits", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, &HubOptions{
				Limits: Limits{StateTopics: 1, Subscriptions: 2, LogBytes: 64 << 10},
				Topics: map[string]TopicOptions{"price.*": {Delivery: State}},
			})
			c := w.client("a")
			c.want("ok 1")
			w.publish("price.a", 1)
			for _, tt := range []struct {
				send string
				want answer
			}{
				{`{"op":"pub","ref":1,"topic":"price.b","data":1}`, answer{wire.CodeLimit, "1 State", false}},
				{`{"op":"pub","ref":2,"topic":"a","data":"` + strings.Repeat("x", 20<<10) + `"}`, answer{wire.CodeTooLarge, "a quarter", false}},
				{`{"op":"pub","ref":3,"topic":"a.*","data":1}`, answer{wire.CodeInvalid, "a.*", false}},
				{`{"op":"pub","ref":4,"topic":"a","data":` + strings.Repeat("[", 1001) + strings.Repeat("]", 1001) + `}`, answer{wire.CodeInvalid, "deeper than 1000", false}},
				{`{"op":"sub","sub":1,"topic":"b"}`, answer{wire.CodeInvalid, "ascend", false}},
				{`{"op":"sub","sub":9,"topic":"a.>.b"}`, answer{wire.CodeInvalid, "a.>.b", false}},
				{`{"op":"sing"}`, answer{wire.CodeUnknown, "unknown op", false}},
			} {
				c.send(tt.send)
				check(t, tt.send[:min(len(tt.send), 60)], c.next(), tt.want)
			}
			c.send(`{"op":"sub","sub":10,"topic":"b"}`)
			c.want("ok 10")
			c.send(`{"op":"sub","sub":11,"topic":"c"}`)
			check(t, "too many subscriptions", c.next(), answer{wire.CodeLimit, "at most 2", false})
			w.publish("b", 1)
			c.want("b 1")
			go w.hub.Shutdown(context.Background())
			synctest.Wait()
		})
	})
}
