package hotline

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
)

// Who is subscribed to a topic by a pattern is remembered topic by topic: that is bounded, however many topics there are.
func TestMembersOfManyTopics(t *testing.T) {
	const readers, topics = 2000, 4000
	h := newTestHub(nil)
	defer h.Close()
	for range readers {
		s, err := h.Subscribe(context.Background(), "chat.*", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
	}
	for i := range topics {
		if err := h.Publish(context.Background(), fmt.Sprintf("chat.%d", i), i); err != nil {
			t.Fatal(err)
		}
	}
	sum := 0
	for _, sh := range h.shards {
		remembered := make(chan int)
		sh.do(func() {
			for sh.follower.Behind() {
				sh.dispatch()
			}
			n := 0
			for i := range topics {
				topic, _ := h.log.Interest(fmt.Sprintf("chat.%d", i))
				if m := topic.Local[sh.n]; m != nil {
					n += cap(m.All)
				}
			}
			remembered <- n
		})
		n := <-remembered
		if sum += n; n > 3*maxListed/2 { // slices.Clone may take more than it needs
			t.Errorf("a shard remembers %d members, the limit is %d", n, maxListed)
		}
	}
	if sum == 0 {
		t.Error("nothing is remembered")
	}
}

// A signal of any size reaches a reader that waits, on a machine with many CPUs too.
func TestLargeSignal(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(maxShards))
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Topics: map[string]TopicOptions{"cursor": {Delivery: Signals}}})
		c := w.client("cursor")
		c.want("ok 1")
		w.publish("cursor", strings.Repeat("x", 300<<10))
		synctest.Wait()
		if s := w.hub.Stats(); s.Dropped["overflow"] != 0 {
			t.Fatalf("dropped: %v", s.Dropped)
		}
		if f := c.next(); len(f.Data) != 300<<10+2 {
			t.Errorf("got %d bytes", len(f.Data))
		}
	})
}
