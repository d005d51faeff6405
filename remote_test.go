package hotline

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// slow is a node whose store takes its time.
type slow struct {
	TestNode
	d time.Duration
	n int
}

func (b *slow) Replay(ctx context.Context, q BrokerQuery) (BrokerPage, error) {
	b.n++
	time.Sleep(b.d)
	return b.TestNode.Replay(ctx, q)
}

// Who reads a topic from the store arrives, though the log lets go of others' messages all the time.
func TestResumeBesideBusyTopics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 0, TestStoreOptions{}, nil)
		var bs []*slow
		c.wrap = func(n TestNode) TestNode {
			b := &slow{TestNode: n, d: 10 * time.Millisecond}
			bs = append(bs, b)
			return b
		}
		opts := &HubOptions{Limits: Limits{PingInterval: time.Hour, LogBytes: 64 << 10}}
		c.join(opts)
		c.join(opts)
		a := c.at(0, "rare")
		a.want("ok 1")
		c.worlds[0].publish("rare", 0)
		pos := a.next().ID
		a.close()
		w := c.at(1, "busy") // hub 1 follows what is busy
		w.want("ok 1")
		stop := make(chan struct{})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond): // 1 MB/s
				}
				c.worlds[0].publish("busy", strings.Repeat("x", 1000))
			}
		}()
		go func() {
			for {
				if _, err := w.read(); err != nil {
					return
				}
			}
		}()
		time.Sleep(time.Second)
		for i := range 3000 {
			c.worlds[0].publish("rare", i)
		}
		before := bs[1].n
		b := c.at(1, "rare "+pos)
		begin := time.Now()
		got := make(chan string, 1)
		go func() {
			for {
				f, err := b.read()
				if f.Op != "" || err != nil {
					got <- fmt.Sprint(brief(f), err)
					return
				}
			}
		}()
		select {
		case f := <-got:
			t.Logf("%s after %s, the broker was asked %d times", f, time.Since(begin), bs[1].n-before)
		case <-time.After(20 * time.Second):
			t.Errorf("no ok after %s, the broker was asked %d times", time.Since(begin), bs[1].n-before)
		}
		close(stop)
		<-ended
		b.ws.CloseNow()
	})
}

// A Presence value that could not be changed is held as before.
func TestPresenceUpdateFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1, TestStoreOptions{}, &HubOptions{Limits: calm, Topics: map[string]TopicOptions{"here.*": {Delivery: Presence}}})
		a := c.at(0)
		a.send(`{"op":"pub","ref":1,"topic":"here.ada","data":"online"}`)
		a.want("ok ref 1")
		c.nodes[0].Leave()
		a.send(`{"op":"pub","ref":2,"topic":"here.ada","data":"busy"}`)
		a.want("err ref 2 unavailable")
		c.nodes[0].Return(true)
		time.Sleep(time.Minute)
		n := 0
		for m, err := range c.hub.Current(t.Context(), "here.*") {
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s %s", m.Topic, m.Data)
			n++
		}
		if n == 0 {
			t.Error("ada is still connected, and not here any more")
		}
	})
}

// handler is called with what the hub logs.
type handler struct {
	slog.Handler
	f func()
}

func (h handler) Enabled(context.Context, slog.Level) bool { return true }
func (h handler) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "hotline: connected") {
		h.f()
	}
	return nil
}

// The logger is called while nothing of the hub is locked.
func TestLoggerUnlocked(t *testing.T) {
	var w *world
	locked := false
	w = newWorld(t, &HubOptions{Logger: slog.New(handler{f: func() {
		if !w.hub.mu.TryLock() {
			locked = true
			return
		}
		w.hub.mu.Unlock()
	}})})
	w.client("chat").want("ok 1")
	if locked {
		t.Error("Hub.mu is held while the logger runs: a handler that calls Hub.Conns or Kick waits for ever")
	}
}

// What the log has let go of is noticed behind what it keeps of other topics.
func TestLetGoBehindKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1, TestStoreOptions{}, &HubOptions{
			Limits: Limits{LogBytes: 64 << 10, PingInterval: time.Hour}, Topics: map[string]TopicOptions{"kept.*": {Keep: 1}},
		})
		watch := c.at(0, ">")
		watch.want("ok 1")
		c.publish("first", 0)
		synctest.Wait()
		r := &remote{feed: c.hub.feed, patterns: []string{">"}, at: c.hub.log.Head()}
		c.publish("kept.a", 1)
		for i := range 200 {
			c.publish("busy", fmt.Sprint(i, strings.Repeat("x", 1000)))
		}
		synctest.Wait()
		if !r.letGo() {
			t.Error("nothing is let go of")
		}
		watch.ws.CloseNow()
	})
}
