package hotline

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gohotline/hotline/internal/memnet"
)

// cluster is some hubs that share a broker, behind something that hands each new connection to one of them.
type cluster struct {
	*world // its hub is the first one; who dials comes to any
	store  TestStore
	worlds []*world
	nodes  []TestNode
	only   atomic.Int32            // dial comes to this one; negative: to any
	wrap   func(TestNode) TestNode // of the hubs that join; nil: none
}

// newCluster serves n hubs until t ends.
func newCluster(t testing.TB, n int, store TestStoreOptions, opts *HubOptions) *cluster {
	t.Helper()
	c := &cluster{store: NewTestStore(store), world: &world{t: t, net: memnet.New(nil)}}
	for range n {
		c.join(opts)
	}
	c.only.Store(-1)
	c.srv = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i := int(c.only.Load())
		if i < 0 {
			i = rand.IntN(len(c.worlds))
		}
		c.worlds[i].hub.ServeHTTP(w, r)
	})}
	go c.srv.Serve(c.net.Listen())
	t.Cleanup(func() {
		c.srv.Close()
		for i, w := range c.worlds {
			w.hub.Close()
			c.nodes[i].Close()
		}
	})
	return c
}

// join adds a hub.
func (c *cluster) join(opts *HubOptions) *world {
	o := HubOptions{}
	if opts != nil {
		o = *opts
	}
	node := c.store.Node()
	if c.wrap != nil {
		node = c.wrap(node)
	}
	o.Broker = node
	w := &world{t: c.t, hub: newTestHub(&o), net: c.net}
	c.worlds, c.nodes = append(c.worlds, w), append(c.nodes, node)
	c.hub = c.worlds[0].hub
	return w
}

// at makes a client of one of the hubs.
func (c *cluster) at(i int, subs ...string) *testClient {
	c.t.Helper()
	c.only.Store(int32(i))
	defer c.only.Store(-1)
	return c.client(subs...)
}

// bothFeeds runs f over a broker whose feed carries what is followed, and one whose feed carries everything.
func bothFeeds(t *testing.T, f func(t *testing.T, o TestStoreOptions)) {
	for _, all := range []bool{false, true} {
		t.Run(fmt.Sprintf("all=%t", all), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, TestStoreOptions{CarryAll: all}) })
		})
	}
}

// What is published at one hub arrives at all of them.
func TestTwoHubs(t *testing.T) {
	bothFeeds(t, func(t *testing.T, o TestStoreOptions) {
		c := newCluster(t, 2, o, &HubOptions{Topics: map[string]TopicOptions{"price.*": {Delivery: State}, "typing": {Delivery: Signals}}})
		a, b := c.at(0, "chat.*", "typing"), c.at(1, "chat.*", "price.a", "typing")
		a.want("ok 1", "ok 2")
		b.want("ok 1", "ok 2", "ok 3")
		for i := range 10 {
			c.worlds[i%2].publish("chat.a", i)
			want := fmt.Sprintf("chat.a %d", i)
			a.want(want)
			b.want(want)
		}
		synctest.Wait() // so that nobody is being written to, who would be behind for that moment and miss a signal
		c.worlds[0].publish("typing", "x")
		a.want(`typing "x"`)
		b.want(`typing "x"`)
		c.worlds[0].publish("price.a", 7)
		b.want("price.a 7")
		c.worlds[0].publish("price.a", nil)
		b.want("price.a gone")
	})
}

// A client goes on at another hub, from where it was: neither hub has followed the topic all the time.
func TestMoveToAnotherHub(t *testing.T) {
	bothFeeds(t, func(t *testing.T, o TestStoreOptions) {
		c := newCluster(t, 2, o, nil)
		a := c.at(0, "chat.a")
		a.want("ok 1")
		c.worlds[0].publish("chat.a", 0)
		c.worlds[0].publish("chat.b", "other")
		f := a.next()
		a.close()
		for i := range 200 {
			c.worlds[i%2].publish("chat.a", i+1)
		}
		b := c.at(1, "chat.a "+f.ID)
		for i := 0; i < 200; {
			if f := b.next(); f.Op != "ok" {
				if got := string(f.Data); got != fmt.Sprint(i+1) {
					t.Fatalf("got %q, want %d", brief(f), i+1)
				}
				i++
			}
		}
	})
}

// A position of a store that was restored from an older copy is unknown, though the number is in use again.
func TestResumeAfterRestore(t *testing.T) {
	bothFeeds(t, func(t *testing.T, o TestStoreOptions) {
		c := newCluster(t, 2, o, nil)
		a := c.at(0, "chat.a")
		a.want("ok 1")
		for i := range 5 {
			c.worlds[0].publish("chat.a", i)
		}
		restore := c.store.Snapshot()
		for i := range 5 {
			c.worlds[0].publish("chat.a", 10+i)
		}
		var last string
		for range 10 {
			last = a.next().ID
		}
		a.close()
		restore()
		for i := range 8 {
			c.worlds[1].publish("chat.a", 20+i)
		}
		time.Sleep(time.Second)
		b := c.at(1, "chat.a "+last)
		b.want("1: gap [1] restart", "ok 1")
		c.worlds[0].publish("chat.a", "next")
		b.want(`chat.a "next"`)
	})
}

// A restored store is noticed by those who are connected, too.
func TestRestoreWhileConnected(t *testing.T) {
	bothFeeds(t, func(t *testing.T, o TestStoreOptions) {
		c := newCluster(t, 2, o, nil)
		a := c.at(0, "chat.a")
		a.want("ok 1")
		restore := c.store.Snapshot()
		c.worlds[0].publish("chat.a", 1)
		a.want("chat.a 1")
		restore()
		c.worlds[1].publish("chat.a", 2)
		a.want("gap [1] broker", "chat.a 2")
		sub, err := c.hub.Subscribe(context.Background(), "chat.a", nil)
		if err != nil {
			t.Fatal(err)
		}
		c.worlds[1].publish("chat.a", 3)
		a.want("chat.a 3")
		if m, err := sub.Next(t.Context()); err != nil || string(m.Data) != "3" || m.Missed != 0 {
			t.Errorf("%+v, %v", m, err)
		}
	})
}
