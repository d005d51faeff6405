package hotline

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gohotline/hotline/internal/eventlog"
)

// counted is a node that counts what it is asked, and can hold Unfollow.
type counted struct {
	TestNode
	follows, unfollows atomic.Int64
	held               atomic.Pointer[chan struct{}] // Unfollow waits until it is closed; nil: it does not
}

func (b *counted) Follow(ctx context.Context, pattern string) (Position, error) {
	b.follows.Add(1)
	return b.TestNode.Follow(ctx, pattern)
}

func (b *counted) Unfollow(pattern string) {
	b.unfollows.Add(1)
	if held := b.held.Load(); held != nil {
		<-*held
	}
	b.TestNode.Unfollow(pattern)
}

// countedCluster is a cluster of hubs whose brokers are counted.
func countedCluster(t *testing.T, hubs int, opts *HubOptions) (c *cluster, brokers []*counted) {
	c = newCluster(t, 0, TestStoreOptions{}, nil)
	c.wrap = func(node TestNode) TestNode {
		brokers = append(brokers, &counted{TestNode: node})
		return brokers[len(brokers)-1]
	}
	for range hubs {
		c.join(opts)
	}
	synctest.Wait()
	return c, brokers
}

// touch follows a topic for a moment.
func touch(t *testing.T, h *Hub, topic string) {
	t.Helper()
	if err := h.feed.follow(t.Context(), topic, func(eventlog.Pos) {}); err != nil {
		t.Fatal(err)
	}
	h.feed.unfollow(topic)
}

// Topics that nobody needs any more are followed for a minute, and no more than 4,096 of them.
func TestIdleFollowsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, brokers := countedCluster(t, 1, nil)
		h, b := c.hub, brokers[0]
		for i := range maxIdle + 100 {
			touch(t, h, fmt.Sprint("t.", i))
		}
		synctest.Wait()
		if got := b.unfollows.Load(); got != 100 {
			t.Errorf("%d patterns were given up, want 100", got)
		}
		asked := b.follows.Load()
		touch(t, h, fmt.Sprint("t.", maxIdle)) // is still followed
		touch(t, h, "t.0")                     // is not
		if got := b.follows.Load() - asked; got != 1 {
			t.Errorf("the broker was asked %d times, want once", got)
		}
		time.Sleep(2 * followLinger)
		if got := b.unfollows.Load(); got != maxIdle+101 {
			t.Errorf("%d patterns were given up, want all: %d", got, maxIdle+101)
		}
		h.feed.mu.Lock()
		defer h.feed.mu.Unlock()
		if h.feed.idle.Len() != 0 || len(h.feed.follows) != 1 { // what the hubs tell each other
			t.Errorf("%d idle, %d followed", h.feed.idle.Len(), len(h.feed.follows))
		}
	})
}

// Who comes back to a pattern while it is given up follows it anew, with the value that its topic has then.
func TestFollowWhileGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, brokers := countedCluster(t, 2, &HubOptions{Topics: map[string]TopicOptions{"v": {Delivery: State}}})
		h, other, b := c.hub, c.worlds[1], brokers[0]
		current := func() (list []string) {
			for m, err := range h.Current(t.Context(), "v") {
				if err != nil {
					t.Fatal(err)
				}
				list = append(list, string(m.Data))
			}
			return list
		}
		other.publish("v", 1)
		if got := fmt.Sprint(current()); got != "[1]" {
			t.Errorf("got %s", got)
		}
		held := make(chan struct{})
		b.held.Store(&held)
		time.Sleep(followLinger + 2*time.Second)
		got := make(chan string)
		go func() { got <- fmt.Sprint(current()) }()
		other.publish("v", 2)
		time.Sleep(time.Second)
		select {
		case list := <-got:
			t.Errorf("got %s while the topic is being given up", list)
		default:
		}
		close(held)
		if list := <-got; list != "[2]" {
			t.Errorf("got %s, want [2]", list)
		}
	})
}

// Clients that come from a hub which is ahead wait without asking the broker once each, and keep nobody from reading.
func TestManyAheadOfTheFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, brokers := countedCluster(t, 2, nil)
		a, quiet := c.at(0, "chat.a"), c.at(1, "chat.a")
		a.want("ok 1")
		quiet.want("ok 1")
		c.nodes[1].Fail(TestFaults{Delay: 5 * time.Second})
		c.worlds[0].publish("chat.a", 1)
		pos := a.next().ID
		before := brokers[1].follows.Load()
		var list []*testClient
		for range 3 * maxReplays {
			list = append(list, c.at(1, "chat.a "+pos))
		}
		time.Sleep(time.Second)
		if n := brokers[1].follows.Load() - before; n > 3 {
			t.Errorf("the broker was asked %d times", n)
		}
		if n := len(c.worlds[1].hub.feed.reading); n != 0 {
			t.Errorf("%d places are taken by those who wait", n)
		}
		c.nodes[1].Fail(TestFaults{})
		for _, cl := range list {
			cl.want("ok 1")
		}
	})
}

// blocking is a node whose answers are held while block is set.
type blocking struct {
	TestNode
	block  atomic.Pointer[chan struct{}]
	inside atomic.Int32
	follow atomic.Bool
}

func (b *blocking) Publish(ctx context.Context, e *BrokerEntry) (Position, error) {
	if ch := b.block.Load(); ch != nil && e.Delivery == Presence {
		b.inside.Add(1)
		defer b.inside.Add(-1)
		select {
		case <-*ch:
		case <-ctx.Done():
			return Position{}, fmt.Errorf("%w: %w", ErrUncertain, ctx.Err())
		}
	}
	return b.TestNode.Publish(ctx, e)
}

func (b *blocking) Follow(ctx context.Context, p string) (Position, error) {
	if ch := b.block.Load(); ch != nil && b.follow.Load() {
		b.inside.Add(1)
		defer b.inside.Add(-1)
		<-ctx.Done()
		time.Sleep(time.Second) // "returns soon after ctx ends"
		return Position{}, ctx.Err()
	}
	return b.TestNode.Follow(ctx, p)
}

// Close waits for the clearing of a Presence value, and no clearing begins after it.
func TestCloseEndsClearing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 0, TestStoreOptions{}, nil)
		b := &blocking{}
		c.wrap = func(n TestNode) TestNode { b.TestNode = n; return b }
		c.join(&HubOptions{Limits: calm, Topics: map[string]TopicOptions{"here.*": {Delivery: Presence}}})
		a := c.at(0)
		a.send(`{"op":"pub","ref":1,"topic":"here.ada","data":"a"}`)
		a.want("ok ref 1")
		ch := make(chan struct{})
		b.block.Store(&ch)
		a.close()
		time.Sleep(11 * time.Second) // Linger is over
		if b.inside.Load() != 1 {
			t.Fatal("it is not being cleared")
		}
		c.hub.Close()
		if b.inside.Load() != 0 {
			t.Error("Close has returned, and the hub is still inside Broker.Publish")
		}
		close(ch)
		synctest.Wait()
	})
}

// Close waits for a question that is put to the broker for somebody who waits for the feed.
func TestCloseEndsAsking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 0, TestStoreOptions{}, nil)
		var bs []*blocking
		c.wrap = func(n TestNode) TestNode { b := &blocking{TestNode: n}; bs = append(bs, b); return b }
		c.join(&HubOptions{Limits: calm})
		c.join(&HubOptions{Limits: calm})
		a, q := c.at(0, "chat.a"), c.at(1, "chat.a")
		a.want("ok 1")
		q.want("ok 1")
		synctest.Wait() // the hubs follow a topic of their own, too
		bs[1].Fail(TestFaults{Delay: 5 * time.Second})
		c.worlds[0].publish("chat.a", 1)
		pos := a.next().ID
		ch := make(chan struct{})
		bs[1].follow.Store(true)
		bs[1].block.Store(&ch)
		x := c.at(1, "chat.a "+pos)
		_ = x
		time.Sleep(100 * time.Millisecond)
		if bs[1].inside.Load() != 1 {
			t.Fatal("it does not ask")
		}
		c.worlds[1].hub.Close()
		if bs[1].inside.Load() != 0 {
			t.Error("Close has returned, and the hub is still inside Broker.Follow")
		}
		bs[1].block.Store(nil)
		time.Sleep(10 * time.Second)
	})
}

// What the broker could not follow in time it is told not to.
func TestFailedFollowIsUndone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, brokers := countedCluster(t, 1, &HubOptions{Limits: calm})
		b := brokers[0]
		b.Fail(TestFaults{Delay: 11 * time.Second})
		ctx := t.Context()
		before := b.follows.Load()
		for i := range 5 {
			_, err := c.hub.Subscribe(ctx, fmt.Sprint("t.", i), nil)
			if err == nil {
				t.Fatal("followed")
			}
		}
		b.Fail(TestFaults{})
		time.Sleep(5 * time.Minute)
		if asked, undone := b.follows.Load()-before, b.unfollows.Load(); asked != undone {
			t.Errorf("the broker was asked for %d patterns, and to leave %d", asked, undone)
		}
	})
}

// unstarted is a node that does not start.
type unstarted struct{ *counted }

func (unstarted) Start(context.Context, BrokerHub) error { return errors.New("no such server") }

// A broker that did not start is asked for nothing.
func TestUnstartedBrokerIsAskedNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 0, TestStoreOptions{}, nil)
		var b *counted
		c.wrap = func(node TestNode) TestNode {
			b = &counted{TestNode: node}
			return unstarted{b}
		}
		c.join(nil)
		if _, err := c.hub.Subscribe(t.Context(), "a", nil); err == nil || !strings.Contains(err.Error(), "no such server") {
			t.Errorf("Subscribe: %v", err)
		}
		time.Sleep(2 * followLinger)
		if f, u := b.follows.Load(), b.unfollows.Load(); f+u != 0 {
			t.Errorf("%d calls of Follow, %d of Unfollow", f, u)
		}
	})
}
