package hotline

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gohotline/hotline/internal/frame"
	"github.com/gohotline/hotline/internal/memnet"
	"github.com/gohotline/hotline/internal/wire"
)

// P3, row 24 of the failure table: a connection is cut at every byte of two publishes, in three ways, with a hook that
// takes its time and without one. The client sends both again on its next connection, then a third. Each is stored once,
// in this order, and the answers say where.
func TestP3PublishCutAtEveryPoint(t *testing.T) {
	for _, slow := range []time.Duration{0, time.Second} {
		for _, way := range []string{"reset", "closed", "half open"} {
			for _, settled := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s, hook %s, settled %t", way, slow, settled), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						w := newWorld(t, &HubOptions{Limits: Limits{PublishRate: -1}, Topics: map[string]TopicOptions{
							"chat.*": {OnPublish: func(ctx context.Context, _ *Conn, _ *Message) error { return pause(ctx, slow) }},
						}})
						step := 1
						if testing.Short() || raceEnabled {
							step = 7
						}
						size := 2 * len(cutPublish(1, ".00000"))
						for i := 0; i < size; i += step {
							publishCutAt(t, w, i, way, settled)
						}
						publishCutAt(t, w, size, way, settled)
					})
				})
			}
		}
	}
}

// cutPublish is the frame of publish n.
func cutPublish(n int, run string) []byte {
	return clientFrame(frame.Text, true,
		fmt.Appendf(nil, `{"op":"pub","ref":%d,"topic":"chat.a","data":"%d%s","key":"k%d%s"}`, n, n, run, n, run))
}

func publishCutAt(t *testing.T, w *world, i int, way string, settled bool) {
	run := fmt.Sprintf(".%05d", i)
	watch := w.subscribe("chat.a", nil)
	defer watch.Close()
	wait := func() {
		if settled {
			synctest.Wait()
		}
	}
	one, two := cutPublish(1, run), cutPublish(2, run)
	both := append(slices.Clone(one), two...)
	link := w.net.Link()
	old := w.rawOn(link)
	old.hello()
	old.write(both[:i])
	wait()
	switch way {
	case "reset":
		link.Cut()
	case "closed":
		old.nc.Close()
	}
	wait()
	c := w.rawOn(w.net.Link())
	c.hello()
	c.write(both)
	if wait(); way == "half open" { // the rest arrives after all
		old.write(both[i:])
	}
	c.write(cutPublish(3, run))
	var acks []string
	for len(acks) < 3 {
		_, body, err := c.read()
		if err != nil {
			t.Fatal(err)
		}
		if f, err := wire.DecodeServer(body, false); err != nil || f.Op != wire.OpOK || f.Ref != uint64(len(acks)+1) {
			t.Fatalf("cut at %d: answer %d is %s, %v", i, len(acks)+1, body, err)
		} else {
			acks = append(acks, f.ID)
		}
	}
	for n, m := range w.next(watch, 3) {
		if want := fmt.Sprintf("%q", fmt.Sprint(n+1, run)); string(m.Data) != want || m.ID != acks[n] {
			t.Fatalf("cut at %d: message %d is %s %s, want %s %s", i, n+1, m.ID, m.Data, acks[n], want)
		}
	}
	w.idle(watch)
	c.nc.Close()
	old.nc.Close()
	synctest.Wait()
}

// rawOn is raw over a link.
func (w *world) rawOn(link *memnet.Link) *rawClient {
	w.t.Helper()
	nc, err := link.DialContext(context.Background(), "tcp", "")
	if err != nil {
		w.t.Fatal(err)
	}
	return newRawClient(w.t, nc, wire.Protocol)
}

// P3: in a storm of cuts each publish of a client that repeats what was not answered is stored once, in the client's
// order, and nobody is handed a message twice.
func TestP3NoDuplicates(t *testing.T) {
	bubbles(t, 8, func(t *testing.T, seed uint64) {
		const clients, each = 4, 150
		s := newStorm(t, Limits{LogBytes: 8 << 20})
		all := s.w.subscribe(">", nil)
		var wg sync.WaitGroup
		for i := range clients {
			c := newStrict(s.w, s.o, fmt.Sprint("client", i))
			s.clients = append(s.clients, c)
			c.subscribe("chat.*", "", 0)
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(seed, uint64(i)))
				for n := range each {
					c.publish("chat.a", fmt.Sprintf(`"%d %d %s"`, i, n, strings.Repeat("x", rng.IntN(200))), fmt.Sprint(i, n))
					time.Sleep(time.Duration(rng.Int64N(int64(60 * time.Millisecond))))
				}
			})
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(seed, uint64(100+i)))
				for range 40 {
					time.Sleep(time.Duration(rng.Int64N(int64(200 * time.Millisecond))))
					switch rng.IntN(4) {
					case 0:
						c.link.Throttle(200 + rng.IntN(20_000))
					case 1:
						c.closeWS()
					case 2:
						c.link.Heal()
					default:
						c.link.Cut()
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
		next := make([]int, clients)
		for _, m := range s.w.next(all, clients*each) {
			var i, n int
			fmt.Sscanf(string(m.Data), `"%d %d`, &i, &n)
			if n != next[i] {
				t.Fatalf("of client %d came %d, want %d", i, n, next[i])
			}
			next[i]++
		}
		s.w.idle(all)
	})
}

// A key is remembered for 5 minutes, for its user and topic, and its first result is the answer.
func TestKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		allowed := true
		asked := 0
		w := newWorld(t, &HubOptions{
			Authenticate: func(_ *http.Request, token string) (Identity, error) { return Identity{User: token}, nil },
			AuthorizePublish: func(context.Context, *Conn, string) error {
				if asked++; allowed {
					return nil
				}
				return ErrDenied
			},
		})
		as := func(user string) *testClient {
			c := w.dial(nil, wire.Protocol)
			c.send(helloFrame(user))
			c.want("welcome")
			return c
		}
		ref := 0
		publish := func(c *testClient, topic, key string) string {
			ref++
			c.send(fmt.Sprintf(`{"op":"pub","ref":%d,"topic":%q,"data":1,"key":%q}`, ref, topic, key))
			f := c.next()
			return f.Op + f.ID
		}
		ada, bob, nobody := as("ada"), as("bob"), as("")
		first := publish(ada, "a", "k")
		for name, again := range map[string]string{
			"another user": publish(bob, "a", "k"), "another topic": publish(ada, "b", "k"), "another key": publish(ada, "a", "k2"),
			"anonymous": publish(nobody, "a", "k"), "user and topic shifted": publish(as("ad"), "aa", "k"),
		} {
			if again == first {
				t.Errorf("%s: the first result", name)
			}
		}
		// D2: what is known is answered before anybody is asked.
		before := asked
		allowed = false
		if again := publish(as("ada"), "a", "k"); again != first || asked != before {
			t.Errorf("repeated: %s, want %s; the hook was asked %d times", again, first, asked-before)
		}
		if again := publish(ada, "a", "k3"); again != "err" {
			t.Errorf("a new one: %s", again)
		}
		allowed = true
		if again := publish(ada, "a", "k3"); again == "err" { // a refusal is not remembered
			t.Errorf("refused: %s", again)
		}
		for _, c := range []*testClient{ada, bob, nobody} {
			c.ws.CloseNow()
		}
		time.Sleep(keyMemory - time.Second)
		if again := publish(as("ada"), "a", "k"); again != first {
			t.Errorf("just before 5 minutes: %s, want %s", again, first)
		}
		time.Sleep(2 * time.Second)
		if again := publish(as("ada"), "a", "k"); again == first {
			t.Error("after 5 minutes it is still known")
		}
	})
}

// The keys of server code are nobody else's: a client without a name neither learns by them what the server has published
// where it may publish nothing, nor keeps the server from publishing where it may.
func TestKeysOfServerCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{AuthorizePublish: Allow("open")})
		s := w.subscribe(">", nil)
		nobody := w.dial(nil, wire.Protocol)
		nobody.send(helloFrame(""))
		nobody.want("welcome")
		once := func(topic string) {
			if err := w.hub.Once("order-7-shipped").Publish(t.Context(), topic, "server"); err != nil {
				t.Error(err)
			}
		}
		once("closed")
		w.next(s, 1)
		nobody.send(`{"op":"pub","ref":1,"topic":"closed","data":1,"key":"order-7-shipped"}`)
		if f := nobody.next(); f.Op != "err" {
			t.Errorf("where it may not publish it is told %q", f.Op)
		}
		nobody.send(`{"op":"pub","ref":2,"topic":"open","data":1,"key":"order-7-shipped"}`)
		if f := nobody.next(); f.Op != "ok" {
			t.Errorf("where it may publish it is told %q", f.Op)
		}
		w.next(s, 1)
		once("open")
		if m := w.next(s, 1)[0]; string(m.Data) != `"server"` {
			t.Errorf("got %s", m.Data)
		}
	})
}

// Of the keys no more are remembered than fit in 32 MiB.
func TestKeysAreBounded(t *testing.T) {
	k := keys{known: make(map[string]*attempt)}
	n := 0
	store := func(key string) (pos wire.Pos, held bool, err error) {
		n++
		return wire.Pos{Seq: uint64(n)}, false, nil
	}
	const most = keyBytes / attemptBytes
	for i := range most + 1000 {
		if _, _, err := k.once(t.Context(), fmt.Sprint(i), store); err != nil {
			t.Fatal(err)
		}
	}
	if len(k.known) > most+1 || len(k.order) > most+1 {
		t.Errorf("%d keys are known, at most %d fit", len(k.known), most)
	}
	if pos, _, _ := k.once(t.Context(), fmt.Sprint(most+999), store); pos.Seq != most+1000 {
		t.Errorf("the last key: %v", pos)
	}
}

// TestKeysAreForgotten: after 5 minutes they take no memory, also where nobody publishes any more.
func TestKeysAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub(nil)
		defer h.Close()
		for i := range 3000 {
			if err := h.Once(fmt.Sprint(i)).Publish(t.Context(), "a", i); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(keyMemory + 2*time.Second)
		synctest.Wait()
		h.keys.mu.Lock()
		defer h.keys.mu.Unlock()
		if len(h.keys.known) > 0 || cap(h.keys.order) > 0 {
			t.Errorf("%d keys are known, %d remembered", len(h.keys.known), cap(h.keys.order))
		}
	})
}

// Once stores at most one message a topic and key, whoever publishes at the same time, and tries again after a failure.
func TestOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		s := w.subscribe(">", nil)
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				for _, topic := range []string{"a", "b"} {
					if err := w.hub.Once("key").Publish(context.Background(), topic, i); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if got := w.next(s, 2); got[0].Topic == got[1].Topic {
			t.Errorf("got %v", got)
		}
		w.idle(s)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := w.hub.Once("other").Publish(ctx, "a", 1); !errors.Is(err, context.Canceled) {
			t.Errorf("with a cancelled ctx: %v", err)
		}
		if err := w.hub.Once("other").Publish(context.Background(), "a", func() {}); !errors.Is(err, ErrInvalid) {
			t.Errorf("what can't be encoded: %v", err)
		}
		if err := w.hub.Once("other").Publish(context.Background(), "a", 2); err != nil {
			t.Error(err)
		}
		if m := w.next(s, 1)[0]; string(m.Data) != "2" {
			t.Errorf("got %s", m.Data)
		}
	})
}
