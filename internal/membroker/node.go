package membroker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/gohotline/hotline"
	"github.com/gohotline/hotline/internal/pattern"
)

// Node is the Broker of one hub. Its feed is a queue, filled by the store under its lock and emptied by one goroutine.
type Node struct {
	store *Store
	hub   hotline.BrokerHub
	done  chan struct{} // closed when the feed has ended
	stop  chan struct{} // closed by Close
	once  sync.Once

	// Guarded by store.mu.
	patterns []string // followed
	queue    []item
	more     chan struct{} // buffered, 1; never closed
	started  bool
	first    hotline.Position // of a feed that carries everything: it has since then
	sent     uint64           // the last event that was put into the queue, or dropped
	life     int
	away     error         // its server can't be reached
	back     chan struct{} // closed when it can be again
	faults   Faults
	dropped  []span
	replica  uint64 // Replay reads what a replica has: events up to here; 0: everything
}

// Faults is what goes wrong on the way of one node.
type Faults struct {
	// Drop says which events the feed loses.
	Drop func(e *hotline.BrokerEntry) bool
	// Late makes the feed notice a loss only before the next event of the same topic, or after 20 s.
	Late bool
	// Silent makes it not notice at all: no broker may do that.
	Silent bool
	// Blunt makes it report a loss of everything and not of the topic.
	Blunt bool
	// Unanswered says which publishes are stored and not answered.
	Unanswered func(e *hotline.BrokerEntry) bool
	// Delay holds up everything that the feed delivers.
	Delay time.Duration
}

// span is a loss that was not reported yet.
type span struct {
	topic       string
	after, upTo uint64
	when        time.Time
}

// item is something that the feed has to say.
type item struct {
	entries []hotline.BrokerEntry
	values  func() (string, []hotline.BrokerEntry) // looked up when it is its turn, with the lock
	lost    *span
	status  func()
	done    chan struct{} // closed when it was said
}

var errAway = errors.New("membroker: the server is away")

// Node returns the broker of one more hub.
func (s *Store) Node() *Node {
	return &Node{store: s, done: make(chan struct{}), stop: make(chan struct{}), more: make(chan struct{}, 1)}
}

// Start begins the feed.
func (n *Node) Start(ctx context.Context, hub hotline.BrokerHub) error {
	if err := n.reach(ctx); err != nil {
		return err
	}
	s := n.store
	s.mu.Lock()
	n.hub = hub
	n.started, n.life, n.sent = true, s.life, s.data.last.Seq
	s.nodes[n] = struct{}{}
	first := make(chan struct{})
	var stored []hotline.BrokerEntry
	if s.opts.CarryAll {
		n.patterns = []string{">"}
		for i := range s.data.events {
			stored = append(stored, copied(&s.data.events[i]))
		}
		if n.first = s.data.last; len(stored) > 0 {
			n.first = stored[0].Position
		}
	}
	n.push(item{entries: stored, done: first})
	s.mu.Unlock()
	go n.feed()
	select {
	case <-first:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Close ends the feed.
func (n *Node) Close() error {
	n.once.Do(func() {
		close(n.stop)
		n.store.mu.Lock()
		started := n.started
		delete(n.store.nodes, n)
		n.store.mu.Unlock()
		if !started {
			close(n.done)
		}
	})
	<-n.done
	return nil
}

// feed says what is in the queue.
func (n *Node) feed() {
	defer close(n.done)
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-n.stop:
			return
		case <-n.more:
		case <-ticker.C:
			n.store.mu.Lock()
			n.report("", time.Now().Add(-20*time.Second))
			n.store.mu.Unlock()
		}
		for {
			n.store.mu.Lock()
			if len(n.queue) == 0 {
				n.store.mu.Unlock()
				break
			}
			it, delay := n.queue[0], n.faults.Delay
			n.queue = n.queue[1:]
			var p string
			var values []hotline.BrokerEntry
			if it.values != nil {
				p, values = it.values()
			}
			n.store.mu.Unlock()
			if delay > 0 {
				select {
				case <-time.After(delay):
				case <-n.stop:
					return
				}
			}
			select {
			case <-n.stop:
				return
			default:
			}
			switch {
			case it.status != nil:
				it.status()
			case it.lost != nil:
				n.hub.Lost(it.lost.topic, it.lost.after, it.lost.upTo)
			case it.values != nil:
				n.hub.Values(p, values)
			case len(it.entries) > 0:
				n.hub.Deliver(it.entries...)
			}
			if it.done != nil {
				close(it.done)
			}
		}
	}
}

// push needs store.mu, as does all that follows up to Publish.
func (n *Node) push(it item) {
	n.queue = append(n.queue, it)
	select {
	case n.more <- struct{}{}:
	default:
	}
}

func (n *Node) carries(topic string) bool {
	return slices.ContainsFunc(n.patterns, func(p string) bool { return pattern.Covers(p, topic) })
}

// send puts an entry into the queue, or loses it.
func (n *Node) send(e *hotline.BrokerEntry) {
	if n.away != nil {
		return
	}
	before := n.sent
	if e.Delivery == hotline.Events {
		n.sent = e.Seq
	}
	if !n.carries(e.Topic) {
		return
	}
	if e.Delivery == hotline.Events {
		if n.faults.Drop != nil && n.faults.Drop(e) {
			if !n.faults.Silent {
				n.dropped = append(n.dropped, span{e.Topic, before, e.Seq, time.Now()})
			}
			return
		}
		only := ""
		if n.faults.Late {
			only = e.Topic
		}
		n.report(only, time.Now())
	}
	n.push(item{entries: []hotline.BrokerEntry{copied(e)}})
}

// report says what was lost: of a topic, or by then.
func (n *Node) report(topic string, until time.Time) {
	n.dropped = slices.DeleteFunc(n.dropped, func(x span) bool {
		if topic != x.topic && (topic != "" || x.when.After(until)) {
			return false
		}
		if n.faults.Blunt {
			x.topic = ">"
		}
		n.push(item{lost: &x})
		return true
	})
}

func (n *Node) refresh() {
	for _, p := range n.patterns {
		n.push(item{values: func() (string, []hotline.BrokerEntry) { return p, n.store.current(p) }})
	}
}

// restored is for a store that has begun another life.
func (n *Node) restored() {
	if n.away != nil {
		return // it sees that when it is back
	}
	n.dropped, n.first = nil, hotline.Position{}
	n.sent, n.life = min(n.sent, n.store.since), n.store.life
	n.refresh()
}

// reach waits until the server is there.
func (n *Node) reach(ctx context.Context) error {
	for {
		n.store.mu.Lock()
		away, back := n.away, n.back
		n.store.mu.Unlock()
		if away == nil {
			return ctx.Err()
		}
		select {
		case <-back:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", away, context.Cause(ctx))
		case <-n.stop:
			return fmt.Errorf("%w: the broker", hotline.ErrClosed)
		}
	}
}

// Publish stores e.
func (n *Node) Publish(ctx context.Context, e *hotline.BrokerEntry) (hotline.Position, error) {
	if err := n.reach(ctx); err != nil {
		return hotline.Position{}, fmt.Errorf("%w: %w", hotline.ErrUncertain, err)
	}
	n.store.mu.Lock()
	defer n.store.mu.Unlock()
	pos := n.store.store(e)
	if n.faults.Unanswered != nil && n.faults.Unanswered(e) {
		return hotline.Position{}, fmt.Errorf("%w: no answer", hotline.ErrUncertain)
	}
	return pos, nil
}

// Follow makes the feed carry a pattern.
func (n *Node) Follow(ctx context.Context, p string) (hotline.Position, error) {
	if err := n.reach(ctx); err != nil {
		return hotline.Position{}, err
	}
	s := n.store
	s.mu.Lock()
	at := s.data.last
	if n.first != (hotline.Position{}) {
		at = n.first
	}
	if !slices.Contains(n.patterns, p) {
		n.patterns = append(n.patterns, p)
	}
	n.report("", time.Now())
	said := make(chan struct{})
	n.push(item{values: func() (string, []hotline.BrokerEntry) { return p, s.current(p) }, done: said})
	s.mu.Unlock()
	select {
	case <-said:
		return at, nil
	case <-ctx.Done():
		return hotline.Position{}, context.Cause(ctx)
	case <-n.stop:
		return hotline.Position{}, fmt.Errorf("%w: the broker", hotline.ErrClosed)
	}
}

// Unfollow makes the feed not carry a pattern any more.
func (n *Node) Unfollow(p string) {
	n.store.mu.Lock()
	defer n.store.mu.Unlock()
	if !n.store.opts.CarryAll {
		n.patterns = slices.DeleteFunc(n.patterns, func(x string) bool { return x == p })
	}
}

// Replay reads stored events.
func (n *Node) Replay(ctx context.Context, q hotline.BrokerQuery) (hotline.BrokerPage, error) {
	if err := n.reach(ctx); err != nil {
		return hotline.BrokerPage{}, err
	}
	for {
		n.store.mu.Lock()
		changed := n.store.changed
		if n.replica == 0 || n.replica >= max(q.UpTo, q.After.Seq) {
			defer n.store.mu.Unlock()
			return n.store.data.replay(q)
		}
		n.store.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return hotline.BrokerPage{}, context.Cause(ctx)
		}
	}
}

func (d *data) replay(q hotline.BrokerQuery) (page hotline.BrokerPage, err error) {
	if q.Last > 0 {
		q.After = hotline.Position{}
	}
	if q.After != (hotline.Position{}) && !d.holds(q.After) {
		return page, fmt.Errorf("%w: %d", hotline.ErrPosition, q.After.Seq)
	}
	matches := func(topic string) bool {
		return slices.ContainsFunc(q.Patterns, func(p string) bool { return pattern.Covers(p, topic) })
	}
	list := d.events[d.find(q.After.Seq):d.find(max(q.UpTo, q.After.Seq))]
	if q.Last > 0 {
		i := len(list)
		for left := q.Last; i > 0 && left > 0; i-- {
			if matches(list[i-1].Topic) {
				left--
			}
		}
		list = list[i:]
	}
	gone := func(after, before uint64) bool {
		return slices.ContainsFunc(d.trimmed, func(x trimmed) bool { return x.seq > after && x.seq < before && matches(x.topic) })
	}
	size, before := 0, q.After.Seq
	for i := range list {
		e := &list[i]
		if !matches(e.Topic) {
			continue
		}
		if len(page.Entries) > 0 && q.Last == 0 && gone(before, e.Seq) {
			page.More = true // the next page says so
			break
		}
		before = e.Seq
		if len(page.Entries) > 0 && (q.Limit > 0 && len(page.Entries) >= q.Limit || q.MaxBytes > 0 && size+len(e.Data) > q.MaxBytes) {
			page.More = true
			break
		}
		size += len(e.Data)
		page.Entries = append(page.Entries, copied(e))
	}
	first := q.UpTo + 1
	if len(page.Entries) > 0 {
		first = page.Entries[0].Seq
	}
	page.Lost = gone(q.After.Seq, first)
	return page, nil
}

// Fail sets what goes wrong from now on.
func (n *Node) Fail(f Faults) {
	n.store.mu.Lock()
	defer n.store.mu.Unlock()
	n.faults = f
}

// Leave cuts the node off from its server, until Return.
func (n *Node) Leave() {
	n.store.mu.Lock()
	defer n.store.mu.Unlock()
	if n.away != nil {
		return
	}
	n.away, n.back = errAway, make(chan struct{})
	if n.started {
		n.push(item{status: func() { n.hub.Status(errAway) }})
	}
}

// Return ends Leave. With heal the feed goes on where it was; without, it says what it may have lost.
func (n *Node) Return(heal bool) {
	s := n.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.away == nil {
		return
	}
	n.away = nil
	close(n.back)
	if !n.started {
		return
	}
	from := n.sent
	if n.life != s.life {
		from, heal = min(from, s.since), true
		n.dropped, n.first = nil, hotline.Position{}
	}
	n.life, n.sent = s.life, s.data.last.Seq
	n.push(item{status: func() { n.hub.Status(nil) }})
	switch {
	case heal:
		n.report("", time.Now())
		for _, e := range s.data.events[s.data.find(from):] {
			if n.carries(e.Topic) {
				n.push(item{entries: []hotline.BrokerEntry{copied(&e)}})
			}
		}
	case s.data.last.Seq > from:
		n.report("", time.Now())
		for _, p := range n.patterns {
			if slices.ContainsFunc(n.patterns, func(o string) bool { return o != p && pattern.Covers(o, p) }) {
				continue // the wider one says it
			}
			n.push(item{lost: &span{topic: p, after: from, upTo: s.data.last.Seq}})
		}
	}
	n.refresh()
}

// Lag makes Replay read a replica that has not got further than an event, until it is called with 0.
func (n *Node) Lag(upTo uint64) {
	n.store.mu.Lock()
	defer n.store.mu.Unlock()
	n.replica = upTo
	n.store.wake()
}
