package hotline

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gohotline/hotline/internal/oracle"
)

var here = map[string]TopicOptions{
	"here.*": {Delivery: Presence}, "brief.*": {Delivery: Presence, Linger: -1}, "long.*": {Delivery: Presence, Linger: time.Hour},
}

// hold publishes a Presence value and expects to hold it.
func (c *testClient) hold(topic, data string) {
	c.t.Helper()
	c.send(fmt.Sprintf(`{"op":"pub","ref":1,"topic":%q,"data":%q}`, topic, data))
	if f := c.next(); brief(f) != "ok ref 1" || !f.Held {
		c.t.Fatalf("answered %+v", f)
	}
}

// A Presence value outlives its last connection by Linger and not longer; each kind of topic by its own.
func TestPresenceLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Topics: here})
		watch := w.client("here.*", "brief.*", "long.*")
		for range 3 {
			watch.next() // ok
		}
		c := w.client()
		for _, topic := range []string{"here.ada", "brief.ada", "long.ada"} {
			c.hold(topic, "busy")
			watch.want(topic + ` "busy"`)
		}
		start := time.Now()
		c.ws.CloseNow()
		watch.want("brief.ada gone")
		if d := time.Since(start); d > 10*time.Millisecond {
			t.Errorf("without Linger it was gone after %s", d)
		}
		watch.want("here.ada gone")
		if d := time.Since(start); d < 10*time.Second || d > 10*time.Second+10*time.Millisecond {
			t.Errorf("with the default it was gone after %s", d)
		}
		watch.want("long.ada gone")
		if d := time.Since(start); d < time.Hour || d > time.Hour+time.Second {
			t.Errorf("with an hour it was gone after %s", d)
		}
	})
}

// Several connections of a user hold a value together: the newest is shown, and it is there until the last has let go.
func TestPresenceOfSeveral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Topics: here})
		watch := w.client("here.*")
		watch.want("ok 1")
		phone, laptop, tv := w.client(), w.client(), w.client()
		phone.hold("here.ada", "phone")
		laptop.hold("here.ada", "laptop")
		watch.want(`here.ada "phone"`, `here.ada "laptop"`)
		phone.ws.CloseNow()
		laptop.send(`{"op":"pub","ref":2,"topic":"here.ada","data":null}`)
		watch.want("here.ada gone") // nobody else held it any more
		laptop.want("ok ref 2")
		if got := w.current("here.*"); got != "" {
			t.Errorf("there is %q", got)
		}

		phone = w.client()
		phone.hold("here.ada", "phone")
		tv.hold("here.ada", "tv")
		watch.want(`here.ada "phone"`, `here.ada "tv"`)
		// Who gives it up while another holds it changes nothing for the others.
		phone.send(`{"op":"pub","ref":2,"topic":"here.ada","data":null}`)
		if f := phone.next(); brief(f) != "ok ref 2" || f.Held {
			t.Errorf("answered %+v", f)
		}
		start := time.Now()
		phone.ws.CloseNow()
		tv.ws.CloseNow()
		watch.want("here.ada gone")
		if d := time.Since(start); d < 10*time.Second || d > 11*time.Second {
			t.Errorf("it was gone after %s", d)
		}
		// A value of the server's belongs to nobody, and stays.
		w.publish("here.bot", "always")
		watch.want(`here.bot "always"`)
		laptop.hold("here.bot", "guest")
		watch.want(`here.bot "guest"`)
		for conn := range w.hub.Conns() {
			if conn.subs.Load() == 0 {
				conn.Close(CloseReconnect, "")
			}
		}
		watch.want("here.bot gone") // it was the last holder's
	})
}

// Who reconnects within Linger and publishes again is never seen to leave. Who is behind at that moment is not seen to
// leave either.
func TestPresenceReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Topics: here})
		watch := w.client("here.*")
		watch.want("ok 1")
		for i := range 20 {
			c := w.client()
			c.hold("here.ada", fmt.Sprint(i))
			watch.want(fmt.Sprintf(`here.ada "%d"`, i))
			time.Sleep(time.Duration(i) * 100 * time.Millisecond)
			c.ws.CloseNow()
			time.Sleep(9 * time.Second)
		}
		watch.want("here.ada gone")
		// The next connection may come before the hub has noticed the end of the one before.
		old := w.client()
		old.hold("here.ada", "old")
		old.link.Blackhole()
		c := w.client()
		c.hold("here.ada", "new")
		watch.want(`here.ada "old"`, `here.ada "new"`)
		done := make(chan struct{})
		go func() {
			defer close(done)
			c.closed()
		}()
		end := time.Now().Add(time.Minute)
		for time.Now().Before(end) { // old is given up meanwhile
			ctx, cancel := context.WithDeadline(context.Background(), end)
			_, _, err := watch.ws.Read(ctx)
			cancel()
			if err != nil {
				break
			}
			if got := w.current("here.*"); got != `here.ada "new" ` {
				t.Fatalf("there is %q", got)
			}
			_ = watch.ws.Write(context.Background(), 1, []byte(`{"op":"pong"}`))
		}
		if got := w.current("here.*"); got != `here.ada "new" ` {
			t.Errorf("there is %q", got)
		}
		c.ws.CloseNow()
		<-done
	})
}

// After a restart of its hub a client's State and Presence begin anew: what it held of the old hub is gone unless it is
// published again, and revisions of the old one mean nothing.
func TestStateAfterRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		topics := map[string]TopicOptions{"price.>": {Delivery: State}, "here.*": {Delivery: Presence}}
		first := newWorld(t, &HubOptions{Topics: topics})
		o := oracle.New()
		o.NextLife(first.hub.Position())
		c := newStrict(first, o, "client")
		prices, people := c.subscribe("price.>", "", 0), c.subscribe("here.*", "", 0)
		time.Sleep(time.Second)
		for i := range 10 {
			first.publish(fmt.Sprint("price.", i), "old")
			first.publish(fmt.Sprint("here.", i), "old")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(prices.values) != 10 || len(people.values) != 10 {
			t.Fatalf("%d prices, %d people", len(prices.values), len(people.values))
		}
		second := newWorld(t, &HubOptions{Topics: topics})
		o.NextLife(second.hub.Position())
		second.publish("price.3", "new")
		second.publish("here.4", "new")
		c.mu.Lock()
		c.w, c.link = second, second.net.Link()
		c.mu.Unlock()
		first.hub.Close()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		for _, s := range []*strictSub{prices, people} {
			if len(s.values) != 10 {
				t.Errorf("%d values", len(s.values))
			}
			for topic, v := range s.values {
				if want := map[string]string{"price.3": `"new"`, "here.4": `"new"`}[topic]; v.Data != want {
					t.Errorf("%s is %s, want %s", topic, v.Data, want)
				}
			}
			if !s.joined {
				t.Errorf("%s has not joined", s.topic)
			}
		}
		c.stop()
		for _, f := range o.Verdict() {
			t.Error(f)
		}
	})
}

// F11: a reader in process holds a number and nothing else: however much is published it has all that the log holds,
// then Missed. Signals come only while it waits, and no more than 64 at a time.
func TestReaderInProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Limits: Limits{LogBytes: 64 << 10}, Topics: map[string]TopicOptions{"typing": {Delivery: Signals}}})
		s := w.subscribe("a", nil)
		at := s.Position()
		for range 2000 {
			w.publish("a", "0123456789")
		}
		w.publish("a", "end")
		m := w.next(s, 1)[0]
		n := 1
		for missed := m.Missed; ; n++ {
			if string(m.Data) == `"end"` {
				if missed == 0 || n < 100 || n > 1000 { // the log holds a few hundred
					t.Errorf("%d were missed, %d came", missed, n)
				}
				break
			}
			m = w.next(s, 1)[0]
			if m.Missed != 0 {
				t.Fatalf("missed %d more", m.Missed)
			}
		}
		if s.Position() == at || s.Position() != w.hub.Position() {
			t.Errorf("it stands at %s, the head is %s", s.Position(), w.hub.Position())
		}

		typing := w.subscribe("typing", nil)
		w.publish("typing", "nobody waits")
		synctest.Wait()
		w.idle(typing)
		got := make(chan Message)
		go func() {
			for {
				m, err := typing.Next(context.Background())
				if err != nil {
					close(got)
					return
				}
				got <- m
			}
		}()
		synctest.Wait()
		for i := range 200 {
			w.publish("typing", i)
		}
		synctest.Wait()
		last := -1
		n = 0
		for quiet := false; !quiet; {
			select {
			case m := <-got:
				var i int
				fmt.Sscan(string(m.Data), &i)
				if n++; m.ID != "" || i <= last {
					t.Errorf("%+v after %d", m, last)
				}
				last = i
			case <-time.After(time.Second):
				quiet = true
			}
		}
		if n == 0 || n > maxSignals+1 {
			t.Errorf("%d signals came", n)
		}
		typing.Close()
		for range got {
		}
		if n := w.hub.Stats().Dropped["behind"]; n < 100 {
			t.Errorf("%d were dropped", n)
		}
	})
}

// A value is not cleared that somebody else has come to hold at that very moment, whether it is given up or its Linger is
// over.
func TestPresenceHandedOver(t *testing.T) {
	w := newRealWorld(t, &HubOptions{Topics: map[string]TopicOptions{"here.*": {Delivery: Presence, Linger: -1}}})
	w.client()
	var keeper *Conn
	for keeper = range w.hub.Conns() {
	}
	ctx := context.Background()
	rounds := 3000
	if testing.Short() || raceEnabled {
		rounds = 500
	}
	for i := range rounds {
		topic := fmt.Sprint("here.", i)
		other := w.hub.newConn(false) // it has no socket, and needs none to hold a value
		if err := other.Publish(ctx, topic, "old"); err != nil {
			t.Fatal(err)
		}
		var g sync.WaitGroup
		g.Go(func() {
			if i%2 == 0 {
				if err := other.Publish(ctx, topic, nil); err != nil {
					t.Error(err)
				}
				return
			}
			w.hub.presence.leave(other)
		})
		g.Go(func() {
			for range i % 50 {
				runtime.Gosched()
			}
			if err := keeper.Publish(ctx, topic, "new"); err != nil {
				t.Error(err)
			}
		})
		g.Wait()
		if got := w.current(topic); got != topic+` "new" ` {
			t.Fatalf("round %d: there is %q", i, got)
		}
	}
	time.Sleep(10 * time.Millisecond) // clocks of the values that were left
	for i := range rounds {
		if got := w.current(fmt.Sprint("here.", i)); got == "" {
			t.Fatalf("round %d: it was cleared later", i)
		}
	}
}

// A value whose next one could not be stored is cleared like any other once nobody holds it.
func TestPresenceThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Topics: here})
		a := w.client()
		a.hold("here.ada", "busy")
		a.ws.CloseNow()
		time.Sleep(time.Second)
		b := w.client()
		var conn *Conn
		for conn = range w.hub.Conns() {
		}
		p, err := w.hub.publication("here.ada", "late")
		if err != nil {
			t.Fatal(err)
		}
		p.conn = conn
		p.data = make([]byte, stateBytes) // it does not fit
		if _, _, err := w.hub.store(context.Background(), p); err == nil {
			t.Fatal("it was stored")
		}
		go b.closed()
		time.Sleep(time.Minute)
		if got := w.current("here.*"); got != "" {
			t.Errorf("a minute after its last holder left there is %q", got)
		}
	})
}
