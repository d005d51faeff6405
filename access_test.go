package hotline

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gohotline/hotline/internal/wire"
)

// Row 32 of the failure table: who was just invited reads nothing that was said before, however they ask for it. Not a
// byte of it leaves the hub.
func TestHistoryDoesNotLeak(t *testing.T) {
	const secret = "s3cret"
	w := newRealWorld(t, &HubOptions{
		Topics: map[string]TopicOptions{"room.*": {Keep: 10}},
		Authenticate: func(_ *http.Request, token string) (Identity, error) {
			return Identity{User: token}, nil
		},
		OnConnect: func(_ context.Context, c *Conn) {
			if c.Identity().User == "invited" {
				_ = c.Subscribe("room.a")
			}
		},
		AuthorizeHistory: func(_ context.Context, c *Conn, _ string, _ time.Time) error {
			if c.Identity().User == "member" {
				return nil
			}
			return ErrDenied
		},
	})
	early := w.hub.Position()
	for range 5 {
		w.publish("room.a", secret)
	}
	late := w.hub.Position()
	w.publish("room.a", secret)
	for name, hello := range map[string]string{
		"replay":             helloFrame("eve", "room.a replay=10"),
		"replay by pattern":  helloFrame("eve", "room.* replay=10"),
		"replay of all":      helloFrame("eve", "> replay=1000"),
		"after":              helloFrame("eve", "room.a "+early),
		"after, late":        helloFrame("eve", "room.a "+late),
		"after by pattern":   helloFrame("eve", "*.a "+early),
		"after and replay":   helloFrame("eve", "room.a "+early+" replay=10"),
		"unknown and replay": helloFrame("eve", "room.a 5.zz replay=10"),
		"one of two":         helloFrame("eve", "other "+early, "room.a "+early),
		"pushed":             fmt.Sprintf(`{"op":"hello","token":"invited","after":%q,"subs":[]}`, early),
		"pushed and own":     fmt.Sprintf(`{"op":"hello","token":"invited","after":%q,"subs":[{"sub":1,"topic":"room.a","after":%q}]}`, early, early),
	} {
		t.Run(name, func(t *testing.T) {
			c := w.raw(wire.Protocol)
			c.write(clientFrame(1, true, []byte(hello)))
			read := func() wire.ServerFrame {
				op, body, err := c.read()
				if err != nil || op != 1 {
					t.Fatal(op, err)
				}
				if strings.Contains(string(body), secret) {
					t.Fatalf("got %s", body)
				}
				f, err := wire.DecodeServer(body, false)
				if err != nil {
					t.Fatal(err)
				}
				return f
			}
			oks := strings.Count(hello, `"topic"`) + strings.Count(hello, "invited")
			for oks > 0 {
				if f := read(); f.Op == wire.OpOK {
					oks--
				}
			}
			w.publish("room.a", "hello")
			for f := read(); string(f.Data) != `"hello"`; f = read() {
			}
			c.nc.Close()
		})
	}
	// The control: a member reads all of it.
	c := w.realDial(wire.Protocol)
	c.send(helloFrame("member", "room.a "+early))
	c.want("welcome")
	c.want("ok 1")
	for range 6 {
		if f := c.next(); !strings.Contains(string(f.Data), secret) {
			t.Fatalf("a member got %s", brief(f))
		}
	}
}

// Whether a pushed subscription may read back can be undecided. The client comes back then, and nothing is lost.
func TestHistoryUndecided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := errors.New("the database is down")
		w := newWorld(t, &HubOptions{
			OnConnect:        func(_ context.Context, c *Conn) { _ = c.Subscribe("inbox") },
			AuthorizeHistory: func(context.Context, *Conn, string, time.Time) error { return answer },
		})
		at := w.hub.Position()
		w.publish("inbox", 1)
		hello := fmt.Sprintf(`{"op":"hello","after":%q}`, at)
		c := w.dial(nil, wire.Protocol)
		c.send(hello)
		if code, reason, frames := c.closed(); code != wire.CloseTryLater || reason != "internal error" || len(frames) != 2 {
			t.Errorf("closed with %d %q after %v", code, reason, frames)
		}
		answer = nil
		c = w.dial(nil, wire.Protocol)
		c.send(hello)
		c.want("welcome", "push -1 inbox", "ok -1", "inbox 1")
	})
}

// Row 9 of the failure table: an identity expires, its connection is closed at that moment and not before, and with a
// fresh token it goes on where it was. Who has lost permission meanwhile is refused, and reads nothing of what came.
func TestExpiredAndRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		member := map[string]bool{"ada": true, "bob": true}
		w := newWorld(t, &HubOptions{
			Authenticate: func(_ *http.Request, token string) (Identity, error) {
				user, number, _ := strings.Cut(token, "/")
				if number == "0" && time.Since(bubbleStart) > 30*time.Second {
					return Identity{}, fmt.Errorf("%w: the token has expired", ErrDenied)
				}
				return Identity{User: user, Expires: time.Now().Add(30 * time.Second)}, nil
			},
			AuthorizeSubscribe: func(_ context.Context, c *Conn, topic string) error {
				mu.Lock()
				defer mu.Unlock()
				if topic != "free" && !member[c.Identity().User] {
					return ErrDenied
				}
				return nil
			},
		})
		connect := func(token string, subs ...string) *testClient {
			c := w.dial(nil, wire.Protocol)
			c.send(helloFrame(token, subs...))
			c.want("welcome")
			return c
		}
		start := time.Now()
		ada, bob := connect("ada/0", "room"), connect("bob/0", "room", "free")
		ada.want("ok 1")
		bob.want("ok 1", "ok 2")
		w.publish("room", 0)
		at := ada.next().ID
		bob.want("room 0")
		for _, c := range []*testClient{ada, bob} {
			code, reason, frames := c.closed()
			if d := time.Since(start); code != wire.CloseExpired || d != 30*time.Second || len(frames) != 1 {
				t.Errorf("closed with %d %q after %s", code, reason, d)
			}
		}
		for i := 1; i < 10; i++ {
			w.publish("room", i)
		}
		mu.Lock()
		member["bob"] = false
		mu.Unlock()
		time.Sleep(time.Second)
		old := w.dial(nil, wire.Protocol)
		old.send(helloFrame("ada/0", "room "+at))
		if code, _, frames := old.closed(); code != wire.CloseUnauthorized || len(frames) != 1 {
			t.Errorf("the old token: closed with %d after %v", code, frames)
		}
		ada, bob = connect("ada/1", "room "+at), connect("bob/1", "room "+at, "free "+at)
		ada.want("ok 1", "room 1", "room 2", "room 3", "room 4", "room 5", "room 6", "room 7", "room 8", "room 9")
		bob.want("end 1 denied", "ok 2")
		w.publish("room", "after")
		w.publish("free", "after")
		ada.want(`room "after"`)
		bob.want(`free "after"`)
		// A role changes while the connection lives: Kick makes it ask again.
		if err := w.hub.Kick(context.Background(), "ada", CloseReconnect, "your role has changed"); err != nil {
			t.Error(err)
		}
		if code, reason, _ := ada.closed(); code != CloseReconnect || reason != "your role has changed" {
			t.Errorf("kicked with %d %q", code, reason)
		}
		w.publish("free", "still")
		bob.want(`free "still"`)
		if err := w.hub.Kick(context.Background(), "", CloseFinal, ""); !errors.Is(err, ErrInvalid) {
			t.Errorf("Kick of nobody: %v", err)
		}
	})
}

// bubbleStart is when the time of every bubble begins.
var bubbleStart = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// An identity that has expired already when Authenticate returns it is closed at once, reconnectably.
func TestExpiredAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Authenticate: func(*http.Request, string) (Identity, error) {
			return Identity{Expires: time.Now().Add(-time.Hour)}, nil
		}})
		c := w.dial(nil, wire.Protocol)
		start := time.Now()
		c.send(helloFrame("", "a"))
		if code, _, _ := c.closed(); code != wire.CloseExpired || time.Since(start) > time.Second {
			t.Errorf("closed with %d after %s", code, time.Since(start))
		}
	})
}

// A13: what OnConnect subscribes is announced, continues from the position of the connection, and is there before
// anything that is published later. What the server subscribes afterwards begins then. Both may be read by the client on
// its own from then on.
func TestPushed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{
			AuthorizeSubscribe: func(_ context.Context, _ *Conn, topic string) error {
				if topic == "own" {
					return nil
				}
				return ErrDenied
			},
			OnConnect: func(_ context.Context, c *Conn) {
				for _, topic := range []string{"inbox.ada", "team.*", "inbox.ada"} {
					if err := c.Subscribe(topic); err != nil {
						t.Error(err)
					}
				}
				if err := c.Subscribe("no..topic"); !errors.Is(err, ErrInvalid) {
					t.Errorf("a malformed one: %v", err)
				}
			},
		})
		c := w.client("own")
		frames := map[string]string{}
		for range 5 {
			f := c.next()
			frames[brief(f)] = f.At
		}
		for _, want := range []string{"push -1 inbox.ada", "push -2 team.*", "ok -1", "ok -2", "ok 1"} {
			if _, ok := frames[want]; !ok {
				t.Errorf("no %q in %v", want, frames)
			}
		}
		w.publish("inbox.ada", 1)
		at := c.next().ID
		c.ws.CloseNow()
		w.publish("inbox.ada", 2)
		w.publish("team.x", 3)
		w.publish("own", 4)

		c = w.dial(nil, wire.Protocol)
		c.send(fmt.Sprintf(`{"op":"hello","after":%q,"subs":[{"sub":1,"topic":"own","after":%q}]}`, at, at))
		c.want("welcome")
		got := map[string]int{}
		for i := range 8 {
			got[brief(c.next())] = i
		}
		for _, want := range []string{"push -1 inbox.ada", "push -2 team.*", "ok -1", "ok -2", "ok 1", "inbox.ada 2", "team.x 3", "own 4"} {
			if _, ok := got[want]; !ok {
				t.Errorf("no %q in %v", want, got)
			}
		}
		if got["inbox.ada 2"] > got["team.x 3"] || got["team.x 3"] > got["own 4"] {
			t.Errorf("in the order %v", got)
		}
		synctest.Wait() // the first connection has ended
		for conn := range w.hub.Conns() {
			if err := conn.Subscribe("later"); err != nil {
				t.Error(err)
			}
		}
		c.want("push -3 later", "ok -3")
		w.publish("later", 5)
		c.want("later 5")
		// Granted, but not more than that.
		c.send(`{"op":"sub","sub":2,"topic":"later","replay":1}`)
		c.want("2: later 5", "ok 2")
		c.send(`{"op":"sub","sub":3,"topic":"late*"}`)
		c.want("end 3 invalid")
		c.send(`{"op":"sub","sub":4,"topic":"*"}`)
		c.want("end 4 denied")
		c.send(`{"op":"unsub","sub":-1}`)
		if f, err := c.read(); err == nil && f.Op != wire.OpBye {
			t.Errorf("unsub of what the server subscribed: %+v", f)
		}
	})
}

// TestLogOfSignals: what a client calls a topic does not fill the log.
func TestLogOfSignals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log journal
		w := newWorld(t, &HubOptions{Logger: log.logger()})
		c := w.client("a")
		c.want("ok 1")
		c.send(fmt.Sprintf(`{"op":"pub","topic":%q,"data":1}`, strings.Repeat("x", 60_000)))
		synctest.Wait()
		if text := log.String(); !strings.Contains(text, "signal refused") || len(text) > 5000 {
			t.Errorf("the log has %d bytes: %.500s", len(text), text)
		}
	})
}
