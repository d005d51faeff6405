package hotline

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gohotline/hotline/internal/wire"
)

// turnover is a hub with a broker and a log of five messages that are larger than what the network takes of them.
type turnover struct {
	*cluster
	big            string
	start, newestA string // positions before everything, and of chat.a
}

func newTurnover(t *testing.T, o *HubOptions) *turnover {
	o.Limits = Limits{PingInterval: calm.PingInterval, LogBytes: 1 << 20}
	c := &turnover{cluster: newCluster(t, 1, TestStoreOptions{}, o), big: strings.Repeat("x", 200<<10)}
	for _, topic := range []string{"chat.a", "chat.b", "chat.c", "filler"} {
		sub, err := c.hub.Subscribe(t.Context(), topic, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { sub.Close() })
	}
	position := func() string {
		synctest.Wait()
		return c.hub.Position()
	}
	c.publish("filler", 0)
	c.start = position()
	c.publish("chat.b", c.big)
	c.publish("chat.a", 0)
	c.newestA = position()
	c.publish("chat.c", 0)
	synctest.Wait()
	return c
}

// gaps says hello, publishes to some topics and turns the log over while the connection is busy with its first message. It returns the
// gaps and oks that it is sent.
func (c *turnover) gaps(hello string, lost ...string) (gaps []wire.ServerFrame) {
	cl := c.dial(nil, wire.Protocol)
	cl.link.Stall()
	cl.send(hello)
	time.Sleep(2 * time.Second) // OnConnect may take one
	for _, topic := range lost {
		c.publish(topic, "lost")
	}
	for range 8 {
		c.publish("filler", c.big)
	}
	synctest.Wait()
	cl.link.Heal()
	synctest.Wait()
	topics := []string{"chat.a", "chat.b", "chat.c"}
	for _, topic := range topics {
		c.publish(topic, "end")
	}
	for ends := 0; ends < len(topics); {
		f := cl.next()
		switch {
		case f.Op == "gap", f.Op == "ok":
			gaps = append(gaps, f)
		case string(f.Data) == `"end"`:
			ends++
		}
	}
	return gaps
}

// briefGaps are the gaps alone.
func briefGaps(frames []wire.ServerFrame) (gaps []string) {
	for _, f := range frames {
		if f.Op == "gap" {
			gaps = append(gaps, brief(f))
		}
	}
	return gaps
}

// With a broker, where something joins a connection ahead of it and the log has turned over meanwhile, nobody is told of a loss twice.
func TestJoinAheadIsOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTurnover(t, &HubOptions{})
		got := briefGaps(c.gaps(fmt.Sprintf(`{"op":"hello","subs":[{"sub":1,"topic":"chat.a","after":%q},{"sub":2,"topic":"chat.b","after":%q},`+
			`{"sub":3,"topic":"chat.c"}]}`, c.newestA, c.start), "chat.a"))
		if want := []string{"gap [1] away"}; !slices.Equal(got, want) {
			t.Errorf("the gaps %q, want %q", got, want)
		}
	})
}

// What reads up to the connection on its own goes past it with a hole, too, and is met there.
func TestOwnReadingGoesPast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTurnover(t, &HubOptions{})
		got := briefGaps(c.gaps(fmt.Sprintf(`{"op":"hello","subs":[{"sub":1,"topic":"chat.a","after":%q},{"sub":2,"topic":"chat.b","after":%q},`+
			`{"sub":3,"topic":"chat.b","after":%q},{"sub":4,"topic":"chat.c"}]}`, c.newestA, c.start, c.start), "chat.b"))
		if want := []string{"3: gap [3] away", "gap [2] away"}; !slices.Equal(got, want) {
			t.Errorf("the gaps %q, want %q", got, want)
		}
	})
}

// A replay that is to begin ahead of the connection begins where that is, if it has gone past with a hole: the gap before the replay is
// told there too, or what lies between would be neither replayed nor told of.
func TestReplayIsOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTurnover(t, &HubOptions{})
		frames := c.gaps(fmt.Sprintf(`{"op":"hello","subs":[{"sub":1,"topic":"chat.a","after":%q},{"sub":2,"topic":"chat.b","after":%q},`+
			`{"sub":3,"topic":"chat.c","after":"none.1","replay":1}]}`, c.newestA, c.start), "chat.c", "chat.c", "chat.c", "chat.a")
		told := ""
		for _, f := range frames {
			if slices.Contains(f.Subs, 3) {
				told = f.At
			}
			if f.Op == "ok" && f.Sub == 3 && f.At != told {
				t.Errorf("it goes on at %s, and was told that something was lost up to %s", f.At, told)
			}
		}
	})
}

// What the server subscribed has no position but the connection's. Before that goes past it with a hole, it is told of what it has lost.
func TestPushedIsOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c *turnover
		c = newTurnover(t, &HubOptions{
			OnConnect: func(_ context.Context, conn *Conn) {
				_ = conn.Subscribe("chat.a")
				_ = conn.Subscribe("chat.b")
				_ = conn.Subscribe("chat.c")
				_ = conn.Send("big", c.big)
				time.Sleep(time.Second) // it is being written
			},
			AuthorizeHistory: func(_ context.Context, _ *Conn, topic string, _ time.Time) error {
				if topic == "chat.a" {
					return nil
				}
				return ErrDenied // so it begins ahead
			},
		})
		got := briefGaps(c.gaps(fmt.Sprintf(`{"op":"hello","after":%q}`, c.newestA), "chat.b", "chat.a"))
		want := []string{"-2: gap [-2] denied", "-3: gap [-3] denied", "-2: gap [-2] away", "gap [-1] away"}
		if !slices.Equal(got, want) {
			t.Errorf("the gaps %q, want %q", got, want)
		}
	})
}

// The store, too, may lead the stream past what the server subscribed and begins ahead, if the log turns over while it is read.
func TestPushedIsOvertakenByTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, pos := newSecretive(t, Limits{PingInterval: calm.PingInterval, LogBytes: 1 << 20}, "open", "secret")
		big := strings.Repeat("x", 100<<10)
		for range 8 {
			c.worlds[0].publish("open", big) // the other hub follows from here on
		}
		c.only.Store(1)
		b := c.dial(nil, wire.Protocol)
		b.link.Stall()
		b.send(fmt.Sprintf(`{"op":"hello","after":%q}`, pos))
		time.Sleep(2 * time.Second)
		c.worlds[0].publish("secret", "lost")
		synctest.Wait()
		lost := seqOf(c.worlds[0].hub.Position())
		for range 30 {
			c.worlds[0].publish("open", big)
		}
		time.Sleep(time.Second)
		c.worlds[0].publish("open", "end")
		b.link.Heal()
		told := "" // what secret was told last
		for f := b.next(); string(f.Data) != `"end"`; f = b.next() {
			if brief(f) == "-2: gap [-2] away" {
				told = f.At
			}
			if f.Op == "" && seqOf(f.ID) > lost && told == "" {
				t.Errorf("open is at %s, and secret does not know that it has lost something: the client may come back with that", f.ID)
				break
			}
		}
		if told == "" || seqOf(told) < lost {
			t.Errorf("secret is told of a loss at %q", told)
		}
	})
}

// forgetful is a broker whose store forgets all positions.
type forgetful struct {
	TestNode
	forgot atomic.Bool
}

func (f *forgetful) Replay(ctx context.Context, q BrokerQuery) (BrokerPage, error) {
	if f.forgot.Load() {
		return BrokerPage{}, ErrPosition
	}
	return f.TestNode.Replay(ctx, q)
}

// So may the end of a reading of the store that can't go on.
func TestPushedIsOvertakenByAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(forgetful)
		c, pos := newSecretive(t, calm, "open", "secret")
		c.wrap = func(n TestNode) TestNode { f.TestNode = n; return f }
		o := c.worlds[0].hub.opts
		c.join(&HubOptions{Limits: calm, OnConnect: o.OnConnect, AuthorizeHistory: o.AuthorizeHistory})
		synctest.Wait()
		for range 8 {
			c.worlds[0].publish("open", strings.Repeat("x", 100<<10)) // the other hub follows from here on
		}
		c.only.Store(2)
		b := c.dial(nil, wire.Protocol)
		b.link.Stall()
		b.send(fmt.Sprintf(`{"op":"hello","after":%q}`, pos))
		time.Sleep(time.Second)
		c.worlds[0].publish("secret", "lost")
		synctest.Wait()
		f.forgot.Store(true)
		b.link.Heal()
		told := false
		for m := b.next(); ; m = b.next() {
			switch brief(m) {
			case "-2: gap [-2] away":
				told = true
			case "gap [-1] away":
				if lost := seqOf(c.worlds[0].hub.Position()); !told || seqOf(m.At) < lost {
					t.Errorf("open goes on at %s, behind %d, which secret has lost and knows of: %t", m.At, lost, told)
				}
				return
			}
		}
	})
}
