package hotline

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// next reads n messages of an in-process subscription.
func (w *world) next(s *Subscription, n int) (got []Message) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for range n {
		m, err := s.Next(ctx)
		if err != nil {
			w.t.Fatalf("message %d of %d: %v", len(got)+1, n, err)
		}
		got = append(got, m)
	}
	return got
}

// idle fails the test if a subscription has anything more.
func (w *world) idle(s *Subscription) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if m, err := s.Next(ctx); err == nil {
		w.t.Fatalf("got %s %s, want nothing", m.Topic, m.Data)
	}
}

func (w *world) subscribe(topic string, opts *SubscribeOptions) *Subscription {
	w.t.Helper()
	s, err := w.hub.Subscribe(context.Background(), topic, opts)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { s.Close() })
	return s
}

// fill publishes so much to another topic that the log of 64 KiB holds nothing else.
func (w *world) fill(kib int) {
	w.t.Helper()
	for range kib {
		w.publish("filler", strings.Repeat("x", 1000))
	}
}

func data(list []Message) (s []string) {
	for _, m := range list {
		s = append(s, string(m.Data))
	}
	return s
}

func count(from, to int) (s []string) {
	for i := from; i < to; i++ {
		s = append(s, fmt.Sprint(i))
	}
	return s
}

// Replay n gives the newest n, whichever part of them is kept beyond the log: 20 were published, 12 are kept, and the
// log reaches back to none, some or all of those.
func TestReplayMergesKeptAndLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for fresh := range 21 {
			w := newWorld(t, &HubOptions{Limits: Limits{LogBytes: 64 << 10}, Topics: map[string]TopicOptions{"kept.*": {Keep: 12}}})
			for i := range 20 {
				if i == 20-fresh {
					w.fill(100)
				}
				w.publish("kept.k", i)
			}
			if fresh == 0 {
				w.fill(100)
			}
			have := max(12, fresh)
			for n := 1; n <= 22; n++ {
				for _, topic := range []string{"kept.k", "kept.*"} {
					want := count(20-min(n, have), 20)
					s := w.subscribe(topic, &SubscribeOptions{Replay: n})
					got := w.next(s, len(want))
					if !slices.Equal(data(got), want) {
						t.Fatalf("%s, %d in the log, Replay %d: got %v, want %v", topic, fresh, n, data(got), want)
					}
					for _, m := range got {
						if !m.Replayed || m.Missed != 0 {
							t.Fatalf("%s, Replay %d: %s has Replayed %t, Missed %d", topic, n, m.Data, m.Replayed, m.Missed)
						}
					}
					w.idle(s)
					s.Close()
				}
				c := w.client(fmt.Sprintf("kept.k replay=%d", n))
				for _, d := range count(20-min(n, have), 20) {
					c.want("1: kept.k " + d)
				}
				c.want("ok 1")
				c.close()
			}
		}
	})
}

// What a subscription loses while it catches up on its own is told to it alone: the gap is tagged, and the position of
// the connection stays where it is.
func TestGapOfOneSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Limits: Limits{LogBytes: 64 << 10}})
		w.publish("chat.b", 1)
		old := w.hub.Position()
		w.publish("chat.b", 2)
		w.fill(100)
		c := w.client("chat.a")
		c.want("ok 1")
		c.send(fmt.Sprintf(`{"op":"sub","sub":2,"topic":"chat.b","after":%q}`, old))
		if f := c.next(); brief(f) != "2: gap [2] away" {
			t.Fatalf("got %+v", f)
		}
		c.want("ok 2")
		w.publish("chat.a", 3)
		c.want("chat.a 3")
		// A position of another log.
		c.send(`{"op":"sub","sub":3,"topic":"chat.b","after":"5.zzz"}`)
		c.want("3: gap [3] restart", "ok 3")
	})
}

// What is lost in the middle of a replay, or was published after it was asked for and is lost before it was read, is a
// gap.
func TestGapAfterReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Limits: Limits{LogBytes: 1 << 20}})
		const n = 400
		for i := range n {
			w.publish("chat.a", fmt.Sprintf("%03d %s", i, strings.Repeat("x", 1000)))
		}
		c := w.client("chat.b")
		c.want("ok 1")
		c.link.Throttle(20_000)
		var frames []string
		done := make(chan struct{})
		go func() {
			defer close(done)
			for len(frames) == 0 || frames[len(frames)-1] != `chat.a "end"` {
				f := c.next()
				if b := brief(f); len(b) > 30 {
					f.Data = f.Data[1:4]
				}
				frames = append(frames, brief(f))
			}
		}()
		c.send(fmt.Sprintf(`{"op":"sub","sub":2,"topic":"chat.a","replay":%d}`, n))
		synctest.Wait()
		for i := range 10 {
			w.publish("chat.a", i)
		}
		time.Sleep(3 * time.Second) // some of it is read, and the connection's position moves beyond those
		w.fill(2000)
		time.Sleep(3 * time.Second)
		w.publish("chat.a", "end")
		c.link.Heal()
		<-done
		for i, f := range frames {
			if f == fmt.Sprintf("2: chat.a %03d", i) {
				continue
			}
			if rest := frames[i:]; i < 100 || !slices.Equal(rest, []string{"2: gap [2] away", "ok 2", `chat.a "end"`}) {
				t.Fatalf("after %d: %q", i, rest)
			}
			break
		}
	})
}
