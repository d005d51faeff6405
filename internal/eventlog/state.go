package eventlog

import (
	"cmp"
	"math"
	"slices"
	"sort"
	"time"

	"github.com/gohotline/hotline/internal/pattern"
	"github.com/gohotline/hotline/internal/wire"
)

// Value is the value of a State topic, or the tombstone of one that was cleared. It does not change.
type Value struct {
	Entry
	Rev   Pos    // as stated to clients
	Order uint64 // the change that it was, counted over all topics
}

const valueOverhead = 512 // a Value, its Topic and its place in the table

func (v *Value) cost() int { return len(v.Frame) + valueOverhead }

// change says that a topic changed. It is stale if the topic has changed again since.
type change struct {
	order uint64
	topic *Topic
}

// state is the table of State values: the changes in their order, of which the last one of each topic counts. A
// reader holds one number, the change that it has read up to.
type state struct {
	order   uint64
	changes []change
	stale   int
	present int            // topics with a value
	cleared int            // topics with a tombstone
	bytes   int            // of values and tombstones
	floor   uint64         // tombstones up to this change are forgotten, at least some
	tombs   list           // topics with a tombstone, oldest first
	ageing  map[*Row]*list // topics with a value that will be too old, by their row, oldest first
}

// list is the list that a topic with that value is in, or nil.
func (s *state) list(t *Topic, v *Value) *list {
	switch {
	case v.Gone:
		return &s.tombs
	case t.Row.MaxAge <= 0:
		return nil
	case s.ageing[t.Row] == nil:
		if s.ageing == nil {
			s.ageing = make(map[*Row]*list)
		}
		s.ageing[t.Row] = new(list)
	}
	return s.ageing[t.Row]
}

// Set is a value to be stored.
type Set struct {
	Topic  string
	From   string
	Data   []byte
	Binary bool
	Gone   bool
	When   time.Time
	Rev    Pos // the broker's; zero: the next of this log
}

// Set stores the value of a State topic and hands it to the shards that have a subscriber. It returns the value, or
// nil if the topic that is to be cleared has none, and the shards that the caller has to wake.
func (l *Log) Set(m *Set) (v *Value, wake uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, 0, ErrClosed
	}
	if t := l.topics[m.Topic]; m.Gone && (t == nil || t.value == nil || t.value.Gone) {
		return nil, 0, nil
	}
	t := l.intern(m.Topic)
	t.refs++
	defer l.release(t, 1)
	v = l.newValue(t, m)
	if err := l.makeRoomFor(v); err != nil {
		return nil, 0, err
	}
	return v, l.put(v), nil
}

func (l *Log) newValue(t *Topic, m *Set) *Value {
	v := &Value{Rev: m.Rev, Order: l.state.order + 1}
	if v.Rev == (Pos{}) {
		v.Rev = Pos{Seq: v.Order, Tag: l.opts.Tag}
	}
	frame, at := encode(wire.Head{Topic: m.Topic, Rev: v.Rev, HasRev: true, From: m.From, Binary: m.Binary, Gone: m.Gone}, m.Data)
	v.Entry = Entry{Topic: t, Frame: frame, Data: at, When: m.When.UnixNano(), Binary: m.Binary, Gone: m.Gone}
	return v
}

// makeRoomFor forgets tombstones early, oldest first, where a value does not fit beside them. What clears a topic
// always fits.
func (l *Log) makeRoomFor(v *Value) error {
	s, t := &l.state, v.Topic
	if v.Gone {
		return nil
	}
	if (t.value == nil || t.value.Gone) && s.present >= l.opts.Values {
		return ErrTopics
	}
	for {
		grow := v.cost()
		if t.value != nil {
			grow -= t.value.cost()
		}
		if s.bytes+grow <= l.opts.StateBytes {
			return nil
		}
		if s.tombs.first == nil {
			return ErrFull
		}
		l.forgetTomb(s.tombs.first.topic)
	}
}

// Fits reports whether a value of that size could be stored now: nil, ErrTopics or ErrFull.
func (l *Log) Fits(topic string, size int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &l.state
	var old *Value
	if t := l.topics[topic]; t != nil {
		old = t.value
	}
	if (old == nil || old.Gone) && s.present >= l.opts.Values {
		return ErrTopics
	}
	if old != nil {
		size -= old.cost()
	}
	if s.bytes-s.tombBytes()+size+valueOverhead+2*len(topic) > l.opts.StateBytes {
		return ErrFull
	}
	return nil
}

// tombBytes is what would be free if the tombstones were forgotten.
func (s *state) tombBytes() int { return s.cleared * valueOverhead }

// put makes v the value of its topic and hands it out. It returns the shards that have a subscriber.
func (l *Log) put(v *Value) (shards uint64) {
	s, t := &l.state, v.Topic
	t.refs++
	if t.value != nil {
		l.drop(t)
	}
	if v.Gone {
		s.cleared++
	} else {
		s.present++
	}
	s.bytes += v.cost()
	s.order = v.Order
	t.value = v
	s.changes = append(s.changes, change{v.Order, t})
	if in := s.list(t, v); in != nil {
		in.moveToBack(&t.stateAt, t)
	}
	if s.cleared > l.opts.Values {
		l.forgetTomb(s.tombs.first.topic)
	}
	shards = t.shards | l.wildMask
	l.opts.Live(shards, Live{Topic: t, Entry: v.Entry, Value: v})
	l.handed.Store(v.Order)
	return shards
}

// drop takes the value or tombstone of a topic out of the table.
func (l *Log) drop(t *Topic) {
	s, v := &l.state, t.value
	if in := s.list(t, v); in != nil {
		in.remove(&t.stateAt)
	}
	if v.Gone {
		s.cleared--
	} else {
		s.present--
	}
	s.bytes -= v.cost()
	t.value = nil
	if s.stale++; s.stale > 64 && s.stale > len(s.changes)/2 {
		s.compact()
	}
	l.release(t, 1)
}

// forgetTomb forgets that a topic was cleared: a reader that does not know it has to begin again.
func (l *Log) forgetTomb(t *Topic) {
	l.state.floor = max(l.state.floor, t.value.Order)
	l.drop(t)
}

func (c change) current() bool { return c.topic.value != nil && c.topic.value.Order == c.order }

// compact drops the changes that were overtaken.
func (s *state) compact() {
	kept := make([]change, 0, len(s.changes)-s.stale+64)
	for _, c := range s.changes {
		if c.current() {
			kept = append(kept, c)
		}
	}
	s.changes, s.stale = kept, 0
}

// expireValues is how many values are cleared, or tombstones forgotten, before others get the lock.
const expireValues = 256

// expireState clears values that are too old, and forgets tombstones. It returns the shards that have a subscriber of
// what was cleared, and whether there may be more.
func (l *Log) expireState(now time.Time) (wake uint64, more bool) {
	s := &l.state
	left := expireValues
	first := func(in *list, age time.Duration) *Topic {
		if in.first == nil || now.UnixNano()-in.first.topic.value.When < int64(age) {
			return nil
		}
		left--
		return in.first.topic
	}
	for t := first(&s.tombs, l.opts.Tombstones); t != nil; t = first(&s.tombs, l.opts.Tombstones) {
		if l.forgetTomb(t); left <= 0 {
			return wake, true
		}
	}
	for row, in := range s.ageing {
		for t := first(in, row.MaxAge); t != nil; t = first(in, row.MaxAge) {
			wake |= l.put(l.newValue(t, &Set{Topic: t.Name, Gone: true, When: now}))
			if left <= 0 {
				return wake, true
			}
		}
	}
	return wake, false
}

// Changed is where State stands: the number of the last change.
func (l *Log) Changed() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state.order
}

// Handed is the number of the last change that Options.Live was told of, and has returned.
func (l *Log) Handed() uint64 { return l.handed.Load() }

// Update is what Changes found.
type Update struct {
	Values []*Value
	UpTo   uint64 // the change up to which it looked
	Done   bool   // nothing is left
	Reset  bool   // nothing was read: what the reader has may have been cleared and forgotten, it has to begin with 0
}

// Changes appends to dst the values that f wants of topics that changed after that change, in the order of change and
// as they are now, until they make size bytes; at least one. Tombstones up to the change present are left out: the
// reader, which began with 0 then, never had those values.
func (l *Log) Changes(f *Filter, after, present uint64, size int, dst []*Value) Update {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &l.state
	u := Update{Values: dst, UpTo: after}
	if u.Reset = after > 0 && s.floor > max(after, present); u.Reset {
		return u
	}
	if after >= s.order {
		u.Done = true
		return u
	}
	f.reset(l)
	var changes []change
	if f.lists {
		changes = f.changes(after)
	} else {
		changes = s.changes[sort.Search(len(s.changes), func(i int) bool { return s.changes[i].order > after }):]
	}
	for looked, c := range changes {
		if f.spent(looked) {
			return u
		}
		if c.current() && !(c.topic.value.Gone && c.order <= present) && f.wants(c.topic) {
			v := c.topic.value
			if size -= len(v.Frame); size < 0 && len(u.Values) > len(dst) {
				return u
			}
			u.Values = append(u.Values, v)
		}
		u.UpTo = c.order
	}
	u.UpTo, u.Done = s.order, true
	return u
}

// changes are those of the topics of a filter that names topics alone.
func (f *Filter) changes(after uint64) []change {
	list := f.scratch[:0]
	for i := range f.Parts {
		t := f.Parts[i].Topic
		if v := t.value; v != nil && v.Order > after && !slices.Contains(list, change{v.Order, t}) {
			list = append(list, change{v.Order, t})
		}
	}
	slices.SortFunc(list, func(a, b change) int { return cmp.Compare(a.order, b.order) })
	f.scratch = list
	return list
}

// Values returns the present values of the topics that a pattern matches.
func (l *Log) Values(p string) []*Value {
	part := l.Part(p)
	if part.Topic == nil && !pattern.HasWildcard(p) {
		return nil
	}
	f := Filter{Parts: []Part{part}}
	var u Update
	for !u.Done { // in pieces, between which values change
		u = l.Changes(&f, u.UpTo, math.MaxUint64, math.MaxInt, u.Values)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(u.Values, func(v *Value) bool {
		now := v.Topic.value
		return now == nil || now.Gone || now != v && now.Order <= u.UpTo
	})
}

// Value returns the present value of a topic, or nil.
func (l *Log) Value(topic string) *Value {
	if vals := l.Values(topic); len(vals) == 1 {
		return vals[0]
	}
	return nil
}

// Rev is that of a topic's value or tombstone, or zero.
func (l *Log) Rev(topic string) Pos {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.topics[topic]; t != nil && t.value != nil {
		return t.value.Rev
	}
	return Pos{}
}
