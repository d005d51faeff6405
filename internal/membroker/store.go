// Package membroker is a hotline.Broker in memory, for tests: a Store that the hubs of one process share as if they were
// several, each through a Node of its own, and everything that can go wrong between them, at the push of a button.
package membroker

import (
	"crypto/rand"
	"encoding/binary"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/gohotline/hotline"
	"github.com/gohotline/hotline/internal/pattern"
)

// Options says how a Store keeps what it is given. Zero keeps everything.
type Options struct {
	Entries   int  // events in all
	PerTopic  int  // events of one topic
	CarryAll  bool // feeds carry all topics, and begin with what is stored
	keyMemory time.Duration
}

// Store is what a broker's server holds: one sequence of events, the values of State topics, and the keys of the last
// five minutes. It is safe for concurrent use.
type Store struct {
	opts Options

	mu      sync.Mutex
	data    data
	life    int                   // how often it was restored
	since   uint64                // the last event that the present life has from the one before
	nodes   map[*Node]struct{}    //
	changed chan struct{}         // closed and replaced when something was stored
	forget  []string              // keys, oldest first
	keys    map[string]remembered // survive a restore: they are not data
}

type remembered struct {
	pos  hotline.Position
	when time.Time
}

// data is what a snapshot holds.
type data struct {
	birth   hotline.Position // before the first event
	last    hotline.Position // of the newest event, or birth
	state   uint64           // the last number of a value
	events  []hotline.BrokerEntry
	trimmed []trimmed
	values  map[string]hotline.BrokerEntry
}

// trimmed is an event that is not held any more.
type trimmed struct {
	topic string
	seq   uint64
}

// New returns an empty store.
func New(opts Options) *Store {
	opts.keyMemory = 5 * time.Minute
	return &Store{
		opts: opts, nodes: make(map[*Node]struct{}), changed: make(chan struct{}),
		keys: make(map[string]remembered), data: newData(),
	}
}

func newData() data {
	var b [8]byte
	rand.Read(b[:])
	birth := hotline.Position{Tag: binary.LittleEndian.Uint64(b[:]) | 1}
	return data{
		birth: birth, last: birth,
		values: make(map[string]hotline.BrokerEntry),
	}
}

func (d *data) clone() data {
	c := *d
	c.events = slices.Clone(d.events)
	c.trimmed = slices.Clone(d.trimmed)
	c.values = maps.Clone(d.values)
	return c
}

// store takes an entry, unless its key is known. It needs mu.
func (s *Store) store(e *hotline.BrokerEntry) hotline.Position {
	now := time.Now()
	for len(s.forget) > 0 && now.Sub(s.keys[s.forget[0]].when) >= s.opts.keyMemory {
		delete(s.keys, s.forget[0])
		s.forget = s.forget[1:]
	}
	if known, ok := s.keys[e.Key]; ok {
		return known.pos
	}
	own := *e
	own.Data = slices.Clone(e.Data)
	d := &s.data
	switch e.Delivery {
	case hotline.Signals:
		own.Position = hotline.Position{}
	case hotline.Events:
		own.Seq = d.last.Seq + 1
		d.last = own.Position
		d.events = append(d.events, own)
		s.trim(e.Topic)
	default:
		d.state++
		own.Seq = d.state
		if d.values[e.Topic] = own; e.Gone {
			delete(d.values, e.Topic)
		}
	}
	s.keys[e.Key] = remembered{own.Position, now}
	s.forget = append(s.forget, e.Key)
	for n := range s.nodes {
		n.send(&own)
	}
	s.wake()
	return own.Position
}

func (s *Store) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// trim drops what is beyond the limits.
func (s *Store) trim(topic string) {
	d := &s.data
	drop := func(i int) {
		d.trimmed = append(d.trimmed, trimmed{d.events[i].Topic, d.events[i].Seq})
		d.events = slices.Delete(d.events, i, i+1)
	}
	if n := s.opts.Entries; n > 0 && len(d.events) > n {
		drop(0)
	}
	if s.opts.PerTopic == 0 {
		return
	}
	first, n := -1, 0
	for i := range d.events {
		if d.events[i].Topic == topic {
			if n++; first < 0 {
				first = i
			}
		}
	}
	if n > s.opts.PerTopic {
		drop(first)
	}
}

// current are the values of what a pattern matches. It needs mu.
func (s *Store) current(p string) (list []hotline.BrokerEntry) {
	for topic, v := range s.data.values {
		if pattern.Covers(p, topic) {
			list = append(list, copied(&v))
		}
	}
	return list
}

// find returns where the first event after seq stands. It needs mu.
func (d *data) find(seq uint64) int {
	i, _ := slices.BinarySearchFunc(d.events, seq+1, func(e hotline.BrokerEntry, v uint64) int {
		switch {
		case e.Seq < v:
			return -1
		case e.Seq > v:
			return 1
		}
		return 0
	})
	return i
}

// holds reports whether the event that p names is there, or p is the place before the first one.
func (d *data) holds(p hotline.Position) bool {
	if p == d.birth || p == d.last {
		return true
	}
	i := d.find(p.Seq) - 1
	return i >= 0 && d.events[i].Position == p
}

func copied(e *hotline.BrokerEntry) hotline.BrokerEntry {
	c := *e
	c.Data = slices.Clone(e.Data)
	return c
}

// Snapshot is a copy of what a store held.
type Snapshot struct{ data data }

// Snapshot returns a copy of what the store holds.
func (s *Store) Snapshot() *Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &Snapshot{s.data.clone()}
}

// Restore puts back what the store held once: what came later is gone, and its numbers are used again.
func (s *Store) Restore(old *Snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.restore(old.data.clone())
}

// Wipe makes the store a new and empty one.
func (s *Store) Wipe() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.restore(newData())
}

func (s *Store) restore(d data) {
	s.data = d
	s.life++
	s.since = d.last.Seq
	s.keys, s.forget = make(map[string]remembered), nil
	for n := range s.nodes {
		n.restored()
	}
	s.wake()
}

// Len is how many events are held.
func (s *Store) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.data.events)
}
