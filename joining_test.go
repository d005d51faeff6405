package hotline

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// State that the server subscribes does not hold up the Events of others while its values are sent.
func TestPushedStateBlocksNobody(t *testing.T) {
	for _, pushed := range []bool{true, false} {
		t.Run(fmt.Sprint("pushed=", pushed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conns := make(chan *Conn, 1)
				w := newWorld(t, &HubOptions{Limits: calm, Topics: map[string]TopicOptions{"price.*": {Delivery: State}},
					OnConnect: func(_ context.Context, c *Conn) { conns <- c }})
				for i := range 20000 {
					w.publish(fmt.Sprint("price.", i), strings.Repeat("x", 200))
				}
				c := w.client("chat")
				c.want("ok 1")
				conn := <-conns
				c.link.Throttle(100_000)
				if pushed {
					if err := conn.Subscribe("price.*"); err != nil {
						t.Fatal(err)
					}
				} else {
					c.send(`{"op":"sub","sub":2,"topic":"price.*"}`)
				}
				time.Sleep(time.Second)
				begin := time.Now()
				w.publish("chat", "hi")
				for c.next().Topic != "chat" {
				}
				if d := time.Since(begin); d > 5*time.Second {
					t.Errorf("chat took %s", d)
				}
			})
		})
	}
}

// A client that asks for a replay of many topics many times makes the hub hold where they begin once.
func TestReplayOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Limits: calm})
		const topics = 50_000
		for i := range topics {
			w.publish(fmt.Sprint("chat.", i), i)
		}
		heap := func() uint64 {
			runtime.GC()
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc >> 20
		}
		before := heap()
		var subs []string
		for range 128 {
			subs = append(subs, "chat.* replay=1")
		}
		c := w.client(subs...)
		read := 0
		for range 128 * 2000 {
			f := c.next()
			if read += 60; f.Op == "ok" {
				break
			}
			if read > 5<<20 {
				break
			}
		}
		synctest.Wait()
		after := heap()
		t.Logf("heap %d MiB before, %d MiB after the client has read about %d MiB", before, after, read>>20)
		if after > before+50 {
			t.Errorf("one connection holds %d MiB", after-before)
		}
		c.ws.CloseNow()
	})
}

// A subscription to Events and State gets the Events while the values are sent.
func TestEventsDuringWalk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Limits: Limits{PingInterval: time.Hour, LogBytes: 64 << 10}, Topics: map[string]TopicOptions{"price.*": {Delivery: State}}})
		for i := range 20000 {
			w.publish(fmt.Sprint("price.", i), strings.Repeat("x", 200))
		}
		w.publish("chat", 0)
		a := w.client("chat")
		pos := a.next().At
		c := w.dial(nil, "hotline.v1")
		c.link.Throttle(100_000)
		c.hello("> " + pos)
		time.Sleep(time.Second)
		begin := time.Now()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for i := range 400 {
				w.publish("chat", fmt.Sprint(i, strings.Repeat("x", 300)))
				time.Sleep(100 * time.Millisecond)
			}
		}()
		gaps := 0
		for {
			f := c.next()
			if f.Op == "gap" {
				gaps++
				t.Error(brief(f))
			}
			if f.Topic == "chat" || gaps > 0 {
				break
			}
		}
		if d := time.Since(begin); d > 10*time.Second {
			t.Errorf("the first event after %s", d)
		}
		<-ended
	})
}
