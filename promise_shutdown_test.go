package hotline

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gohotline/hotline/internal/frame"
	"github.com/gohotline/hotline/internal/wire"
)

// createdBy finds, in a goroutine's stack, who started it, and in which file.
var createdBy = regexp.MustCompile(`created by (\S+).*\n\t(\S+):\d+`)

// hubGoroutines are the stacks of the goroutines that a hub, and no test, has started.
func hubGoroutines() (list []string) {
	buf := make([]byte, 16<<20)
	for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		m := createdBy.FindStringSubmatch(stack)
		if m == nil || strings.HasSuffix(m[2], "_test.go") {
			continue
		}
		_, self, _, _ := runtime.Caller(0)
		if filepath.Dir(m[2]) == filepath.Dir(self) || strings.Contains(m[1], "errgroup.(*Group)") {
			list = append(list, stack)
		}
	}
	return list
}

// noGoroutines fails the test if a hub that has just ended has left a goroutine that waits for anything.
func (w *world) noGoroutines() {
	w.t.Helper()
	synctest.Wait()
	for _, stack := range hubGoroutines() {
		w.t.Errorf("left: %s", stack)
	}
}

// nothingLeft fails the test if it has left a goroutine or a connection.
func (w *world) nothingLeft(clients ...*testClient) {
	w.t.Helper()
	w.noGoroutines()
	for i, c := range clients {
		c.ws.CloseNow()
		synctest.Wait()
		if n := c.link.Conns(); n > 0 { // the client's end is closed
			w.t.Errorf("the socket of client %d is open", i)
		}
	}
	if s := w.hub.Stats(); s.Conns != 0 || s.Behind != 0 || w.hub.conns.Load() != 0 {
		w.t.Errorf("%+v", s)
	}
}

// crowd are clients in every state that a connection can be in, all subscribed to chat.a, which has had messages from
// 0 on.
type crowd struct {
	live, slow, stalled, dead, resuming, silent, inHook *testClient
	hook                                                chan struct{} // closed: the hook returns
	begun                                               int           // messages so far
}

func (c *crowd) all() []*testClient {
	return []*testClient{c.live, c.slow, c.stalled, c.dead, c.resuming, c.silent, c.inHook}
}

func newCrowd(t *testing.T) (*world, *crowd) {
	hook := make(chan struct{})
	w := newWorld(t, &HubOptions{
		Topics: map[string]TopicOptions{"hooked": {OnPublish: func(ctx context.Context, _ *Conn, _ *Message) error {
			select {
			case <-hook:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}}},
	})
	c := &crowd{hook: hook}
	at := w.hub.Position()
	publish := func(n int) {
		for range n {
			w.publish("chat.a", fmt.Sprintf("%d %s", c.begun, strings.Repeat("x", 500)))
			c.begun++
		}
	}
	publish(1000)
	join := func() *testClient {
		x := w.client("chat.a " + at)
		return x
	}
	c.live, c.slow, c.stalled, c.dead, c.inHook = join(), join(), join(), join(), join()
	for _, x := range c.all() {
		if x != nil {
			for f := x.next(); f.Op != "ok"; f = x.next() {
			}
		}
	}
	c.slow.link.Throttle(500_000)
	c.stalled.link.Stall()
	c.dead.link.Blackhole()
	c.inHook.send(`{"op":"pub","ref":1,"topic":"hooked","data":1}`)
	c.silent = w.dial(nil, wire.Protocol)
	c.resuming = w.dial(nil, wire.Protocol)
	c.resuming.link.Throttle(500_000)
	publish(1000)
	c.resuming.send(helloFrame("", "other "+w.hub.Position(), "chat.a "+at)) // the second is far behind the first
	synctest.Wait()
	return w, c
}

// inRow reads to the end, and returns how many messages came in order, from the first one that comes, and the code.
func inRow(c *testClient) (from, next, code int) {
	code, reason, frames := c.closed()
	if code == -1 && !strings.Contains(reason, errCut.Error()) {
		c.t.Errorf("ended with %s", reason)
	}
	from, next = -1, -1
	for _, f := range frames {
		if f.Topic != "chat.a" {
			continue
		}
		var i int
		fmt.Sscanf(string(f.Data), `"%d`, &i)
		if from < 0 {
			from, next = i, i
		}
		if i != next {
			c.t.Errorf("got %d, want %d", i, next)
		}
		next = i + 1
	}
	return from, next, code
}

// P6: after Shutdown no goroutine and no socket is left, and nothing that was accepted before it is lost to a
// connection that drains in time, whatever state it is in. To the others it is a gap on their next connection.
func TestP6Shutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := newCrowd(t)
		reader := w.subscribe("chat.a", &SubscribeOptions{Replay: 10})
		var wg sync.WaitGroup
		for name, x := range map[string]*testClient{"live": c.live, "slow": c.slow, "resuming": c.resuming, "in a hook": c.inHook} {
			wg.Go(func() {
				from, next, code := inRow(x)
				if next < c.begun || code != wire.CloseRestart || x == c.resuming && from != 0 {
					t.Errorf("%s: got %d to %d of %d, closed with %d", name, from, next, c.begun, code)
				}
			})
		}
		wg.Go(func() {
			if code, _, _ := c.silent.closed(); code != wire.CloseRestart {
				t.Errorf("silent: closed with %d", code)
			}
		})
		wg.Go(func() {
			time.Sleep(3 * time.Second)
			close(c.hook)
		})
		var over atomic.Bool
		wg.Go(func() { // it works to the end
			for i := 0; !over.Load(); i++ {
				if err := w.hub.Publish(context.Background(), "chat.b", i); err != nil && !over.Load() {
					t.Errorf("Publish: %v", err)
				}
				time.Sleep(100 * time.Millisecond)
			}
		})
		ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
		defer cancel()
		start := time.Now()
		err := w.hub.Shutdown(ctx)
		took := time.Since(start)
		over.Store(true)
		w.noGoroutines()
		if !errors.Is(err, context.DeadlineExceeded) { // stalled and dead were cut short
			t.Errorf("Shutdown: %v", err)
		}
		if took < 8*time.Second || took > 9*time.Second {
			t.Errorf("Shutdown took %s", took)
		}
		w.next(reader, 10)
		w.idleEnd(reader)
		if err := w.hub.Publish(context.Background(), "chat.a", 1); !errors.Is(err, ErrClosed) {
			t.Errorf("Publish: %v", err)
		}
		wg.Wait()

		// What stalled has not read is a gap on its next connection, wherever that ends up.
		c.stalled.link.Heal()
		at := ""
		for {
			f, err := c.stalled.read()
			if err != nil {
				break
			}
			if f.ID != "" {
				at = f.ID
			}
		}
		w.nothingLeft(c.all()...)
		next := newWorld(t, nil)
		next.client("chat.a "+at).want("1: gap [1] restart", "ok 1")
	})
}

// idleEnd reads to the end of a subscription whose hub has ended.
func (w *world) idleEnd(s *Subscription) {
	w.t.Helper()
	if m, err := s.Next(context.Background()); !errors.Is(err, ErrClosed) {
		w.t.Errorf("after the end there is %+v, %v", m, err)
	}
}

// Nor does Close leave anything, and it takes no longer than a moment.
func TestP6Close(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := newCrowd(t)
		reader := w.subscribe("chat.a", nil)
		start := time.Now()
		if err := w.hub.Close(); err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d > time.Second {
			t.Errorf("Close took %s", d)
		}
		w.idleEnd(reader)
		w.nothingLeft(c.all()...)
		if err := w.hub.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Also with connections that do nothing, and don't answer the Close frame.
func TestP6CloseIdle(t *testing.T) {
	for name, end := range map[string]func(h *Hub) error{
		"Close":    (*Hub).Close,
		"Shutdown": func(h *Hub) error { return h.Shutdown(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, &HubOptions{OnMessage: func(context.Context, *Conn, []byte) {}})
				clients := []*testClient{w.client(), w.client("a"), w.dial(nil), w.dial(nil, wire.Protocol), w.dial(nil, wire.AnyVersion)}
				if err := end(w.hub); err != nil {
					t.Error(err)
				}
				w.nothingLeft(clients...)
			})
		})
	}
}

// Close cuts short a Shutdown that waits.
func TestCloseDuringShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := newCrowd(t)
		done := make(chan error)
		for range 2 {
			go func() { done <- w.hub.Shutdown(context.Background()) }()
		}
		time.Sleep(3 * time.Second)
		start := time.Now()
		w.hub.Close()
		<-done
		<-done
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("it took %s", d)
		}
		w.nothingLeft(c.all()...)
	})
}

// Without stalled connections Shutdown is over when all have everything; its error is nil.
func TestShutdownDrained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := newCrowd(t)
		c.stalled.link.Heal()
		c.dead.link.Heal()
		close(c.hook)
		var wg sync.WaitGroup
		for _, x := range c.all() {
			wg.Go(func() {
				if _, next, code := inRow(x); next < c.begun && x != c.silent || code != wire.CloseRestart {
					t.Errorf("got %d of %d, closed with %d", next, c.begun, code)
				}
			})
		}
		if err := w.hub.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		wg.Wait()
		w.nothingLeft(c.all()...)
	})
}

// A real socket is closed when Shutdown and Close return: its peer reads to the end of it, however much it had not read.
func TestP6Sockets(t *testing.T) {
	for name, end := range map[string]func(h *Hub){
		"Shutdown": func(h *Hub) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_ = h.Shutdown(ctx)
		},
		"Close": func(h *Hub) { h.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			w := newRealWorld(t, nil)
			var clients []*rawClient
			for i := range 30 {
				c := w.raw(wire.Protocol)
				switch clients = append(clients, c); i % 3 {
				case 0:
					c.hello("a")
				case 1:
					c.write(clientFrame(frame.Text, true, []byte(helloFrame("", "a")))) // and reads nothing
				}
			}
			for range 2000 {
				w.publish("a", strings.Repeat("x", 1000))
			}
			end(w.hub)
			if list := hubGoroutines(); len(list) > 0 {
				runtime.Gosched() // a goroutine that is done takes a moment to end
				for try := 0; len(list) > 0 && try < 1000; try++ {
					time.Sleep(time.Millisecond)
					list = hubGoroutines()
				}
				for _, stack := range list {
					t.Errorf("left: %s", stack)
				}
			}
			for i, c := range clients {
				c.nc.SetReadDeadline(time.Now().Add(time.Minute))
				for {
					if _, err := c.nc.Read(make([]byte, 1<<16)); err != nil {
						if errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "timeout") {
							t.Errorf("socket %d is open", i)
						}
						break
					}
				}
			}
		})
	}
}
