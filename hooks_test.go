package hotline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gohotline/hotline/internal/wire"
)

// What OnPublish makes of a message is checked like everything that is published, also if it changes the bytes where
// they stand.
func TestOnPublishChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		change := func(*Message) {}
		w := newWorld(t, &HubOptions{Topics: map[string]TopicOptions{"chat.*": {
			OnPublish: func(_ context.Context, _ *Conn, m *Message) error { change(m); return nil },
		}}})
		c := w.client("chat.*")
		c.want("ok 1")
		for _, tt := range []struct {
			name   string
			change func(m *Message)
			want   string // of the message; empty: it is refused
		}{
			{"nothing", func(*Message) {}, `"abc"`},
			{"another value", func(m *Message) { m.Data = []byte(`{"x":1}`) }, `{"x":1}`},
			{"in place", func(m *Message) { copy(m.Data, `"ABC"`) }, `"ABC"`},
			{"shorter, in place", func(m *Message) { m.Data = append(m.Data[:2], '"') }, `"a"`},
			{"nil", func(m *Message) { m.Data = nil }, "null"},
			{"bytes", func(m *Message) { m.Data, m.Binary = []byte("\xff"), true }, "\xff"},
			{"no UTF-8, in place", func(m *Message) { m.Data[1] = 0xff }, ""},
			{"no JSON, in place", func(m *Message) { m.Data[0] = 'x' }, ""},
			{"no JSON", func(m *Message) { m.Data = []byte("x") }, ""},
			{"empty", func(m *Message) { m.Data = []byte{} }, ""},
			{"a newline, in place", func(m *Message) { m.Data[1] = '\n' }, ""},
			{"too large", func(m *Message) { m.Data = bytes.Repeat([]byte("1"), maxMessage+1) }, ""},
			{"another topic", func(m *Message) { m.Topic = "elsewhere" }, `"abc"`}, // D2: it stays where it is
		} {
			change = tt.change
			c.send(`{"op":"pub","ref":1,"topic":"chat.a","data":"abc"}`)
			ack := c.next()
			if tt.want == "" {
				if ack.Op != wire.OpErr || ack.Again {
					t.Errorf("%s: answered %+v", tt.name, ack)
				}
				continue
			}
			msg := c.next()
			if msg.HasRef {
				ack, msg = msg, ack
			}
			if ack.Op != wire.OpOK || msg.Topic != "chat.a" || string(msg.Data) != tt.want {
				t.Errorf("%s: answered %+v, delivered %s", tt.name, ack, brief(msg))
			}
		}
		// The sender's name too is what OnPublish says.
		change = func(m *Message) { m.From = "moderator" }
		c.send(`{"op":"pub","topic":"chat.a","data":1}`)
		if f := c.next(); f.From != "moderator" {
			t.Errorf("got %+v", f)
		}
	})
}

// What Handle does to its message is nobody's business: it is delivered to nobody, and a retried one is handled once.
func TestHandle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handled := 0
		w := newWorld(t, &HubOptions{Topics: map[string]TopicOptions{"do.*": {
			Handle: func(_ context.Context, _ *Conn, m *Message) error {
				handled++
				m.Data[0] = 'x'
				return nil
			},
		}}})
		c := w.client("do.*")
		c.want("ok 1")
		for range 2 {
			c.send(`{"op":"pub","ref":1,"topic":"do.it","data":{"now":true},"key":"k"}`)
			if f := c.next(); brief(f) != "ok ref 1" || f.ID != "" {
				t.Errorf("answered %+v", f)
			}
		}
		if handled != 1 || w.hub.Stats().Published != 0 {
			t.Errorf("handled %d times, %d published", handled, w.hub.Stats().Published)
		}
		if err := w.hub.Publish(context.Background(), "do.it", 1); !errors.Is(err, ErrInvalid) {
			t.Errorf("Publish: %v", err)
		}
	})
}

// Row 21 of the failure table: a panic in a hook is the end of a request, or of one connection, and of nothing else.
func TestHookPanics(t *testing.T) {
	var j journal
	bad := func(c *Conn, topic string) bool { return c.Identity().User == "bad" || strings.HasPrefix(topic, "bad") }
	w := newRealWorld(t, &HubOptions{
		Logger: j.logger(),
		Authenticate: func(_ *http.Request, token string) (Identity, error) {
			if token == "panic" {
				panic("Authenticate")
			}
			return Identity{User: token}, nil
		},
		AuthorizeSubscribe: func(_ context.Context, c *Conn, topic string) error {
			if bad(c, topic) {
				panic("AuthorizeSubscribe")
			}
			return nil
		},
		AuthorizePublish: func(_ context.Context, c *Conn, topic string) error {
			if bad(c, topic) {
				panic("AuthorizePublish")
			}
			return nil
		},
		AuthorizeHistory: func(context.Context, *Conn, string, time.Time) error { panic("AuthorizeHistory") },
		OnConnect: func(_ context.Context, c *Conn) {
			if c.Identity().User == "connect" {
				panic("OnConnect")
			}
		},
		OnDisconnect: func(context.Context, *Conn, error) { panic("OnDisconnect") },
		OnMessage:    func(context.Context, *Conn, []byte) { panic("OnMessage") },
		Topics: map[string]TopicOptions{
			"checked": {OnPublish: func(context.Context, *Conn, *Message) error { panic("OnPublish") }},
			"handled": {Handle: func(context.Context, *Conn, *Message) error { panic(errors.New("Handle")) }},
			"nil": {Handle: func(context.Context, *Conn, *Message) error {
				var c *Conn
				return c.Publish(context.Background(), "x", 1)
			}},
		},
	})
	watch := w.client("news")
	watch.want("ok 1")
	for token, code := range map[string]int{"panic": wire.CloseInternalError, "connect": wire.CloseInternalError} {
		c := w.realDial(wire.Protocol)
		c.send(helloFrame(token))
		if got, reason, _ := c.closed(); got != code || reason != "internal error" {
			t.Errorf("%s: closed with %d %q", token, got, reason)
		}
	}
	plain := w.realDial()
	plain.send("hi")
	if got, reason, _ := plain.closed(); got != wire.CloseInternalError || reason != "internal error" {
		t.Errorf("OnMessage: closed with %d %q", got, reason)
	}
	c := w.client()
	for send, want := range map[string]string{
		`{"op":"sub","sub":1,"topic":"bad"}`:              "end 1 internal",
		`{"op":"sub","sub":2,"topic":"a","replay":1}`:     "end 2 internal",
		`{"op":"pub","ref":3,"topic":"bad","data":1}`:     "err ref 3 internal",
		`{"op":"pub","ref":4,"topic":"checked","data":1}`: "err ref 4 internal",
		`{"op":"pub","ref":5,"topic":"handled","data":1}`: "err ref 5 internal",
		`{"op":"pub","ref":6,"topic":"nil","data":1}`:     "err ref 6 internal",
	} {
		if strings.HasPrefix(want, "end 1") {
			continue // below: numbers have to ascend
		}
		if strings.HasPrefix(want, "end") {
			c.send(`{"op":"sub","sub":1,"topic":"bad"}`)
			c.want("end 1 internal")
		}
		c.send(send)
		c.want(want)
	}
	c.send(`{"op":"pub","ref":9,"topic":"news","data":1}`)
	c.want("ok ref 9")
	watch.want("news 1")
	c.close()
	w.hub.Close()
	for _, hook := range []string{
		"Authenticate", "AuthorizeSubscribe", "AuthorizePublish", "AuthorizeHistory", "OnConnect", "OnDisconnect", "OnMessage", "OnPublish", "Handle",
	} {
		if !strings.Contains(j.String(), "hook="+hook) {
			t.Errorf("the log does not name %s", hook)
		}
	}
}

// F3: the hooks of one connection run one at a time and in order; those of others run meanwhile. A hook that takes its
// time stops the pong clock, and one that does not mind its ctx decides late, not wrongly.
func TestHooksTakeTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running atomic.Int32
		var mu sync.Mutex
		var order []string
		w := newWorld(t, &HubOptions{
			Limits: Limits{PublishRate: -1},
			AuthorizePublish: func(ctx context.Context, c *Conn, topic string) error {
				if topic == "quick" {
					return nil
				}
				if n := running.Add(1); n > 1 {
					t.Errorf("%d hooks of a connection at a time", n)
				}
				defer running.Add(-1)
				time.Sleep(time.Minute) // whatever ctx says
				if ctx.Err() == nil || context.Cause(ctx) != errHookTimeout {
					t.Errorf("ctx after a minute: %v", context.Cause(ctx))
				}
				mu.Lock()
				defer mu.Unlock()
				order = append(order, topic)
				return nil
			},
		})
		c, other := w.client(), w.client("quick")
		other.want("ok 1")
		for i := range 3 {
			c.send(fmt.Sprintf(`{"op":"pub","ref":%d,"topic":"t%d","data":1}`, i, i))
		}
		start := time.Now()
		other.send(`{"op":"pub","ref":1,"topic":"quick","data":1}`)
		got := brief(other.next()) + ", " + brief(other.next())
		if d := time.Since(start); d != 0 || !strings.Contains(got, "ok ref 1") {
			t.Errorf("another connection: %s after %s", got, d)
		}
		go func() {
			for {
				if _, err := other.read(); err != nil {
					return
				}
			}
		}()
		for i := range 3 {
			c.want(fmt.Sprintf("ok ref %d", i))
		}
		if d := time.Since(start); d != 3*time.Minute {
			t.Errorf("three hooks took %s", d)
		}
		if fmt.Sprint(order) != "[t0 t1 t2]" {
			t.Errorf("in the order %v", order)
		}
		// It is read again, and the clock runs again.
		c.auto = false
		code, _, _ := c.closed()
		if d := time.Since(start) - 3*time.Minute; code != wire.CloseNoPong || d < 25*time.Second || d > 60*time.Second {
			t.Errorf("closed with %d after %s", code, d)
		}
	})
}

// A hook whose connection ends is told so by its ctx, and what it decides then is stored no more (D3): the client sends
// it again on its next connection.
func TestHookOfEndedConnection(t *testing.T) {
	for name, heeds := range map[string]bool{"heeds its ctx": true, "does not": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				entered, resume := make(chan struct{}), make(chan struct{})
				w := newWorld(t, &HubOptions{Topics: map[string]TopicOptions{"chat.*": {
					OnPublish: func(ctx context.Context, _ *Conn, m *Message) error {
						if string(m.Data) != "1" {
							return nil
						}
						close(entered)
						if heeds {
							<-ctx.Done()
							if !errors.Is(context.Cause(ctx), ErrClosed) {
								t.Errorf("the cause is %v", context.Cause(ctx))
							}
						} else {
							<-resume
						}
						return nil
					},
				}}})
				watch := w.subscribe("chat.a", nil)
				c := w.client()
				for i := 1; i <= 3; i++ {
					c.send(fmt.Sprintf(`{"op":"pub","topic":"chat.a","data":%d}`, i))
				}
				<-entered
				synctest.Wait()
				for conn := range w.hub.Conns() {
					conn.Close(CloseReconnect, "")
				}
				synctest.Wait()
				close(resume)
				w.idle(watch)
				w.client().send(`{"op":"pub","topic":"chat.a","data":4}`)
				if m := w.next(watch, 1)[0]; string(m.Data) != "4" {
					t.Errorf("stored %s", m.Data)
				}
			})
		})
	}
}
