package eventlog

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// crowd is everybody who uses a log, at the same time.
type crowd struct {
	t     *testing.T
	l     *Log
	wakes [2]chan struct{}
	over  atomic.Bool // nothing is published any more
}

// counts is how far a reader has come in each topic, whose entries are numbered. A hole makes it start again.
type counts map[string]int

// check looks whether an entry is what it seems: its topic is looked up by a number that is used again and again, its
// frame was written once. It is to be the next of its topic, unless there was a hole.
func (c *crowd) check(e *Entry, parts []Part, last counts) {
	want := fmt.Appendf(nil, `{"topic":%q,`, e.Topic.Name)
	if !bytes.HasPrefix(e.Body(), want) {
		c.t.Errorf("%v of %s is %s", e.Pos, e.Topic.Name, e.Frame)
	}
	if parts != nil && !slices.ContainsFunc(parts, func(p Part) bool { return p.covers(e.Topic.Name) }) {
		c.t.Errorf("%v of %s matches nothing in %v", e.Pos, e.Topic.Name, parts)
	}
	n, err := strconv.Atoi(string(e.Payload()[1 : len(e.Payload())-1]))
	if before, ok := last[e.Topic.Name]; err != nil || ok && n != before+1 {
		c.t.Errorf("%v of %s comes after the %d. without a hole: %s, %v", e.Pos, e.Topic.Name, before, e.Payload(), err)
	}
	if last != nil {
		last[e.Topic.Name] = n
	}
}

// topic is one of many, of which most are forgotten before they come again.
func (c *crowd) topic(rng *rand.Rand, who int) string {
	return fmt.Sprintf("%s.%d.%d", []string{"a", "b", "kept"}[rng.IntN(3)], who, rng.IntN(150))
}

// publish appends n messages to topics of its own.
func (c *crowd) publish(who, n int) {
	rng := rand.New(rand.NewPCG(uint64(who), 1))
	next := make(counts)
	for range n {
		topic := c.topic(rng, who)
		next[topic]++
		_, wake, err := c.l.Append(c.t.Context(), &Append{
			Topic: topic, Data: fmt.Appendf(nil, `"%0*d"`, 1+rng.IntN(200), next[topic]), When: time.Now(),
		})
		if err != nil {
			c.t.Error(err)
			return
		}
		c.wake(wake.Shards)
	}
}

func (c *crowd) wake(shards uint64) {
	for i := range c.wakes {
		if shards&(1<<i) != 0 {
			select {
			case c.wakes[i] <- struct{}{}:
			default:
			}
		}
	}
}

// follow is a shard: it must see every entry.
func (c *crowd) follow(shard int, f *Follower) {
	rng := rand.New(rand.NewPCG(uint64(shard), 2))
	last := make(counts)
	at := f.At()
	var e Entry
	for {
		for range rng.IntN(300) {
			if !f.Next(&e) {
				break
			}
			if e.Pos.Seq != at.Seq+1 {
				c.t.Errorf("follower %d: %v comes after %v", shard, e.Pos, at)
			}
			at = e.Pos
			c.check(&e, nil, last)
		}
		f.Pass()
		if f.Behind() || !f.Sleep() {
			continue
		}
		if c.over.Load() {
			return
		}
		<-c.wakes[shard]
		if now := f.Awake(); shard == 0 && now.Seq > at.Seq && c.l.Head().Seq > 0 {
			// It has subscribers of everything, so nothing was passed over in its sleep.
			c.t.Errorf("follower %d slept from %v to %v", shard, at, now)
		}
		if now := f.At(); now != at {
			at = now
			clear(last) // what nobody is subscribed to here was passed over
		}
	}
}

// read is a reader that is slower or faster than the log is lapped.
func (c *crowd) read(who int, f *Filter) {
	rng := rand.New(rand.NewPCG(uint64(who), 3))
	at := c.l.Head()
	last := make(counts)
	for before := at; ; {
		res := c.l.Read(f, at, Limit{Entries: 1 + rng.IntN(64), Bytes: 8 << 10, Now: time.Now()}, nil)
		for i := range res.Entries {
			e := &res.Entries[i]
			c.check(e, f.Parts, last)
			if e.Pos.Seq <= before.Seq {
				c.t.Errorf("reader %d: %v comes after %v", who, e.Pos, before)
			}
			before = e.Pos
		}
		if at = res.At; res.Hole != NoHole {
			clear(last)
		}
		switch {
		case res.Done && c.over.Load() && at == c.l.Head():
			return
		case res.Done || rng.IntN(200) == 0:
			time.Sleep(time.Duration(rng.IntN(3000)) * time.Microsecond)
		}
	}
}

// churn subscribes, reads a little, and leaves.
func (c *crowd) churn(who int) {
	rng := rand.New(rand.NewPCG(uint64(who), 4))
	for !c.over.Load() {
		f := Filter{}
		for range 1 + rng.IntN(12) {
			name := c.topic(rng, rng.IntN(3))
			f.Parts = append(f.Parts, Part{Topic: c.l.Subscribe(name, 1), Pattern: name})
		}
		if rng.IntN(3) == 0 {
			f.Parts = append(f.Parts, wild("kept.*.7"))
		}
		at := c.l.Head()
		if at.Seq -= min(at.Seq, uint64(rng.IntN(1000))); rng.IntN(2) == 0 {
			at = c.l.Newest(&f, 1+rng.IntN(3), c.l.Head(), time.Now())
		}
		last := make(counts)
		for range 10 {
			res := c.l.Read(&f, at, Limit{Entries: 16, Bytes: 8 << 10, Now: time.Now()}, nil)
			for i := range res.Entries {
				c.check(&res.Entries[i], f.Parts, last)
			}
			if at = res.At; res.Hole != NoHole {
				clear(last)
			}
		}
		for _, p := range f.Parts {
			if p.Topic != nil {
				c.l.Unsubscribe(p.Topic, 1)
			}
		}
	}
}

// state sets and clears values; reads them in order.
func (c *crowd) state(who int) {
	rng := rand.New(rand.NewPCG(uint64(who), 5))
	f := filter(wild("price.*"))
	after := uint64(0)
	for i := 0; !c.over.Load(); i++ {
		topic := "price." + strconv.Itoa(rng.IntN(200))
		_, wake, err := c.l.Set(&Set{Topic: topic, Data: fmt.Appendf(nil, `"%d"`, i), Gone: rng.IntN(3) == 0, When: time.Now()})
		if err != nil {
			c.t.Error(err)
		}
		c.wake(wake)
		if i%10 != 0 {
			continue
		}
		u := c.l.Changes(f, after, 0, 1<<10, nil)
		for _, v := range u.Values {
			if v.Order <= after || v.Order > u.UpTo {
				c.t.Errorf("change %d comes after %d", v.Order, after)
			}
			after = v.Order
			if !v.Gone {
				c.check(&v.Entry, f.Parts, nil)
			}
		}
		if after = u.UpTo; u.Reset {
			after = 0
		}
	}
}

// TestConcurrent is for the race detector: everybody at once, on topics whose numbers are used again all the time.
func TestConcurrent(t *testing.T) {
	n := 8000
	if testing.Short() {
		n = 2000
	}
	rows := map[string]*Row{"kept": {Keep: 2}, "b": {MaxAge: 20 * time.Millisecond}, "price": {State: true, MaxAge: 30 * time.Millisecond}}
	c := &crowd{t: t, wakes: [2]chan struct{}{make(chan struct{}, 1), make(chan struct{}, 1)}}
	c.l = New(Options{
		Bytes: 128 << 10, Age: 100 * time.Millisecond, KeptBytes: 64 << 10, StateBytes: 1 << 20, Values: 1000,
		Tombstones: 20 * time.Millisecond, Shards: 2, Tag: 7, Row: rowsOf(rows), Live: func(uint64, Live) {},
	})
	c.l.SubscribeAll(0, 1)
	var publishers, others sync.WaitGroup
	for i := range 2 {
		f := c.l.Follow(i)
		others.Go(func() { c.follow(i, f) })
	}
	for i := range 3 {
		publishers.Go(func() { c.publish(i, n) })
	}
	others.Go(func() { c.read(0, filter(wild(">"))) })
	others.Go(func() { c.read(1, filter(wild("a.>"), wild("kept.>"))) })
	others.Go(func() { c.read(2, filter(wild("*.*.1"), wild("b.>"), exact(c.l, "a.1.7"))) })
	others.Go(func() { c.read(3, filter(exact(c.l, "a.0.1"), exact(c.l, "kept.1.2"), exact(c.l, "b.2.3"))) })
	others.Go(func() { c.churn(0) })
	others.Go(func() { c.churn(1) })
	others.Go(func() { c.state(0) })
	others.Go(func() {
		for !c.over.Load() {
			c.l.Expire(time.Now())
			c.l.Size()
			time.Sleep(time.Millisecond)
		}
	})
	publishers.Wait()
	c.over.Store(true)
	c.wake(3)
	others.Wait()
}
