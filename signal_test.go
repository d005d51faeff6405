package hotline

import (
	"context"
	"errors"
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

// Signals that can't be sent now are refused, and are not sent later.
func TestSignalErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var received atomic.Int64
		w := newWorld(t, &HubOptions{Limits: Limits{PublishRate: -1}, Topics: map[string]TopicOptions{
			"typing.*": {Handle: func(context.Context, *Conn, *Message) error { received.Add(1); return nil }},
		}})
		c, link := w.connect(nil)
		link.Blackhole()
		link.Cut()
		synctest.Wait()
		if err := c.Signal("typing.a", 1); !errors.Is(err, ErrLimit) {
			t.Errorf("not connected: %v", err)
		}
		link.Heal()
		time.Sleep(time.Minute)
		if received.Load() != 0 {
			t.Error("it was sent later")
		}
		if err := c.Signal("typing.a", Binary("\x00")); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if received.Load() != 1 {
			t.Error("it was not sent")
		}

		link.StallUp()
		sent := int64(1)
		for ; ; sent++ {
			if err := c.Signal("typing.a", strings.Repeat("x", 1000)); err != nil {
				if !errors.Is(err, ErrLimit) {
					t.Error(err)
				}
				break
			}
			synctest.Wait()
		}
		c.mu.Lock()
		waiting := c.session.outBytes
		c.mu.Unlock()
		if waiting > signalBytes || waiting < signalBytes-2000 {
			t.Errorf("%d bytes wait", waiting)
		}
		link.Heal()
		synctest.Wait()
		if err := c.Signal("typing.a", 1); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		if received.Load() != sent+1 {
			t.Errorf("%d of %d arrived", received.Load(), sent+1)
		}
		if s := w.hub.Stats(); s.Opened != 2 {
			t.Errorf("%+v", s)
		}
		c.Close()
		if err := c.Signal("typing.a", 1); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
}

// A pong goes out before what waits for a slow socket.
func TestPongGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var ops []string
		f := newFake(t, 10, func(_ int, w http.ResponseWriter, r *http.Request) {
			ws := accept(t, w, r, plainWelcome)
			defer ws.CloseNow()
			time.Sleep(10 * time.Second) // until all queues are full
			_ = ws.Write(context.Background(), websocket.MessageText, []byte(`{"op":"ping"}`))
			for {
				time.Sleep(100 * time.Millisecond)
				_, msg, err := ws.Read(context.Background())
				if err != nil {
					return
				}
				req, err := wire.DecodeRequest(msg, false)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				ops = append(ops, req.Op)
				mu.Unlock()
				if req.HasRef {
					_ = ws.Write(context.Background(), websocket.MessageText, []byte(`{"op":"ok","ref":1}`))
				}
			}
		})
		c := f.background(nil)
		time.Sleep(time.Second)
		for range 100 {
			go func() { _ = c.Publish(context.Background(), "a", strings.Repeat("x", 10_000)) }()
		}
		time.Sleep(30 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		for i, op := range ops {
			if op == wire.OpPong {
				if i > 20 { // 128 KiB were on their way
					t.Errorf("behind %d publishes", i)
				}
				return
			}
		}
		t.Errorf("no pong: %q", ops)
	})
}

// A hub that reads more slowly, because the client is over its rate, refuses nothing and loses nothing, and the connection
// lives.
func TestOverTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 1000
		w := newWorld(t, &HubOptions{Limits: Limits{PublishRate: 10}})
		all := w.subscribe(">", nil)
		c, _ := w.connect(nil)
		s := w.follow(c, "here", nil)
		begin := time.Now()
		var calls sync.WaitGroup
		var failed atomic.Int64
		for i := range n {
			calls.Go(func() {
				if err := c.Publish(context.Background(), "a", i); err != nil {
					if !errors.Is(err, ErrUncertain) || time.Since(begin) < answerTimeout {
						t.Error(err)
					}
					failed.Add(1)
				}
			})
		}
		time.Sleep(time.Minute)
		w.publish("here", 1)
		wantNext(t, s, "here 1")
		calls.Wait()
		if failed.Load() > 0 {
			t.Errorf("%d of %d failed", failed.Load(), n)
		}
		w.next(all, n+1)
		if s := w.hub.Stats(); s.Opened != 1 || s.Closed != 0 {
			t.Errorf("%+v", s)
		}
	})
}
