package hotline

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gohotline/hotline/internal/wire"
)

// With a broker, too, what is published after OnConnect has subscribed is sent, wherever it is published, so that it can
// subscribe, load what there is, and send that.
func TestPushedFromOnConnectOnWithBroker(t *testing.T) {
	bothFeeds(t, func(t *testing.T, o TestStoreOptions) {
		var c *cluster
		c = newCluster(t, 2, o, &HubOptions{
			Limits: calm,
			OnConnect: func(ctx context.Context, conn *Conn) {
				_ = conn.Subscribe("a")
				c.worlds[0].publish("a", "one")
				time.Sleep(time.Second) // the database
				c.worlds[1].publish("a", "two")
				_ = conn.Subscribe("b")
				c.worlds[1].publish("b", "three")
				time.Sleep(time.Second)
			},
		})
		synctest.Wait()
		c.worlds[1].publish("a", "before")
		time.Sleep(time.Second) // both hubs have it: who subscribes before would get it
		for i := range 2 {      // the second one comes to a topic that is followed
			c.only.Store(0)
			cl := c.dial(nil, wire.Protocol)
			cl.send(`{"op":"hello"}`)
			time.Sleep(4 * time.Second)
			c.worlds[1].publish("a", "end")
			data, notices := cl.readsUntilEnd()
			if want := []string{"one", "two", "three", "end"}; !slices.Equal(data, want) {
				t.Errorf("connection %d read %q, want %q; notices %s", i, data, want, notices)
			}
		}
	})
}
