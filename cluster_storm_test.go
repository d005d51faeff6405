package hotline

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gohotline/hotline/internal/oracle"
)

// publishAt publishes at one of the hubs as server code does that tries again until it knows that it was stored.
func publishAt(o *oracle.Oracle, w *world, topic, data string) {
	o.Attempt(topic, data)
	p, err := w.hub.publication(topic, []byte(data))
	if err != nil {
		panic(err)
	}
	p.key = scope("", topic, data)
	for {
		pos, _, err := w.hub.store(context.Background(), p)
		if err == nil {
			o.Accepted(topic, data, pos.String())
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// clusterStorm is a storm over several hubs: clients move between them whenever they reconnect, and the way between
// the hubs and their store is as bad as the one to the clients.
type clusterStorm struct {
	*storm
	c      *cluster
	losses bool // feeds lose entries
	late   bool // and notice it late, see BrokerHub.Lost
}

func newClusterStorm(t *testing.T, n int, o TestStoreOptions, l Limits) *clusterStorm {
	s := &storm{t: t, o: oracle.New(), length: 20 * time.Second, pause: 200 * time.Millisecond, sizes: 400}
	s.o.Hollow = true
	c := newCluster(t, n, o, s.options(l))
	s.w = c.world
	return &clusterStorm{storm: s, c: c}
}

// hold subscribes to every topic at every hub.
func (s *clusterStorm) hold() {
	for _, w := range s.c.worlds {
		for _, topic := range eventTopics {
			sub, err := w.hub.Subscribe(s.t.Context(), topic, nil)
			if err != nil {
				s.t.Fatal(err)
			}
			s.t.Cleanup(func() { sub.Close() })
		}
	}
}

func (s *clusterStorm) publisher(n int, rng *rand.Rand) {
	end := time.Now().Add(s.length)
	for i := 0; time.Now().Before(end); {
		w := s.c.worlds[rng.IntN(len(s.c.worlds))]
		for range 1 + rng.IntN(20) {
			i++
			s.one(w, fmt.Sprintf("p%d-%d", n, i), rng)
		}
		time.Sleep(time.Duration(rng.Int64N(int64(s.pause))))
	}
}

// one publishes one message. A value that may have been stored is published again.
func (s *clusterStorm) one(w *world, name string, rng *rand.Rand) {
	pad := strings.Repeat("x", rng.IntN(s.sizes))
	switch k := rng.IntN(10); {
	case k == 0:
		w.hub.Publish(context.Background(), "typing.a", name)
	case k < 4:
		var v any = name + pad
		if rng.IntN(8) == 0 {
			v = nil
		}
		topic := stateTopics[rng.IntN(len(stateTopics))]
		for w.hub.Publish(context.Background(), topic, v) != nil {
			time.Sleep(100 * time.Millisecond)
		}
	default:
		topic := eventTopics[min(rng.IntN(len(eventTopics)), rng.IntN(len(eventTopics)))]
		publishAt(s.o, w, topic, fmt.Sprintf("%q", name+pad))
	}
}

// trouble makes things go wrong between a hub and the store.
func (s *clusterStorm) trouble(n TestNode, rng *rand.Rand) {
	end := time.Now().Add(s.length)
	for time.Now().Before(end) {
		time.Sleep(time.Duration(rng.Int64N(int64(3 * time.Second))))
		d := time.Duration(rng.Int64N(int64(4 * time.Second)))
		switch rng.IntN(5) {
		case 0:
			n.Leave()
			time.Sleep(2 * d)
			n.Return(!s.losses || rng.IntN(2) == 0)
		case 1:
			n.Fail(TestFaults{Delay: time.Duration(rng.Int64N(int64(50 * time.Millisecond)))})
			time.Sleep(d)
		case 2:
			every := 1 + rng.IntN(20)
			n.Fail(TestFaults{Unanswered: func(*BrokerEntry) bool { return rand.IntN(every) == 0 }})
			time.Sleep(d)
		case 3:
			if s.losses {
				every := 1 + rng.IntN(20)
				n.Fail(TestFaults{
					Drop: func(*BrokerEntry) bool { return rand.IntN(every) == 0 },
					Late: s.late && rng.IntN(2) == 0, Blunt: rng.IntN(2) == 0,
				})
				time.Sleep(d)
			}
		case 4:
			n.Lag(1)
			time.Sleep(d)
			n.Lag(0)
		}
		n.Fail(TestFaults{})
	}
}

func (s *clusterStorm) run(seed uint64, publishers, clients int) {
	s.push = int(seed % 16)
	var wg sync.WaitGroup
	for i, n := range s.c.nodes {
		wg.Go(func() { s.trouble(n, rand.New(rand.NewPCG(seed, uint64(200+i)))) })
	}
	for i := range publishers {
		wg.Go(func() { s.publisher(i, rand.New(rand.NewPCG(seed, uint64(i)))) })
	}
	for i := range clients {
		c := s.client(i)
		s.clients = append(s.clients, c)
		wg.Go(func() { s.life(i, c, rand.New(rand.NewPCG(seed, uint64(100+i)))) })
	}
	wg.Wait()
	s.calm()
}

// calm is what comes after the storm.
func (s *clusterStorm) calm() {
	for _, n := range s.c.nodes {
		n.Return(true)
		n.Fail(TestFaults{})
		n.Lag(0)
	}
	time.Sleep(time.Minute)
	for _, c := range s.clients {
		c.closeWS() // what was refused for the moment is sent again
	}
	time.Sleep(time.Second)
	for i, topic := range eventTopics {
		publishAt(s.o, s.c.worlds[i%len(s.c.worlds)], topic, fmt.Sprintf(`"last of %s"`, topic))
	}
	s.storm.calm()
}

// Whatever goes wrong between clients, hubs and store: no message is lost without a gap, none comes twice or out of
// order. The store has everything, the hubs' logs are far too small, and feeds lose entries and say so.
func TestClusterNoSilentLoss(t *testing.T) {
	bubbles(t, 24, func(t *testing.T, seed uint64) {
		s := newClusterStorm(t, 2+int(seed%2), TestStoreOptions{CarryAll: seed%4 < 2}, Limits{LogBytes: 64 << 10, WindowBytes: 4 << 10 << (seed % 3)})
		s.faults, s.losses, s.secret = true, true, seed%5 < 2
		if s.o.Lenient = seed%3 == 0; !s.o.Lenient {
			s.hold()
		}
		s.run(seed, 3, 4)
		s.judge()
		t.Log(s.o.Counts())
	})
}

// A feed that notices a loss late, when it has gone on with other topics, loses nothing silently either for those who
// stay with their hub. Who moves to another one meanwhile takes a position along that says too much.
func TestClusterLateLoss(t *testing.T) {
	bubbles(t, 12, func(t *testing.T, seed uint64) {
		s := newClusterStorm(t, 2, TestStoreOptions{CarryAll: seed%4 < 2}, Limits{LogBytes: 4 << 20})
		s.faults, s.losses, s.late, s.o.Lenient = true, true, true, true
		s.c.only.Store(0)
		s.run(seed, 3, 4)
		s.judge()
		t.Log(s.o.Counts())
	})
}

// runRestless is run with clients that have nothing but what the server subscribes. There is State that takes its time: the
// stream of Events may have gone on when that joins.
func (s *clusterStorm) runRestless(seed uint64, clients int) {
	for i := range 60 {
		if err := s.w.hub.Publish(s.t.Context(), fmt.Sprint("price.many.", i), strings.Repeat("x", 400)); err != nil {
			s.t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for i, n := range s.c.nodes {
		wg.Go(func() { s.trouble(n, rand.New(rand.NewPCG(seed, uint64(200+i)))) })
	}
	for i := range 2 {
		wg.Go(func() { s.publisher(i, rand.New(rand.NewPCG(seed, uint64(i)))) })
	}
	for i := range clients {
		c := s.client(i)
		s.clients = append(s.clients, c)
		wg.Go(func() { s.restless(c, rand.New(rand.NewPCG(seed, uint64(100+i)))) })
	}
	wg.Wait()
	s.calm()
}

// TestClusterPushedStorm is TestP2Pushed with several hubs.
func TestClusterPushedStorm(t *testing.T) {
	bubbles(t, 12, func(t *testing.T, seed uint64) {
		s := newClusterStorm(t, 2+int(seed%2), TestStoreOptions{}, Limits{LogBytes: 64 << 10, WindowBytes: 1 << 10 << (seed % 5)})
		s.faults, s.losses, s.secret, s.o.Lenient = true, true, seed%5 < 2, true
		s.push = 1
		s.runRestless(seed, 6)
		s.judge()
		t.Log(s.o.Counts())
	})
}

// With logs that are large enough nothing is lost at all that the store has: not by moving to another hub, not by hubs
// that were cut off from it.
func TestClusterNoGapWithoutLoss(t *testing.T) {
	bubbles(t, 16, func(t *testing.T, seed uint64) {
		s := newClusterStorm(t, 2+int(seed%2), TestStoreOptions{CarryAll: seed%4 < 2}, Limits{LogBytes: 64 << 20})
		s.faults = true
		s.run(seed, 3, 4)
		s.judge()
		if n := s.o.Counts().Gaps; n > 0 {
			t.Errorf("%d gaps", n)
		}
		t.Log(s.o.Counts())
	})
}

// Without faults there is none either, when clients do nothing but move.
func TestClusterQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newClusterStorm(t, 3, TestStoreOptions{}, Limits{})
		c := newStrict(s.w, s.o, "client")
		for _, topic := range []string{"chat.a", "chat.*", ">", "kept.k"} {
			c.subscribe(topic, "", 0)
		}
		time.Sleep(time.Second)
		for i := range 50 {
			publishAt(s.o, s.c.worlds[i%3], "chat.a", fmt.Sprintf(`"%d"`, i))
			if i%3 == 0 {
				c.closeWS()
				time.Sleep(400 * time.Millisecond)
			}
		}
		s.clients = []*strict{c}
		s.settle()
		c.stop()
		s.judge()
		if n := s.o.Counts(); n.Gaps > 0 || n.Delivered != 3*50 {
			t.Error(n)
		}
	})
}
