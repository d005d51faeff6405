package faults

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gohotline/hotline"
	"github.com/gohotline/hotline/internal/oracle"
)

// client is a process with a Client, which publishes and subscribes. It may be ended and started again, and goes on then from
// the positions that it has saved.
type client struct {
	// Static after construction.
	a    *app
	name string
	url  string
	http *http.Client
	subs []*subscription

	// Of the process that runs, changed by start and end alone.
	ctx    context.Context
	cancel context.CancelFunc
	loops  sync.WaitGroup

	// Guarded by app.mu.
	now        *hotline.Client // nil: the process is down
	states     []error         // what OnState was told, by all processes
	up         bool            // this process was connected once
	reconnects int
	losing     bool // the next event is kept from the oracle, as if it had never come
}

// subscription is one of a client's, over all its processes.
type subscription struct {
	topic string
	log   *oracle.Sub

	// Guarded by app.mu.
	confirmed bool
	begun     bool
	saved     string            // position
	values    map[string]string // of State topics
	last      map[string]bool   // the last messages that have come, by topic
}

// connect makes a client that dials with dial. It is started by run.
func (a *app) connect(url string, transport *http.Transport) *client {
	i := len(a.clients)
	c := &client{a: a, name: fmt.Sprint("client", i), url: url, http: &http.Client{Transport: transport}}
	rng := random(a.name + c.name + " interests")
	list := []string{"price.*", interests[i%len(interests)], interests[rng.IntN(len(interests))]}
	for _, topic := range list {
		s := &subscription{topic: topic, log: a.o.Sub(c.name, topic), values: make(map[string]string), last: make(map[string]bool)}
		s.log.State = topic == "price.*"
		c.subs = append(c.subs, s)
	}
	a.clients = append(a.clients, c)
	a.t.Cleanup(func() { c.end() })
	return c
}

// through makes a transport whose connections are made by dial, each a new one.
func through(dial func(ctx context.Context) (net.Conn, error)) *http.Transport {
	return &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		DisableKeepAlives: true,
	}
}

// to dials an address.
func to(addr string) func(ctx context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) { return new(net.Dialer).DialContext(ctx, "tcp", addr) }
}

// start starts the process.
func (c *client) start() {
	ctx, cancel := context.WithCancel(context.Background())
	c.a.change(func() { c.up = false })
	client, err := hotline.Dial(ctx, c.url, &hotline.DialOptions{
		HTTPClient: c.http, Background: true, OnState: c.onState, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		cancel()
		c.a.o.Fail("%s: Dial: %v", c.name, err)
		return
	}
	c.ctx, c.cancel = ctx, cancel
	c.a.change(func() { c.now = client })
	for _, s := range c.subs {
		c.loops.Go(func() { c.read(ctx, client, s) })
	}
}

// end ends the process, if it runs, and saves the positions.
func (c *client) end() {
	var client *hotline.Client
	c.a.change(func() {
		client, c.now = c.now, nil
		for _, s := range c.subs {
			s.confirmed = false
		}
	})
	if client == nil {
		return
	}
	c.cancel()
	c.loops.Wait()
	if cause := context.Cause(client.Context()); cause != nil {
		c.a.o.Fail("%s has ended by itself: %v", c.name, cause)
	}
	if err := client.Close(); err != nil {
		c.a.o.Fail("%s: Close: %v", c.name, err)
	}
}

func (c *client) onState(err error) {
	c.a.change(func() {
		c.states = append(c.states, err)
		if err == nil && c.up {
			c.reconnects++
		}
		c.up = c.up || err == nil
	})
}

// read reads a subscription until ctx ends, and notes where it stands then.
func (c *client) read(ctx context.Context, client *hotline.Client, s *subscription) {
	var opts *hotline.SubscribeOptions
	c.a.mu.Lock()
	begun, saved := s.begun, s.saved
	s.begun = true
	c.a.mu.Unlock()
	switch {
	case !begun:
		s.log.Begin("", 0)
	case saved != "":
		s.log.Resume(saved)
		opts = &hotline.SubscribeOptions{After: saved}
	}
	sub, err := client.Subscribe(ctx, s.topic, opts)
	if err != nil {
		if ctx.Err() == nil {
			c.a.o.Fail("%s: Subscribe %s: %v", c.name, s.topic, err)
		}
		return
	}
	defer sub.Close()
	if !begun {
		s.log.OK(c.a.hub.Position())
	}
	c.a.change(func() { s.confirmed, s.values = true, make(map[string]string) })
	missed := 0
	for m, err := range sub.Messages(ctx) {
		if err != nil {
			if ctx.Err() == nil {
				c.a.o.Fail("%s: %s has ended: %v", c.name, s.topic, err)
			}
			break
		}
		missed += m.Missed
		if c.take(s, &m, missed) {
			missed = 0
		}
	}
	c.a.change(func() { s.saved = sub.Position() })
}

// take tells the oracle of a message, and reports whether it was an event.
func (c *client) take(s *subscription, m *hotline.Message, missed int) bool {
	data := string(m.Data)
	if m.ID == "" {
		c.a.change(func() { s.values[m.Topic] = data })
		return false
	}
	s.log.BeginsBefore(m.ID)
	if missed > 0 {
		s.log.Missing(m.ID, missed)
	}
	lost := false
	c.a.change(func() {
		lost = c.losing && missed == 0 && data != lastOf(m.Topic)
		c.losing = c.losing && !lost
		if data == lastOf(m.Topic) {
			s.last[m.Topic] = true
		}
	})
	if !lost {
		s.log.Message(m.Topic, m.ID, data)
	}
	return true
}

// publisher publishes at random, one after the other and some at once, until the storm is over and all is answered.
func (c *client) publisher(rng *rand.Rand) {
	var some sync.WaitGroup
	defer some.Wait()
	for i := 0; c.a.pause(rng, 150*time.Millisecond); i++ {
		topic := eventTopics[rng.IntN(len(eventTopics))]
		for j := range rng.IntN(3) {
			data := fmt.Sprintf(`"%s-%d-%d"`, c.name, i, j)
			some.Go(func() { c.publish(topic, data) })
		}
		if data := c.publish(topic, fmt.Sprintf(`"%s-%d"`, c.name, i)); c.a.gentle && data != "" {
			c.a.await(func() bool { return c.a.received[data] })
		}
		if rng.IntN(4) == 0 {
			c.state(stateTopics[rng.IntN(len(stateTopics))], fmt.Sprintf(`"%s-%d"`, c.name, i))
		}
	}
}

// publish returns the data if it was accepted.
func (c *client) publish(topic, data string) string {
	client := c.client()
	if client == nil {
		return ""
	}
	c.a.o.Attempt(topic, data)
	switch err := client.Publish(context.Background(), topic, []byte(data)); {
	case err == nil:
		c.a.o.Acked(data)
		return data
	case !maybe(err):
		c.a.o.Fail("%s: Publish %s: %v", c.name, topic, err)
	}
	return ""
}

func (c *client) state(topic, data string) {
	if client := c.client(); client != nil {
		if err := client.Publish(context.Background(), topic, []byte(data)); err != nil && !maybe(err) {
			c.a.o.Fail("%s: Publish %s: %v", c.name, topic, err)
		}
	}
}

func (c *client) client() *hotline.Client {
	c.a.mu.Lock()
	defer c.a.mu.Unlock()
	return c.now
}

// maybe reports whether a publish that failed may be stored all the same: it was in flight when its process ended.
func maybe(err error) bool {
	return errors.Is(err, hotline.ErrUncertain) || errors.Is(err, hotline.ErrClosed)
}
