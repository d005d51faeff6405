package hotline

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/gohotline/hotline/internal/memnet"
	"github.com/gohotline/hotline/internal/oracle"
	"github.com/gohotline/hotline/internal/wire"
)

// strictSubject is the client that follows the protocol's rules to the letter.
type strictSubject struct {
	*strict
	tt *torture
	n  int // publishes
}

func newStrictSubject(tt *torture, i int) *strictSubject {
	return &strictSubject{strict: newStrict(tt.w, tt.o, fmt.Sprintf("strict%d", i)), tt: tt}
}

func (s *strictSubject) String() string       { return s.name }
func (s *strictSubject) faults() *memnet.Link { return s.link }
func (s *strictSubject) leave()               { s.closeWS() }

func (s *strictSubject) subscribe(topic string, rng *rand.Rand) {
	after, replay := "", 0
	if rng != nil {
		if hub := s.tt.hub.Load(); hub != nil && rng.IntN(4) == 0 {
			after = hub.Position()
			time.Sleep(time.Duration(rng.Int64N(int64(2 * time.Second))))
		}
		if rng.IntN(3) == 0 {
			replay = 1 + rng.IntN(100)
		}
	}
	if s.few() {
		s.strict.subscribe(topic, after, replay)
	}
}

func (s *strictSubject) few() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.subs) < 10
}

func (s *strictSubject) unsubscribe(rng *rand.Rand) {
	s.mu.Lock()
	var sub *strictSub
	if len(s.subs) > 0 {
		sub = s.subs[rng.IntN(len(s.subs))]
	}
	s.mu.Unlock()
	if sub != nil {
		s.strict.unsubscribe(sub, rng.IntN(3) > 0)
	}
}

func (s *strictSubject) publish(topic, data string) {
	s.n++
	s.strict.publish(topic, data, fmt.Sprint(s.name, "-", s.n))
}

// lose takes a message for received that was not.
func (s *strictSubject) lose() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sabotage = func(f *wire.ServerFrame) []*wire.ServerFrame {
		if f.ID == "" || f.Topic != "chat.a" {
			return []*wire.ServerFrame{f}
		}
		s.sabotage = nil
		return []*wire.ServerFrame{{Op: "at", At: f.ID}}
	}
}

func (s *strictSubject) holds(truth map[string]string) (failures []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sub := range s.subs {
		have := make(map[string]string)
		for topic, v := range sub.values {
			have[topic] = v.Data
		}
		failures = append(failures, oracle.WrongState(s.name, sub.topic, have, truth)...)
	}
	return failures
}

// clientSubject is a Client, whose loops are slow now and then. Of a gap it is told with the next message.
type clientSubject struct {
	// Static after construction.
	tt     *torture
	name   string
	link   *memnet.Link
	client *Client
	ctx    context.Context // done when it is to stop
	cancel context.CancelFunc
	loops  sync.WaitGroup

	mu         sync.Mutex
	subs       []*clientSub
	publishing int
	losing     bool
}

type clientSub struct {
	topic string
	log   *oracle.Sub
	end   context.CancelFunc

	// Guarded by clientSubject.mu.
	confirmed bool
	values    map[string]string
}

func newClientSubject(tt *torture, i int) *clientSubject {
	c := &clientSubject{tt: tt, name: fmt.Sprintf("client%d", i), link: tt.w.net.Link()}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	opts := tt.w.options(c.link)
	opts.Background = true
	client, err := Dial(c.ctx, "ws://hub/", opts)
	if err != nil {
		tt.t.Fatal(err)
	}
	c.client = client
	return c
}

func (c *clientSubject) String() string       { return c.name }
func (c *clientSubject) faults() *memnet.Link { return c.link }
func (c *clientSubject) leave()               { c.link.Cut() } // it leaves politely for good only

func (c *clientSubject) stop() {
	c.cancel()
	c.loops.Wait()
	if err := c.client.Close(); err != nil {
		c.tt.o.Fail("%s: Close: %v", c.name, err)
	}
}

func (c *clientSubject) subscribe(topic string, rng *rand.Rand) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.subs) == 10 {
		return
	}
	ctx, end := context.WithCancel(c.ctx)
	s := &clientSub{topic: topic, log: c.tt.o.Sub(c.name, topic), end: end, values: make(map[string]string)}
	s.log.State = !c.tt.w.hub.rows.events(topic)
	c.subs = append(c.subs, s)
	slow := 0
	if rng != nil && rng.IntN(3) == 0 {
		slow = 1 + rng.IntN(2000)
	}
	c.loops.Go(func() { c.loop(ctx, s, rand.New(rand.NewPCG(uint64(slow), 5)), slow) })
}

// loop reads a subscription until ctx ends. If it is slow it takes a rest after one in so many messages.
func (c *clientSubject) loop(ctx context.Context, s *clientSub, rng *rand.Rand, slow int) {
	s.log.Begin("", 0)
	sub, err := c.client.Subscribe(ctx, s.topic, nil)
	if err != nil {
		if ctx.Err() == nil {
			c.tt.o.Fail("%s: Subscribe %s: %v", c.name, s.topic, err)
		}
		return
	}
	defer sub.Close()
	c.confirm(s)
	missed := 0
	for m, err := range sub.Messages(ctx) {
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				c.tt.o.Fail("%s: %s ended: %v", c.name, s.topic, err)
			}
			return
		}
		missed += m.Missed
		if c.take(s, &m, missed) {
			missed = 0
		}
		if slow > 0 && time.Now().Before(c.tt.end) && rng.IntN(slow) == 0 {
			time.Sleep(time.Duration(rng.Int64N(int64(20 * time.Second))))
		}
	}
}

// take reports a message, and reports whether it was an event.
func (c *clientSubject) take(s *clientSub, m *Message, missed int) bool {
	if m.ID == "" {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.tt.w.hub.rows.events(m.Topic) && m.Topic != "typing.a" {
			s.values[m.Topic] = string(m.Data)
		}
		return false
	}
	s.log.BeginsBefore(m.ID)
	if missed > 0 {
		s.log.Missing(m.ID, missed)
	}
	c.mu.Lock()
	lost := c.losing && m.Topic == "chat.a" && missed == 0
	c.losing = c.losing && !lost
	c.mu.Unlock()
	if !lost {
		s.log.Message(m.Topic, m.ID, string(m.Data))
	}
	return true
}

// confirm notes that what is published from now on is to be read. Where the subscription began it may not know: what
// came before its ok, while it was being sent State, is to be read too.
func (c *clientSubject) confirm(s *clientSub) {
	s.log.OK(c.tt.head())
	c.mu.Lock()
	s.confirmed = true
	c.mu.Unlock()
}

func (c *clientSubject) unsubscribe(rng *rand.Rand) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.subs) == 0 {
		return
	}
	i := rng.IntN(len(c.subs))
	s := c.subs[i]
	c.subs = slices.Delete(c.subs, i, i+1)
	s.log.Finish()
	s.end()
}

func (c *clientSubject) publish(topic, data string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.publishing++
	c.tt.o.Attempt(topic, data)
	c.loops.Go(func() {
		err := c.client.Publish(c.ctx, topic, []byte(data))
		if err != nil && !errors.Is(err, ErrUncertain) && c.ctx.Err() == nil {
			c.tt.o.Fail("%s: Publish %s: %v", c.name, topic, err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.publishing--
	})
}

func (c *clientSubject) lose() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.losing = true
}

func (c *clientSubject) settled() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.publishing > 0 {
		return fmt.Errorf("%d publishes were not answered", c.publishing)
	}
	for _, s := range c.subs {
		if !s.confirmed {
			return fmt.Errorf("%s was not confirmed", s.topic)
		}
	}
	return nil
}

func (c *clientSubject) holds(truth map[string]string) (failures []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.subs {
		failures = append(failures, oracle.WrongState(c.name, s.topic, s.values, truth)...)
	}
	return failures
}
