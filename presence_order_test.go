package hotline

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var presenceTopics = map[string]TopicOptions{"here.*": {Delivery: Presence}}

// A Presence value that its connection could not clear is held as before: it is cleared when that has ended.
func TestPresenceClearFails(t *testing.T) {
	for _, stays := range []bool{false, true} {
		t.Run(fmt.Sprint("stays=", stays), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, 1, TestStoreOptions{}, &HubOptions{Limits: calm, Topics: presenceTopics})
				a := c.at(0)
				a.send(`{"op":"pub","ref":1,"topic":"here.ada","data":"online"}`)
				a.want("ok ref 1")
				c.nodes[0].Leave()
				a.send(`{"op":"pub","ref":2,"topic":"here.ada","data":null}`)
				if !stays {
					time.Sleep(time.Second)
					a.ws.CloseNow()
				} else {
					a.want("err ref 2 unavailable")
				}
				c.nodes[0].Return(true)
				time.Sleep(time.Minute)
				want := ""
				if stays {
					want = `here.ada "online" `
				}
				if got := c.current("here.*"); got != want {
					t.Errorf("a minute later there is %q, want %q", got, want)
				}
				a.ws.CloseNow()
				time.Sleep(time.Minute)
				if got := c.current("here.*"); got != "" {
					t.Errorf("a minute after she left there is %q", got)
				}
			})
		})
	}
}

// gated is a node that holds publishes until they may go on.
type gated struct {
	TestNode
	mu   sync.Mutex
	hold func(e *BrokerEntry) (wait <-chan struct{}, err error) // nil: nothing is held
}

func (b *gated) set(hold func(e *BrokerEntry) (<-chan struct{}, error)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hold = hold
}

func (b *gated) Publish(ctx context.Context, e *BrokerEntry) (Position, error) {
	b.mu.Lock()
	hold := b.hold
	b.mu.Unlock()
	if hold != nil {
		wait, err := hold(e)
		if wait != nil {
			<-wait
		}
		if err != nil {
			return Position{}, err
		}
	}
	return b.TestNode.Publish(ctx, e)
}

func gatedCluster(t *testing.T) (c *cluster, b *gated) {
	c = newCluster(t, 0, TestStoreOptions{}, nil)
	c.wrap = func(node TestNode) TestNode {
		g := &gated{TestNode: node}
		if b == nil {
			b = g
		}
		return g
	}
	for range 2 {
		c.join(&HubOptions{Limits: calm, Topics: presenceTopics})
	}
	return c, b
}

// A value that another hub has cleared is published again before the next one is, and not after it.
func TestPresenceAgainInOrder(t *testing.T) {
	for _, leaves := range []bool{false, true} {
		t.Run(fmt.Sprint("leaves=", leaves), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, b := gatedCluster(t)
				watch := c.at(1, "here.*")
				watch.want("ok 1")
				a := c.at(0)
				a.send(`{"op":"pub","ref":1,"topic":"here.ada","data":"one"}`)
				a.want("ok ref 1")
				watch.want(`here.ada "one"`)
				gate := make(chan struct{})
				var held atomic.Bool
				b.set(func(e *BrokerEntry) (<-chan struct{}, error) {
					if e.Topic == "here.ada" && !held.Swap(true) {
						return gate, nil
					}
					return nil, nil
				})
				if leaves {
					a.ws.CloseNow()
					time.Sleep(8 * time.Second)
				}
				// The other hub takes this one for dead.
				other := c.worlds[1].hub.feed
				if _, err := other.send(t.Context(), &BrokerEntry{Topic: "here.ada", Delivery: Presence, Gone: true, Node: c.hub.feed.node}); err != nil {
					t.Fatal(err)
				}
				watch.want("here.ada gone")
				synctest.Wait() // the value is being published again
				if leaves {
					time.Sleep(3 * time.Second) // Linger is over
				} else {
					a.send(`{"op":"pub","ref":2,"topic":"here.ada","data":"two"}`)
					synctest.Wait()
				}
				close(gate)
				time.Sleep(time.Minute)
				want := `here.ada "two" `
				if leaves {
					want = ""
				}
				w := c.worlds[1]
				if got := w.current("here.*"); got != want {
					t.Errorf("there is %q, want %q", got, want)
				}
			})
		})
	}
}

// A connection that fails to publish one value and succeeds with another holds the topic, whichever is answered first.
func TestPresenceHeldByWhatSucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, b := gatedCluster(t)
		c.at(0)
		var conn *Conn
		for conn = range c.hub.Conns() {
		}
		gate := make(chan struct{})
		b.set(func(e *BrokerEntry) (<-chan struct{}, error) {
			if string(e.Data) == `"one"` {
				return gate, fmt.Errorf("%w: no", ErrUncertain)
			}
			return nil, nil
		})
		first := make(chan error)
		go func() { first <- conn.Publish(t.Context(), "here.ada", "one") }()
		synctest.Wait()
		if err := conn.Publish(t.Context(), "here.ada", "two"); err != nil {
			t.Fatal(err)
		}
		close(gate)
		if err := <-first; err == nil {
			t.Fatal("stored")
		}
		time.Sleep(time.Minute)
		if got := c.current("here.*"); got != `here.ada "two" ` {
			t.Errorf("a minute later there is %q", got)
		}
	})
}

// A value that could not be published again is tried again: its connection is there, and watchers do not see it.
func TestPresenceAgainFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, b := gatedCluster(t)
		a := c.at(0)
		a.send(`{"op":"pub","ref":1,"topic":"here.ada","data":"one"}`)
		a.want("ok ref 1")
		fails := 3
		b.set(func(e *BrokerEntry) (<-chan struct{}, error) {
			if e.Topic == "here.ada" && fails > 0 {
				fails--
				return nil, fmt.Errorf("%w: no", ErrUncertain)
			}
			return nil, nil
		})
		other := c.worlds[1].hub.feed
		if _, err := other.send(t.Context(), &BrokerEntry{Topic: "here.ada", Delivery: Presence, Gone: true, Node: c.hub.feed.node}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if got := c.worlds[1].current("here.*"); got != `here.ada "one" ` {
			t.Errorf("a minute later there is %q", got)
		}
	})
}

// A topic whose first value could not be stored has none that could be published again.
func TestPresenceNothingAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, b := gatedCluster(t)
		a := c.at(1)
		a.send(`{"op":"pub","ref":1,"topic":"here.ada","data":"one"}`)
		a.want("ok ref 1")
		a.ws.CloseNow()
		time.Sleep(5 * time.Second)
		b.set(func(*BrokerEntry) (<-chan struct{}, error) { return nil, fmt.Errorf("%w: no", ErrUncertain) })
		a = c.at(0)
		a.send(`{"op":"pub","ref":1,"topic":"here.ada","data":"two"}`)
		a.want("err ref 1 unavailable")
		time.Sleep(7 * time.Second) // the first hub's Linger is over, and not that of the second
		b.set(nil)
		a.send(`{"op":"pub","ref":2,"topic":"here.ada","data":"two"}`)
		a.want("ok ref 2")
		time.Sleep(time.Minute)
		if got := c.worlds[1].current("here.*"); got != `here.ada "two" ` {
			t.Errorf("there is %q", got)
		}
	})
}
