package brokertest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gohotline/hotline"
)

// kit is what a check works with.
type kit struct {
	t         testing.TB
	ctx       context.Context
	newBroker func(testing.TB) hotline.Broker
	name      string // first segment of all topics
	patience  time.Duration
	nodes     []*node
}

func randomText() string { return strings.ToLower(rand.Text()) }

func (k *kit) topic(rest string) string { return k.name + "." + rest }

// node is one broker and its hub.
type node struct {
	hotline.Broker
	k      *kit
	hub    *hub
	closed bool
}

// node starts a broker.
func (k *kit) node() *node {
	k.t.Helper()
	n := &node{Broker: k.newBroker(k.t), k: k, hub: &hub{k: k, changed: make(chan struct{})}}
	if err := n.Start(k.ctx, n.hub); err != nil {
		k.t.Fatalf("Start: %v", err)
	}
	k.nodes = append(k.nodes, n)
	return n
}

// close closes all brokers.
func (k *kit) close() {
	for _, n := range k.nodes {
		if n.hub.release(); !n.closed {
			if err := n.Close(); err != nil {
				k.t.Errorf("Close: %v", err)
			}
		}
		for _, f := range n.hub.failures() {
			k.t.Errorf("%s", f)
		}
	}
}

// entry makes an event.
func (k *kit) entry(topic, data string) *hotline.BrokerEntry {
	key := rand.Text()
	return &hotline.BrokerEntry{
		Position: hotline.Position{Tag: tagOf(key)}, Topic: k.topic(topic), Data: []byte(data), Key: key, Time: time.Now(),
	}
}

func tagOf(key string) uint64 {
	sum := sha256.Sum256([]byte(key))
	return binary.LittleEndian.Uint64(sum[:]) | 1
}

// publish publishes e, and returns it with its position.
func (n *node) publish(e *hotline.BrokerEntry) hotline.BrokerEntry {
	n.k.t.Helper()
	p, err := n.Publish(n.k.ctx, e)
	if err != nil {
		n.k.t.Fatalf("Publish to %s: %v", e.Topic, err)
	}
	stored := *e
	stored.Position = p
	return stored
}

// end stores an event and returns its number: up to there is everything that was stored before.
func (n *node) end() uint64 {
	n.k.t.Helper()
	return n.publish(n.k.entry("end", `1`)).Seq
}

func (n *node) follow(rest string) hotline.Position {
	n.k.t.Helper()
	p, err := n.Follow(n.k.ctx, n.k.topic(rest))
	if err != nil {
		n.k.t.Fatalf("Follow %s: %v", rest, err)
	}
	return p
}

// replay reads everything that q asks for, page by page.
func (n *node) replay(q hotline.BrokerQuery) (list []hotline.BrokerEntry, pages int) {
	n.k.t.Helper()
	for {
		page, err := n.Replay(n.k.ctx, q)
		if err != nil {
			n.k.t.Fatalf("Replay %+v: %v", q, err)
		}
		if page.Lost {
			n.k.t.Errorf("Replay %+v: Lost, though nothing has expired", q)
		}
		if q.Limit > 0 && len(page.Entries) > q.Limit {
			n.k.t.Errorf("Replay %+v: a page of %d entries", q, len(page.Entries))
		}
		list = append(list, page.Entries...)
		if pages++; !page.More {
			return list, pages
		}
		if len(page.Entries) == 0 || pages > 10_000 {
			n.k.t.Fatalf("Replay %+v: More after a page of nothing", q)
		}
		q.After, q.Last = page.Entries[len(page.Entries)-1].Position, 0
	}
}

// hub records what a broker tells it.
type hub struct {
	k    *kit
	busy atomic.Int32
	over atomic.Bool // Close has returned

	mu      sync.Mutex
	changed chan struct{} // closed and replaced with each call
	block   chan struct{} // Deliver waits for it; nil: it does not
	got     []hotline.BrokerEntry
	values  map[string][]hotline.BrokerEntry // by pattern, the last
	losses  []loss
	away    error // what Status said last
	bad     []string
}

func (h *hub) enter(what string) func() {
	if h.busy.Add(1) != 1 {
		h.fail("two calls of BrokerHub at the same time, one of them " + what)
	}
	if h.over.Load() {
		h.fail(what + " after Close has returned")
	}
	return func() {
		h.mu.Lock()
		close(h.changed)
		h.changed = make(chan struct{})
		h.mu.Unlock()
		h.busy.Add(-1)
	}
}

func (h *hub) fail(what string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !slices.Contains(h.bad, what) {
		h.bad = append(h.bad, what)
	}
}

func (h *hub) failures() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.bad
}

// release ends a block.
func (h *hub) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.block != nil {
		close(h.block)
		h.block = nil
	}
}

// Deliver is for the broker.
func (h *hub) Deliver(entries ...hotline.BrokerEntry) {
	defer h.enter("Deliver")()
	h.mu.Lock()
	block := h.block
	h.mu.Unlock()
	if block != nil {
		<-block
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.got = append(h.got, entries...)
}

// Values is for the broker.
func (h *hub) Values(pattern string, values []hotline.BrokerEntry) {
	defer h.enter("Values")()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.values == nil {
		h.values = make(map[string][]hotline.BrokerEntry)
	}
	h.values[pattern] = values
}

// loss is a range that was reported.
type loss struct {
	pattern     string
	after, upTo uint64
}

// Lost is for the broker.
func (h *hub) Lost(pattern string, after, upTo uint64) {
	defer h.enter("Lost")()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.losses = append(h.losses, loss{pattern, after, upTo})
}

// Status is for the broker.
func (h *hub) Status(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.away = err
	close(h.changed)
	h.changed = make(chan struct{})
}

// entries are those that were delivered of this check's topics.
func (h *hub) entries(d hotline.Delivery) (list []hotline.BrokerEntry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.got {
		if e.Delivery == d && strings.HasPrefix(e.Topic, h.k.name+".") {
			list = append(list, e)
		}
	}
	return list
}

// wait waits until ok.
func (h *hub) wait(what string, ok func() bool) {
	h.k.t.Helper()
	limit := time.NewTimer(h.k.patience)
	defer limit.Stop()
	for {
		h.mu.Lock()
		changed := h.changed
		h.mu.Unlock()
		if ok() {
			return
		}
		select {
		case <-changed:
		case <-limit.C:
			h.k.t.Fatalf("%s: waited %s", what, h.k.patience)
		}
	}
}

// has waits until an event has been delivered that was stored.
func (h *hub) has(want hotline.BrokerEntry) {
	h.k.t.Helper()
	h.wait("the feed does not bring "+want.Topic, func() bool {
		return slices.ContainsFunc(h.entries(want.Delivery), func(e hotline.BrokerEntry) bool {
			return e.Topic == want.Topic && string(e.Data) == string(want.Data)
		})
	})
}
