package hotline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gohotline/hotline/internal/frame"
	"github.com/gohotline/hotline/internal/wire"
)

// Row 3 of the failure table: a network that swallows everything. The hub gives the connection up after exactly
// interval and grace, and takes nothing else for life.
func TestBlackhole(t *testing.T) {
	for name, tt := range map[string]struct {
		subs, publish bool
	}{"idle": {}, "sent to": {true, true}, "plainly subscribed": {true, false}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ended := make(chan error, 1)
				w := newWorld(t, &HubOptions{OnDisconnect: func(_ context.Context, _ *Conn, err error) { ended <- err }})
				c := w.client()
				if tt.subs {
					c.send(`{"op":"sub","sub":1,"topic":"a"}`)
					c.want("ok 1")
				}
				c.link.Blackhole()
				start := time.Now()
				if tt.publish { // what the network takes is no sign of life
					for range 10 {
						w.publish("a", 1)
						time.Sleep(time.Second)
					}
				}
				err := <-ended
				if d := time.Since(start); !errors.Is(err, errNoPong) || d < 35*time.Second || d > 36*time.Second+closeTimeout {
					t.Errorf("ended with %v after %s", err, d)
				}
			})
		})
	}
}

// F6: after the Close frame that answers the client's nothing follows, though there is more to send.
func TestNothingAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		stop := make(chan struct{})
		var g sync.WaitGroup
		g.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					w.publish("a", i)
					time.Sleep(10 * time.Microsecond)
				}
			}
		})
		for n := range 50 {
			c := w.raw(wire.Protocol)
			c.hello("a")
			time.Sleep(time.Duration(n) * 7 * time.Microsecond)
			c.write(clientFrame(frame.Close, true, []byte{0x03, 0xe8}))
			closes := 0
			for {
				op, body, err := c.read()
				if err != nil {
					if !strings.Contains(err.Error(), "EOF") {
						t.Errorf("ended with %v", err)
					}
					break
				}
				if closes > 0 {
					t.Fatalf("after the Close frame came %d %q", op, body)
				}
				if op == frame.Close {
					if closes++; !bytes.Equal(body, []byte{0x03, 0xe8}) {
						t.Errorf("answered with % x", body)
					}
				}
			}
			if closes != 1 {
				t.Errorf("%d Close frames", closes)
			}
		}
		close(stop)
		g.Wait()
	})
}

// F7: a window takes at least one message, however large, and whole.
func TestLargeMessageSmallWindow(t *testing.T) {
	for _, network := range []string{"in memory", "on a socket"} {
		t.Run(network, func(t *testing.T) {
			opts := &HubOptions{Limits: Limits{WindowBytes: minWindowBytes}, Topics: map[string]TopicOptions{"price.*": {Delivery: State}}}
			var w *world
			var c *testClient
			test := func(t *testing.T) {
				c.want("ok 1", "ok 2")
				for _, size := range []int{10, 2000, 1 << 20, 1 << 10, 500 << 10} {
					for _, topic := range []string{"a", "price.a"} {
						text := strings.Repeat("x", size-2)
						w.publish(topic, text)
						if f := c.next(); f.Topic != topic || len(f.Data) != size {
							t.Fatalf("of %d bytes came %d", size, len(f.Data))
						}
					}
				}
				late := c
				for range 3 {
					w.publish("a", strings.Repeat("y", 1<<20-2))
				}
				for range 3 {
					if f := late.next(); len(f.Data) != 1<<20 {
						t.Fatal(len(f.Data))
					}
				}
			}
			if network == "in memory" {
				synctest.Test(t, func(t *testing.T) {
					w = newWorld(t, opts)
					c = w.client("a", "price.a")
					test(t)
				})
				return
			}
			rw := newRealWorld(t, opts)
			w, c = rw.world, rw.client("a", "price.a")
			test(t)
		})
	}
}

// Row 17 of the failure table, on real sockets: the 129th subscription is refused and the connection lives; a flood is
// slowed and loses nothing; who never reads the answers is closed; all of it costs a bounded amount of memory.
func TestFloods(t *testing.T) {
	w := newRealWorld(t, &HubOptions{Limits: Limits{PublishRate: 2000, WriteTimeout: 3 * time.Second}})
	c := w.client()
	for i := range 130 {
		c.send(fmt.Sprintf(`{"op":"sub","sub":%d,"topic":"t.%d"}`, i+1, i))
		want := fmt.Sprintf("ok %d", i+1)
		if i >= 128 {
			want = fmt.Sprintf("end %d limit", i+1)
		}
		c.want(want)
	}
	c.send(`{"op":"unsub","sub":5}`)
	c.want("end 5")
	c.send(`{"op":"sub","sub":131,"topic":"t.5"}`)
	c.want("ok 131")

	const n = 6000 // 4000 in the burst
	start := time.Now()
	go func() {
		for i := range n {
			c.send(fmt.Sprintf(`{"op":"pub","ref":%d,"topic":"flood","data":%d}`, i, i))
		}
	}()
	for i := range n {
		c.want(fmt.Sprintf("ok ref %d", i))
	}
	if d := time.Since(start); d < 900*time.Millisecond {
		t.Errorf("%d publishes took %s", n, d)
	}
	c.close()

	var clients []*rawClient
	for range 20 {
		c := w.raw(wire.Protocol)
		c.nc.(interface{ SetReadBuffer(int) error }).SetReadBuffer(4 << 10)
		c.hello()
		clients = append(clients, c)
	}
	before := heap()
	var g, blocked sync.WaitGroup
	blocked.Add(len(clients))
	measured := make(chan struct{})
	var sent atomic.Int64
	for i, c := range clients {
		g.Go(func() {
			var b []byte
			for k := range 200 {
				switch i % 3 {
				case 0:
					b = append(b, clientFrame(frame.Text, true, fmt.Appendf(nil, `{"op":"nothing","ref":%d}`, k))...)
				case 1:
					b = append(b, clientFrame(frame.Ping, true, bytes.Repeat([]byte("p"), 125))...)
				default:
					b = append(b, clientFrame(frame.Text, true, fmt.Appendf(nil, `{"op":"sub","sub":%d,"topic":"..."}`, k+1))...)
				}
			}
			write := func(within time.Duration) error {
				c.nc.SetWriteDeadline(time.Now().Add(within))
				n, err := c.nc.Write(b)
				sent.Add(int64(n))
				b = append(b[n:], b[:n]...) // a frame goes on where it was cut
				return err
			}
			for write(500*time.Millisecond) == nil {
			}
			blocked.Done()
			<-measured
			for { // until the hub closes the connection
				if err := write(time.Minute); errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("flood %d: still connected", i)
					return
				} else if err != nil {
					return
				}
			}
		})
	}
	blocked.Wait()
	limit := len(clients)*(128<<10) + 4<<20
	grown := heap() - before
	for tries := 0; tries < 5 && grown > limit; tries++ { // what other tests have left may be let go of late
		time.Sleep(100 * time.Millisecond)
		grown = min(grown, heap()-before)
	}
	close(measured)
	g.Wait()
	t.Logf("%d KiB were sent, the heap has grown by %d KiB", sent.Load()>>10, grown>>10)
	if grown > limit && !raceEnabled {
		t.Errorf("the heap has grown by %d KiB, the limit is %d", grown>>10, limit>>10)
	}
}

// What a stalled connection has not taken is not kept by the kernel either, once the hub has closed it.
func TestStalledIsReset(t *testing.T) {
	w := newRealWorld(t, &HubOptions{Limits: Limits{WriteTimeout: 200 * time.Millisecond}})
	c := w.raw(wire.Protocol)
	_ = c.nc.(*net.TCPConn).SetReadBuffer(4 << 10)
	c.hello("a")
	for range 2000 {
		w.publish("a", strings.Repeat("x", 1000))
	}
	for len(w.hub.snapshot()) > 0 {
		time.Sleep(time.Millisecond)
	}
	c.nc.SetReadDeadline(time.Now().Add(time.Minute))
	_, err := io.Copy(io.Discard, c.br)
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client has read to the end: %v", err)
	}
}

// A ping is answered with one pong that says the same. More of them than the rate are read as slowly as anything else.
func TestPingFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Limits: Limits{PublishRate: 10}})
		for name, flood := range map[string][]byte{
			"pings": clientFrame(frame.Ping, true, []byte("p")), "pongs": clientFrame(frame.Pong, true, nil),
			"answers": clientFrame(frame.Text, true, []byte(`{"op":"pong"}`)),
		} {
			c := w.raw(wire.Protocol)
			c.hello()
			start := time.Now()
			c.write(bytes.Repeat(flood, 120)) // 20 of them at once
			c.write(clientFrame(frame.Ping, true, []byte("end")))
			pongs := 0
			for {
				op, body, err := c.read()
				if err != nil || op != frame.Pong {
					t.Fatalf("%s: %d %q %v", name, op, body, err)
				}
				if string(body) == "end" {
					break
				}
				pongs++
			}
			if d := time.Since(start); d < 9*time.Second || d > 11*time.Second || pongs != 0 && pongs != 120 {
				t.Errorf("%s: %d pongs in %s", name, pongs, d)
			}
			c.nc.Close()
		}
	})
}

// Row 18 of the failure table: patterns are for subscriptions alone, and what a client may subscribe to is asked of the
// pattern itself.
func TestTopicInjection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		allow := Allow("chat.*", "user.{user}.>")
		w := newWorld(t, &HubOptions{AuthorizeSubscribe: allow, AuthorizePublish: allow})
		c := w.client()
		n := 0
		for topic, code := range map[string]string{
			"chat.a": "", "chat.*": "", "chat.>": "denied", ">": "denied", "*": "denied", "*.*": "denied", "chat": "denied",
			"chat.a.b": "denied", "user..x": "invalid", "user.*.x": "denied", "user.>": "denied", "user.{user}.x": "invalid",
			"$sys.a": "invalid", "chat.*a": "invalid", "chat. a": "invalid", "chat.\u0000": "invalid", "": "invalid",
			strings.Repeat("a", 256): "invalid",
		} {
			n++
			quoted, _ := json.Marshal(topic)
			c.send(fmt.Sprintf(`{"op":"sub","sub":%d,"topic":%s}`, n, quoted))
			want := strings.TrimSpace(fmt.Sprintf("end %d %s", n, code))
			if code == "" {
				want = fmt.Sprintf("ok %d", n)
			}
			if got := brief(c.next()); got != want {
				t.Errorf("subscribing to %.30q: %s, want %s", topic, got, want)
			}
			if code == "" && !strings.Contains(topic, "*") {
				continue
			}
			if strings.ContainsAny(topic, "*>") {
				code = "invalid"
			}
			c.send(fmt.Sprintf(`{"op":"pub","ref":%d,"topic":%s,"data":1}`, n, quoted))
			if got, want := brief(c.next()), fmt.Sprintf("err ref %d %s", n, code); got != want {
				t.Errorf("publishing to %.30q: %s, want %s", topic, got, want)
			}
			if err := w.hub.Publish(t.Context(), topic, 1); code == "invalid" && !errors.Is(err, ErrInvalid) {
				t.Errorf("Publish to %.30q: %v", topic, err)
			}
		}
	})
}

// Row 20 of the failure table: connections that come and go, subscribe and publish at random on real sockets, under the
// race detector; then nothing is left.
func TestChurn(t *testing.T) {
	w := newRealWorld(t, &HubOptions{
		Limits: Limits{LogBytes: 1 << 20, PublishRate: -1},
		Topics: map[string]TopicOptions{
			"price.*": {Delivery: State}, "here.*": {Delivery: Presence, Linger: 10 * time.Millisecond}, "typing.*": {Delivery: Signals}, "kept.*": {Keep: 5},
		},
		OnConnect:    func(_ context.Context, c *Conn) { _ = c.Subscribe("inbox") },
		OnDisconnect: func(_ context.Context, c *Conn, _ error) { _ = c.Send("late", 1) },
		OnMessage:    func(_ context.Context, c *Conn, _ []byte) { _ = c.Send("x", 1) },
	})
	topics := []string{"chat.a", "chat.b", "price.a", "here.a", "typing.a", "kept.a"}
	length := 2 * time.Second
	if testing.Short() {
		length /= 4
	}
	end := time.Now().Add(length)
	var g sync.WaitGroup
	for i := range 8 {
		g.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(i)))
			for time.Now().Before(end) {
				churn(w, rng, topics)
			}
		})
	}
	g.Go(func() {
		for n := 0; time.Now().Before(end); n++ {
			topic := topics[n%len(topics)]
			_ = w.hub.Publish(context.Background(), topic, n)
			for c := range w.hub.Conns() {
				switch n % 50 {
				case 0:
					_ = c.Subscribe("chat.*")
				case 1:
					_ = c.Send("note", n)
				case 2:
					_ = c.Publish(context.Background(), "here.a", n)
				case 3:
					c.Close(CloseReconnect, "churn")
				}
				break
			}
			_ = w.hub.Stats()
			runtime.Gosched()
		}
	})
	g.Go(func() {
		for time.Now().Before(end) {
			s, err := w.hub.Subscribe(context.Background(), ">", &SubscribeOptions{Replay: 3})
			if err != nil {
				t.Error(err)
				return
			}
			for range 5 {
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
				_, _ = s.Next(ctx)
				cancel()
			}
			s.Close()
		}
	})
	g.Wait()
	w.hub.Close()
	if s := w.hub.Stats(); s.Conns != 0 || s.Behind != 0 || s.Subscriptions != 0 || s.Opened != s.Closed || w.hub.conns.Load() != 0 {
		t.Errorf("%+v", s)
	}
}

// churn is the life of one connection that does things at random.
func churn(w *realWorld, rng *rand.Rand, topics []string) {
	protocols := []string{wire.Protocol}
	if rng.IntN(8) == 0 {
		protocols = nil
	}
	c := w.raw(protocols...)
	defer c.nc.Close()
	send := func(format string, args ...any) {
		_, _ = c.nc.Write(clientFrame(frame.Text, true, fmt.Appendf(nil, format, args...)))
	}
	send(`{"op":"hello","subs":[{"sub":1,"topic":"chat.*","replay":%d}]}`, rng.IntN(5))
	for i := range rng.IntN(20) {
		switch topic := topics[rng.IntN(len(topics))]; rng.IntN(5) {
		case 0:
			send(`{"op":"sub","sub":%d,"topic":%q}`, i+2, topic)
		case 1:
			send(`{"op":"unsub","sub":%d}`, rng.IntN(i+2))
		case 2:
			c.nc.SetReadDeadline(time.Now().Add(time.Millisecond))
			_, _, _ = c.read()
		default:
			send(`{"op":"pub","ref":%d,"topic":%q,"data":%d,"key":"%d"}`, i, topic, i, rng.IntN(1000))
		}
	}
	if rng.IntN(2) == 0 {
		_, _ = c.nc.Write(clientFrame(frame.Close, true, []byte{0x03, 0xe8}))
	}
}
