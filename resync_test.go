package hotline

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// shop is an application: a database whose commits are published, and a page that joins a snapshot of it and the stream.
type shop struct {
	t *testing.T
	w *world

	mu      sync.Mutex
	db      map[string]int // version of each order
	replica map[string]int // as it was before the last commit
	page    map[string]int

	loads   int
	permits chan struct{} // to read the database
	stale   bool          // it is the replica that is read
	state   bool          // the snapshot has a position
}

func (s *shop) commit(order string, version int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replica = maps.Clone(s.db)
	s.db[order] = version
}

func (s *shop) publish(order string, version int) { s.w.publish("orders."+order, version) }

// load is Resync. It may be asked at any time, and reads when the test lets it.
func (s *shop) load(ctx context.Context) (string, error) {
	at := ""
	if s.state {
		at = s.w.hub.Position() // before the database is read
	}
	select {
	case <-s.permits:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loads++
	s.page = maps.Clone(s.db)
	if s.stale {
		s.page = maps.Clone(s.replica)
	}
	return at, nil
}

// show is the page: it applies what comes, and nothing that is older than what it has.
func (s *shop) show(ctx context.Context, sub *Subscription) {
	for m, err := range sub.Messages(ctx) {
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				s.t.Error(err)
			}
			return
		}
		var version int
		if err := m.Decode(&version); err != nil {
			s.t.Error(err)
		}
		s.mu.Lock()
		order := m.Topic[len("orders."):]
		s.page[order] = max(s.page[order], version)
		s.mu.Unlock()
	}
}

// resyncCase is how the application behaves, and whether the page may be wrong then.
type resyncCase struct {
	name                      string
	publishFirst, stale, gaps bool
	position, local           bool
	fails                     bool
}

// TestResync tries every interleaving of an application that commits and publishes, and a page that subscribes, reads the
// database and, where there are gaps, is away for longer than the log. The controls break the conditions that
// SubscribeOptions.Resync states, and must be seen to fail.
func TestResync(t *testing.T) {
	for _, c := range []resyncCase{
		{name: "client"},
		{name: "client with position", position: true},
		{name: "in process", local: true},
		{name: "in process with position", local: true, position: true},
		{name: "gaps", gaps: true},
		{name: "gaps with position", gaps: true, position: true},
		{name: "publishing before the commit", publishFirst: true, fails: true},
		{name: "a lagging replica", stale: true, fails: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			page := []string{"subscribe", "read"}
			if c.gaps {
				page = append(page, "leave", "return", "read")
			}
			tried, failed, again := 0, 0, 0
			changes := []string{"a 1", "b 1", "a 2"}
			if c.gaps { // five steps of the page are enough to try
				changes = changes[1:]
			}
			interleave(writerSteps(changes, c.publishFirst), page, func(steps []string) {
				tried++
				loads, err := c.run(t, steps)
				if loads > 1 {
					again++
				}
				if err != nil {
					if failed++; !c.fails {
						t.Errorf("%v: %v", steps, err)
					}
				}
			})
			if c.fails && failed == 0 {
				t.Errorf("this application is never wrong in %d interleavings: the test sees nothing", tried)
			}
			if (again > 0) != c.gaps {
				t.Errorf("a snapshot was loaded again in %d of %d interleavings", again, tried)
			}
		})
	}
}

// writerSteps is what the application does for some changes.
func writerSteps(changes []string, publishFirst bool) (steps []string) {
	for _, x := range changes {
		two := []string{"commit " + x, "publish " + x}
		if publishFirst {
			two[0], two[1] = two[1], two[0]
		}
		steps = append(steps, two...)
	}
	return steps
}

// interleave calls f with every sequence that has the steps of a and of b in their order.
func interleave(a, b []string, f func([]string)) {
	var walk func(a, b, done []string)
	walk = func(a, b, done []string) {
		if len(a)+len(b) == 0 {
			f(done)
			return
		}
		done = slices.Clip(done)
		if len(a) > 0 {
			walk(a[1:], b, append(done, a[0]))
		}
		if len(b) > 0 {
			walk(a, b[1:], append(done, b[0]))
		}
	}
	walk(a, b, nil)
}

func (c *resyncCase) run(t *testing.T, steps []string) (loads int, err error) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Limits: Limits{LogAge: 10 * time.Second}})
		s := &shop{t: t, w: w, db: map[string]int{}, replica: map[string]int{}, page: map[string]int{}, permits: make(chan struct{}, 9), stale: c.stale, state: c.position}
		client, link := w.connect(nil)
		var from Subscriber = client
		if c.local {
			from = w.hub
		}
		ctx, cancel := context.WithCancel(context.Background())
		var shown sync.WaitGroup
		for _, step := range steps {
			var verb, order string
			var version int
			fmt.Sscan(step, &verb, &order, &version)
			switch verb {
			case "commit":
				s.commit(order, version)
			case "publish":
				s.publish(order, version)
			case "subscribe":
				sub, err := from.Subscribe(ctx, "orders.*", &SubscribeOptions{Resync: s.load})
				if err != nil {
					t.Fatal(err)
				}
				shown.Go(func() { s.show(ctx, sub) })
			case "read":
				s.permits <- struct{}{}
			case "leave":
				link.Blackhole()
			case "return":
				time.Sleep(2 * time.Minute)
				link.Heal()
				time.Sleep(time.Minute)
			}
			synctest.Wait()
		}
		for len(s.permits) < cap(s.permits) {
			s.permits <- struct{}{}
		}
		time.Sleep(10 * time.Minute)
		s.mu.Lock()
		if !maps.Equal(s.page, s.db) {
			err = fmt.Errorf("the page shows %v, the database has %v", s.page, s.db)
		}
		s.mu.Unlock()
		loads = s.loads
		cancel()
		shown.Wait()
	})
	return loads, err
}

// Errors of Resync are tried again, more slowly each time; ErrDenied ends the reading; a loss at each snapshot does not
// make it load one after the other; after a restart nobody loads at once.
func TestResyncErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Limits: Limits{LogAge: 10 * time.Second}})
		c, _ := w.connect(nil)
		var at []time.Time
		result := errors.New("the database is down")
		s := w.follow(c, "a", &SubscribeOptions{Resync: func(context.Context) (string, error) {
			at = append(at, time.Now())
			return "", result
		}})
		wantNothing(t, s, 5*time.Minute)
		if n := len(at); n < 10 || n > 60 {
			t.Errorf("%d attempts in 5 minutes", n)
		}
		if p := s.Position(); p != "" {
			t.Errorf("position %s, though there was no snapshot yet: whoever continues there has none", p)
		}
		result = nil
		w.publish("a", 1)
		wantNext(t, s, "a 1")
		result = fmt.Errorf("%w: not yours", ErrDenied)
		at = nil
		w.restart(nil)
		begin := time.Now()
		if _, err := s.Next(t.Context()); !errors.Is(err, ErrDenied) {
			t.Error(err)
		}
		if len(at) != 1 || at[0].Sub(begin) > 4*time.Second {
			t.Errorf("attempts at %v after %v", at, begin)
		}
		if _, err := s.Next(t.Context()); !errors.Is(err, ErrDenied) { // it is asked again, and refused again
			t.Error(err)
		}

		result, at = nil, nil
		lost := w.follow(c, "b", &SubscribeOptions{After: "1.1", Resync: func(context.Context) (string, error) {
			at = append(at, time.Now())
			return "1.1", nil // which is no position of this hub: so it is a loss again
		}})
		wantNothing(t, lost, 5*time.Minute)
		if n := len(at); n < 10 || n > 60 {
			t.Errorf("%d snapshots in 5 minutes, each followed by a loss", n)
		}
	})
}

// After a restart of the hub the clients do not load their snapshots in the same moment.
func TestResyncSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		c, _ := w.connect(nil)
		var mu sync.Mutex
		var at []time.Time
		for range 100 {
			s := w.follow(c, "a", &SubscribeOptions{Resync: func(context.Context) (string, error) {
				mu.Lock()
				defer mu.Unlock()
				at = append(at, time.Now())
				return "", nil
			}})
			go s.Next(t.Context())
		}
		synctest.Wait()
		at = nil
		w.restart(nil)
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if len(at) != 100 {
			t.Fatalf("%d of 100 snapshots", len(at))
		}
		buckets := make(map[time.Duration]int)
		for _, x := range at {
			buckets[x.Sub(at[0])/(100*time.Millisecond)]++
		}
		for b, n := range buckets {
			if n > 20 {
				t.Errorf("%d of 100 snapshots in 100 ms (bucket %d)", n, b)
			}
		}
	})
}

// A Resync that fails, or that waits, does not keep who reads from the end of the subscription.
func TestResyncEnds(t *testing.T) {
	for _, local := range []bool{false, true} {
		for _, waits := range []bool{false, true} {
			for _, closed := range []bool{false, true} {
				if waits && !closed {
					continue // the snapshot may still come, and what is waiting after it
				}
				name := fmt.Sprintf("local %t, waits %t, closed %t", local, waits, closed)
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, nil)
					c, _ := w.connect(nil)
					var from Subscriber = c
					end := c.Close
					if local {
						from, end = w.hub, w.hub.Close
					}
					s, err := from.Subscribe(t.Context(), "a", &SubscribeOptions{Resync: func(ctx context.Context) (string, error) {
						if waits {
							<-ctx.Done()
						}
						return "", errors.New("the database is down")
					}})
					if err != nil {
						t.Fatal(err)
					}
					if closed {
						end = s.Close
					}
					time.AfterFunc(time.Minute, func() { end() })
					ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
					defer cancel()
					begin := time.Now()
					for _, e := range s.Messages(ctx) {
						err = e
					}
					if d := time.Since(begin); d > time.Minute+backoffCap || closed && d > time.Minute {
						t.Errorf("%s: reading has ended after %s", name, d)
					}
					if closed != (err == nil) || !closed && !errors.Is(err, ErrClosed) {
						t.Errorf("%s: the end is %v", name, err)
					}
				})
			}
		}
	}
}
