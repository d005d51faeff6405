package hotline

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gohotline/hotline/internal/wire"
)

// A2 and A12: a client that was sent nothing, not even a message yet, or nothing for hours on a loud hub, resumes like
// any other. The log has forgotten everything since, and still there is no false gap.
func TestNoFalseGap(t *testing.T) {
	for _, quiet := range []time.Duration{0, time.Second, time.Hour} {
		for _, before := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, a message before %t", quiet, before), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, &HubOptions{Limits: Limits{LogBytes: 64 << 10}})
					if before {
						w.publish("rare", "old")
					}
					c := w.client("rare")
					c.auto = false
					at := c.next().At
					loud := func(n int) {
						for range n {
							w.publish("loud", strings.Repeat("x", 1000))
						}
					}
					loud(200)
					for end := time.Now().Add(quiet); time.Now().Before(end.Add(-26 * time.Second)); {
						f := c.next()
						switch f.Op {
						case wire.OpAt:
							at = f.At
						case wire.OpPing:
							c.send(`{"op":"pong"}`)
							loud(100)
						default:
							t.Fatal(brief(f))
						}
					}
					c.ws.CloseNow()
					loud(200)
					time.Sleep(10 * time.Minute) // all of it is too old by now
					c = w.client("rare "+at, "rar.* "+at, "> "+at)
					c.want("ok 1", "ok 2", "ok 3")
					w.publish("rare", "new")
					for {
						f := c.next()
						if f.Topic == "rare" {
							break
						}
						// > has lost what was loud; nobody else has lost anything.
						if f.Op == wire.OpGap && fmt.Sprint(f.Subs) != "[3]" {
							t.Fatalf("a false gap: %+v", f)
						}
					}
				})
			})
		}
	}
}

// A2: an idle connection is told its position before a ping, if it is another one, and that is one to resume from.
func TestPositionBeforePing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		c := w.client("a")
		c.auto = false
		at := c.next().At
		for i := range 10 {
			want := []string{"ping"}
			if i%3 == 0 {
				w.publish("b", i)
				want = []string{"at", "ping"}
			}
			for _, op := range want {
				f := c.next()
				if f.Op != op {
					t.Fatalf("ping %d: got %s, want %s", i, brief(f), op)
				}
				if op == "at" {
					if f.At == at || f.At != w.hub.Position() {
						t.Errorf("at %s after %s, the head is %s", f.At, at, w.hub.Position())
					}
					at = f.At
				}
			}
			c.send(`{"op":"pong"}`)
		}
	})
}

// Row 12 of the failure table: a position of another life of the log is never taken for one of this. Whether the new
// log is shorter, longer or restored, there is a gap, and what is new follows.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := newWorld(t, nil)
		zero := old.hub.Position()
		c := old.client("a")
		joined := c.next().At
		for i := range 10 {
			old.publish("a", i)
		}
		tenth := old.hub.Position()
		for n := range 20 {
			w := newWorld(t, nil)
			for i := range n {
				w.publish("a", fmt.Sprint("other ", i))
			}
			for _, at := range []string{zero, joined, tenth} {
				c := w.client("a "+at, "b")
				seen := map[string]bool{}
				for range 3 {
					seen[brief(c.next())] = true
				}
				if !seen["1: gap [1] restart"] || !seen["ok 1"] || !seen["ok 2"] {
					t.Errorf("%d messages, %s: got %v", n, at, seen)
				}
				w.publish("a", "new")
				c.want(`a "new"`)
				c.ws.CloseNow()
			}
		}
		for _, at := range []string{"x", "0.0", "1", "zzzzzzzzzzzzzz.1", "-1.5", tenth + "x", strings.Repeat("1", 100)} {
			c := old.client("a " + at)
			c.want("1: gap [1] restart", "ok 1")
		}
		s := old.subscribe("a", &SubscribeOptions{After: "5.zz"})
		old.publish("a", "new")
		if m := old.next(s, 1)[0]; m.Missed != 1 || string(m.Data) != `"new"` {
			t.Errorf("in process: %+v", m)
		}
	})
}

// A11: with a position and a replay the replay counts only if the position can't be honoured, after the gap. After a
// lapped position reading goes on with the oldest message left, after an unknown one with what is new.
func TestAfterAndReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Limits: Limits{LogBytes: 64 << 10}, Topics: map[string]TopicOptions{"kept": {Keep: 3}}})
		zero := w.hub.Position()
		for i := range 5 {
			w.publish("kept", i)
			w.publish("a", i)
		}
		fifth := w.hub.Position()
		w.publish("kept", 5)
		w.publish("a", 5)
		for _, tt := range []struct {
			sub  string
			want []string
		}{
			{"a " + fifth + " replay=3", []string{"ok 1", "a 5"}},
			{"a 7.x replay=3", []string{"1: gap [1] restart", "1: a 3", "1: a 4", "1: a 5", "ok 1"}},
			{"a 7.x", []string{"1: gap [1] restart", "ok 1"}},
			{"a replay=2", []string{"1: a 4", "1: a 5", "ok 1"}},
			{"a replay=0", []string{"ok 1"}},
			{"a replay=100", []string{"1: a 0", "1: a 1", "1: a 2", "1: a 3", "1: a 4", "1: a 5", "ok 1"}},
		} {
			c := w.client(tt.sub)
			c.want(tt.want...)
			c.ws.CloseNow()
		}
		w.fill(100)
		w.publish("kept", 6)
		c := w.client("kept " + zero)
		c.want("ok 1", "gap [1] away", "kept 4", "kept 5", "kept 6")
		c = w.client("kept "+fifth+" replay=9", "a")
		c.want("ok 1", "kept 5", "kept 6", "ok 2")
	})
}

// A5: one gap names all subscriptions that have lost something there, comes at once though nothing follows, and its
// position is where the client stands then.
func TestGapOfAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Limits: Limits{LogBytes: 64 << 10}})
		c := w.client("a", "*", "b", ">")
		c.want("ok 1", "ok 2", "ok 3", "ok 4")
		w.publish("a", 0)
		at := c.next().ID
		c.ws.CloseNow()
		w.publish("a", 1)
		w.fill(100)
		for range 2 {
			c = w.client("a "+at, "* "+at, "b "+at, "> "+at)
			c.want("ok 1", "ok 2", "ok 3", "ok 4")
			f := c.next()
			if brief(f) != "gap [1 2 4] away" && brief(f) != "gap [1] away" {
				t.Fatalf("got %+v", f)
			}
			subs := fmt.Sprint(f.Subs)
			for f.Op == wire.OpGap {
				f = c.next()
			}
			if f.Topic != "filler" || subs == "" {
				t.Fatalf("then %s", brief(f))
			}
			c.ws.CloseNow()
		}
		// Of a topic of which nothing follows.
		c = w.client("a " + at)
		c.want("ok 1")
		f := c.next()
		if brief(f) != "gap [1] away" || f.Missed > 1 {
			t.Fatalf("got %+v", f)
		}
		c.ws.CloseNow()
		c = w.client("a " + f.At) // it has been told
		c.want("ok 1")
		w.publish("a", 2)
		c.want("a 2")
	})
}
