package hotline

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gohotline/hotline/internal/wire"
)

// What the server subscribes goes on at another hub from where the connection was: its stream begins in the store, and
// its position says at every moment how far it has come.
func TestPushedMoves(t *testing.T) {
	bothFeeds(t, func(t *testing.T, o TestStoreOptions) {
		c := newCluster(t, 2, o, &HubOptions{
			Limits: Limits{PingInterval: calm.PingInterval, WindowBytes: 1 << 10},
			Topics: map[string]TopicOptions{"here.state": {Delivery: State}},
			OnConnect: func(_ context.Context, c *Conn) {
				c.Subscribe("user.*")
				c.Subscribe("here.>")
			},
		})
		connect := func(i int, after string) *testClient {
			c.only.Store(int32(i))
			defer c.only.Store(-1)
			cl := c.dial(nil, wire.Protocol)
			cl.send(fmt.Sprintf(`{"op":"hello","after":%q,"subs":[{"sub":1,"topic":"news"}]}`, after))
			cl.want("welcome")
			return cl
		}
		a := connect(0, "")
		for range 5 {
			a.next() // two push, three ok
		}
		c.worlds[0].publish("here.state", "s")
		a.want(`here.state "s"`)
		c.worlds[0].publish("user.a", 0)
		pos := a.next().ID
		a.close()
		for i := range 100 {
			c.worlds[i%2].publish([]string{"user.a", "here.x", "nobody"}[i%3], i)
		}
		var got []string
		joined := map[int64]bool{}
		for round := 0; len(got) < 67; round++ { // moves again and again, midway
			cl := connect(1-round%2, pos)
			clear(joined)
			for n := 0; n < 20 && len(got) < 67; {
				f := cl.next()
				switch {
				case f.Op == "ok":
					if joined[f.Sub] = true; f.Sub == 1 && len(got) < 67 && !(joined[-1] && joined[-2]) {
						t.Fatalf("news has joined before the others")
					}
					pos = f.At
				case f.Op == "push", f.Rev != "":
				case f.Op != "" || f.Sub != 0:
					t.Fatalf("got %q", brief(f))
				case !joined[-1] && f.Topic == "user.a" || !joined[-2] && f.Topic == "here.x":
					t.Fatalf("%q before it has joined", brief(f))
				default:
					got = append(got, brief(f))
					pos = f.ID
					n++
				}
			}
			if len(got) == 67 {
				for !joined[1] {
					if f := cl.next(); f.Op == "ok" {
						joined[f.Sub] = true
					}
				}
				c.worlds[0].publish("user.a", "on")
				c.worlds[1].publish("news", "on")
				cl.want(`user.a "on"`, `news "on"`)
			}
			cl.close()
		}
		var want []string
		for i := range 100 {
			if i%3 < 2 {
				want = append(want, fmt.Sprintf("%s %d", []string{"user.a", "here.x"}[i%3], i))
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// Replay reaches beyond the hub's log: to clients, and in process.
func TestReplayFromStore(t *testing.T) {
	bothFeeds(t, func(t *testing.T, o TestStoreOptions) {
		c := newCluster(t, 2, o, nil)
		for i := range 20 {
			c.worlds[0].publish("chat.a", i)
			c.worlds[0].publish("chat.b", i)
		}
		a := c.at(1, "chat.a")
		a.want("ok 1")
		for i := range 3 {
			c.worlds[0].publish("chat.a", 20+i)
		}
		a.want("chat.a 20", "chat.a 21", "chat.a 22")
		for _, n := range []int{2, 3, 7, 100} {
			first := max(23-n, 0)
			b := c.at(1, fmt.Sprint("chat.a replay=", n))
			sub, err := c.worlds[1].hub.Subscribe(t.Context(), "chat.a", &SubscribeOptions{Replay: n})
			if err != nil {
				t.Fatal(err)
			}
			for i := first; i < 23; i++ {
				b.want(fmt.Sprintf("1: chat.a %d", i))
				if m, err := sub.Next(t.Context()); err != nil || string(m.Data) != fmt.Sprint(i) || m.Missed > 0 || !m.Replayed {
					t.Errorf("replay of %d in process: %+v, %v, want %d", n, m, err, i)
				}
			}
			b.want("ok 1")
			b.close()
			sub.Close()
		}
		if got := c.at(1, "chat.* replay=4"); true {
			f := got.next()
			if f.Op != "" {
				t.Errorf("got %q", brief(f))
			}
		}
	})
}

// A replay that can't be read on, because its store was restored meanwhile, is not begun again: what was sent of it was sent, and the
// rest is lost.
func TestReplayEndsWithItsStore(t *testing.T) {
	bothFeeds(t, func(t *testing.T, o TestStoreOptions) {
		c := newCluster(t, 1, o, &HubOptions{Limits: calm})
		c.publish("chat.a", 0)
		restore := c.store.Snapshot()
		big := strings.Repeat("x", 20<<10)
		for i := range 50 {
			c.publish("chat.a", fmt.Sprint(i, " ", big))
		}
		synctest.Wait()
		c.join(&HubOptions{Limits: calm}) // has none of it in its log
		c.only.Store(1)
		cl := c.dial(nil, wire.Protocol)
		cl.link.Stall()
		cl.send(`{"op":"hello","subs":[{"sub":1,"topic":"chat.a","replay":40}]}`)
		time.Sleep(time.Second)
		restore()
		c.publish("chat.a", "of the next life")
		time.Sleep(time.Second)
		cl.link.Heal()
		seen := make(map[string]int)
		var notices []string
		for word := ""; word != `"end"`; {
			f := cl.next()
			if f.Op != "" {
				if notices = append(notices, brief(f)); f.Op == "ok" {
					c.publish("chat.a", "end")
				}
				continue
			}
			word, _, _ = strings.Cut(string(f.Data), " ")
			if seen[word]++; seen[word] > 1 {
				t.Errorf("%s comes again", word)
			}
		}
		if len(seen) < 3 || len(notices) != 3 || !strings.HasPrefix(notices[1], "1: gap [1]") {
			t.Errorf("%d messages and %q, want some, and a gap", len(seen), notices)
		}
	})
}

// Nor is one that is read in process.
func TestLocalReplayEndsWithItsStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1, TestStoreOptions{}, &HubOptions{Limits: calm})
		c.publish("chat.a", 0)
		restore := c.store.Snapshot()
		for i := range 2000 { // more than a page
			c.publish("chat.a", fmt.Sprint(i))
		}
		synctest.Wait()
		w := c.join(&HubOptions{Limits: calm})
		sub, err := w.hub.Subscribe(t.Context(), "chat.a", &SubscribeOptions{Replay: 1900})
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		if m, err := sub.Next(t.Context()); err != nil || string(m.Data) != `"100"` || m.Missed != 0 {
			t.Fatalf("%s, %d missed, %v", m.Data, m.Missed, err)
		}
		restore()
		c.publish("chat.a", "of the next life")
		time.Sleep(time.Second)
		time.AfterFunc(time.Minute, func() { c.publish("chat.a", "end") }) // when everybody waits
		missed := 0
		for n := 2; n < 1902; n++ {
			m, err := sub.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if missed += m.Missed; m.Missed > 0 {
				t.Logf("%d messages of the replay came", n-1)
				return
			}
			if string(m.Data) != fmt.Sprintf(`"%d"`, 99+n) {
				t.Fatalf("%d messages came, then %s without a word", n-1, m.Data)
			}
		}
	})
}
