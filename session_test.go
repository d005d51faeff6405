package hotline

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
)

// states records what OnState is told.
type states struct {
	mu    sync.Mutex
	list  []error
	times []time.Time
}

func (s *states) on(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, err)
	s.times = append(s.times, time.Now())
}

func (s *states) last() (err error, at time.Time, n int) { //nolint:revive,staticcheck // the error is what is asked for
	s.mu.Lock()
	defer s.mu.Unlock()
	if n = len(s.list); n > 0 {
		err, at = s.list[n-1], s.times[n-1]
	}
	return err, at, n
}

// Row 3: on a link that swallows everything both ends give up at 35 s, and the client is back when the link is.
func TestHalfOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hubs states
		w := newWorld(t, &HubOptions{OnConnect: func(_ context.Context, c *Conn) {
			context.AfterFunc(c.Context(), func() { hubs.on(context.Cause(c.Context())) })
		}})
		var st states
		c, link := w.connect(func(o *DialOptions) { o.OnState = st.on })
		s := w.follow(c, "chat.*", nil)
		synctest.Wait()
		link.Blackhole()
		begin := time.Now()
		w.publish("chat.a", 1)
		time.Sleep(35*time.Second - 1)
		synctest.Wait()
		if err, _, n := st.last(); n != 1 || err != nil {
			t.Errorf("too early: %v", err)
		}
		if err, _, n := hubs.last(); n != 0 {
			t.Errorf("the hub dropped it too early: %v", err)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if err, at, _ := st.last(); !errors.Is(err, errNoPong) {
			t.Errorf("the client noticed after %v: %v", at.Sub(begin), err)
		}
		if err, at, _ := hubs.last(); !errors.Is(err, errNoPong) {
			t.Errorf("the hub dropped it after %v: %v", at.Sub(begin), err)
		}
		time.Sleep(time.Minute)
		link.Heal()
		wantNext(t, s, "chat.a 1")
		synctest.Wait()
		if err, _, _ := st.last(); err != nil {
			t.Error(err)
		}
	})
}

// The client is as patient as welcome says.
func TestPatience(t *testing.T) {
	for _, tt := range []struct {
		welcome string
		want    time.Duration
	}{
		{`{"op":"welcome","conn":"c","ping":1000,"grace":500}`, 1500 * time.Millisecond},
		{`{"op":"welcome","conn":"c","ping":60000,"grace":1}`, 60001 * time.Millisecond},
		{`{"op":"welcome","conn":"c","ping":3600000,"grace":10000}`, 3610 * time.Second},
		{`{"op":"welcome","conn":"c","ping":5000}`, 5 * time.Second},
		{`{"op":"welcome","conn":"c","grace":5000}`, -1},
		{plainWelcome, -1},
		{`{"op":"welcome","conn":"c","ping":9007199254740991,"grace":9007199254740991}`, -1},
		{"", firstPatience},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t, 1, func(_ int, w http.ResponseWriter, r *http.Request) {
				var frames []string
				if tt.welcome != "" {
					frames = append(frames, tt.welcome)
				}
				serveUntilEnd(accept(t, w, r, frames...))
			})
			var st states
			f.background(func(o *DialOptions) { o.OnState = st.on })
			begin := time.Now()
			if tt.want < 0 {
				time.Sleep(24 * time.Hour)
				if err, _, n := st.last(); err != nil || n != 1 {
					t.Errorf("%s: %v", tt.welcome, err)
				}
				return
			}
			time.Sleep(tt.want)
			synctest.Wait()
			if err, at, _ := st.last(); !errors.Is(err, errNoPong) || at.Sub(begin) != tt.want {
				t.Errorf("%s: after %v: %v", tt.welcome, at.Sub(begin), err)
			}
		})
	}
}

// Bytes of a message that takes longer than ping and grace together are life.
func TestSlowMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Limits: Limits{PingInterval: time.Second}})
		var st states
		c, link := w.connect(func(o *DialOptions) { o.OnState = st.on })
		s := w.follow(c, "chat.*", nil)
		link.Throttle(10_000)
		begin := time.Now()
		w.publish("chat.a", strings.Repeat("x", 500_000))
		m, err := s.Next(t.Context())
		if err != nil || len(m.Data) != 500_002 || time.Since(begin) < 45*time.Second {
			t.Errorf("%d bytes after %v: %v", len(m.Data), time.Since(begin), err)
		}
		if err, _, n := st.last(); err != nil || n != 1 {
			t.Errorf("it was lost meanwhile: %v", err)
		}
	})
}

// Row 23: a connection that the client has given up, whose other end lives on, adds nothing to the next one.
func TestOldConnectionHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newTestHub(nil)
		w := &world{t: t, hub: hub}
		var old *websocket.Conn
		first := make(chan struct{})
		f := newFake(t, 100, func(i int, rw http.ResponseWriter, r *http.Request) {
			if i > 0 {
				hub.ServeHTTP(rw, r)
				return
			}
			old = accept(t, rw, r, `{"op":"welcome","conn":"c","ping":1000,"grace":1000}`, `{"op":"ok","sub":1,"at":"1.1"}`,
				`{"topic":"chat.a","id":"2.2","data":"before"}`)
			close(first)
			time.Sleep(time.Hour) // it does not read, and never closes
		})
		t.Cleanup(func() { hub.Close() })
		var st states
		asked := make(chan struct{})
		c := f.background(func(o *DialOptions) {
			o.OnState = st.on
			o.Token = func(context.Context) (string, error) { <-asked; return "", nil }
		})
		var s *Subscription
		var subscribing sync.WaitGroup
		subscribing.Go(func() { s = w.follow(c, "chat.*", nil) })
		synctest.Wait()
		close(asked) // the subscription is in hello
		subscribing.Wait()
		<-first
		wantNext(t, s, `chat.a "before"`)
		time.Sleep(10 * time.Second) // the client has given it up, and is on the hub
		go func() {
			for range 100 {
				_ = old.Write(context.Background(), websocket.MessageText, []byte(`{"topic":"chat.a","id":"9.9","data":"old"}`))
			}
		}()
		for i := range 10 {
			w.publish("chat.a", i)
			want := fmt.Sprint("chat.a ", i)
			if i == 0 {
				want = "+1 " + want // the hub doesn't know the position of the other one
			}
			wantNext(t, s, want)
		}
		wantNothing(t, s, time.Minute)
		old.CloseNow()
		c.Close()
		time.Sleep(time.Hour)
	})
}
