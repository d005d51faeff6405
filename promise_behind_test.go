package hotline

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/gohotline/hotline/internal/frame"
	"github.com/gohotline/hotline/internal/wire"
)

// P4: a subscriber that reads nothing, or little, slows no publisher and delays no other subscriber. In a bubble time
// passes only when everybody waits, so not one nanosecond may pass here.
func TestP4SlowSubscriberDelaysNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		var live []*testClient
		for i := range 9 {
			c := w.client("chat.*")
			c.want("ok 1")
			switch i % 3 {
			case 0:
				c.link.Stall()
			case 1:
				c.link.Throttle(100)
			default:
				live = append(live, c)
			}
		}
		start := time.Now()
		for i := range 2000 {
			w.publish("chat.a", fmt.Sprintf("%d %s", i, strings.Repeat("x", 500)))
			if i%100 == 99 {
				for _, c := range live {
					for j := i - 99; j <= i; j++ {
						if f := c.next(); !strings.HasPrefix(string(f.Data), fmt.Sprintf(`"%d `, j)) {
							t.Fatalf("got %.40s, want %d", f.Data, j)
						}
					}
				}
			}
		}
		if d := time.Since(start); d > 0 {
			t.Errorf("publishing and receiving took %s", d)
		}
		if n := w.hub.Stats().Behind; n != 6 {
			t.Errorf("%d are behind, want 6", n)
		}
	})
}

// 100,000 missed messages arrive through a window of 64 KiB, in order, and those that are live are not held up by it.
func TestLongAbsence(t *testing.T) {
	n := 100_000
	if testing.Short() {
		n = 20_000
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		at := w.hub.Position()
		for i := range n {
			w.publish("chat.a", i)
		}
		live := w.client("chat.b")
		live.want("ok 1")
		c := w.client("chat.a "+at, "chat.b")
		okB := false
		for i := 0; i < n; {
			f := c.next()
			switch {
			case f.Op == "ok" && f.Sub == 1:
				i = n
			case f.Op == "ok":
				okB = true
			case f.Topic == "chat.a":
				if string(f.Data) != fmt.Sprint(i) {
					t.Fatalf("got %s, want %d", brief(f), i)
				}
				if i++; i%10_000 == 0 {
					w.publish("chat.b", i)
					live.want(fmt.Sprintf("chat.b %d", i))
				}
			}
		}
		for !okB {
			f := c.next()
			okB = f.Op == "ok" && f.Sub == 2 // it starts at the head, and the stream meets it there
		}
		w.publish("chat.a", "end")
		for {
			if f := c.next(); f.Topic == "chat.a" {
				if brief(f) != `chat.a "end"` {
					t.Fatal(brief(f))
				}
				break
			}
		}
	})
}

// A connection that is behind answers pings, has its publishes acked without waiting for the backlog, and closes at
// once. Only what the window and the network hold comes before the answer.
func TestBehindAnswersAtOnce(t *testing.T) {
	const backlog = 40 << 20
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		at := w.hub.Position()
		for range backlog / (20 << 10) {
			w.publish("chat.a", strings.Repeat("x", 20<<10))
		}
		c := w.dial(nil, wire.Protocol)
		c.auto = false
		c.link.Throttle(100_000)
		c.send(fmt.Sprintf(`{"op":"hello","subs":[{"sub":1,"topic":"chat.a","after":%q}]}`, at))
		time.Sleep(time.Second)
		start, bytes := time.Now(), 0
		c.send(`{"op":"pub","ref":1,"topic":"chat.b","data":1}`)
		for {
			f := c.next()
			if bytes += len(f.Data); f.Op == "ok" && f.HasRef {
				break
			}
		}
		if limit := (64 + 128 + 64) << 10; bytes > limit {
			t.Errorf("%d bytes came before the ack", bytes)
		}
		if d := time.Since(start); d > 3*time.Second {
			t.Errorf("the ack took %s", d)
		}
		// It is pinged while it is behind, and stays as long as it takes anything.
		ping := false
		for time.Since(start) < 40*time.Second {
			f := c.next()
			ping = ping || f.Op == "ping"
		}
		if !ping {
			t.Error("no ping")
		}
		var conn *Conn
		for conn = range w.hub.Conns() {
			conn.Close(CloseReconnect, "now")
		}
		bytes = 0
		for {
			f, err := c.read()
			if bytes += len(f.Data); err != nil {
				if websocket.CloseStatus(err) != CloseReconnect {
					t.Errorf("closed with %v", err)
				}
				break
			}
		}
		if limit := (64 + 128 + 64) << 10; bytes > limit {
			t.Errorf("%d bytes came before the close", bytes)
		}
	})
}

// A connection that reads nothing is closed at once as far as the hub is concerned, and its socket a moment later.
func TestCloseStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		c := w.client("chat.a")
		c.want("ok 1")
		c.link.Stall()
		for range 1000 {
			w.publish("chat.a", strings.Repeat("x", 1000))
		}
		synctest.Wait()
		start := time.Now()
		for conn := range w.hub.Conns() {
			conn.Close(CloseFinal, "banned")
			<-conn.Context().Done()
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("the context was done after %s", d)
		}
		for len(w.hub.snapshot()) > 0 {
			time.Sleep(10 * time.Millisecond)
		}
		if d := time.Since(start); d > 2*closeTimeout {
			t.Errorf("the connection was gone after %s", d)
		}
	})
}

// Nor does a peer that takes a byte now and then keep the hub from ending: progress counts while it is connected, not
// once it is to be closed.
func TestCloseDribbling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		c := w.client("chat.a")
		c.want("ok 1")
		c.link.Throttle(10)
		go c.closed()
		for range 1000 {
			w.publish("chat.a", strings.Repeat("x", 1000))
		}
		time.Sleep(time.Minute) // it lives: it takes something
		if n := len(w.hub.snapshot()); n != 1 {
			t.Fatalf("%d connections", n)
		}
		start := time.Now()
		w.hub.Close()
		if d := time.Since(start); d > 2*closeTimeout {
			t.Errorf("Close took %s", d)
		}
	})
}

// D7: who never reads the answers is no longer read, and costs no more memory; who reads them again is read on, and
// nothing is lost.
func TestUnreadAcks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Limits: Limits{PublishRate: -1, WriteTimeout: time.Hour, PingInterval: time.Hour}})
		c := w.client()
		c.link.Stall()
		const n = 20_000
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			for i := range n {
				c.send(fmt.Sprintf(`{"op":"pub","ref":%d,"topic":"chat.a","data":%d}`, i, i))
			}
		}()
		synctest.Wait()
		read := w.hub.Stats().MessagesIn
		time.Sleep(time.Minute)
		if now := w.hub.Stats().MessagesIn; now != read || read > n/2 {
			t.Errorf("%d messages were read, then %d", read, now)
		}
		for conn := range w.hub.Conns() {
			conn.mu.Lock()
			if len(conn.ctl) > 64<<10 {
				t.Errorf("the control lane holds %d bytes", len(conn.ctl))
			}
			conn.mu.Unlock()
		}
		c.link.Heal()
		for i := range n {
			c.want(fmt.Sprintf("ok ref %d", i))
		}
		<-sent
		if got := w.hub.Stats().Published; got != n {
			t.Errorf("%d were published", got)
		}
	})
}

// Answers of the data lane count likewise: who floods the hub with subscriptions and reads nothing is not read.
func TestUnreadSubscriptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Limits: Limits{PublishRate: -1, WriteTimeout: time.Hour, PingInterval: time.Hour}})
		c := w.client()
		c.link.Stall()
		const n = 10_000
		go func() {
			for i := range n {
				c.send(fmt.Sprintf(`{"op":"sub","sub":%d,"topic":"chat.a"}`, 2*i+1))
				c.send(fmt.Sprintf(`{"op":"unsub","sub":%d}`, 2*i+1))
			}
			c.send(`{"op":"pub","ref":1,"topic":"x","data":1}`)
		}()
		synctest.Wait()
		if read := w.hub.Stats().MessagesIn; read > n {
			t.Errorf("%d commands were read of a client that reads nothing", read)
		}
		c.link.Heal()
		oks, ends := 0, 0
		for {
			f := c.next()
			switch {
			case f.HasRef:
				synctest.Wait()
				if s := w.hub.Stats(); s.Subscriptions != 0 {
					t.Errorf("%d subscriptions are left", s.Subscriptions)
				}
				if oks > n || ends > n {
					t.Errorf("%d oks, %d ends", oks, ends)
				}
				return
			case f.Op == "ok":
				oks++
			case f.Op == "end":
				ends++
			}
		}
	})
}

// The commands of a client that asks for what is not there are answered or not, but never hold up the next.
func TestUnsubUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Limits: Limits{PublishRate: -1}})
		c := w.client()
		start := time.Now()
		for i := range 1000 {
			c.send(fmt.Sprintf(`{"op":"unsub","sub":%d}`, i+1))
		}
		c.send(`{"op":"pub","ref":1,"topic":"x","data":1}`)
		c.want("ok ref 1")
		if d := time.Since(start); d > 0 {
			t.Errorf("it took %s", d)
		}
	})
}

// Over the rate the hub reads more slowly. It refuses nothing, and keeps the order.
func TestRateSlows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Limits: Limits{PublishRate: 50}})
		c, other := w.client("chat.a"), w.client()
		c.want("ok 1")
		start := time.Now()
		const n = 600
		go func() {
			for i := range n {
				c.send(fmt.Sprintf(`{"op":"pub","ref":%d,"topic":"chat.a","data":%d}`, i, i))
			}
		}()
		var acks, msgs []string
		var burst int
		for len(acks)+len(msgs) < 2*n {
			f := c.next()
			if f.HasRef && f.Op == "ok" {
				if acks = append(acks, fmt.Sprint(f.Ref)); time.Since(start) == 0 {
					burst++
				}
			} else {
				msgs = append(msgs, string(f.Data))
			}
			if len(acks) == n/2 { // nobody else is slowed
				at := time.Now()
				other.send(`{"op":"pub","ref":1,"topic":"chat.b","data":1}`)
				other.want("ok ref 1")
				if d := time.Since(at); d > 0 {
					t.Errorf("another client waited for %s", d)
				}
			}
		}
		if want := count(0, n); !slices.Equal(acks, want) || !slices.Equal(msgs, want) {
			t.Errorf("acks %v, messages %v", acks, msgs)
		}
		if burst < 90 || burst > 110 {
			t.Errorf("%d at once, want about 100", burst)
		}
		if d := time.Since(start); d < 9*time.Second || d > 11*time.Second {
			t.Errorf("%d messages took %s", n, d)
		}
	})
}

// F8: Send never waits, and does not make the hub hold more than a window for a connection that reads nothing.
func TestSendBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		c := w.client()
		c.link.Stall()
		var conn *Conn
		for conn = range w.hub.Conns() {
		}
		ok := 0
		for range 1000 {
			for range 4 {
				if err := conn.Send("note", strings.Repeat("x", 1000)); err == nil {
					ok++
				} else if code, _ := refusal(err); code != wire.CodeLimit {
					t.Fatal(err)
				}
			}
			synctest.Wait()
		}
		// What the network holds, what is being written, and a window.
		if limit := (128<<10 + 3*64<<10) / 1000; ok > limit {
			t.Errorf("%d messages of 1 kB were taken, the limit is %d", ok, limit)
		}
		c.link.Heal()
		for range ok {
			if f := c.next(); f.Op != "send" {
				t.Fatal(brief(f))
			}
		}
		synctest.Wait()
		if err := conn.Send("note", 1); err != nil {
			t.Error(err)
		}
		c.want("send note 1")
		if n := w.hub.Stats().Dropped["send"]; n != int64(4000-ok) {
			t.Errorf("%d were dropped, want %d", n, 4000-ok)
		}
	})
}

// What a connection is closed with that has stalled is not written into the frame that was cut: if its peer reads on at
// that moment after all, it must not take it for the rest of a message.
func TestStalledCloseIsNoData(t *testing.T) {
	for size := 300; size < 320; size++ { // the cut is somewhere else each time
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			link := w.net.Link()
			c := w.rawOn(link)
			c.hello("a")
			if _, body, err := c.read(); err != nil || !strings.Contains(string(body), `"ok"`) {
				t.Fatalf("got %s %v", body, err)
			}
			link.Stall()
			for i := range 1000 { // more than the network takes
				w.publish("a", Binary(bytes.Repeat([]byte{byte(i)}, size)))
			}
			for conn := range w.hub.Conns() {
				<-conn.Context().Done()
			}
			link.Heal()
			n := 0
			for {
				op, body, err := c.read()
				if err != nil {
					break
				}
				if op == frame.Close {
					t.Errorf("%d: a Close frame stands where a frame was cut: %d %s", size, int(body[0])<<8+int(body[1]), body[2:])
				}
				if op != frame.Binary {
					continue
				}
				f, err := wire.DecodeServer(body, true)
				if err != nil || !bytes.Equal(f.Data, bytes.Repeat([]byte{byte(n)}, size)) {
					t.Fatalf("message %d of %d bytes is not what was published: %v, %q", n, size, err, f.Data)
				}
				n++
			}
		})
	}
}
