package hotline

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/gohotline/hotline/internal/wire"
)

// A hook that runs when its connection's moment comes is answered. One that takes longer than the Shutdown may is cut
// short with it.
func TestShutdownWaitsForHooks(t *testing.T) {
	for _, tt := range []struct{ hook, limit, want time.Duration }{
		{3 * time.Second, time.Minute, 3 * time.Second},
		{time.Hour, 5 * time.Second, 5 * time.Second},
		{time.Hour, time.Minute, hookTimeout},
	} {
		t.Run(fmt.Sprint(tt.hook, tt.limit), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, &HubOptions{AuthorizePublish: func(ctx context.Context, _ *Conn, _ string) error {
					return pause(ctx, tt.hook)
				}})
				c := w.client()
				c.send(`{"op":"pub","ref":1,"topic":"a","data":1}`)
				synctest.Wait()
				ctx, cancel := context.WithTimeout(context.Background(), tt.limit)
				defer cancel()
				frames := make(chan []wire.ServerFrame, 1)
				go func() {
					_, _, list := c.closed()
					frames <- list
				}()
				start := time.Now()
				err := w.hub.Shutdown(ctx)
				if d := time.Since(start); d < tt.want || d > tt.want+500*time.Millisecond {
					t.Errorf("Shutdown took %s, want %s", d, tt.want)
				}
				if cut := tt.limit < tt.hook && tt.limit < hookTimeout; cut != (err != nil) {
					t.Errorf("Shutdown: %v", err)
				}
				list := <-frames
				if tt.hook < tt.limit && brief(list[0]) != "ok ref 1" || brief(list[len(list)-1]) != "bye 1012" {
					t.Errorf("got %+v", list)
				}
				w.nothingLeft(c)
			})
		})
	}
}

// What begins while the hub shuts down is told to go elsewhere.
func TestShutdownRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 20
		w := newWorld(t, &HubOptions{OnMessage: func(context.Context, *Conn, []byte) {}})
		at := w.hub.Position()
		var clients []*testClient
		for range n {
			clients = append(clients, w.client())
		}
		waiting := w.dial(nil, wire.Protocol)
		done := make(chan error)
		go func() { done <- w.hub.Shutdown(context.Background()) }()
		synctest.Wait() // the first has had its moment, the others have not
		for _, o := range []*websocket.DialOptions{{Subprotocols: []string{wire.Protocol}}, {}} {
			_, resp, err := w.dialWith(o)
			if err == nil || resp == nil || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
				t.Errorf("a new connection: %v, %v", resp, err)
			}
		}
		waiting.send(helloFrame("", "a "+at))
		if code, _, frames := waiting.closed(); code != wire.CloseRestart || len(frames) != 1 {
			t.Errorf("a hello: closed with %d after %v", code, frames)
		}
		refused := 0
		for _, c := range clients {
			for _, frame := range []string{`{"op":"sub","sub":1,"topic":"a"}`, `{"op":"pub","ref":1,"topic":"a","data":1}`} {
				_ = c.ws.Write(context.Background(), websocket.MessageText, []byte(frame)) // it may be closed
			}
			code, _, frames := c.closed()
			for _, f := range frames {
				switch brief(f) {
				case "end 1 closing", "err ref 1 closing":
					if refused++; !f.Again {
						t.Errorf("for good: %+v", f)
					}
				case "bye 1012":
				default:
					t.Errorf("got %s", brief(f))
				}
			}
			if code != wire.CloseRestart {
				t.Errorf("closed with %d", code)
			}
		}
		if refused < 2 {
			t.Errorf("%d commands were refused", refused)
		}
		if err := <-done; err != nil || w.hub.Stats().Published != 0 {
			t.Errorf("Shutdown: %v, %+v", err, w.hub.Stats())
		}
	})
}

// Row 2 of the failure table: a deploy does not make everybody come back at once.
func TestShutdownSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 2000
		if raceEnabled {
			n = 500
		}
		w := newWorld(t, nil)
		var mu sync.Mutex
		closes, retries := map[int]int{}, map[int]int{}
		hints := map[time.Duration]int{}
		var start time.Time
		var wg sync.WaitGroup
		for range n {
			c := w.client()
			wg.Go(func() {
				code, _, frames := c.closed()
				mu.Lock()
				defer mu.Unlock()
				d := time.Since(start)
				closes[int(d/time.Second)]++
				bye := frames[len(frames)-1]
				if code != wire.CloseRestart || brief(bye) != "bye 1012" || d > 16*time.Second {
					t.Errorf("closed with %d after %s, %+v", code, d, bye)
				}
				retries[int((d+bye.Retry)/time.Second)]++
				hints[bye.Retry]++
			})
		}
		synctest.Wait()
		start = time.Now()
		if err := w.hub.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		wg.Wait()
		for _, m := range []map[int]int{closes, retries} {
			for second, k := range m {
				if k > n/4 {
					t.Errorf("%d of %d in second %d", k, n, second)
				}
			}
		}
		for hint, k := range hints {
			if k > 10 {
				t.Errorf("%d were told to come back after %s", k, hint)
			}
		}
	})
}

// A subscription that still reads what it missed is sent all of it first, also by a socket that is never full.
func TestShutdownWhileJoining(t *testing.T) {
	w := newRealWorld(t, nil)
	const n = 20_000
	at := w.hub.Position()
	for i := range n {
		w.publish("chat.a", i)
	}
	c := w.raw(wire.Protocol)
	c.hello("other "+w.hub.Position(), "chat.a "+at)
	done := make(chan error, 1)
	begun := false
	next := 0
	for {
		if next == 1 && !begun { // its subscriptions were not refused
			begun = true
			go func() { done <- w.hub.Shutdown(context.Background()) }()
		}
		_, body, err := c.read()
		if err != nil {
			break
		}
		if f, err := wire.DecodeServer(body, false); err == nil && f.Topic == "chat.a" {
			if string(f.Data) != fmt.Sprint(next) {
				t.Fatalf("got %s, want %d", f.Data, next)
			}
			next++
		}
	}
	if err := <-done; err != nil || next != n {
		t.Errorf("Shutdown: %v, got %d of %d", err, next, n)
	}
}

// Who has left just before Close is not counted afterwards, though the shard had no time for it.
func TestCloseCountsWhoLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		sub, err := w.hub.Subscribe(t.Context(), "chat.a", nil)
		if err != nil {
			t.Fatal(err)
		}
		busy, gate := make(chan struct{}), make(chan struct{})
		sh := sub.local.shard
		sh.do(func() { close(busy); <-gate })
		<-busy
		sub.Close()
		closed := make(chan struct{})
		go func() {
			w.hub.Close()
			close(closed)
		}()
		synctest.Wait() // it waits for the shard
		close(gate)
		<-closed
		if n := w.hub.Stats().Subscriptions; n != 0 {
			t.Errorf("%d subscriptions are left", n)
		}
	})
}
