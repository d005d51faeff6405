package hotline

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gohotline/hotline/internal/wire"
)

// reconnects connects to a hub with nothing but the position of what the server subscribes.
func (c *cluster) reconnects(i int, after string) *testClient {
	c.only.Store(int32(i))
	defer c.only.Store(-1)
	cl := c.dial(nil, wire.Protocol)
	cl.send(fmt.Sprintf(`{"op":"hello","after":%q}`, after))
	cl.want("welcome")
	return cl
}

// newSecretive makes two hubs that subscribe everybody to two topics, "open" and "secret", whose history nobody may read, and the
// position of a client that has left the first one.
func newSecretive(t *testing.T, l Limits, first, second string) (c *cluster, pos string) {
	c = newCluster(t, 2, TestStoreOptions{}, &HubOptions{
		Limits: l,
		OnConnect: func(_ context.Context, c *Conn) {
			_ = c.Subscribe(first)
			_ = c.Subscribe(second)
		},
		AuthorizeHistory: func(_ context.Context, _ *Conn, topic string, _ time.Time) error {
			if topic == "secret" {
				return ErrDenied
			}
			return nil
		},
	})
	a := c.reconnects(0, "")
	a.want("push -1 "+first, "push -2 "+second, "ok -1", "ok -2")
	c.worlds[0].publish("open", 0)
	pos = a.next().ID
	a.close()
	return c, pos
}

// What the server subscribes and whose history is not for the client begins now, also where the rest is read from the store.
func TestPushedHistoryDenied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, pos := newSecretive(t, calm, "open", "secret")
		c.worlds[0].publish("open", 1) // the other hub follows from here on
		d := c.reconnects(1, "")
		d.want("push -1 open", "push -2 secret", "ok -1", "ok -2")
		for i := range 3 {
			c.worlds[0].publish("secret", fmt.Sprint("before ", i))
		}
		c.worlds[0].publish("open", 2)
		time.Sleep(time.Second)
		b := c.reconnects(1, pos)
		time.Sleep(time.Second)
		c.worlds[0].publish("secret", "after")
		c.worlds[0].publish("open", "end")
		got := make(map[string]int)
		for got[`open "end"`] == 0 {
			f := b.next()
			if got[brief(f)]++; f.Op == "" && got["-2: gap [-2] denied"] == 0 {
				t.Errorf("%s before it knows that secret has lost something: it may come back with that position", brief(f))
			}
		}
		for _, want := range []string{"open 1", "open 2", "-2: gap [-2] denied", "ok -1", "ok -2", `secret "after"`} {
			if got[want] != 1 {
				t.Errorf("%d times %q in %v", got[want], want, got)
			}
		}
		for f := range got {
			if strings.Contains(f, "before") {
				t.Errorf("history leaks: %s", f)
			}
		}
	})
}

// It is told so before the client's position moves, which is all that it can present for it: also where nothing is to be sent up
// to where the log of this hub begins.
func TestPushedHistoryDeniedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, pos := newSecretive(t, calm, "secret", "open")
		c.worlds[0].publish("secret", "meanwhile")
		b := c.reconnects(1, pos)
		for told := false; ; {
			f := b.next()
			switch {
			case brief(f) == "-1: gap [-1] denied":
				told = true
			case !told && f.At != "" && f.At != pos:
				t.Fatalf("%s goes from %q to %q before secret knows that it has lost something", brief(f), pos, f.At)
			case f.Op == "ok" && f.Sub == -1:
				return
			}
		}
	})
}

// Topics that the server subscribes begin where the broker follows them, also if the shard has not come there itself.
func TestPushedBeginAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		c := newCluster(t, 2, TestStoreOptions{}, &HubOptions{
			Limits: calm,
			OnConnect: func(_ context.Context, c *Conn) {
				busy := make(chan struct{})
				c.shard.do(func() { close(busy); <-gate }) // it does not rest before the subscriptions start
				<-busy
				_ = c.Subscribe("a")
				_ = c.Subscribe("b")
			},
		})
		synctest.Wait() // the hubs have begun
		c.worlds[0].publish("a", "before")
		c.only.Store(1)
		cl := c.dial(nil, wire.Protocol)
		cl.send(`{"op":"hello"}`)
		synctest.Wait()
		close(gate)
		cl.want("welcome", "push -1 a", "push -2 b", "ok -1", "ok -2")
		c.worlds[0].publish("b", "after")
		cl.want(`b "after"`)
	})
}

// A value that changes while another of the server's subscriptions still walks over State is not skipped.
func TestPushedStateChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2, TestStoreOptions{}, &HubOptions{
			Limits: Limits{PingInterval: calm.PingInterval, WindowBytes: 1 << 10},
			Topics: map[string]TopicOptions{"p.*": {Delivery: State}, "big.*": {Delivery: State}},
			OnConnect: func(_ context.Context, c *Conn) {
				for _, topic := range []string{"p.*", "big.*", "ev"} {
					_ = c.Subscribe(topic)
				}
			},
		})
		a := c.reconnects(0, "")
		for range 6 {
			a.next()
		}
		c.worlds[0].publish("ev", 0)
		pos := a.next().ID
		a.close()
		c.worlds[0].publish("ev", 1)
		c.worlds[0].publish("p.x", 1)
		for i := range 2000 {
			c.worlds[0].publish(fmt.Sprint("big.", i), strings.Repeat("x", 400))
		}
		c.reconnects(1, "")
		time.Sleep(time.Second)
		b := c.reconnects(1, pos)
		seen, ended := "", false // which of the two comes last is not promised
		for seen != "2" || !ended {
			switch f := b.next(); {
			case string(f.Data) == `"end"`:
				ended = true
			case f.Topic == "p.x":
				seen = string(f.Data)
			case f.Op == "ok" && f.Sub == -1:
				c.worlds[0].publish("p.x", 2)
				synctest.Wait()
			case f.Op == "ok" && f.Sub == -2:
				c.worlds[0].publish("ev", "end")
			}
		}
	})
}

// A subscription that is given up while it waits for its turn to be read from the store lets go of its topic once.
func TestGivenUpOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2, TestStoreOptions{}, &HubOptions{Limits: Limits{PingInterval: time.Hour, WindowBytes: 1 << 10}})
		a := c.at(0, "chat.a", "chat.b")
		a.want("ok 1", "ok 2")
		c.worlds[0].publish("chat.a", 0)
		pos := a.next().ID
		a.close()
		for i := range 3000 {
			c.worlds[0].publish("chat.a", fmt.Sprint(i, strings.Repeat("x", 1000)))
		}
		c.worlds[0].publish("chat.b", 1)
		watch := c.at(1, "chat.b")
		watch.want("ok 1")
		b := c.at(1, "chat.a "+pos, "chat.b "+pos)
		synctest.Wait()
		b.send(`{"op":"unsub","sub":2}`)
		synctest.Wait()
		b.ws.CloseNow()
		synctest.Wait()
		f := c.worlds[1].hub.feed
		f.mu.Lock()
		refs := f.follows["chat.b"].refs
		f.mu.Unlock()
		if refs != 1 {
			t.Errorf("%d hold chat.b, want the one that watches it", refs)
		}
	})
}

// A kick that a feed has lost is obeyed when the loss is reported, however late.
func TestLateKick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2, TestStoreOptions{}, &HubOptions{Limits: calm, Authenticate: tokenIsUser})
		ada := c.as(1, "ada")
		time.Sleep(time.Second)
		c.nodes[1].Fail(TestFaults{Late: true, Drop: func(e *BrokerEntry) bool { return e.Topic == topicKick }})
		if err := c.worlds[0].hub.Kick(t.Context(), "ada", CloseFinal, "out"); err != nil {
			t.Fatal(err)
		}
		c.worlds[0].publish("chat.a", 1)
		ada.want("chat.a 1")
		time.Sleep(time.Minute)
		c.worlds[0].publish("chat.a", 2)
		ada.want(fmt.Sprint("bye ", CloseFinal))
	})
}

// While the broker is away a connection with topics of the server's is told to come back, and Subscribe can be tried again.
func TestPushedWhileBrokerAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conns := make(chan *Conn, 9)
		c := newCluster(t, 2, TestStoreOptions{}, &HubOptions{
			Limits: calm,
			OnConnect: func(_ context.Context, c *Conn) {
				if len(conns) > 0 {
					_ = c.Subscribe("user.a")
				}
				conns <- c
			},
		})
		time.Sleep(time.Second)
		first := c.at(0)
		conn := <-conns
		c.nodes[0].Leave()
		synctest.Wait()
		if err := conn.Subscribe("later"); err == nil {
			t.Error("subscribed, though the broker is away")
		}
		conns <- conn
		second := c.at(0)
		time.Sleep(15 * time.Second)
		second.want(fmt.Sprint("bye ", wire.CloseTryLater))
		c.nodes[0].Return(true)
		time.Sleep(time.Minute)
		if err := conn.Subscribe("later"); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		c.worlds[1].publish("later", 1)
		for f := brief(first.next()); f != "later 1"; f = brief(first.next()) {
			if f == "end -1 internal" || f == "bye 1012" {
				t.Fatal(f)
			}
		}
	})
}

// A Presence value whose time is over while the broker is away is cleared once it is back.
func TestPresenceClearedAfterAbsence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2, TestStoreOptions{}, &HubOptions{
			Limits: calm, Topics: map[string]TopicOptions{"here.*": {Delivery: Presence}},
		})
		watch := c.at(1, "here.*")
		watch.want("ok 1")
		a := c.at(0)
		a.send(`{"op":"pub","ref":1,"topic":"here.ada","data":"a"}`)
		a.want("ok ref 1")
		watch.want(`here.ada "a"`)
		a.close()
		time.Sleep(7 * time.Second)
		c.nodes[0].Leave()
		time.Sleep(12 * time.Second) // its Linger ends meanwhile
		c.nodes[0].Return(true)
		time.Sleep(time.Minute)
		for m, err := range c.worlds[1].hub.Current(t.Context(), "here.*") {
			t.Fatalf("%s is still there: %s, %v", m.Topic, m.Data, err)
		}
		watch.want("here.ada gone")
	})
}

// State that the server subscribes may join when the stream has long gone on in the broker's store: its ok does not take the
// client's position back.
func TestPushedStateJoinsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2, TestStoreOptions{}, &HubOptions{
			Limits: Limits{PingInterval: calm.PingInterval, WindowBytes: 1 << 10},
			Topics: map[string]TopicOptions{"big.*": {Delivery: State}},
			OnConnect: func(_ context.Context, c *Conn) {
				_ = c.Subscribe("ev")
				_ = c.Subscribe("big.*")
			},
		})
		a := c.reconnects(0, "")
		for range 4 {
			a.next()
		}
		c.worlds[0].publish("ev", 0)
		pos := a.next().ID
		a.close()
		const values, events = 700, 1000
		for i := range values {
			c.worlds[0].publish(fmt.Sprint("big.", i), strings.Repeat("x", 400))
		}
		for i := range events {
			c.worlds[0].publish("ev", fmt.Sprint(i, strings.Repeat("y", 400)))
		}
		c.only.Store(1)
		b := c.dial(nil, wire.Protocol)
		b.link.Stall()
		b.send(fmt.Sprintf(`{"op":"hello","after":%q}`, pos))
		synctest.Wait() // the network has taken of both what it takes, which is less than the values
		b.link.Heal()
		for seen := 0; ; {
			f := b.next()
			if f.Op == "ok" && f.Sub == -2 {
				if seen == 0 || seen == events {
					t.Fatalf("it joins after %d messages of the stream: this shows nothing", seen)
				}
				if f.At != pos {
					t.Errorf("after %d messages its ok goes from %q to %q", seen, pos, f.At)
				}
				return
			}
			if f.Op == "" && f.Topic == "ev" {
				seen++
				pos = f.ID
			}
		}
	})
}
