package hotline

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gohotline/hotline/internal/eventlog"
	"github.com/gohotline/hotline/internal/pattern"
)

const (
	stepDeliveries = 65536 // of one dispatch step
	stepCommands   = 32    // between two dispatch steps, so that a herd of reconnects does not delay live delivery
	stepFlushes    = 16    // connections written before the log is looked at again
	stepReaders    = 16
	trimItems      = 512
)

// shard owns a share of the connections and their subscriptions. It is one event loop: it follows the log, offers each
// entry to its subscribed connections, writes each connection once a turn, and runs commands between two steps.
// Because one goroutine owns the order, subscribing, replay and live delivery meet at an exact position, and there is
// no lock around the fan-out. It never blocks in a write and runs no hook.
type shard struct {
	// Static after construction.
	hub  *Hub
	n    int
	wake chan struct{} // buffered, 1; never closed
	done chan struct{} // closed by run when it ends because of stop

	inbox   inbox
	placed  atomic.Int64 // connections, with those in their handshake
	behind  atomic.Int64
	stopped atomic.Bool
	parked  atomic.Bool // run has ended, or is about to, and poke starts it again: whoever changes it to false

	lastServed atomic.Int64 // Hub.age when something was published that it slept through

	owner sync.Mutex // of whoever owns what follows: run, and while that sleeps a publisher

	asleep   bool // what it follows is passed over
	follower *eventlog.Follower
	cur      eventlog.Pos // dispatched up to here
	st       uint64       // State changes dispatched up to here
	peers    []*peer      // by slot
	free     []uint32     // slots
	trie     pattern.Trie[uint32]
	gen      uint64 // of the wildcard subscriptions
	listed   listed // by wildcards, of topics
	items    []item // what peer.pending counts
	trimAt   int    // so many are looked through
	dirty    []*peer
	readers  []*peer // behind, with room in their sockets
	commands []func()
	awaited  []*peer // that are to end
	written  []write // that somebody waits for
	joiner   joiner
	filter   eventlog.Filter
	entries  []eventlog.Entry
	values   []*eventlog.Value
	slots    []uint32
	parts    []*sub
	spare    [][]uint32 // windows that nobody uses
	out      writer
	scratch  []byte
	sent     struct{ messages, bytes int64 } // in this turn
}

// inbox is what others leave for a shard.
type inbox struct {
	mu        sync.Mutex
	commands  []func()
	live      []eventlog.Live
	liveBytes int
	missed    bool // live was full: State is to be read from the table
	touched   []*peer
	any       atomic.Bool
}

type itemKind uint8

const (
	itemEvent  itemKind = iota
	itemState           // can be read again from the table
	itemSignal          // can be dropped
	itemOwn             // of one connection alone, cannot be made again
)

// item is one frame of a turn, shared by all connections that it is for.
type item struct {
	kind   itemKind
	entry  eventlog.Entry
	before eventlog.Pos // Events: the position of the entry before it
	order  uint64       // State

	plain    []byte // the frame for plain connections, once needed
	deflated []byte // and for compressed ones
}

func newShard(h *Hub, n int) *shard {
	sh := &shard{hub: h, n: n, wake: make(chan struct{}, 1), done: make(chan struct{}), gen: 1, trimAt: trimItems}
	sh.follower = h.log.Follow(n)
	sh.asleep = sh.follower.Sleep()
	sh.parked.Store(true)
	return sh
}

// run is the event loop. It ends after stop, and when there is nobody to serve any more: then poke starts it again.
func (sh *shard) run() {
	sh.owner.Lock()
	defer sh.owner.Unlock()
	sh.awake()
	for !sh.stopped.Load() {
		sh.take()
		sh.dispatch()
		sh.command()
		sh.turnReaders()
		sh.flushSome()
		sh.arrivals()
		sh.count()
		if sh.idle() && !sh.sleep() {
			return
		}
	}
	sh.finish()
	close(sh.done)
}

// finish runs the commands that are left when run is to stop, so that everybody has left who wanted to.
func (sh *shard) finish() {
	sh.inbox.mu.Lock()
	list := append(sh.commands, sh.inbox.commands...)
	sh.commands, sh.inbox.commands = nil, nil
	sh.inbox.mu.Unlock()
	for _, f := range list {
		f()
	}
}

// count adds to the counters what was sent in this turn.
func (sh *shard) count() {
	if sh.sent.bytes != 0 {
		sh.hub.stats.messagesOut.Add(sh.sent.messages)
		sh.hub.stats.bytesOut.Add(sh.sent.bytes)
		sh.sent.messages, sh.sent.bytes = 0, 0
	}
}

// do runs f in the event loop, in the order of the calls of do.
func (sh *shard) do(f func()) {
	sh.inbox.mu.Lock()
	sh.inbox.commands = append(sh.inbox.commands, f)
	sh.inbox.any.Store(true)
	sh.inbox.mu.Unlock()
	sh.poke()
}

// touch makes run write what waits in the control lane of p.
func (sh *shard) touch(p *peer) {
	sh.inbox.mu.Lock()
	if !p.touched {
		p.touched = true
		sh.inbox.touched = append(sh.inbox.touched, p)
	}
	sh.inbox.any.Store(true)
	sh.inbox.mu.Unlock()
	sh.poke()
}

// live leaves a State value or a signal for run; the caller pokes. It is called with the log locked.
func (sh *shard) live(m eventlog.Live) {
	in := &sh.inbox
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.liveBytes += len(m.Entry.Frame) + 64; in.liveBytes > liveBytes/sh.hub.shardN && len(in.live) > 0 {
		in.liveBytes -= len(m.Entry.Frame) + 64
		if m.Value == nil {
			sh.hub.stats.droppedOverflow.Add(1)
			return
		}
		in.missed = true
	} else {
		in.live = append(in.live, m)
	}
	in.any.Store(true)
}

// take empties the inbox.
func (sh *shard) take() {
	in := &sh.inbox
	changed := sh.hub.log.Handed() // up to there, what is for this shard has been left in the inbox
	if !in.any.Load() {
		sh.st = max(sh.st, changed)
		return
	}
	in.mu.Lock()
	live, missed, touched := in.live, in.missed, in.touched
	sh.commands = append(sh.commands, in.commands...)
	clear(in.commands)
	in.commands = in.commands[:0]
	in.live, in.liveBytes, in.missed, in.touched = nil, 0, false, nil
	for _, p := range touched {
		p.touched = false
	}
	in.any.Store(false)
	in.mu.Unlock()
	for _, p := range touched {
		sh.markDirty(p)
	}
	if missed {
		// State that did not fit, wherever it was among the others, is read from the table by everybody.
		for _, p := range sh.peers {
			switch {
			case p == nil:
			case p.local != nil:
				p.local.notify()
			case p.live:
				sh.goBehind(p, sh.cur, sh.st)
			}
		}
	}
	for i := range live {
		sh.dispatchLive(&live[i])
	}
	sh.st = max(sh.st, changed)
}

// trim forgets the items that nobody is to be sent any more. Under a load that is never flushed to the end the oldest of
// them would otherwise stay, and hold what the log has let go of.
func (sh *shard) trim() {
	switch {
	case len(sh.items) == 0:
		return
	case len(sh.dirty) == 0:
		sh.drop(0)
		return
	case len(sh.items) < sh.trimAt:
		return
	}
	first := uint32(len(sh.items))
	for _, p := range sh.peers {
		if p != nil && len(p.pending) > 0 {
			first = min(first, p.pending[0])
		}
	}
	for _, p := range sh.peers {
		if p != nil {
			for i := range p.pending {
				p.pending[i] -= first
			}
		}
	}
	n := copy(sh.items, sh.items[first:])
	sh.drop(n)
	sh.trimAt = n + trimItems
}

// dispatch offers what the log has to whoever is subscribed: references only, nothing is written yet.
func (sh *shard) dispatch() {
	sh.trim()
	if !sh.follower.Behind() {
		return
	}
	left := stepDeliveries
	var e eventlog.Entry
	for left > 0 && sh.follower.Next(&e) {
		before := sh.cur
		if e.Loss {
			sh.dispatchLoss(&e, before)
		} else {
			members := sh.members(e.Topic)
			left -= len(members) + 1
			if len(members) > 0 {
				sh.items = append(sh.items, item{kind: itemEvent, entry: e, before: before})
				sh.offer(members, len(sh.items)-1)
			}
		}
		sh.cur = e.Pos
	}
	sh.follower.Pass()
}

// offer gives an event to the connections that are live; the others will read it.
func (sh *shard) offer(members []uint32, i int) {
	it := &sh.items[i]
	size, seq := len(it.entry.Frame), it.entry.Pos.Seq
	for _, slot := range members {
		p := sh.peers[slot]
		switch {
		case p.local != nil:
			p.local.notify()
		case !p.live || seq <= p.cur.Seq: // it has read that already
		case p.full(size, sh.hub.limits.WindowBytes):
			sh.goBehind(p, it.before, sh.st)
		default:
			sh.push(p, i, size)
		}
	}
}

// dispatchLoss is for an entry that says what the broker lost: everybody concerned reads it, whoever is live too.
func (sh *shard) dispatchLoss(e *eventlog.Entry, before eventlog.Pos) {
	lost := string(e.Payload())
	for _, p := range sh.peers {
		if p == nil {
			continue
		}
		if p.local != nil {
			p.local.notify()
		} else if p.live && e.Pos.Seq > p.cur.Seq && slices.ContainsFunc(p.subs, func(s *sub) bool { return pattern.Overlap(lost, s.name) }) {
			sh.goBehind(p, before, sh.st)
		}
	}
}

// dispatchLive offers a State value or a signal.
func (sh *shard) dispatchLive(m *eventlog.Live) {
	members := sh.members(m.Topic)
	if m.Value != nil {
		if m.Value.Order <= sh.st {
			return
		}
		defer func() { sh.st = m.Value.Order }()
	}
	if len(members) == 0 {
		return
	}
	it := item{kind: itemSignal, entry: m.Entry}
	if m.Value != nil {
		it.kind, it.order = itemState, m.Value.Order
	}
	sh.items = append(sh.items, it)
	i, size := len(sh.items)-1, len(m.Entry.Frame)
	for _, slot := range members {
		p := sh.peers[slot]
		switch {
		case p.local != nil:
			p.local.live(m)
		case it.kind == itemSignal:
			sh.signal(p, i, size)
		case !p.live || it.order <= p.st:
		case p.full(size, sh.hub.limits.WindowBytes):
			sh.goBehind(p, sh.cur, sh.st)
		default:
			sh.push(p, i, size)
		}
	}
}

// signal gives a signal to p if it has room now, and drops it otherwise.
func (sh *shard) signal(p *peer, i, size int) {
	switch {
	case !p.ready:
	case p.live && !p.full(size, sh.hub.limits.WindowBytes):
		sh.push(p, i, size)
	case p.busy && !p.stalled && len(p.out)+size <= sh.hub.limits.WindowBytes/2:
		// A write is under way and will be over in a moment.
		p.out = append(p.out, sh.frame(p, i)...)
	default:
		sh.hub.stats.droppedBehind.Add(1)
	}
}

// members returns the slots that are subscribed to t, each once.
func (sh *shard) members(t *eventlog.Topic) []uint32 {
	if sh.trie.Len() == 0 {
		if m := t.Local[sh.n]; m != nil {
			return m.Exact
		}
		return nil
	}
	m := t.At(sh.n)
	if m.Gen == sh.gen {
		return m.All
	}
	sh.slots = sh.trie.Append(append(sh.slots[:0], m.Exact...), t.Name)
	if m.Gen, m.All = sh.gen, m.Exact; len(sh.slots) > len(m.Exact) {
		slices.Sort(sh.slots)
		m.All = slices.Clone(slices.Compact(sh.slots))
		sh.listed.add(m)
	}
	return m.All
}

// command runs commands, a few at a time.
func (sh *shard) command() {
	n := min(len(sh.commands), stepCommands)
	for i := range n {
		sh.commands[i]()
		sh.commands[i] = nil
	}
	if sh.commands = sh.commands[n:]; len(sh.commands) == 0 {
		sh.commands = nil
	}
}

func (sh *shard) turnReaders() {
	n := min(len(sh.readers), stepReaders)
	for _, p := range sh.readers[:n] {
		p.reading = false
		sh.turn(p)
	}
	sh.readers = slices.Delete(sh.readers, 0, n)
}

func (sh *shard) flushSome() {
	n := min(len(sh.dirty), stepFlushes)
	for _, p := range sh.dirty[:n] {
		sh.flush(p)
	}
	sh.dirty = slices.Delete(sh.dirty, 0, n)
}

// add gives p a slot.
func (sh *shard) add(p *peer) {
	if n := len(sh.free); n > 0 {
		p.slot, sh.free = sh.free[n-1], sh.free[:n-1]
		sh.peers[p.slot] = p
	} else {
		p.slot = uint32(len(sh.peers))
		sh.peers = append(sh.peers, p)
	}
}

// remove takes p out of everything.
func (sh *shard) remove(p *peer) {
	for len(p.subs) > 0 {
		sh.unsubscribe(p, p.subs[0])
	}
	for _, x := range p.resume {
		x.end(sh.hub)
	}
	p.resume = nil
	if p.ready && !p.live && p.local == nil {
		sh.behind.Add(-1)
	}
	p.gone, p.live, p.ready = true, false, false
	sh.peers[p.slot] = nil
	sh.free = append(sh.free, p.slot)
	sh.window(p)
}

// now is the time that readers compare ages with.
func (sh *shard) now() time.Time { return time.Now() }
