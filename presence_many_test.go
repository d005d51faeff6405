package hotline

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

// TestPresenceOfMany: a client that has held very many values, and ends, does not make as many goroutines at the moment
// at which they are cleared.
func TestPresenceOfMany(t *testing.T) {
	const n = 5000
	w := newRealWorld(t, &HubOptions{
		Limits: Limits{PublishRate: -1},
		Topics: map[string]TopicOptions{"here.*": {Delivery: Presence, Linger: 100 * time.Millisecond}},
	})
	c := w.client()
	go func() {
		for i := range n {
			c.send(fmt.Sprintf(`{"op":"pub","ref":%d,"topic":"here.%d","data":1}`, i, i))
		}
	}()
	for i := range n {
		c.want(fmt.Sprint("ok ref ", i))
	}
	if got := w.hub.Stats().StateTopics; got != n {
		t.Fatalf("%d values, want %d", got, n)
	}
	c.close()
	most := 0
	for deadline := time.Now().Add(time.Minute); w.hub.Stats().StateTopics > 0; runtime.Gosched() {
		most = max(most, runtime.NumGoroutine())
		if time.Now().After(deadline) {
			t.Fatalf("%d values are left", w.hub.Stats().StateTopics)
		}
	}
	if most > 200 {
		t.Errorf("there were %d goroutines", most)
	}
}
