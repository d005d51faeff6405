package hotline

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gohotline/hotline/internal/memnet"
	"github.com/gohotline/hotline/internal/oracle"
)

// torture is an application under every fault at once: links that are cut, stalled, throttled and swallowed, connections
// that are closed and users that are kicked, hubs that crash or shut down and come back without a memory. The oracle says
// whether anybody was told less than the promises.
//
// make torture runs it for TORTURE_TIME from SEED on.
type torture struct {
	// Static after construction.
	t        *testing.T
	plan     plan
	o        *oracle.Oracle
	w        *world // of the first hub, and of the network
	subjects []subject
	end      time.Time // of the storm

	hub atomic.Pointer[Hub] // that is served; nil: the process is down

	mu   sync.Mutex
	hubs []*Hub
}

// plan is what a seed stands for.
type plan struct {
	limits   Limits
	whole    bool // the log is large enough for everything
	lenient  bool
	faults   bool // of links and connections
	restarts bool
	length   time.Duration
	pause    time.Duration // between two bursts of a publisher, at most
	burst    int           // at most
	sizes    int           // of payloads, at most
	subjects int
	sabotage bool // one subject loses one message
}

// planOf makes a plan of a seed: a quarter of them are for a log that has everything, a quarter for hubs that live on.
func planOf(seed uint64) plan {
	rng := rand.New(rand.NewPCG(seed, 1))
	p := plan{
		whole: seed%4 == 0, restarts: seed%4 != 1, faults: true, lenient: rng.IntN(2) == 0,
		subjects: 2 + rng.IntN(5), burst: 1 + rng.IntN(60), sizes: 1 + rng.IntN(2000),
		limits: Limits{LogBytes: 64 << 10 << rng.IntN(5), WindowBytes: 4 << 10 << rng.IntN(5), LogAge: time.Minute},
	}
	if p.whole {
		p.limits.LogBytes, p.limits.LogAge = 256<<20, -1
	}
	switch rng.IntN(3) {
	case 0: // everything at once
		p.length, p.pause = 20*time.Second, 300*time.Millisecond
	case 1:
		p.length, p.pause = 3*time.Minute, 3*time.Second
	case 2: // long, so that pings, ages and backoff have their say
		p.length, p.pause = 30*time.Minute, 40*time.Second
	}
	return p
}

// subject is a client under torture: it keeps itself connected, and tells the oracle all that it sees.
type subject interface {
	fmt.Stringer
	faults() *memnet.Link
	// subscribe and unsubscribe make and end subscriptions, and park one.
	subscribe(topic string, rng *rand.Rand)
	unsubscribe(rng *rand.Rand)
	publish(topic, data string)
	// leave closes the connection politely. The subject comes back.
	leave()
	// lose makes it lose the next message, for the control of the oracle.
	lose()
	// settled says what it still waits for.
	settled() error
	// holds compares the State that it holds with what it should be.
	holds(truth map[string]string) []string
	// stop ends it.
	stop()
}

// newTorture starts the first hub and the subjects.
func newTorture(t *testing.T, p plan) *torture {
	tt := &torture{t: t, plan: p, o: oracle.New(), end: time.Now().Add(p.length)}
	tt.o.Lenient, tt.o.Whole = p.lenient, p.whole
	tt.plan.limits.PublishRate = -1
	tt.w = newWorld(t, tt.options())
	tt.w.srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if hub := tt.hub.Load(); hub != nil {
			hub.ServeHTTP(w, r)
		} else {
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	tt.serve(tt.w.hub)
	t.Cleanup(func() {
		for _, hub := range tt.hubs {
			hub.Close()
		}
	})
	for i := range p.subjects {
		if i%2 == 0 {
			tt.subjects = append(tt.subjects, newStrictSubject(tt, i))
		} else {
			tt.subjects = append(tt.subjects, newClientSubject(tt, i))
		}
	}
	return tt
}

// options are those of each hub. The user is the client's address, for Kick.
func (tt *torture) options() *HubOptions {
	return &HubOptions{
		Limits: tt.plan.limits, Topics: stormTopics, Logger: slog.New(slog.DiscardHandler),
		Authenticate: func(r *http.Request, _ string) (Identity, error) {
			host, _, err := net.SplitHostPort(r.RemoteAddr)
			return Identity{User: host}, err
		},
		AuthorizeSubscribe: anyone, AuthorizePublish: anyone,
	}
}

// serve makes hub the one that is connected to. Its positions are of a life of their own.
func (tt *torture) serve(hub *Hub) {
	tt.mu.Lock()
	tt.hubs = append(tt.hubs, hub)
	tt.mu.Unlock()
	tt.o.NextLife(hub.Position())
	if !tt.plan.lenient { // of topics that somebody is subscribed to, the log knows exactly what they have lost
		for _, topic := range eventTopics {
			if _, err := hub.Subscribe(context.Background(), topic, nil); err != nil {
				tt.t.Error(err)
			}
		}
	}
	tt.hub.Store(hub)
}

// head is the end of the log, of the last hub if there is none now.
func (tt *torture) head() string {
	tt.mu.Lock()
	defer tt.mu.Unlock()
	return tt.hubs[len(tt.hubs)-1].Position()
}

// restart ends the hub, at once or gracefully, and starts another after a while.
func (tt *torture) restart(rng *rand.Rand) {
	old := tt.hub.Load()
	if rng.IntN(2) == 0 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rng.IntN(20))*time.Second)
		defer cancel()
		_ = old.Shutdown(ctx) // its error is that somebody was cut short
		tt.hub.Store(nil)
	} else {
		tt.hub.Store(nil)
		for _, s := range tt.subjects {
			s.faults().Cut()
		}
		old.Close()
	}
	time.Sleep(time.Duration(rng.IntN(5000)) * time.Millisecond)
	tt.serve(NewHub(tt.options()))
}

// chaos does to the hub what happens to hubs.
func (tt *torture) chaos(rng *rand.Rand) {
	for time.Now().Before(tt.end) {
		time.Sleep(time.Duration(rng.Int64N(int64(tt.plan.length / 8))))
		hub := tt.hub.Load()
		switch k := rng.IntN(4); {
		case k == 0 && tt.plan.restarts:
			tt.restart(rng)
		case k == 1:
			for c := range hub.Conns() {
				if rng.IntN(4) == 0 {
					c.Close(CloseReconnect, "come back")
				}
			}
		case k == 2:
			for c := range hub.Conns() {
				if err := hub.Kick(context.Background(), c.Identity().User, CloseReconnect, "kicked"); err != nil {
					tt.t.Error(err)
				}
				break
			}
		}
	}
}

// publish publishes as server code does. If there is no hub, or it ends meanwhile, the message may never be stored.
func (tt *torture) publish(topic, data string) {
	hub := tt.hub.Load()
	if hub == nil {
		return
	}
	tt.o.Attempt(topic, data)
	p, err := hub.publication(topic, []byte(data))
	if err != nil {
		tt.t.Error(err)
		return
	}
	if pos, _, err := hub.store(context.Background(), p); err == nil {
		tt.o.Accepted(topic, data, pos.String())
	}
}

// publisher is server code that publishes at random.
func (tt *torture) publisher(n int, rng *rand.Rand) {
	for i := 0; time.Now().Before(tt.end); {
		for range 1 + rng.IntN(tt.plan.burst) {
			i++
			tt.one(fmt.Sprintf("p%d-%d", n, i), rng)
		}
		time.Sleep(time.Duration(rng.Int64N(int64(tt.plan.pause))))
	}
}

func (tt *torture) one(name string, rng *rand.Rand) {
	data := fmt.Sprintf("%q", name+strings.Repeat("x", rng.IntN(tt.plan.sizes)))
	hub := tt.hub.Load()
	switch k := rng.IntN(10); {
	case k > 3:
		tt.publish(eventTopics[min(rng.IntN(len(eventTopics)), rng.IntN(len(eventTopics)))], data)
	case hub == nil:
	case k == 0:
		_ = hub.Publish(context.Background(), "typing.a", []byte(data)) // the hub may be ending
	case rng.IntN(8) == 0:
		_ = hub.Publish(context.Background(), stateTopics[rng.IntN(len(stateTopics))], nil)
	default:
		_ = hub.Publish(context.Background(), stateTopics[rng.IntN(len(stateTopics))], []byte(data))
	}
}

// ride makes a subject do things at random, and the network do things to it.
func (tt *torture) ride(s subject, rng *rand.Rand) {
	for range 1 + rng.IntN(4) {
		s.subscribe(interests[rng.IntN(len(interests))], rng)
	}
	for i := 0; time.Now().Before(tt.end); i++ {
		time.Sleep(time.Duration(rng.Int64N(int64(tt.plan.length / 20))))
		switch k := rng.IntN(12); {
		case k == 0:
			s.subscribe(interests[rng.IntN(len(interests))], rng)
		case k == 1:
			s.unsubscribe(rng)
		case k < 5:
			for j := range 1 + rng.IntN(5) {
				s.publish(eventTopics[rng.IntN(len(eventTopics))], fmt.Sprintf(`"%s-%d-%d"`, s, i, j))
			}
		case tt.plan.faults:
			tt.fault(s, rng)
		}
	}
	s.faults().Heal()
}

func (tt *torture) fault(s subject, rng *rand.Rand) {
	pause := func() {
		d := time.Duration(rng.Int64N(int64(4 * time.Second)))
		if rng.IntN(5) == 0 {
			d *= 20
		}
		time.Sleep(d)
	}
	l := s.faults()
	switch rng.IntN(8) {
	case 0:
		l.Cut()
	case 1:
		l.Stall()
		pause()
		if l.Heal(); rng.IntN(2) == 0 {
			l.Cut()
		}
	case 2:
		l.Throttle(100 + rng.IntN(100_000))
		pause()
	case 3:
		l.Blackhole()
		pause()
		l.Heal()
	case 4:
		l.StallUp()
		pause()
		l.Heal()
	case 5:
		s.leave()
	default:
		l.Heal()
	}
}

// run goes through the storm and the calm after it, and returns what the oracle and the subjects have to say.
func (tt *torture) run(seed uint64) []string {
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() { tt.publisher(i, rand.New(rand.NewPCG(seed, uint64(100+i)))) })
	}
	if tt.plan.faults {
		wg.Go(func() { tt.chaos(rand.New(rand.NewPCG(seed, 99))) })
	}
	for i, s := range tt.subjects {
		wg.Go(func() { tt.ride(s, rand.New(rand.NewPCG(seed, uint64(200+i)))) })
	}
	wg.Wait()
	failures := tt.calm()
	for _, s := range tt.subjects {
		s.stop()
	}
	return append(failures, tt.o.Verdict()...)
}

// calm waits until everybody has everything, and publishes once more to all, so that nobody can hide a loss behind
// having been away.
func (tt *torture) calm() (failures []string) {
	time.Sleep(5 * time.Minute)
	synctest.Wait()
	if tt.plan.sabotage {
		for _, s := range tt.subjects {
			s.subscribe("chat.a", nil)
		}
		time.Sleep(time.Minute)
		tt.subjects[len(tt.subjects)-1].lose()
	}
	for i := range 2 {
		for _, topic := range eventTopics {
			tt.publish(topic, fmt.Sprintf(`"last-%s-%d"`, topic, i))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
	}
	truth := make(map[string]string)
	for m, err := range tt.hub.Load().Current(context.Background(), ">") {
		if err != nil {
			return append(failures, err.Error())
		}
		truth[m.Topic] = string(m.Data)
	}
	for _, s := range tt.subjects {
		if err := s.settled(); err != nil {
			failures = append(failures, fmt.Sprintf("%s is not at rest: %v", s, err))
		}
		failures = append(failures, s.holds(truth)...)
	}
	return failures
}

// tortureTime is how long it goes on, from which seed, and whether that was asked for.
func tortureTime(t *testing.T) (d time.Duration, seed uint64, asked bool) {
	d, seed = time.Second, rand.Uint64()>>32
	if s := os.Getenv("HOTLINE_TORTURE"); s != "" {
		v, err := time.ParseDuration(s)
		if err != nil {
			t.Fatalf("HOTLINE_TORTURE: %v", err)
		}
		d, asked = v, true
	}
	if s := os.Getenv("HOTLINE_SEED"); s != "" {
		v, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("HOTLINE_SEED: %v", err)
		}
		seed = v
	}
	return d, seed, asked
}

// TestTorture goes from seed to seed until its time is over.
func TestTorture(t *testing.T) {
	d, first, asked := tortureTime(t)
	begin := time.Now()
	var fake time.Duration
	var rounds, stored, delivered, gaps, missed, lives int
	t.Logf("the first seed is %d", first)
	for seed := first; seed == first || time.Since(begin) < d; seed++ {
		ok := t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				p := planOf(seed)
				p.sabotage = os.Getenv("HOTLINE_SABOTAGE") != ""
				tt := newTorture(t, p)
				for _, f := range tt.run(seed) {
					t.Error(f)
				}
				fake += time.Since(start)
				rounds, lives = rounds+1, lives+len(tt.hubs)
				n := tt.o.Counts()
				stored, delivered, gaps, missed = stored+n.Stored, delivered+n.Delivered, gaps+n.Gaps, missed+n.Missed
			})
		})
		if !ok {
			t.Fatalf("repeat with make torture SEED=%d", seed)
		}
	}
	if asked {
		t.Logf("%d rounds, %v of their time in %v: %d hubs, %d messages stored, %d delivered, %d gaps, %d missed",
			rounds, fake.Round(time.Second), time.Since(begin).Round(time.Second), lives, stored, delivered, gaps, missed)
	}
}
