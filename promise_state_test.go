package hotline

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gohotline/hotline/internal/oracle"
	"github.com/gohotline/hotline/internal/wire"
)

var prices = map[string]TopicOptions{"price.>": {Delivery: State}}

// P8: whatever happens to a subscriber, it converges to the last value of each topic and to its absence, and never sees
// an older value after a newer one.
func TestP8StateConverges(t *testing.T) {
	bubbles(t, 8, func(t *testing.T, seed uint64) {
		w := newWorld(t, &HubOptions{
			Limits: Limits{WindowBytes: 2 << 10 << (seed % 4)},
			Topics: map[string]TopicOptions{"price.>": {Delivery: State}, "price.old.*": {Delivery: State, MaxAge: 3 * time.Second}},
		})
		s := &storm{t: t, w: w, o: oracle.New(), faults: true, length: 20 * time.Second}
		var topics []string
		for i := range 30 {
			topics = append(topics, fmt.Sprintf("price.%s.%d", []string{"eu", "us", "old"}[i%3], i))
		}
		var wg sync.WaitGroup
		for p := range 3 {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(seed, uint64(p)))
				for end := time.Now().Add(s.length); time.Now().Before(end); {
					for range rng.IntN(60) {
						topic := topics[min(rng.IntN(len(topics)), rng.IntN(len(topics)))]
						if rng.IntN(5) == 0 {
							w.publish(topic, nil)
						} else {
							w.publish(topic, fmt.Sprintf("%d %s", rng.Int(), strings.Repeat("x", rng.IntN(1000))))
						}
					}
					time.Sleep(time.Duration(rng.Int64N(int64(200 * time.Millisecond))))
				}
			})
		}
		for i, list := range [][]string{{"price.>"}, {"price.eu.*", "price.*.0"}, {"price.eu.0", "price.us.1", ">"}, {"price.old.*"}} {
			c := newStrict(w, s.o, fmt.Sprint("client", i))
			for _, topic := range list {
				c.subscribe(topic, "", 0)
			}
			s.clients = append(s.clients, c)
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(seed, uint64(100+i)))
				for end := time.Now().Add(s.length); time.Now().Before(end); {
					time.Sleep(time.Duration(rng.Int64N(int64(2 * time.Second))))
					if k := rng.IntN(4); k == 0 {
						c.mu.Lock()
						sub := c.subs[0]
						c.mu.Unlock()
						c.unsubscribe(sub, true)
					} else {
						s.fault(c, rng)
					}
				}
				c.link.Heal()
			})
		}
		wg.Wait()
		s.settle()
		for _, c := range s.clients {
			c.stop()
		}
		s.judge()
	})
}

// A client that takes ten values a second of a topic that changes a thousand times a second is shown a few of them, in
// order, the last among them.
func TestStateConflates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Topics: prices})
		c := w.client("price.a")
		c.want("ok 1")
		pad := strings.Repeat("x", 1000)
		c.link.Throttle(10 * 1000)
		go func() {
			for i := range 30_000 {
				w.publish("price.a", fmt.Sprintf("%d %s", i, pad))
				time.Sleep(time.Millisecond)
			}
		}()
		last, n, start := -1, 0, time.Now()
		for last < 30_000-1 {
			f := c.next()
			var i int
			fmt.Sscanf(string(f.Data), `"%d`, &i)
			if i <= last {
				t.Fatalf("got %d after %d", i, last)
			}
			last = i
			n++
		}
		// Behind stands only what the network and the window hold: 128 KiB and 64 KiB.
		if d := time.Since(start); n > 600 || d > 52*time.Second {
			t.Errorf("%d values came in %s", n, d)
		}
	})
}

// A value that is cleared while a connection is behind is gone when it has caught up; who comes later never hears of it.
func TestStateCleared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Topics: prices})
		for _, x := range []string{"a", "b", "c"} {
			w.publish("price."+x, 1)
		}
		c := w.client("price.*")
		c.want("1: price.a 1", "1: price.b 1", "1: price.c 1", "ok 1")
		c.link.Stall()
		for i := 0; w.hub.Stats().Behind == 0; i++ {
			w.publish("price.c", fmt.Sprint(i, strings.Repeat("x", 1000)))
			synctest.Wait() // or the newest value would stand for many
		}
		w.publish("price.a", 2)
		w.publish("price.a", nil)
		w.publish("price.b", nil)
		w.publish("price.b", 3)
		w.publish("price.d", 4)
		w.publish("price.d", nil)
		w.publish("price.never", nil)
		w.publish("price.end", 5)
		c.link.Heal()
		var tail []string
		for len(tail) == 0 || tail[len(tail)-1] != "price.end 5" {
			if f := c.next(); f.Topic != "price.c" {
				tail = append(tail, brief(f))
			}
		}
		// d was never shown: that it is gone may be said, and need not.
		got := strings.ReplaceAll(fmt.Sprint(tail), "price.d gone ", "")
		if want := "[price.a gone price.b 3 price.end 5]"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		other := w.client("price.*")
		if f := other.next(); f.Topic != "price.c" {
			t.Error(brief(f))
		}
		other.want("1: price.b 3", "1: price.end 5", "ok 1")
	})
}

// A connection that has taken longer than tombstones are kept to read on is told to begin again, and then has what
// there is.
func TestStateReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Topics: prices, Limits: Limits{WriteTimeout: time.Hour, PingInterval: time.Hour}})
		s := &storm{t: t, w: w, o: oracle.New()}
		w.publish("price.a", 1)
		w.publish("price.b", 1)
		c := newStrict(w, s.o, "client")
		resets := 0
		c.mu.Lock()
		c.sabotage = func(f *wire.ServerFrame) []*wire.ServerFrame {
			if f.Op == "reset" {
				resets++
			}
			return []*wire.ServerFrame{f}
		}
		c.mu.Unlock()
		sub := c.subscribe("price.*", "", 0)
		c.subscribe("load", "", 0)
		s.clients = append(s.clients, c)
		time.Sleep(time.Second)
		c.link.Stall()
		for range 1000 {
			w.publish("load", strings.Repeat("x", 1000))
		}
		time.Sleep(time.Minute) // by now the buffers are full
		w.publish("price.a", nil)
		time.Sleep(keyMemory + 10*time.Second)
		if n := w.hub.Stats().Conns; n != 1 || c.dials != 1 {
			t.Fatalf("%d connections, %d dials", n, c.dials)
		}
		c.link.Heal()
		s.settle()
		c.stop()
		if resets != 1 || sub.values["price.a"].Data != "" || c.dials != 1 {
			t.Errorf("%d resets, %d dials, %v", resets, c.dials, sub.values)
		}
	})
}

// A State value that is older than MaxAge is cleared; an Events message that is, is a loss to whoever still needs it.
func TestMaxAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Topics: map[string]TopicOptions{
			"price.*": {Delivery: State, MaxAge: 10 * time.Second}, "offer.*": {MaxAge: 10 * time.Second, Keep: 10},
		}})
		w.publish("offer.a", 1)
		at := w.hub.Position()
		w.publish("price.a", 1)
		w.publish("price.b", 1)
		c := w.client("price.*")
		c.want("1: price.a 1", "1: price.b 1", "ok 1")
		time.Sleep(5 * time.Second)
		w.publish("price.b", 2)
		w.publish("offer.a", 2)
		c.want("price.b 2")
		start := time.Now()
		c.want("price.a gone")
		if d := time.Since(start); d < 4*time.Second || d > 7*time.Second {
			t.Errorf("it was gone after %s", d)
		}
		c.want("price.b gone")
		for m := range w.hub.Current(t.Context(), ">") {
			t.Errorf("%s is still there", m.Topic)
		}
		w.publish("offer.a", 3)
		c = w.client("offer.a "+at, "offer.a replay=5")
		got := map[string]bool{}
		for range 5 {
			got[brief(c.next())] = true
		}
		for _, want := range []string{"gap [1] expired", "1: gap [1] expired"} {
			if got[want] {
				delete(got, want)
			}
		}
		if len(got) != 4 || !got["ok 1"] || !got["ok 2"] || !got["2: offer.a 3"] {
			t.Errorf("got %v", got)
		}
	})
}

// A State or Presence value in process: those that are there, marked as such, then the newest of each.
func TestStateInProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Topics: prices})
		w.publish("price.a", 1)
		w.publish("price.b", 1)
		w.publish("price.b", nil)
		s := w.subscribe("price.>", nil)
		if m := w.next(s, 1)[0]; !m.Replayed || m.Topic != "price.a" || m.ID != "" {
			t.Errorf("got %+v", m)
		}
		w.idle(s)
		for i := range 1000 {
			w.publish("price.a", i)
			w.publish("price.c", i)
		}
		w.publish("price.a", nil)
		list := w.next(s, 2)
		if list[0].Topic != "price.c" || string(list[0].Data) != "999" || list[0].Replayed || list[1].Topic != "price.a" || list[1].Data != nil {
			t.Errorf("got %+v", list)
		}
		w.idle(s)
	})
}

// A reader in process finds its topic among any number of others, and hears of values that did not fit in the shard's
// inbox.
func TestStateInProcessAmongMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Topics: prices})
		for i := range 40_000 {
			w.publish(fmt.Sprintf("price.%d", i), json.RawMessage("1"))
		}
		w.publish("price.last", 7)
		s := w.subscribe("price.last", nil)
		if m := w.next(s, 1)[0]; string(m.Data) != "7" {
			t.Errorf("got %+v", m)
		}
		all := w.subscribe("price.>", nil)
		w.next(all, 40_001)
		w.idle(all)

		// More State than the shards take at a time, while they do something else.
		waiting := make(chan Message)
		go func() { waiting <- w.next(s, 1)[0] }()
		synctest.Wait()
		resume := make(chan struct{})
		for _, sh := range w.hub.shards {
			sh.do(func() { <-resume })
		}
		synctest.Wait()
		pad := strings.Repeat("x", 1<<20-2)
		for range 2 * liveBytes >> 20 {
			w.publish("price.big", pad)
		}
		w.publish("price.last", 8)
		close(resume)
		if m := <-waiting; string(m.Data) != "8" {
			t.Errorf("got %.40s", m.Data)
		}
	})
}

// Row 29 of the failure table: a client that steadily reads 60 KB/s from a real socket is never cut off under a flood of
// State, and what it reads is young: the kernel's buffers hold little. On an idle machine it is less than 2 s old, which
// a run at full length checks; were it all in the kernel's buffers it would be as old as the test.
func TestSlowReaderOfState(t *testing.T) {
	length, limit := 5*time.Second, 4*time.Second
	if full() {
		length, limit = time.Minute, 2*time.Second
	}
	w := newRealWorld(t, &HubOptions{Topics: prices, Limits: Limits{WriteTimeout: 2 * time.Second, PingInterval: time.Second}})
	nc, err := (&net.Dialer{}).Dial("tcp", strings.TrimPrefix(w.url, "ws://"))
	if err != nil {
		t.Fatal(err)
	}
	nc.(*net.TCPConn).SetReadBuffer(8 << 10)
	c := newRawClient(t, &slowConn{Conn: nc}, wire.Protocol)
	c.hello("price.a")
	done := make(chan struct{})
	var wg sync.WaitGroup
	start := time.Now()
	wg.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		pad := strings.Repeat("x", 1000)
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				w.hub.Publish(t.Context(), "price.a", fmt.Sprintf("%d %s", time.Since(start).Milliseconds(), pad))
			}
		}
	})
	var oldest time.Duration
	n := 0
	for time.Since(start) < length {
		_, body, err := c.read()
		if err != nil {
			t.Fatalf("after %s: %v", time.Since(start), err)
		}
		f, err := wire.DecodeServer(body, false)
		if err != nil {
			t.Fatal(err)
		}
		if f.Op == "ping" {
			c.write(clientFrame(1, true, []byte(`{"op":"pong"}`)))
		}
		if f.Topic != "" {
			var ms int64
			fmt.Sscanf(string(f.Data), `"%d`, &ms)
			oldest = max(oldest, time.Since(start)-time.Duration(ms)*time.Millisecond)
			n++
		}
	}
	close(done)
	wg.Wait()
	t.Logf("%d values, the oldest was %s old", n, oldest)
	if oldest > limit || n < 50 {
		t.Errorf("%d values, the oldest was %s old", n, oldest)
	}
}

// slowConn reads 60 KB a second, and makes up for a sleep that was too long.
type slowConn struct {
	net.Conn
	due time.Time
}

func (c *slowConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p[:min(len(p), 2000)])
	if now := time.Now(); c.due.Before(now.Add(-time.Second)) {
		c.due = now
	}
	c.due = c.due.Add(time.Duration(n) * time.Second / 60_000)
	time.Sleep(time.Until(c.due))
	return n, err
}
