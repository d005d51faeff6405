package hotline

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A loop that takes 10 ms a message gets all of a topic with 1,000 a second, and another topic of the same client is not
// held up by it.
func TestClientParksSlowLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		c, _ := w.connect(nil)
		slow, quick := w.follow(c, "a", nil), w.follow(c, "b", nil)
		const n = 5000
		go func() {
			for i := range n {
				w.publish("a", i)
				if i%100 == 0 {
					w.publish("b", time.Now())
				}
				time.Sleep(time.Millisecond)
			}
		}()
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range n / 100 {
				m, err := quick.Next(context.Background())
				var at time.Time
				if err != nil || m.Decode(&at) != nil || time.Since(at) > bufferGrace {
					t.Errorf("%s came after %s, %v", short(&m), time.Since(at), err)
				}
			}
		}()
		for i := range n {
			wantNext(t, slow, fmt.Sprint("a ", i))
			time.Sleep(10 * time.Millisecond)
		}
		<-done
	})
}

// A client that was away for longer than any buffer gets everything, in order, through the window (row 11).
func TestClientLongAbsence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		c, link := w.connect(nil)
		s := w.follow(c, "a", nil)
		link.Blackhole()
		const n = 50_000
		for i := range n {
			w.publish("a", i)
		}
		time.Sleep(time.Minute)
		link.Heal()
		for i := range n {
			wantNext(t, s, fmt.Sprint("a ", i))
		}
		wantNothing(t, s, time.Minute)
	})
}

// What is lost is told with the next message; without one it is told to who has a Resync.
func TestClientMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Limits: Limits{LogAge: 10 * time.Second}})
		c, link := w.connect(nil)
		s, other := w.follow(c, "a", nil), w.follow(c, "b", nil)
		w.publish("a", "before")
		wantNext(t, s, `a "before"`)
		link.Blackhole()
		for i := range 10 {
			w.publish("a", i)
		}
		time.Sleep(2 * time.Minute)
		link.Heal()
		time.Sleep(time.Minute)
		w.publish("a", "after")
		w.publish("b", "after")
		m, err := s.Next(t.Context())
		if err != nil || m.Missed < 1 || string(m.Data) != `"after"` {
			t.Errorf("%s, %v", short(&m), err)
		}
		wantNext(t, other, `b "after"`)
	})
}

func TestClientReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		for i := range 2000 {
			w.publish("a", i)
		}
		c, link := w.connect(nil)
		s := w.follow(c, "a", &SubscribeOptions{Replay: 1000}) // more than is buffered before somebody reads
		w.publish("a", "new")
		for i := range 1000 {
			wantNext(t, s, fmt.Sprint("*a ", 1000+i))
		}
		m, err := s.Next(t.Context())
		if err != nil || string(m.Data) != `"new"` {
			t.Errorf("%s, %v", short(&m), err)
		}
		w.publish("a", "newer")
		wantNext(t, s, `a "newer"`)
		s = w.follow(c, "a", &SubscribeOptions{Replay: 1000})
		link.Cut() // it goes on from where it was
		for i := range 1000 {
			want := fmt.Sprint("a ", 1002+i)
			if i >= 998 {
				want = []string{`a "new"`, `a "newer"`}[i-998]
			}
			m, err := s.Next(t.Context())
			if m.Replayed = false; err != nil || short(&m) != want {
				t.Fatalf("%s, %v; want %s", short(&m), err, want)
			}
		}
	})
}

// A position that is saved is one that another process can go on from, also if nothing was published for an hour.
func TestClientPosition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		first, _ := w.connect(nil)
		s := w.follow(first, "a", nil)
		for i := range 10 {
			w.publish("a", i)
		}
		wantNext(t, s, "a 0", "a 1", "a 2")
		saved := s.Position()
		first.Close()
		if after := s.Position(); after != saved {
			t.Errorf("the position moved from %s to %s by Close", saved, after)
		}
		second, _ := w.connect(nil)
		s = w.follow(second, "a", &SubscribeOptions{After: saved})
		wantNext(t, s, "a 3", "a 4", "a 5", "a 6", "a 7", "a 8", "a 9")
		for range 60 { // a loud hour, in which nothing was published here
			for range 10 {
				w.publish("b", strings.Repeat("x", 1000))
			}
			time.Sleep(time.Minute)
		}
		saved = s.Position()
		second.Close()
		w.publish("a", "last")
		third, _ := w.connect(nil)
		wantNext(t, w.follow(third, "a", &SubscribeOptions{After: saved}), `a "last"`)
		old := w.follow(third, "a", &SubscribeOptions{After: "1.1"}) // of another life of the log
		w.publish("a", "more")
		if m, err := old.Next(t.Context()); err != nil || m.Missed < 1 || string(m.Data) != `"more"` {
			t.Errorf("%s, %v", short(&m), err)
		}
		both := w.follow(third, "a", &SubscribeOptions{After: "1.1", Replay: 2})
		if m, err := both.Next(t.Context()); err != nil || m.Missed < 1 || string(m.Data) != `"last"` || !m.Replayed {
			t.Errorf("%s, %v", short(&m), err)
		}
		wantNext(t, both, `*a "more"`)
	})
}

func TestClientState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Topics: priceTopics})
		for i := range 1000 {
			w.publish(fmt.Sprint("price.", i), i)
		}
		c, link := w.connect(nil)
		s := w.follow(c, "price.*", nil) // returns, though nobody reads yet
		for i := range 1000 {
			wantNext(t, s, fmt.Sprintf("*price.%d %d", i, i))
		}
		wantNothing(t, s, time.Minute)
		for i := range 1000 { // conflated: nobody reads meanwhile
			w.publish("price.1", i)
			w.publish("price.2", i)
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
		wantNext(t, s, "price.1 999", "price.2 999")
		wantNothing(t, s, time.Minute)
		link.Blackhole()
		w.publish("price.3", nil)
		w.publish("price.4", "new")
		w.publish("price.5", nil)
		w.publish("price.5", 5)
		time.Sleep(time.Minute)
		link.Heal()
		got := make(map[string]bool)
		for range 3 {
			m, err := s.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got[short(&m)] = true
		}
		for _, want := range []string{"price.3 gone", `price.4 "new"`, "price.5 5"} {
			if !got[want] {
				t.Errorf("no %q in %v", want, got)
			}
		}
		wantNothing(t, s, time.Minute)
		w.publish("price.6", nil)
		wantNext(t, s, "price.6 gone")
		w.publish("price.6", nil)
		w.publish("price.7", nil)
		wantNext(t, s, "price.7 gone")
	})
}

// A value that went away while the client did is gone, also if the hub has forgotten that it was there.
func TestClientStateOfNewHub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Topics: priceTopics})
		w.publish("price.1", 1)
		w.publish("price.2", 2)
		c, _ := w.connect(nil)
		s := w.follow(c, "price.*", nil)
		wantNext(t, s, "*price.1 1", "*price.2 2")
		w.restart(&HubOptions{Topics: priceTopics})
		w.publish("price.2", "two")
		got := map[string]bool{}
		for range 2 {
			m, err := s.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got[short(&m)] = true
		}
		if !got["price.1 gone"] || !got[`price.2 "two"`] {
			t.Error(got)
		}
	})
}

func TestClientDenied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var revoked atomic.Bool
		w := newWorld(t, &HubOptions{AuthorizeSubscribe: func(_ context.Context, _ *Conn, topic string) error {
			switch {
			case topic == "b", topic == "a" && !revoked.Load():
				return nil
			case topic == "later" && revoked.Load():
				return errors.New("the database is down")
			}
			return fmt.Errorf("%w: only members read %s", ErrDenied, topic)
		}})
		c, link := w.connect(nil)
		if _, err := c.Subscribe(t.Context(), "c", nil); !errors.Is(err, ErrDenied) || err.Error() != "hotline: denied: only members read c" {
			t.Errorf("%v", err)
		}
		a, b := w.follow(c, "a", nil), w.follow(c, "b", nil)
		w.publish("a", 1)
		revoked.Store(true)
		synctest.Wait()
		link.Cut()
		w.publish("a", 2)
		time.Sleep(3 * time.Second)
		w.publish("b", 1)
		wantNext(t, a, "a 1")
		if m, err := a.Next(t.Context()); !errors.Is(err, ErrDenied) {
			t.Errorf("%s, %v", short(&m), err)
		}
		for range a.Messages(t.Context()) {
			break
		}
		wantNext(t, b, "b 1")
		go func() {
			time.Sleep(time.Minute)
			revoked.Store(false)
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if _, err := c.Subscribe(ctx, "later", nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if _, err := c.Subscribe(t.Context(), "later", nil); !errors.Is(err, ErrDenied) { // once it can be said
			t.Error(err)
		}
	})
}

// More subscriptions than one message holds are resumed all the same.
func TestClientHelloFits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Limits: Limits{Subscriptions: -1, MessageBytes: 4 << 10}})
		c, link := w.connect(nil)
		var subs []*Subscription
		for i := range 300 {
			subs = append(subs, w.follow(c, fmt.Sprintf("%s.%d", strings.Repeat("t", 100), i), nil))
		}
		link.Cut()
		for i := range subs {
			w.publish(fmt.Sprintf("%s.%d", strings.Repeat("t", 100), i), i)
		}
		for i, s := range subs {
			if m, err := s.Next(t.Context()); err != nil || m.Missed > 0 || string(m.Data) != fmt.Sprint(i) {
				t.Fatal(short(&m), err)
			}
		}
	})
}

func TestClientAfterIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		c, _ := w.connect(nil)
		if _, err := c.Subscribe(t.Context(), "a", &SubscribeOptions{After: strings.Repeat("1", 70_000)}); !errors.Is(err, ErrInvalid) {
			t.Error(err)
		}
		w.follow(c, "a", nil)
	})
}

func TestClientMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		c, _ := w.connect(nil)
		s := w.follow(c, "a", nil)
		for i := range 10 {
			w.publish("a", i)
		}
		n := 0
		for m, err := range s.Messages(t.Context()) {
			if err != nil || short(&m) != fmt.Sprint("a ", n) {
				t.Fatal(short(&m), err)
			}
			if n++; n == 5 {
				break
			}
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		why := errors.New("enough")
		for m, err := range s.Messages(ctx) {
			if n < 10 && (err != nil || short(&m) != fmt.Sprint("a ", n)) {
				t.Fatal(short(&m), err)
			}
			if n == 10 && (!errors.Is(err, why) || !errors.Is(err, context.Canceled)) {
				t.Fatal(err)
			}
			if n++; n == 10 {
				cancel(why)
			}
		}
		if n != 11 {
			t.Error(n)
		}
		go func() {
			time.Sleep(time.Second)
			s.Close()
		}()
		for m, err := range s.Messages(t.Context()) {
			t.Error(short(&m), err)
		}
		s = w.follow(c, "a", nil)
		w.publish("a", "last")
		synctest.Wait()
		c.Close()
		wantNext(t, s, `a "last"`)
		if _, err := s.Next(t.Context()); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
		if _, err := c.Subscribe(t.Context(), "a", nil); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
}

// Subscriptions that come and go, overlap and are slow, over a link that breaks: each gets everything that was published
// while it was there.
func TestClientManySubscriptions(t *testing.T) {
	bubbles(t, 10, func(t *testing.T, seed uint64) {
		w := newWorld(t, nil)
		c, link := w.connect(nil)
		stop := make(chan struct{})
		go func() {
			rng := rand.New(rand.NewPCG(seed, 0))
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case <-time.After(time.Duration(rng.Int64N(int64(10 * time.Millisecond)))):
				}
				w.publish(fmt.Sprint("t.", rng.IntN(3)), i)
				if rng.IntN(500) == 0 {
					link.Cut()
				}
			}
		}()
		done := make(chan struct{})
		for k := range 8 {
			go func() {
				defer func() { done <- struct{}{} }()
				rng := rand.New(rand.NewPCG(seed, uint64(1+k)))
				for range 10 {
					topic := []string{"t.0", "t.1", "t.*", ">"}[rng.IntN(4)]
					s := w.follow(c, topic, nil)
					alongsideLog(t, w, s, rng)
					s.Close()
				}
			}()
		}
		for range 8 {
			<-done
		}
		close(stop)
	})
}

// alongsideLog reads some messages and compares them with what the hub's log has there.
func alongsideLog(t *testing.T, w *world, s *Subscription, rng *rand.Rand) {
	n := 1 + rng.IntN(600)
	first, err := s.Next(context.Background())
	if err != nil {
		t.Error(err)
		return
	}
	local, err := w.hub.Subscribe(context.Background(), s.src.(*remoteReader).name, &SubscribeOptions{After: first.ID})
	if err != nil {
		t.Error(err)
		return
	}
	defer local.Close()
	slow := rng.IntN(3) == 0
	for range n {
		m, err := s.Next(context.Background())
		want, err2 := local.Next(context.Background())
		if err != nil || err2 != nil || m.ID != want.ID || m.Missed+want.Missed > 0 || string(m.Data) != string(want.Data) {
			t.Errorf("got %s %s, %v; want %s %s, %v", m.ID, short(&m), err, want.ID, short(&want), err2)
			return
		}
		if slow {
			time.Sleep(time.Duration(rng.Int64N(int64(30 * time.Millisecond))))
		}
	}
}

var priceTopics = map[string]TopicOptions{"price.>": {Delivery: State}}

// A reader in process takes signals while it waits, and none after that.
func TestSignalsWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Topics: map[string]TopicOptions{"typing": {Delivery: Signals}}})
		s, err := w.hub.Subscribe(t.Context(), "typing", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		wantNothing(t, s, time.Second)
		w.publish("typing", "stale")
		synctest.Wait()
		go func() {
			time.Sleep(time.Second)
			w.publish("typing", "now")
		}()
		wantNext(t, s, `typing "now"`)
	})
}
