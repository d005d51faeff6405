package hotline

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gohotline/hotline/internal/wire"
)

// calm lets the test's clients not read for a while.
var calm = Limits{PingInterval: time.Hour}

// dropNext makes a feed lose the next event of a topic.
func dropNext(n TestNode, topic string, blunt bool) {
	done := false
	n.Fail(TestFaults{Blunt: blunt, Drop: func(e *BrokerEntry) bool {
		drop := e.Topic == topic && !done
		done = done || drop
		return drop
	}})
}

// A loss of the feed that the store can make good is made good: nobody sees it.
func TestLossIsRepaired(t *testing.T) {
	bothFeeds(t, func(t *testing.T, o TestStoreOptions) {
		c := newCluster(t, 2, o, nil)
		a := c.at(0, "chat.*", "news")
		a.want("ok 1", "ok 2")
		for _, blunt := range []bool{false, true} {
			dropNext(c.nodes[0], "chat.a", blunt)
			for i := range 3 {
				c.worlds[1].publish("chat.a", i)
				c.worlds[1].publish("news", i)
			}
			for i := range 3 {
				a.want(fmt.Sprintf("chat.a %d", i), fmt.Sprintf("news %d", i))
			}
		}
		// Also if nothing follows.
		dropNext(c.nodes[0], "chat.b", false)
		c.worlds[1].publish("chat.b", "last")
		a.want(`chat.b "last"`)
	})
}

// A loss that the store can't make good is a gap in the same place for those who are live, behind, and resuming, and for
// nobody whom it does not concern.
func TestLossIsOneGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2, TestStoreOptions{PerTopic: 1}, nil)
		live, other, away := c.at(0, "chat.*"), c.at(0, "news"), c.at(0, "chat.a")
		live.want("ok 1")
		other.want("ok 1")
		away.want("ok 1")
		local, err := c.hub.Subscribe(t.Context(), "chat.a", nil)
		if err != nil {
			t.Fatal(err)
		}
		c.worlds[1].publish("chat.a", 0)
		live.want("chat.a 0")
		pos := away.next().ID
		away.close()
		n := 0
		c.nodes[0].Fail(TestFaults{Drop: func(e *BrokerEntry) bool { n++; return n <= 2 }})
		for i := range 4 { // of the two that are dropped the store has none by the time that it is asked
			c.nodes[0].Lag(uint64(1))
			c.worlds[1].publish("chat.a", i+1)
		}
		c.nodes[0].Lag(0)
		c.worlds[1].publish("news", "n")
		other.want(`news "n"`)
		gap := live.next()
		if got := brief(gap); got != "gap [1] broker" {
			t.Fatalf("got %q", got)
		}
		var rest []string
		for rest == nil || rest[len(rest)-1] != "chat.a 4" {
			f := live.next()
			if f.Op == "gap" && len(rest) == 0 {
				continue // the second of the two lost ones
			}
			rest = append(rest, brief(f))
		}
		resumed := c.at(0, "chat.a "+pos)
		gaps := 0
		for seen := 0; seen < len(rest); {
			switch f := resumed.next(); f.Op {
			case "gap":
				if gaps++; seen > 0 {
					t.Errorf("a gap after %d messages", seen)
				}
			case "":
				f.Sub = 0
				if got := brief(f); got != rest[seen] {
					t.Errorf("resumed: got %q, want %q", got, rest[seen])
				}
				seen++
			}
		}
		if gaps == 0 {
			t.Error("who resumes is told of no gap")
		}
		first, err := local.Next(t.Context())
		second, err2 := local.Next(t.Context())
		if err != nil || err2 != nil || string(first.Data) != "0" || first.Missed != 0 || second.Missed == 0 {
			t.Errorf("in process: %+v, %v, %+v, %v", first, err, second, err2)
		}
	})
}

// The position of a gap is good at another hub, which has lost nothing there: whoever goes on from it gets what the first
// hub had lost.
func TestGapPositionElsewhere(t *testing.T) {
	bothFeeds(t, func(t *testing.T, o TestStoreOptions) {
		c := newCluster(t, 2, o, nil)
		a := c.at(0, "chat.a", "news")
		a.want("ok 1", "ok 2")
		c.nodes[0].Fail(TestFaults{Late: true, Drop: func(e *BrokerEntry) bool { return e.Topic == "chat.a" && string(e.Data) == "1" }})
		c.worlds[1].publish("chat.a", 0)
		c.worlds[1].publish("chat.a", 1)
		c.worlds[1].publish("news", "n")
		a.want("chat.a 0", `news "n"`)
		c.worlds[1].publish("chat.a", 2)
		gap := a.next()
		if got := brief(gap); got != "gap [1] broker" {
			t.Fatalf("got %q", got)
		}
		a.want("chat.a 2")
		for i := range 2 {
			b := c.at(i, "chat.a "+gap.At)
			var got []string
			for len(got) < 2 {
				f := b.next()
				f.Sub = 0
				got = append(got, brief(f))
			}
			if !slices.Contains(got, "chat.a 2") && !slices.Contains(got, "ok") {
				t.Errorf("at hub %d it goes on with %q", i, got)
			}
		}
	})
}

// While the broker's server is away connections stay, Publish fails within 4 seconds and may have stored, and when it is
// back everything goes on.
func TestBrokerAway(t *testing.T) {
	bothFeeds(t, func(t *testing.T, o TestStoreOptions) {
		c := newCluster(t, 2, o, &HubOptions{Limits: calm, Topics: map[string]TopicOptions{"price": {Delivery: State}}})
		a := c.at(0, "chat.a", "price")
		a.want("ok 1", "ok 2")
		for _, heal := range []bool{true, false} {
			c.nodes[0].Leave()
			synctest.Wait()
			begin := time.Now()
			err := c.hub.Publish(t.Context(), "chat.a", "lost?")
			if d := time.Since(begin); !errors.Is(err, ErrUncertain) || d > 4*time.Second {
				t.Errorf("Publish returns %v after %s", err, d)
			}
			if c.hub.Stats().Broker == "" {
				t.Error("Stats says nothing of it")
			}
			for _, err := range c.hub.Current(t.Context(), "price") {
				if err == nil {
					t.Error("Current returns values though it can't know them")
				}
			}
			for i := range 5 {
				c.worlds[1].publish("chat.a", i)
			}
			c.worlds[1].publish("price", 1)
			c.worlds[1].publish("price", nil)
			c.worlds[1].publish("price", heal)
			a.send(`{"op":"pub","ref":1,"topic":"chat.a","data":"mine","key":"k` + fmt.Sprint(heal) + `"}`)
			a.want("err ref 1 unavailable")
			time.Sleep(10 * time.Minute)
			c.nodes[0].Return(heal)
			values := 0
			for i := 0; i < 5 || values == 0; {
				switch f := a.next(); f.Topic {
				case "price":
					values++
					if string(f.Data) == fmt.Sprint(heal) {
						values = 1
					}
				case "chat.a":
					if string(f.Data) != fmt.Sprint(i) {
						t.Fatalf("got %s, want %d", f.Data, i)
					}
					i++
				default:
					t.Fatalf("got %q", brief(f))
				}
			}
			if s := c.hub.Stats().Broker; s != "" {
				t.Errorf("Stats still says %q", s)
			}
			a.send(`{"op":"pub","ref":2,"topic":"chat.a","data":"mine","key":"k` + fmt.Sprint(heal) + `"}`)
			got := map[string]bool{brief(a.next()): true, brief(a.next()): true}
			if !got["ok ref 2"] || !got[`chat.a "mine"`] {
				t.Errorf("got %v", got)
			}
		}
	})
}

// A key is good at every hub.
func TestOnceAcrossHubs(t *testing.T) {
	bothFeeds(t, func(t *testing.T, o TestStoreOptions) {
		c := newCluster(t, 2, o, nil)
		a := c.at(0, "chat.a")
		a.want("ok 1")
		c.nodes[0].Fail(TestFaults{Unanswered: func(*BrokerEntry) bool { return true }})
		if err := c.hub.Once("k").Publish(t.Context(), "chat.a", 1); !errors.Is(err, ErrUncertain) {
			t.Errorf("a publish without an answer: %v", err)
		}
		for _, w := range c.worlds[1:] {
			if err := w.hub.Once("k").Publish(t.Context(), "chat.a", 1); err != nil {
				t.Error(err)
			}
		}
		c.worlds[1].publish("chat.a", 2)
		a.want("chat.a 1", "chat.a 2")
	})
}

// Kick closes a user's connections at every hub, and no later one.
func TestKickAcrossHubs(t *testing.T) {
	bothFeeds(t, func(t *testing.T, o TestStoreOptions) {
		c := newCluster(t, 3, o, &HubOptions{Limits: calm, Authenticate: tokenIsUser})
		ada0, ada1, bob := c.as(0, "ada"), c.as(1, "ada"), c.as(1, "bob")
		time.Sleep(time.Second)
		c.nodes[1].Fail(TestFaults{Drop: func(e *BrokerEntry) bool { return e.Topic == topicKick }}) // it is repaired
		if err := c.worlds[2].hub.Kick(t.Context(), "ada", CloseFinal, "out"); err != nil {
			t.Fatal(err)
		}
		for _, cl := range []*testClient{ada0, ada1} {
			if code, reason, _ := cl.closed(); code != CloseFinal || reason != "out" {
				t.Errorf("closed with %d %q", code, reason)
			}
		}
		c.nodes[1].Fail(TestFaults{})
		again := c.as(1, "ada")
		c.worlds[0].publish("chat.a", 1)
		bob.want("chat.a 1")
		again.want("chat.a 1")
		// A hub that joins later does not do it once more.
		c.join(&HubOptions{Limits: calm, Authenticate: tokenIsUser})
		late := c.as(3, "ada")
		time.Sleep(time.Minute)
		c.worlds[0].publish("chat.a", 2)
		late.want("chat.a 2")
	})
}

// as makes a client of one of the hubs that is a user, subscribed to chat.a.
func (c *cluster) as(i int, user string) *testClient {
	c.t.Helper()
	c.only.Store(int32(i))
	defer c.only.Store(-1)
	cl := c.dial(nil, wire.Protocol)
	cl.send(helloFrame(user, "chat.a"))
	cl.want("welcome", "ok 1")
	return cl
}

// Presence goes over hubs: a value that two of them hold stays until both let go of it, and that of a hub that died is
// cleared by the others.
func TestPresenceAcrossHubs(t *testing.T) {
	bothFeeds(t, func(t *testing.T, o TestStoreOptions) {
		opts := &HubOptions{Limits: calm, Topics: map[string]TopicOptions{"here.*": {Delivery: Presence}}}
		c := newCluster(t, 3, o, opts)
		watch := c.at(2, "here.*")
		watch.want("ok 1")
		a, b := c.at(0), c.at(1)
		a.send(`{"op":"pub","ref":1,"topic":"here.ada","data":"a"}`)
		a.want("ok ref 1")
		watch.want(`here.ada "a"`)
		b.send(`{"op":"pub","ref":1,"topic":"here.ada","data":"b"}`)
		b.want("ok ref 1")
		watch.want(`here.ada "b"`)
		a.close() // the value is b's by now
		time.Sleep(time.Minute)
		a = c.at(0)
		a.send(`{"op":"pub","ref":1,"topic":"here.ada","data":"a"}`)
		a.want("ok ref 1")
		watch.want(`here.ada "a"`)
		a.close() // the value was a's, but b still holds it
		watch.want("here.ada gone", `here.ada "b"`)
		b.close()
		watch.want("here.ada gone")

		// Hub 0 dies: nothing comes from it any more.
		d := c.at(0)
		d.send(`{"op":"pub","ref":1,"topic":"here.dan","data":1}`)
		d.want("ok ref 1")
		watch.want("here.dan 1")
		begin := time.Now()
		c.nodes[0].Leave()
		watch.want("here.dan gone")
		if took := time.Since(begin); took > time.Minute {
			t.Errorf("the value of a dead hub was there for %s", took)
		}
		// It was cut off only: what it holds is there again.
		c.nodes[0].Return(true)
		watch.want("here.dan 1")
		if err := c.worlds[1].hub.Publish(context.Background(), "here.dan", nil); err != nil {
			t.Fatal(err)
		}
		watch.want("here.dan gone") // server code may clear what somebody holds
	})
}

// The application closes the broker, after the hub.
func TestBrokerOutlivesHub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := NewTestStore(TestStoreOptions{})
		node := store.Node()
		h := NewHub(&HubOptions{Broker: node})
		sub, err := h.Subscribe(t.Context(), "chat.a", nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Publish(t.Context(), "chat.a", 1); err != nil {
			t.Fatal(err)
		}
		if m, err := sub.Next(t.Context()); err != nil || string(m.Data) != "1" {
			t.Errorf("%+v, %v", m, err)
		}
		if err := h.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if err := h.Publish(t.Context(), "chat.a", 2); !errors.Is(err, ErrClosed) {
			t.Errorf("Publish after Shutdown: %v", err)
		}
		other := store.Node()
		g := NewHub(&HubOptions{Broker: other})
		if err := g.Publish(t.Context(), "chat.a", 3); err != nil { // comes to the feed of the hub that has ended
			t.Error(err)
		}
		synctest.Wait()
		g.Close()
		for _, n := range []TestNode{node, other} {
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

// tokenIsUser authenticates everybody as who they say they are.
func tokenIsUser(_ *http.Request, token string) (Identity, error) { return Identity{User: token}, nil }

// What several patterns lost while a hub was cut off is repaired in one order.
func TestLossOfSeveralPatterns(t *testing.T) {
	bothFeeds(t, func(t *testing.T, o TestStoreOptions) {
		c := newCluster(t, 2, o, &HubOptions{Limits: calm})
		a := c.at(0, "chat.a", "news", "game.*")
		a.want("ok 1", "ok 2", "ok 3")
		c.nodes[0].Leave()
		var want []string
		for i := range 30 {
			topic := []string{"chat.a", "news", "game.x", "nobody"}[i%4]
			if c.worlds[1].publish(topic, i); i%4 < 3 {
				want = append(want, fmt.Sprintf("%s %d", topic, i))
			}
		}
		c.nodes[0].Return(false)
		a.want(want...)
		c.worlds[1].publish("news", "on")
		a.want(`news "on"`)
	})
}

// What has expired in the store is a gap for whoever resumes from there, in its place.
func TestResumeBeyondStore(t *testing.T) {
	bothFeeds(t, func(t *testing.T, o TestStoreOptions) {
		o.PerTopic = 3
		c := newCluster(t, 2, o, nil)
		if o.CarryAll {
			return // every hub has everything
		}
		a := c.at(0, "chat.a", "news")
		a.want("ok 1", "ok 2")
		c.worlds[0].publish("chat.a", 0)
		c.worlds[0].publish("news", 0)
		a.want("chat.a 0")
		pos := a.next().ID
		for i := range 10 {
			c.worlds[0].publish("chat.a", i+1)
		}
		c.worlds[0].publish("news", 1)
		local, err := c.worlds[1].hub.Subscribe(t.Context(), "chat.a", &SubscribeOptions{After: pos})
		if err != nil {
			t.Fatal(err)
		}
		b := c.at(1, "chat.a "+pos, "news "+pos)
		seen := map[int64][]string{}
		for len(seen[1])+len(seen[2]) < 5 {
			if f := b.next(); f.Op != "ok" {
				seen[f.Sub] = append(seen[f.Sub], brief(f))
			}
		}
		for sub, want := range map[int64][]string{
			1: {"1: gap [1] away", "1: chat.a 8", "1: chat.a 9", "1: chat.a 10"}, 2: {"2: news 1"},
		} {
			if !slices.Equal(seen[sub], want) {
				t.Errorf("got %q, want %q", seen[sub], want)
			}
		}
		for i, want := range []string{"8", "9", "10"} {
			if m, err := local.Next(t.Context()); err != nil || string(m.Data) != want || (m.Missed > 0) != (i == 0) {
				t.Errorf("in process: %+v, %v, want %s", m, err, want)
			}
		}
	})
}

// What was read from the store for one of several patterns counts for all of them, also if the log has let go of it by the
// time that the broker reports the others.
func TestRepairLargerThanTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2, TestStoreOptions{}, &HubOptions{Limits: Limits{LogBytes: 64 << 10, PublishRate: -1}})
		a, _ := c.at(0, "chat.a"), c.at(0, "bulk")
		a.want("ok 1")
		synctest.Wait()
		c.nodes[0].Leave()
		for i := range 5 {
			c.worlds[1].publish("chat.a", i)
		}
		for range 300 {
			c.worlds[1].publish("bulk", strings.Repeat("x", 500))
		}
		c.nodes[0].Return(false)
		for i := range 5 {
			a.want(fmt.Sprint("chat.a ", i))
		}
		c.worlds[1].publish("chat.a", "after")
		a.want(`chat.a "after"`)
	})
}
