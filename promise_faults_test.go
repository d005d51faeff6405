package hotline

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gohotline/hotline/internal/oracle"
)

// seeds returns how many runs there are and the first seed. HOTLINE_SEED=n repeats run n alone; HOTLINE_RUNS=n makes n
// runs with new seeds. Fewer are made with -short and under the race detector, more at full length.
func seeds(t *testing.T, normal int) (first uint64, n int) {
	if s := os.Getenv("HOTLINE_SEED"); s != "" {
		v, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("HOTLINE_SEED: %v", err)
		}
		return v, 1
	}
	if s := os.Getenv("HOTLINE_RUNS"); s != "" {
		v, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("HOTLINE_RUNS: %v", err)
		}
		return rand.Uint64() >> 32, v
	}
	switch {
	case full():
		normal *= 20
	case testing.Short() && raceEnabled:
		normal /= 8
	case testing.Short() || raceEnabled:
		normal /= 4
	}
	return rand.Uint64() >> 32, max(normal, 1)
}

// bubbles runs f in a bubble for each seed, and says how to repeat the one that fails.
func bubbles(t *testing.T, normal int, f func(t *testing.T, seed uint64)) {
	first, n := seeds(t, normal)
	for seed := first; seed < first+uint64(n); seed++ {
		ok := t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, seed) })
		})
		if !ok {
			t.Fatalf("repeat with HOTLINE_SEED=%d", seed)
		}
	}
}

// storm is a hub with publishers and clients, under faults.
type storm struct {
	t       *testing.T
	w       *world
	o       *oracle.Oracle
	clients []*strict
	faults  bool
	length  time.Duration
	pause   time.Duration // between publishes, at most
	sizes   int           // of payloads, at most
	push    int           // which pushes come first
	secret  bool          // some may not read what was published on chat.b before they came
}

var stormTopics = map[string]TopicOptions{
	"price.>":  {Delivery: State},
	"typing.*": {Delivery: Signals},
	"kept.*":   {Keep: 50},
}

var (
	eventTopics = []string{"chat.a", "chat.b", "chat.c", "news.x.y", "kept.k", "rare"}
	stateTopics = []string{"price.a", "price.b", "price.eu.c"}
	interests   = []string{"chat.a", "chat.b", "chat.*", ">", "news.>", "price.*", "price.>", "price.a", "kept.*", "kept.k", "rare", "*.x.*"}
)

// holdTopics subscribes to every topic, so that the log knows exactly what each has lost.
func (s *storm) holdTopics() {
	for _, topic := range eventTopics {
		sub, err := s.w.hub.Subscribe(s.t.Context(), topic, nil)
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { sub.Close() })
	}
}

// publisher is server code that publishes at random.
func (s *storm) publisher(n int, rng *rand.Rand) {
	end := time.Now().Add(s.length)
	for i := 0; time.Now().Before(end); {
		for range 1 + rng.IntN(40) {
			i++
			s.one(fmt.Sprintf("p%d-%d", n, i), rng, func(topic, data string) { publishFor(s.o, s.w, topic, data) })
		}
		time.Sleep(time.Duration(rng.Int64N(int64(s.pause))))
	}
}

// one publishes one message.
func (s *storm) one(name string, rng *rand.Rand, publish func(topic, data string)) {
	pad := strings.Repeat("x", rng.IntN(s.sizes))
	switch k := rng.IntN(10); {
	case k == 0:
		s.w.hub.Publish(context.Background(), "typing.a", name)
	case k < 4:
		topic := stateTopics[rng.IntN(len(stateTopics))]
		if rng.IntN(8) == 0 {
			s.w.publish(topic, nil)
		} else {
			s.w.publish(topic, name+pad)
		}
	default:
		topic := eventTopics[min(rng.IntN(len(eventTopics)), rng.IntN(len(eventTopics)))]
		publish(topic, fmt.Sprintf("%q", name+pad))
	}
}

// life makes a client do things at random, and the network do things to it.
func (s *storm) life(n int, c *strict, rng *rand.Rand) {
	end := time.Now().Add(s.length)
	subscribe := func() {
		topic := interests[rng.IntN(len(interests))]
		after, replay := "", 0
		if rng.IntN(4) == 0 && s.faults {
			after = s.w.hub.Position()
			time.Sleep(time.Duration(rng.Int64N(int64(2 * time.Second))))
		}
		if rng.IntN(3) == 0 {
			replay = 1 + rng.IntN(100)
		}
		c.subscribe(topic, after, replay)
	}
	for range 1 + rng.IntN(4) {
		subscribe()
	}
	for i := 0; time.Now().Before(end); i++ {
		time.Sleep(time.Duration(rng.Int64N(int64(2 * time.Second))))
		c.mu.Lock()
		var sub *strictSub
		if len(c.subs) > 0 {
			sub = c.subs[rng.IntN(len(c.subs))]
		}
		few := len(c.subs) < 8
		c.mu.Unlock()
		switch k := rng.IntN(16); {
		case k < 2 && few:
			subscribe()
		case k == 2 && sub != nil:
			c.unsubscribe(sub, false)
		case k < 5 && sub != nil && s.faults:
			c.unsubscribe(sub, true)
		case k < 8:
			for j := range 1 + rng.IntN(5) {
				c.publish(eventTopics[rng.IntN(len(eventTopics))], fmt.Sprintf(`"c%d-%d-%d"`, n, i, j), fmt.Sprintf("k%d-%d-%d", n, i, j))
			}
		case s.faults:
			s.fault(c, rng)
		}
	}
	c.link.Heal()
}

func (s *storm) fault(c *strict, rng *rand.Rand) {
	d := time.Duration(rng.Int64N(int64(4 * time.Second)))
	if rng.IntN(6) == 0 {
		d *= 5
	}
	switch rng.IntN(9) {
	case 0:
		c.link.Cut()
	case 1:
		c.link.Stall()
		time.Sleep(d)
		if c.link.Heal(); rng.IntN(2) == 0 {
			c.link.Cut()
		}
	case 2:
		c.link.Throttle(100 + rng.IntN(100_000))
		time.Sleep(d)
	case 3:
		c.link.Blackhole()
		time.Sleep(d)
		c.link.Heal()
	case 4:
		c.closeWS()
	case 5:
		for conn := range s.w.hub.Conns() {
			if rng.IntN(4) == 0 {
				conn.Close(CloseReconnect, "come back")
			}
		}
	case 6:
		c.link.StallUp()
		time.Sleep(d)
		c.link.Heal()
	default:
		c.link.Heal()
	}
}

// restless cuts a client all the time, and makes its network slow and fast again.
func (s *storm) restless(c *strict, rng *rand.Rand) {
	for end := time.Now().Add(s.length); time.Now().Before(end); {
		time.Sleep(time.Duration(rng.Int64N(int64(time.Second))))
		switch rng.IntN(4) {
		case 0:
			c.link.Cut()
		case 1:
			c.closeWS()
		case 2:
			c.link.Throttle(1000 + rng.IntN(50_000))
		default:
			c.link.Heal()
		}
	}
	c.link.Heal()
}

// run goes through the storm and the calm after it.
func (s *storm) run(seed uint64, publishers, clients int) {
	s.push = int(seed % 16)
	var wg sync.WaitGroup
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
func (s *storm) calm() {
	s.settle()
	for _, c := range s.clients {
		c.stop()
	}
}

// judge reports every broken promise.
func (s *storm) judge() {
	s.t.Helper()
	for _, f := range s.o.Verdict() {
		s.t.Error(f)
	}
}

// settle waits until everybody has everything, and compares the State that they hold.
func (s *storm) settle() {
	s.t.Helper()
	time.Sleep(time.Minute)
	synctest.Wait()
	truth := make(map[string]string)
	for m, err := range s.w.hub.Current(context.Background(), ">") {
		if err != nil {
			s.t.Fatal(err)
		}
		truth[m.Topic] = string(m.Data)
	}
	for _, c := range s.clients {
		if err := c.settled(); err != nil {
			s.t.Error(err)
		}
		for _, sub := range c.subs {
			for topic, data := range truth {
				if have := sub.values[topic].Data; Match(sub.topic, topic) && have != data {
					s.t.Errorf("%s: %q has %.40q for %s, the value is %.40q", c.name, sub.topic, have, topic, data)
				}
			}
			for topic, v := range sub.values {
				if _, ok := truth[topic]; !ok && v.Data != "" {
					s.t.Errorf("%s: %q has %.40q for %s, which has no value", c.name, sub.topic, v.Data, topic)
				}
			}
		}
	}
}

// pushes are topics that the server subscribes for a client.
var pushes = []string{"", "chat.a", "chat.* price.>", "chat.b kept.k news.>", "> price.a"}

// options are of hubs that subscribe whoever comes to the topics that are his name.
func (s *storm) options(l Limits) *HubOptions {
	l.PublishRate = -1
	return &HubOptions{
		Limits: l, Topics: stormTopics, Authenticate: tokenIsUser,
		OnConnect: func(_ context.Context, c *Conn) {
			for _, topic := range strings.Fields(c.Identity().User) {
				_ = c.Subscribe(topic) // or the connection is over
			}
		},
		AuthorizeHistory: func(_ context.Context, c *Conn, topic string, _ time.Time) error {
			if s.secret && topic == "chat.b" && c.Identity().User != "" {
				return ErrDenied
			}
			return nil
		},
	}
}

// client starts the nth client. For some the server subscribes.
func (s *storm) client(n int) *strict {
	return newStrictUser(s.w, s.o, fmt.Sprint("client", n), pushes[(n+s.push)%len(pushes)])
}

func newStorm(t *testing.T, l Limits) *storm {
	s := &storm{t: t, o: oracle.New(), length: 20 * time.Second, pause: 200 * time.Millisecond, sizes: 400}
	s.w = newWorld(t, s.options(l))
	return s
}

// Under seeded faults and with a log that is far too small nothing is lost without a gap, nothing is repeated or out of
// order, and no gap stands where nothing is missing.
func TestP2NoSilentLoss(t *testing.T) {
	bubbles(t, 16, func(t *testing.T, seed uint64) {
		l := Limits{LogBytes: 64 << 10, WindowBytes: 4 << 10 << (seed % 3)}
		if seed%4 == 0 { // a log that forgets by age
			l = Limits{LogBytes: 4 << 20, LogAge: time.Second}
		}
		s := newStorm(t, l)
		s.faults, s.secret = true, seed%5 < 2
		if s.o.Lenient = seed%3 == 0; !s.o.Lenient {
			s.holdTopics()
		}
		s.run(seed, 3, 4)
		s.judge()
		t.Log(s.o.Counts())
	})
}

// What the server subscribes has no position of its own: whoever is cut before all of it has joined comes back with what
// the stream had reached, and must have been told of every loss up to there.
func TestP2Pushed(t *testing.T) {
	bubbles(t, 8, func(t *testing.T, seed uint64) {
		s := newStorm(t, Limits{LogBytes: 64 << 10 << (seed % 4), WindowBytes: 1 << 10 << (seed % 5)})
		s.faults, s.secret, s.o.Lenient, s.push = true, seed%2 == 0, true, 1
		var wg sync.WaitGroup
		for i := range 2 {
			wg.Go(func() { s.publisher(i, rand.New(rand.NewPCG(seed, uint64(i)))) })
		}
		for i := range 6 {
			c := s.client(i)
			s.clients = append(s.clients, c)
			wg.Go(func() { s.restless(c, rand.New(rand.NewPCG(seed, uint64(100+i)))) })
		}
		wg.Wait()
		s.calm()
		s.judge()
		t.Log(s.o.Counts())
	})
}

// With faults and a log that is large enough nothing is lost at all.
func TestP2NoGapWithoutLoss(t *testing.T) {
	bubbles(t, 12, func(t *testing.T, seed uint64) {
		s := newStorm(t, Limits{LogBytes: 64 << 20})
		s.faults = true
		s.run(seed, 3, 4)
		s.judge()
		if n := s.o.Counts().Gaps; n > 0 {
			t.Errorf("%d gaps", n)
		}
	})
}

// Without faults there is no gap, however small the log is.
func TestP2NoFaultNoGap(t *testing.T) {
	bubbles(t, 8, func(t *testing.T, seed uint64) {
		s := newStorm(t, Limits{LogBytes: 256 << 10})
		s.run(seed, 3, 4)
		s.judge()
		if n := s.o.Counts().Gaps; n > 0 {
			t.Errorf("%d gaps", n)
		}
	})
}
