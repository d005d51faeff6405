package hotline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/gohotline/hotline/internal/wire"
)

// pubs reads what a client publishes, and hands each to f, which answers it or does not; false ends the connection.
func pubs(ws *websocket.Conn, f func(req wire.Request, say func(format string, args ...any)) bool) {
	defer ws.CloseNow()
	ctx := context.Background()
	say := func(format string, args ...any) {
		_ = ws.Write(ctx, websocket.MessageText, fmt.Appendf(nil, format, args...))
	}
	for {
		typ, msg, err := ws.Read(ctx)
		if err != nil {
			return
		}
		req, err := wire.DecodeRequest(msg, typ == websocket.MessageBinary)
		if err != nil || req.Op == wire.OpPub && !f(req, say) {
			return
		}
	}
}

// A publish that is never answered fails 4 minutes after it was first sent, whatever the connection does; until it is
// sent for the first time it waits. It has the same key each time.
func TestPublishUnanswered(t *testing.T) {
	for _, cutEvery := range []time.Duration{0, 30 * time.Second, 7 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			var up atomic.Bool
			var first atomic.Int64
			var keys sync.Map
			f := newFake(t, 1000, func(_ int, w http.ResponseWriter, r *http.Request) {
				if !up.Load() {
					w.WriteHeader(http.StatusServiceUnavailable)
					return
				}
				pubs(accept(t, w, r, plainWelcome), func(req wire.Request, _ func(string, ...any)) bool {
					first.CompareAndSwap(0, time.Now().UnixNano())
					keys.Store(req.Key, req.Ref)
					return true
				})
			})
			link := f.net.Link()
			opts := f.options(link)
			opts.Background = true
			c, err := Dial(context.Background(), "ws://hub/", opts)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			done := make(chan error, 1)
			go func() { done <- c.Publish(context.Background(), "a", 1) }()
			time.Sleep(20 * time.Minute)
			select {
			case err := <-done:
				t.Fatalf("it has not been sent: %v", err)
			default:
			}
			up.Store(true)
			if cutEvery > 0 {
				go func() {
					for c.Context().Err() == nil {
						time.Sleep(cutEvery)
						link.Cut()
					}
				}()
			}
			err = <-done
			took := time.Since(time.Unix(0, first.Load()))
			if !errors.Is(err, ErrUncertain) || errors.Is(err, ErrClosed) || took < answerTimeout || took > answerTimeout+time.Second {
				t.Errorf("after %v: %v", took, err)
			}
			n := 0
			keys.Range(func(k, _ any) bool {
				n++
				return len(k.(string)) >= 20
			})
			if n != 1 {
				t.Errorf("it was sent with %d keys", n)
			}
			c.Close()
			time.Sleep(cutEvery) // for the goroutine that cuts
		})
	}
}

// D6: what is in flight when the hub closes the connection for the second time may be the reason. What was not in
// flight is not, and a connection that only breaks doesn't count.
func TestPublishTwoCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var poisons, drops atomic.Int64
		f := newFake(t, 1000, func(_ int, w http.ResponseWriter, r *http.Request) {
			ws := accept(t, w, r, plainWelcome)
			pubs(ws, func(req wire.Request, say func(string, ...any)) bool {
				switch req.Topic {
				case "poison":
					poisons.Add(1)
					say(`{"op":"bye","code":1011,"retry":100}`)
					ws.Close(websocket.StatusInternalError, "")
					return false
				case "drop":
					if drops.Add(1) < 6 {
						return false
					}
				}
				say(`{"op":"ok","ref":%d}`, req.Ref)
				return true
			})
		})
		c := f.background(nil)
		if err := c.Publish(context.Background(), "drop", 1); err != nil {
			t.Errorf("after 5 drops: %v", err)
		}
		err := c.Publish(context.Background(), "poison", 1)
		if !errors.Is(err, ErrUncertain) || poisons.Load() != 2 {
			t.Errorf("after %d closes: %v", poisons.Load(), err)
		}
		if err := c.Publish(context.Background(), "fine", 1); err != nil {
			t.Error(err)
		}
	})
}

// Row 30: a hook that panics for one message, or closes the connection, does not take anything else down.
func TestPoisonPublish(t *testing.T) {
	for _, poison := range []string{"panic", "close"} {
		synctest.Test(t, func(t *testing.T) {
			calls := 0
			w := newWorld(t, &HubOptions{Topics: map[string]TopicOptions{"chat.*": {OnPublish: func(_ context.Context, c *Conn, m *Message) error {
				if string(m.Data) != `"boom"` {
					return nil
				}
				if calls++; poison == "panic" {
					panic("boom")
				}
				c.Close(CloseReconnect, "boom")
				return errors.New("boom")
			}}}})
			c, _ := w.connect(nil)
			s := w.follow(c, "chat.*", nil)
			begin := time.Now()
			done := make(chan error, 1)
			go func() { done <- c.Publish(context.Background(), "chat.a", "boom") }()
			synctest.Wait()
			for i := range 10 {
				if poison == "panic" { // otherwise this is in flight at the two closes, too
					if err := c.Publish(context.Background(), "chat.b", i); err != nil {
						t.Errorf("another: %v", err)
					}
					wantNext(t, s, fmt.Sprint("chat.b ", i))
				}
				w.publish("chat.c", i)
				wantNext(t, s, fmt.Sprint("chat.c ", i))
			}
			err := <-done
			took := time.Since(begin)
			if err := c.Publish(context.Background(), "chat.b", "after"); err != nil {
				t.Errorf("%s: later: %v", poison, err)
			}
			wantNext(t, s, `chat.b "after"`)
			if !errors.Is(err, ErrUncertain) {
				t.Errorf("%s: after %v: %v", poison, took, err)
			}
			// A close counts only if it overtook the answer.
			if poison == "panic" && took != answerTimeout || took > answerTimeout || calls < 2 {
				t.Errorf("%s: it was tried %d times in %v", poison, calls, took)
			}
		})
	}
}

// A ctx that ends before the publish was sent leaves no doubt, and it is not sent later. After that there is some.
func TestPublishContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		all := w.subscribe(">", nil)
		why := errors.New("the user has gone")
		ended, cancel := context.WithCancelCause(context.Background())
		cancel(why)
		c, link := w.connect(nil)

		err := c.Publish(ended, "chat.a", "ended before")
		if !errors.Is(err, context.Canceled) || !errors.Is(err, why) || errors.Is(err, ErrUncertain) {
			t.Error(err)
		}
		link.Stall() // no answer arrives
		ctx, cancel2 := context.WithTimeout(context.Background(), time.Second)
		defer cancel2()
		err = c.Publish(ctx, "chat.a", "sent")
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrUncertain) {
			t.Error(err)
		}
		wantNext(t, all, `chat.a "sent"`)
		link.Blackhole()
		link.Cut()
		synctest.Wait()
		ctx, cancel3 := context.WithTimeout(context.Background(), time.Second)
		defer cancel3()
		err = c.Publish(ctx, "chat.a", "not connected")
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrUncertain) {
			t.Error(err)
		}
		link.Heal()
		if err := c.Publish(context.Background(), "chat.a", "back"); err != nil {
			t.Error(err)
		}
		wantNext(t, all, `chat.a "back"`)

		// Behind a full socket, too: it is taken out of the queue.
		link.StallUp()
		var sends sync.WaitGroup
		for range 5 {
			sends.Go(func() {
				if err := c.Publish(context.Background(), "big", strings.Repeat("x", 60_000)); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		ctx, cancel4 := context.WithTimeout(context.Background(), time.Second)
		defer cancel4()
		err = c.Publish(ctx, "chat.a", "queued")
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrUncertain) {
			t.Error(err)
		}
		link.Heal()
		sends.Wait()
		w.next(all, 5)
		wantNothing(t, all, time.Minute)
	})
}

// An answer with again is no end: it is sent again, with the same key, more and more slowly.
func TestPublishAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var times []time.Time
		keys := make(map[string]int)
		f := newFake(t, 1000, func(_ int, w http.ResponseWriter, r *http.Request) {
			pubs(accept(t, w, r, plainWelcome), func(req wire.Request, say func(string, ...any)) bool {
				times = append(times, time.Now())
				keys[req.Key]++
				if len(times) == 3 {
					return false // and the connection is lost while it waits for nothing
				}
				if len(times) < 8 {
					say(`{"op":"err","ref":%d,"code":"anything","again":true}`, req.Ref)
				} else {
					say(`{"op":"ok","ref":%d,"id":"1.1"}`, req.Ref)
				}
				return true
			})
		})
		c := f.background(nil)
		if err := c.Publish(context.Background(), "a", 1); err != nil {
			t.Error(err)
		}
		if len(times) != 8 || len(keys) != 1 {
			t.Errorf("sent %d times with keys %v", len(times), keys)
		}
		time.Sleep(time.Hour)
		if len(times) != 8 {
			t.Error("it was sent after its answer")
		}
	})
}

// What the hub would refuse or close the connection for is not sent.
func TestPublishChecks(t *testing.T) {
	deep := strings.Repeat("[", 1001) + strings.Repeat("]", 1001)
	bad := []struct {
		topic string
		v     any
	}{
		{"", 1}, {"a.*", 1}, {"a.>", 1}, {"a..b", 1}, {".a", 1}, {"a b", 1}, {"$sys.a", 1}, {strings.Repeat("x", 256), 1}, {"a\xff", 1},
		{"a", make(chan int)}, {"a", json.RawMessage("\"\xff\"")}, {"a", []byte("{")}, {"a", json.RawMessage("")}, {"a", json.RawMessage(deep)},
		{"a", strings.Repeat("x", 64<<10)}, {"a", strings.Repeat("x", 2<<20)}, {"a", Binary(strings.Repeat("x", 64<<10))},
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		c, _ := w.connect(nil)
		for _, b := range bad {
			if err := c.Publish(context.Background(), b.topic, b.v); !errors.Is(err, ErrInvalid) || errors.Is(err, ErrUncertain) {
				t.Errorf("%.20q %.20q: %v", b.topic, fmt.Sprint(b.v), err)
			}
			if err := c.Signal(b.topic, b.v); !errors.Is(err, ErrInvalid) {
				t.Errorf("%.20q %.20q: Signal: %v", b.topic, fmt.Sprint(b.v), err)
			}
			if err := c.Once("key").Publish(context.Background(), b.topic, b.v); !errors.Is(err, ErrInvalid) {
				t.Errorf("%.20q %.20q: Once: %v", b.topic, fmt.Sprint(b.v), err)
			}
		}
		for _, key := range []string{"", "\xff", strings.Repeat("k", 70_000)} {
			if err := c.Once(key).Publish(context.Background(), "a", 1); !errors.Is(err, ErrInvalid) {
				t.Errorf("key %.10q: %v", key, err)
			}
		}
		deepest := strings.Repeat("[", 1000) + strings.Repeat("]", 1000)
		for _, v := range []any{nil, json.RawMessage(deepest), "", Binary(nil), strings.Repeat("x", 65_000), "\u2028é"} {
			if err := c.Publish(context.Background(), "a", v); err != nil {
				t.Errorf("%.20q: %v", fmt.Sprint(v), err)
			}
		}
		if s := w.hub.Stats(); s.Opened != 1 || s.MessagesIn != 6 { // with the last six
			t.Errorf("%+v", s)
		}
	})
}

// A message that is too large for a hub that the client has not met yet, or meets after a deploy, fails then.
func TestPublishTooLargeLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFront(t, nil)
		link := w.net.Link()
		opts := w.options(link)
		opts.Background = true
		link.Blackhole()
		c, err := Dial(context.Background(), "ws://hub/", opts)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		done := make(chan error, 1)
		go func() { done <- c.Publish(context.Background(), "a", strings.Repeat("x", 100_000)) }()
		time.Sleep(time.Minute)
		link.Heal()
		if err := <-done; !errors.Is(err, ErrInvalid) {
			t.Error(err)
		}
		old := w.swap(&HubOptions{Limits: Limits{MessageBytes: 1000}})
		link.Blackhole()
		go func() { done <- c.Publish(context.Background(), "a", strings.Repeat("x", 2000)) }()
		old.Close()
		link.Cut()
		time.Sleep(time.Minute)
		link.Heal()
		if err := <-done; !errors.Is(err, ErrInvalid) {
			t.Error(err)
		}
		if err := c.Publish(context.Background(), "a", 1); err != nil {
			t.Error(err)
		}
	})
}

// Not more than 4 MiB wait for their answers. The rest waits in Publish, which heeds its ctx and the client's end.
func TestPublishBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, size = 100, 60_000
		w := newWorld(t, nil)
		c, link := w.connect(nil)
		link.Blackhole()
		link.Cut()
		synctest.Wait()
		var calls sync.WaitGroup
		var closed atomic.Int64
		text := strings.Repeat("x", size)
		for range n {
			calls.Go(func() {
				if err := c.Publish(context.Background(), "a", text); errors.Is(err, ErrClosed) && !errors.Is(err, ErrUncertain) {
					closed.Add(1)
				} else {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		c.mu.Lock()
		waiting := len(c.waiting)
		c.mu.Unlock()
		if waiting*size > unanswered || waiting*(size+2000) < unanswered*9/10 {
			t.Errorf("%d of %d bytes wait", waiting, size)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		begin := time.Now()
		if err := c.Publish(ctx, "a", text); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrUncertain) || time.Since(begin) != time.Second {
			t.Error(err)
		}
		wantClosed(t, c)
		link.Heal()
		calls.Wait()
		if closed.Load() != n {
			t.Errorf("%d of %d", closed.Load(), n)
		}
	})
}

// Once stores once, for one user and topic, whoever publishes.
func TestClientOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		all := w.subscribe(">", nil)
		a, link := w.connect(nil)
		b, _ := w.connect(nil)
		for _, c := range []*Client{a, b, a} {
			for _, topic := range []string{"x", "y"} {
				if err := c.Once("order 17").Publish(context.Background(), topic, 1); err != nil {
					t.Error(err)
				}
			}
			link.Cut()
		}
		if err := a.Once("order 18").Publish(context.Background(), "x", 2); err != nil {
			t.Error(err)
		}
		wantNext(t, all, "x 1", "y 1", "x 2")
		wantNothing(t, all, time.Minute)
	})
}
