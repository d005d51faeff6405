package hotline

import (
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
		w.publish("chat.a", 1)
		synctest.Wait()
		w.publish("price", 7)
		synctest.Wait()
		c.link.Heal()
		c.want("chat.a 1", "price 7")
	})
}
