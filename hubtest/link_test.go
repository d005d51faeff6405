package hubtest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/gohotline/hotline"
	"github.com/gohotline/hotline/internal/wire"
)

// Both ends see a reset, and the client resumes over the same link, with what was on its way.
func TestCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 10)
		hub := hotline.NewHub(&hotline.HubOptions{
			AuthorizeSubscribe: hotline.Allow(">"),
			OnDisconnect:       func(_ context.Context, _ *hotline.Conn, err error) { ended <- err },
		})
		t.Cleanup(func() { hub.Close() })
		s := Serve(t, hub)
		link, other := s.newLink("one"), s.newLink("other")
		c, at, _ := dialRaw(t, link, "")
		o, _, _ := dialRaw(t, other, "")

		link.Stall()
		publish(t, hub, "a", "on its way")
		synctest.Wait()
		link.Cut()
		if err := <-ended; !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the hub saw %v", err)
		}
		if _, err := c.read(); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the client saw %v", err)
		}
		o.want(`"on its way"`)
		link.Heal()
		c, _, _ = dialRaw(t, link, at)
		c.want(`"on its way"`)
	})
}

// Who is stalled is behind, and reads on later; for too long, and the hub closes. Nobody else notices.
func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := open(t)
		s := Serve(t, hub)
		slow, at, _ := dialRaw(t, s.newLink("slow"), "")
		live, _, _ := dialRaw(t, s.newLink("live"), "")
		var want []string
		burst := func() {
			want = want[:0]
			for i := range 300 {
				v := fmt.Sprint(i, strings.Repeat("x", 1000))
				want = append(want, fmt.Sprintf("%q", v))
				publish(t, hub, "a", v)
			}
		}
		slow.link.Stall()
		burst()
		live.want(want...)
		if n := hub.Stats().Behind; n != 1 {
			t.Errorf("%d behind", n)
		}
		time.Sleep(8 * time.Second)
		slow.link.Heal()
		slow.want(want...)

		slow.link.Stall()
		burst()
		live.want(want...)
		time.Sleep(24 * time.Second) // the pings are 25 s apart
		if n := hub.Stats().Conns; n != 1 {
			t.Fatalf("%d connections after twice the write timeout", n)
		}
		slow.link.Heal()
		n := 0
		for ; ; n++ {
			if _, err := slow.read(); err != nil {
				break
			}
		}
		if n == 0 || n >= 300 {
			t.Errorf("%d messages were in the buffers", n)
		}
		slow, _, _ = dialRaw(t, slow.link, at)
		for range 300 {
			slow.next()
		}
		slow.want(want...)
	})
}

// Nobody is told: the hub finds out by its pings, 35 s after the last sign of life.
func TestBlackhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan time.Time, 10)
		hub := hotline.NewHub(&hotline.HubOptions{
			AuthorizeSubscribe: hotline.Allow(">"),
			OnDisconnect:       func(context.Context, *hotline.Conn, error) { ended <- time.Now() },
		})
		t.Cleanup(func() { hub.Close() })
		s := Serve(t, hub)
		c, at, _ := dialRaw(t, s.newLink("one"), "")
		c.link.Blackhole()
		start := time.Now()
		publish(t, hub, "a", "in the dark")
		within(t, "the hub", (<-ended).Sub(start), 36*time.Second) // one of them for the Close frame

		// An attempt to connect waits for its own limit, or TCP's.
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start = time.Now()
		if _, err := tryRaw(ctx, t, c.link); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("an attempt with a limit of its own: %v", err)
		}
		within(t, "it", time.Since(start), 10*time.Second)
		start = time.Now()
		if _, err := tryRaw(t.Context(), t, c.link); !errors.Is(err, syscall.ETIMEDOUT) {
			t.Errorf("an attempt without: %v", err)
		}
		within(t, "it", time.Since(start), 127*time.Second)

		// One that still waits goes on.
		time.AfterFunc(time.Minute, c.link.Heal)
		start = time.Now()
		c, _, _ = dialRaw(t, c.link, at)
		within(t, "the last attempt", time.Since(start), time.Minute)
		c.want(`"in the dark"`)
	})
}

// A tunnel that is short enough costs nothing but time.
func TestBlackholeHeals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := open(t)
		c, _, _ := dialRaw(t, Serve(t, hub).newLink("one"), "")
		c.link.Blackhole()
		publish(t, hub, "a", 1)
		time.AfterFunc(20*time.Second, c.link.Heal)
		start := time.Now()
		c.want("1")
		within(t, "it", time.Since(start), 20*time.Second)
	})
}

func TestThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := open(t)
		c, _, _ := dialRaw(t, Serve(t, hub).newLink("one"), "")
		c.link.Throttle(1000)
		c.link.Throttle(0)
		start := time.Now()
		publish(t, hub, "a", strings.Repeat("x", 30_000))
		c.next()
		within(t, "a message without limit", time.Since(start), 0)
		c.link.Throttle(10_000)
		publish(t, hub, "a", strings.Repeat("x", 30_000))
		c.next()
		if took := time.Since(start); took < 3*time.Second || took > 3100*time.Millisecond {
			t.Errorf("30,000 bytes at 10,000 a second took %v", took)
		}
	})
}

// A deploy: whoever was connected is cut, comes back to a hub that does not know its position, and is told so.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, next := open(t), open(t)
		s := Serve(t, old)
		c, at, _ := dialRaw(t, s.newLink("one"), "")
		dark, _, _ := dialRaw(t, s.newLink("dark"), "")
		dark.link.Blackhole()
		publish(t, next, "a", "new")
		s.Restart(next)
		for _, c := range []*raw{c, dark} {
			if _, err := c.read(); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the client saw %v", err)
			}
		}
		publish(t, old, "a", "nobody reads that")
		c, _, before := dialRaw(t, c.link, at)
		if len(before) != 1 || before[0].Op != "gap" || before[0].Cause != "restart" {
			t.Errorf("resumed with %+v", before)
		}
		publish(t, next, "a", "live")
		c.want(`"live"`)
		synctest.Wait()
		if n := old.Stats().Conns; n != 0 {
			t.Errorf("the old hub has %d connections", n)
		}
		dark.link.Heal()
		dialRaw(t, dark.link, at)
	})
}

// A shutdown is what clients see if the hub is closed first.
func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := open(t)
		s := Serve(t, hub)
		c, _, _ := dialRaw(t, s.newLink("one"), "")
		if err := hub.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if f := c.next(); f.Op != "bye" {
			t.Errorf("got %+v", f)
		}
		if _, err := c.read(); websocket.CloseStatus(err) != wire.CloseRestart {
			t.Errorf("got %v", err)
		}
		if _, err := tryRaw(t.Context(), t, c.link); err == nil || !strings.Contains(err.Error(), http.StatusText(http.StatusServiceUnavailable)) && !strings.Contains(err.Error(), "503") {
			t.Errorf("then %v", err)
		}
	})
}
