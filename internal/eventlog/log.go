package eventlog

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gohotline/hotline/internal/frame"
	"github.com/gohotline/hotline/internal/wire"
)

// Errors of Append and Set.
var (
	ErrClosed   = errors.New("log is closed")
	ErrTooLarge = errors.New("larger than a quarter of the log")
	ErrTopics   = errors.New("too many topics with a value")
	ErrFull     = errors.New("too many bytes of values")
	ErrOrder    = errors.New("entries out of order")
)

// Options configures a Log. All fields must be set.
type Options struct {
	Bytes      int           // of the log, overhead included
	Age        time.Duration // of its oldest entry
	KeptBytes  int           // beyond the log, for Row.Keep
	StateBytes int           // of values
	Values     int           // topics with a value
	Tombstones time.Duration // how long a cleared topic is remembered
	Shards     int           // at most 64
	Tag        uint64        // of the entries that are appended without a position of their own
	Row        func(topic string) *Row

	// Live hands a State value or a signal to shards, in the order of change; it is called with the log locked, and
	// must not block or call back.
	Live func(shards uint64, m Live)
}

// Live is a message that is not in the log: a value, or a signal.
type Live struct {
	Topic *Topic
	Entry Entry  // its Pos is zero
	Value *Value // nil: a signal
}

// Log is the memory of a hub. It is safe for concurrent use.
type Log struct {
	opts   Options
	pages  pages
	losses *Topic // of the entries that are losses; it has no name and is not in topics

	head    atomic.Uint64 // Seq of the newest entry; zero: there never was one
	evicted atomic.Uint64 // Seq of the newest entry that is no longer in the log: of floor
	waiting atomic.Bool   // an append waits for a follower

	segs   atomic.Pointer[[]*segment] // oldest first, never empty; replaced, not changed
	shifts atomic.Pointer[[]shift]    // ascending; nil: none. Replaced, not changed

	handed atomic.Uint64 // the last change that Options.Live was told of

	mu         sync.Mutex
	topics     map[string]*Topic
	free       []uint32 // ids
	ids        uint32
	wild       []int // subscriptions with wildcards, a shard
	wildMask   uint64
	followers  []*Follower
	bytes      int // of all segments, and the topics of their entries
	entries    int
	keptBytes  int
	headPos    Pos // of the newest entry
	floor      Pos // of the newest entry that is no longer in the log; everything after it is
	base       Pos // the place before the first entry that this log ever had
	keptTopics list
	keptOrder  []keptRef // all that are kept, oldest first, and some that are not any more
	keptStale  int       // how many of those
	goneTopics list      // by gone, newest last
	freed      freed
	lossWork   int           // see there
	room       chan struct{} // closed and replaced when a follower that holds up an append has moved on
	goneMark   uint64        // the greatest Seq that was ever lost
	closed     bool
	scratch    []byte
	state      state

	// Of a log that a broker numbers, see places.go.
	shift    uint64 // the newest
	real     Pos    // the broker's newest entry, as it is numbered there
	steps    uint64 // losses since then
	life     Pos    // the loss before the first entry of the store's present life; zero: there was no other
	lifeUpTo uint64 // and the broker's number before that entry
}

// New returns an empty log whose first entry will be numbered 1.
func New(opts Options) *Log {
	l := &Log{
		opts:   opts,
		topics: make(map[string]*Topic),
		wild:   make([]int, opts.Shards),
		room:   make(chan struct{}),
		freed:  newFreed(),
		base:   Pos{Tag: opts.Tag},

		lossWork: lossWork,
	}
	l.headPos, l.floor = l.base, l.base
	l.losses = &Topic{ID: lossID, Row: &Row{}, Local: make([]*Members, opts.Shards), refs: 1}
	l.ids = lossID + 1
	l.pages.set(lossID, l.losses)
	first := newSegment(minSegmentBytes, minSegmentRecords)
	l.bytes = first.cost()
	l.segs.Store(&[]*segment{first})
	return l
}

// Append is a message to be stored.
type Append struct {
	Topic  string
	From   string
	Data   []byte
	Binary bool
	Loss   bool // Data is the pattern of what was lost, there is no Topic
	When   time.Time

	Pos Pos // the broker's; zero: the next of this log, which with a broker only a loss is
}

// Wake says which shards are to be woken: those that were asleep and have a subscriber.
type Wake struct {
	Shards      uint64
	Subscribers int // of them, at most
}

// Append stores m. It returns its position and the shards that the caller has to wake. It waits only when the log is full
// of entries that a follower has not passed.
func (l *Log) Append(ctx context.Context, m *Append) (pos Pos, wake Wake, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if l.closed {
			return Pos{}, Wake{}, ErrClosed
		}
		id := m.Pos
		if id == (Pos{}) {
			pos = Pos{Seq: l.headPos.Seq + 1, Tag: l.opts.Tag}
			if id = pos; l.brokered() {
				pos.Tag = l.real.Tag + (l.steps+1)*lossStep
			}
		} else if pos = (Pos{Seq: id.Seq + l.shift, Tag: id.Tag}); pos.Seq <= l.headPos.Seq {
			return Pos{}, Wake{}, ErrOrder
		}
		l.scratch = wire.AppendHead(l.scratch[:0], wire.Head{
			Topic: m.Topic, ID: id, HasID: true, From: m.From, Binary: m.Binary,
		})
		tail := 0
		if !m.Binary {
			tail = len(wire.Tail)
		}
		payload := len(l.scratch) + len(m.Data) + tail
		size := frame.HeaderSize(payload) + payload
		if size+entryShare > l.opts.Bytes/4 {
			return Pos{}, Wake{}, ErrTooLarge
		}
		s, ok := l.segmentFor(size, m.When)
		if ok {
			return pos, l.store(s, m, pos, payload, size), nil
		}
		// The flag is set before the followers are looked at again, so that one that passes meanwhile sees it.
		if !l.waiting.Swap(true) {
			continue
		}
		if err := l.waitRoom(ctx); err != nil {
			return Pos{}, Wake{}, err
		}
	}
}

// store writes the entry; it needs mu, and room in s.
func (l *Log) store(s *segment, m *Append, pos Pos, payload, size int) (wake Wake) {
	t := l.losses
	if !m.Loss {
		t = l.intern(m.Topic)
	}
	op := frame.Text
	r := record{seq: pos.Seq, tag: pos.Tag, when: m.When.UnixNano(), off: uint32(s.used), size: uint32(size)}
	if m.Binary {
		op, r.flags = frame.Binary, flagBinary
	}
	if m.Loss {
		r.flags |= flagLoss
	}
	b := frame.AppendHeader(s.buf[s.used:s.used], op, payload, false)
	b = append(b, l.scratch...)
	r.data = uint32(len(b))
	b = append(b, m.Data...)
	if !m.Binary {
		b = append(b, wire.Tail...)
	}
	s.used += len(b)
	i := s.n.Load()
	s.recs[i], s.topics[i] = r, t.ID

	t.refs++
	if t.entries.n == 0 {
		l.bytes += topicCost
	}
	t.entries.push(pos.Seq)
	l.entries++
	before := l.headPos
	l.headPos = pos
	switch {
	case !l.brokered():
	case m.Loss: // it has no number of the broker's
		l.steps++
		l.addShift(shift{from: pos.Seq, by: l.shift + 1})
	default:
		l.real, l.steps = m.Pos, 0
	}
	if len(t.kept) > 0 {
		l.keptTopics.moveToBack(&t.keptAt, t)
		l.trimKept(t)
	}
	s.n.Store(i + 1)
	l.head.Store(pos.Seq)
	shards := t.shards | l.wildMask
	if m.Loss {
		shards = ^uint64(0)
	}
	for _, f := range l.followers {
		// It counts as awake from this moment, so that the entry is not evicted before it has seen it.
		if shards&(1<<f.shard) != 0 && f.asleep {
			f.asleep, f.resume = false, before
			f.passed.Store(before.Seq)
			wake.Shards |= 1 << f.shard
			if wake.Subscribers += l.wild[f.shard]; t.exact != nil {
				wake.Subscribers += int(t.exact[f.shard])
			}
		}
	}
	return wake
}

// segmentFor returns a segment with room for a frame, evicting if need be; false if followers are in the way.
func (l *Log) segmentFor(size int, now time.Time) (*segment, bool) {
	for {
		segs := *l.segs.Load()
		s := segs[len(segs)-1]
		n := int(s.n.Load())
		room := n < len(s.recs) && s.used+size <= len(s.buf)
		// A segment leaves the log when its last entry is old enough, so an old one takes no more.
		old := n > 0 && now.UnixNano()-s.recs[0].when > int64(l.opts.Age/16)
		free := l.opts.Bytes - l.bytes - topicCost // the topic may be new
		if room && !old && (free >= 0 || l.entries == 0) {
			return s, true
		}
		bytes, records := l.size(s, size)
		if l.entries == 0 || (!room || old) && bytes+records*entryShare <= free {
			return l.grow(bytes, records), true
		}
		if !l.evict() {
			return s, room && free >= 0
		}
	}
}

// grow adds an empty segment at the end; an empty one that stands there is replaced.
func (l *Log) grow(bytes, records int) *segment {
	segs := *l.segs.Load()
	next := newSegment(bytes, records)
	l.bytes += next.cost()
	keep := segs
	last := segs[len(segs)-1]
	if last.n.Load() == 0 {
		l.bytes -= last.cost()
		keep = segs[:len(segs)-1]
	}
	grown := make([]*segment, 0, len(keep)+1)
	grown = append(append(grown, keep...), next)
	l.segs.Store(&grown)
	last.next.Store(next)
	return next
}

// evict drops the oldest segment, which has entries; false if a follower has not passed it. The list is never empty:
// the last segment is replaced by a new one.
func (l *Log) evict() bool {
	segs := *l.segs.Load()
	s := segs[0]
	if !l.passed(s.recs[s.n.Load()-1].seq) {
		return false
	}
	if len(segs) == 1 {
		l.grow(minSegmentBytes, minSegmentRecords)
		segs = *l.segs.Load()
	}
	rest := append([]*segment(nil), segs[1:]...)
	l.segs.Store(&rest)
	l.forget(s)
	return true
}

// forget takes the entries of a segment out of their topics' lists.
func (l *Log) forget(s *segment) {
	n := int(s.n.Load())
	l.floor = s.before(n, l.floor)
	l.evicted.Store(l.floor.Seq)
	for i := range n {
		r := &s.recs[i]
		t := l.pages.get(s.topics[i])
		if t.entries.pop(); t.entries.n == 0 {
			l.bytes -= topicCost
		}
		switch {
		case t == l.losses:
			l.broken(s, r)
		case t.entries.n < t.Row.Keep:
			l.keep(t, s, r)
		default:
			l.lost(t, Pos{Seq: r.seq, Tag: r.tag})
		}
		l.release(t, 1)
	}
	l.entries -= n
	l.bytes -= s.cost()
}

// passed reports whether every follower is past seq. One that sleeps has been past everything since then: only
// entries that it has no subscriber for leave it asleep.
func (l *Log) passed(seq uint64) bool {
	for _, f := range l.followers {
		if f.passed.Load() < seq && !f.asleep {
			return false
		}
	}
	return true
}

// waitRoom waits until a follower has moved on. It needs mu, and holds it again when it returns.
func (l *Log) waitRoom(ctx context.Context) error {
	room := l.room
	l.mu.Unlock()
	var err error
	select {
	case <-room:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	l.mu.Lock()
	return err
}

func (l *Log) makeRoom() {
	if l.waiting.Swap(false) {
		close(l.room)
		l.room = make(chan struct{})
	}
}

// Close makes every later and every waiting Append fail. What is stored stays readable.
func (l *Log) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.makeRoom()
}

// Expire evicts what is older than Options.Age, and forgets old tombstones and values. It is to be called now and then.
// Others get the lock between two pieces of its work. It returns the shards that have a subscriber of what was cleared:
// the caller wakes them.
func (l *Log) Expire(now time.Time) (wake uint64) {
	for more := true; more; {
		var shards uint64
		shards, more = l.expire(now)
		wake |= shards
	}
	return wake
}

// expire does a piece of that work, and reports whether there may be more.
func (l *Log) expire(now time.Time) (wake uint64, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := (*l.segs.Load())[0]
	n := s.n.Load()
	if n > 0 && s.recs[n-1].when < now.Add(-l.opts.Age).UnixNano() && l.evict() {
		return 0, true
	}
	return l.expireState(now)
}

// Head is the position of the newest entry, or the place before the first.
func (l *Log) Head() Pos {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.headPos
}

// Size is what Stats tells of the log.
type Size struct {
	Entries, Bytes, KeptBytes int
	Oldest                    time.Time // zero: empty
	Values, StateBytes        int
}

// Size returns the present sizes.
func (l *Log) Size() Size {
	l.mu.Lock()
	defer l.mu.Unlock()
	z := Size{Entries: l.entries, Bytes: l.bytes, KeptBytes: l.keptBytes, Values: l.state.present, StateBytes: l.state.bytes}
	if s := (*l.segs.Load())[0]; s.n.Load() > 0 {
		z.Oldest = time.Unix(0, s.recs[0].when)
	}
	return z
}
