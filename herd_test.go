package hotline

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gohotline/hotline/internal/memnet"
)

// front is a world whose hub can be replaced, as behind a load balancer during a deploy.
type front struct {
	*world
	serving atomic.Pointer[Hub]
}

func newFront(t testing.TB, opts *HubOptions) *front {
	f := &front{world: &world{t: t, hub: newTestHub(opts), net: memnet.New(nil)}}
	f.serving.Store(f.hub)
	f.srv = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f.serving.Load().ServeHTTP(w, r) })}
	l := f.net.Listen()
	go f.srv.Serve(l)
	t.Cleanup(func() {
		f.srv.Close()
		f.hub.Close()
	})
	return f
}

// swap makes another hub answer from now on, and returns the one before.
func (f *front) swap(opts *HubOptions) (old *Hub) {
	old, f.hub = f.hub, newTestHub(opts)
	f.serving.Store(f.hub)
	return old
}

// arrivals records when clients connect.
type arrivals struct {
	mu    sync.Mutex
	times []time.Time
}

func (a *arrivals) onConnect(context.Context, *Conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.times = append(a.times, time.Now())
}

// fullest is the largest number of arrivals in a window that begins at a multiple of width after the first moment, and
// how many there are on average from then until the last one.
func (a *arrivals) fullest(begin time.Time, width time.Duration) (most int, mean float64) {
	counts := make(map[int]int)
	last := 0
	for _, at := range a.times {
		i := int(at.Sub(begin) / width)
		last = max(last, i)
		counts[i]++
		most = max(most, counts[i])
	}
	return most, float64(len(a.times)) / float64(last+1)
}

// herdSize is 1,000; the race detector makes them slow.
func herdSize() int {
	if raceEnabled {
		return 200
	}
	return 1000
}

// herd is many clients, each with a subscription that counts.
type herd struct {
	w       *world
	cut     []func()
	readers sync.WaitGroup
	mu      sync.Mutex
	got     []map[string]int // messages by content
	missed  []int
	clients []*Client
}

func newHerd(w *world, n int) *herd {
	h := &herd{w: w, got: make([]map[string]int, n), missed: make([]int, n)}
	for i := range n {
		c, link := w.connect(nil)
		s := w.follow(c, "news", nil)
		h.cut = append(h.cut, link.Cut)
		h.clients = append(h.clients, c)
		h.got[i] = make(map[string]int)
		h.readers.Go(func() {
			for {
				m, err := s.Next(context.Background())
				if err != nil {
					if !errors.Is(err, ErrClosed) {
						w.t.Error(err)
					}
					return
				}
				h.mu.Lock()
				h.got[i][string(m.Data)]++
				h.missed[i] += m.Missed
				h.mu.Unlock()
			}
		})
	}
	return h
}

// stop ends the clients and waits for their readers.
func (h *herd) stop() {
	for _, c := range h.clients {
		go c.Close()
	}
	h.readers.Wait()
}

// judge: nothing twice; and every one of the messages from 0 to n, or, if a gap is allowed, a notice instead.
func (h *herd) judge(n int, gaps bool) {
	h.w.t.Helper()
	for i, got := range h.got {
		for data, times := range got {
			if times != 1 {
				h.w.t.Errorf("client %d got %s %d times", i, data, times)
			}
		}
		if len(got) != n && (!gaps || h.missed[i] == 0) || h.missed[i] > 0 && !gaps {
			h.w.t.Errorf("client %d got %d of %d messages, and was told of %d missed", i, len(got), n, h.missed[i])
		}
	}
}

// Row 1 of the failure table: when all are dropped at once they come back spread, and with everything. Only cut, they
// miss nothing; after a restart the hub's log is gone, and they are told so.
func TestHerd(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprintf("restart=%t", restart), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const before, after = 5, 10
				clients := herdSize()
				var a arrivals
				opts := &HubOptions{OnConnect: a.onConnect}
				w := newFront(t, opts)
				h := newHerd(w.world, clients)
				n := 0
				publish := func() {
					w.publish("news", n)
					n++
				}
				for range before {
					publish()
				}
				time.Sleep(time.Minute)
				a.times = nil
				begin := time.Now()
				if restart {
					old := w.swap(opts)
					old.Close()
				} else {
					for _, cut := range h.cut {
						cut()
					}
				}
				for range after {
					publish()
					time.Sleep(200 * time.Millisecond)
				}
				time.Sleep(10 * time.Second)
				publish()
				time.Sleep(time.Second)
				h.stop()
				if most, mean := a.fullest(begin, 100*time.Millisecond); len(a.times) != clients || float64(most) > 3*mean {
					t.Errorf("%d came back, in the fullest 100 ms %d, on average %.1f", len(a.times), most, mean)
				}
				h.judge(n, restart)
				for i := range h.got { // what was published when all were back
					if h.got[i][fmt.Sprint(n-1)] != 1 {
						t.Errorf("client %d is not back", i)
					}
				}
			})
		})
	}
}

// Row 2: a deploy. The hub closes in its own time, each client comes back when it was told to, to the next hub.
func TestShutdownOfHerd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clients := herdSize()
		var a arrivals
		opts := &HubOptions{OnConnect: a.onConnect}
		w := newFront(t, opts)
		h := newHerd(w.world, clients)
		time.Sleep(time.Minute)
		w.publish("news", 0)
		a.times = nil
		begin := time.Now()
		old := w.swap(opts)
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := old.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took > 16*time.Second {
			t.Errorf("it took %v", took)
		}
		time.Sleep(30 * time.Second)
		w.publish("news", 1)
		time.Sleep(time.Second)
		h.stop()
		few := max(clients/4, 100) // the hub closes at least 100 a second
		if most, _ := a.fullest(begin, time.Second); len(a.times) != clients || most > few {
			t.Errorf("%d came back, in the fullest second %d", len(a.times), most)
		}
		h.judge(2, true)
		for i, got := range h.got {
			if got["0"] != 1 || got["1"] != 1 {
				t.Errorf("client %d got %v", i, got)
			}
		}
	})
}
