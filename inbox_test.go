package hotline

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// holdShards makes the shards stand still until the returned function is called.
func holdShards(h *Hub) (release func()) {
	gate := make(chan struct{})
	for _, sh := range h.shards {
		busy := make(chan struct{})
		sh.do(func() { close(busy); <-gate })
		<-busy
	}
	return func() { close(gate) }
}

// crowdInboxes leaves more State in the inbox of each shard than fits.
func (w *world) crowdInboxes(big string) {
	for i := range liveBytes/w.hub.shardN/len(big) + 1 {
		w.publish(fmt.Sprint("other.", i), big)
	}
}

var pricesAndOthers = map[string]TopicOptions{"price.*": {Delivery: State}, "other.*": {Delivery: State}}

// A value that did not fit into the inbox of a shard arrives, also if smaller ones after it did fit.
func TestInboxOverflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Limits: calm, Topics: pricesAndOthers})
		c := w.client("price.*")
		c.want("ok 1")
		for range 3 {
			w.client("other.*").want("ok 1")
		}
		synctest.Wait()
		release := holdShards(w.hub)
		big := strings.Repeat("x", 1<<20-64)
		w.crowdInboxes(big)
		w.publish("price.big", big) // does not fit into the shard's inbox
		w.publish("price.small", 1) // does
		release()
		time.AfterFunc(10*time.Minute, func() { c.ws.CloseNow() })
		seen := map[string]bool{}
		for len(seen) < 2 {
			f, err := c.read()
			if err != nil {
				t.Fatalf("after ten minutes it has seen only %v", seen)
			}
			seen[f.Topic] = true
		}
	})
}

// Readers in process are woken for a value that did not fit.
func TestInboxOverflowInProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Limits: calm, Topics: pricesAndOthers})
		sub, err := w.hub.Subscribe(t.Context(), "price.a", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.hub.Subscribe(t.Context(), "other.*", nil); err != nil {
			t.Fatal(err)
		}
		got := make(chan Message, 1)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		go func() {
			m, err := sub.Next(ctx)
			if err != nil {
				t.Errorf("Next: %v", err)
			}
			got <- m
		}()
		synctest.Wait()
		release := holdShards(w.hub)
		big := strings.Repeat("x", 1<<20-64)
		w.crowdInboxes(big)
		w.publish("price.a", big)
		release()
		if m := <-got; m.Topic == "" {
			t.Error("the reader was not woken for ten minutes")
		}
	})
}

// A connection that is behind and has missed nothing of State is not reset because others' values were cleared and forgotten.
func TestNoResetForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Limits: Limits{PingInterval: time.Hour, StateTopics: 10}, Topics: pricesAndOthers})
		w.publish("price.a", 1)
		c := w.client("price.a", "chat")
		c.next()
		c.next()
		c.next()
		synctest.Wait()
		for i := range 30 {
			w.publish(fmt.Sprint("other.", i), 1)
			w.publish(fmt.Sprint("other.", i), nil)
		}
		synctest.Wait()
		for i := range 600 { // more than a window
			w.publish("chat", i)
		}
		for i := 0; i < 600; {
			f := c.next()
			if f.Topic == "chat" {
				i++
			} else {
				t.Errorf("%s", brief(f))
			}
		}
	})
}
