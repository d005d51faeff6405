package hotline

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// reluctant is a node whose Follow can fail, and whose Unfollow takes a moment.
type reluctant struct {
	TestNode
	refuse atomic.Bool
}

func (b *reluctant) Follow(ctx context.Context, pattern string) (Position, error) {
	if b.refuse.Load() {
		return Position{}, errors.New("not now")
	}
	return b.TestNode.Follow(ctx, pattern)
}

func (b *reluctant) Unfollow(pattern string) {
	time.Sleep(time.Millisecond)
	b.TestNode.Unfollow(pattern)
}

// Who follows a pattern again that could not be followed before is not unfollowed in place of that.
func TestFollowAfterFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 0, TestStoreOptions{}, nil)
		var brokers []*reluctant
		c.wrap = func(node TestNode) TestNode {
			brokers = append(brokers, &reluctant{TestNode: node})
			return brokers[len(brokers)-1]
		}
		c.join(&HubOptions{Limits: calm})
		c.join(&HubOptions{Limits: calm})
		synctest.Wait()
		brokers[0].refuse.Store(true)
		if _, err := c.hub.Subscribe(t.Context(), "a", nil); err == nil {
			t.Fatal("followed")
		}
		brokers[0].refuse.Store(false)
		time.Sleep(time.Second)
		a := c.at(0, "a")
		a.want("ok 1")
		time.Sleep(3 * followLinger)
		c.worlds[1].publish("a", 1)
		time.Sleep(time.Second)
		c.worlds[1].publish("a", 2)
		got := make(chan string, 1)
		go func() { f, _ := a.read(); got <- brief(f) }()
		time.Sleep(time.Minute)
		select {
		case f := <-got:
			if f != "a 1" {
				t.Errorf("got %q", f)
			}
		default:
			t.Error("nothing comes")
			a.ws.CloseNow()
		}
	})
}
