package hotline

import (
	"strings"
	"testing"
	"testing/synctest"
)

// The first State value that a hub ever has is not lost on who is being written to at that moment.
func TestFirstValueWhileBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Topics: map[string]TopicOptions{"price": {Delivery: State}}})
		c := w.client("chat.a", "price")
		c.want("ok 1", "ok 2")
		c.link.Stall()
		w.publish("chat.a", strings.Repeat("x", 1<<19))
		synctest.Wait()
		w.publish("price", 7)
		synctest.Wait()
		c.link.Heal()
		if f := c.next(); f.Topic != "chat.a" {
			t.Errorf("got %.40q", brief(f))
		}
		c.want("price 7")
	})
}
