package eventlog

import (
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
	present int    // topics with a value
	bytes   int    // of values and tombstones
	floor   uint64 // tombstones up to this change are forgotten
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
	t := l.topics[m.Topic]
	if m.Gone && (t == nil || t.value == nil || t.value.Gone) {
		return nil, 0, nil
	}
	if t == nil {
		t = l.intern(m.Topic)
	}
	v, err = l.newValue(t, m)
	if err != nil {
		if t.refs == 0 {
			l.release(t, 0)
		}
		return nil, 0, err
	}
	l.put(t, v)
	shards := t.shards | l.wildMask
	l.opts.Live(shards, Live{Topic: t, Entry: v.Entry, Value: v})
	return v, shards, nil
}

func (l *Log) newValue(t *Topic, m *Set) (*Value, error) {
	v := &Value{Rev: m.Rev, Order: l.state.order + 1}
	if v.Rev == (Pos{}) {
		v.Rev = Pos{Seq: v.Order, Tag: l.opts.Tag}
	}
	frame, at := encode(wire.Head{Topic: m.Topic, Rev: v.Rev, HasRev: true, From: m.From, Binary: m.Binary, Gone: m.Gone}, m.Data)
	v.Entry = Entry{Topic: t, Frame: frame, Data: at, When: m.When.UnixNano(), Binary: m.Binary, Gone: m.Gone}
	grow := v.cost()
	if t.value != nil {
		grow -= t.value.cost()
	}
	if !m.Gone {
		if (t.value == nil || t.value.Gone) && l.state.present >= l.opts.Values {
			return nil, ErrTopics
		}
		if l.state.bytes+grow > l.opts.StateBytes {
			return nil, ErrFull
		}
	}
	return v, nil
}

// put makes v the value of t.
func (l *Log) put(t *Topic, v *Value) {
	s := &l.state
	if old := t.value; old != nil {
		s.stale++
		s.bytes -= old.cost()
		if !old.Gone {
			s.present--
		}
	} else {
		t.refs++
	}
	if !v.Gone {
		s.present++
	}
	s.bytes += v.cost()
	s.order = v.Order
	t.value = v
	s.changes = append(s.changes, change{v.Order, t})
	if s.stale > 64 && s.stale > len(s.changes)/2 {
		s.compact()
	}
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

// expireState clears values that are too old, and forgets tombstones.
func (l *Log) expireState(now time.Time) {
	s := &l.state
	var cleared []*Topic
	for _, c := range s.changes {
		if !c.current() {
			continue
		}
		t, v := c.topic, c.topic.value
		age := now.UnixNano() - v.When
		switch {
		case v.Gone && age >= int64(l.opts.Tombstones):
			s.floor = max(s.floor, v.Order)
			s.stale++
			s.bytes -= v.cost()
			t.value = nil
			l.release(t, 1)
		case !v.Gone && t.Row.MaxAge > 0 && age >= int64(t.Row.MaxAge):
			cleared = append(cleared, t)
		}
	}
	for _, t := range cleared {
		v, _ := l.newValue(t, &Set{Topic: t.Name, Gone: true, When: now})
		l.put(t, v)
		l.opts.Live(t.shards|l.wildMask, Live{Topic: t, Entry: v.Entry, Value: v})
	}
}

// Changed is where State stands: the number of the last change.
func (l *Log) Changed() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state.order
}

// Forgotten is the change up to which tombstones are forgotten: a reader that has read less has to begin again.
func (l *Log) Forgotten() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state.floor
}

// Changes appends to dst the values that f wants of topics that changed after that change, in the order of change and
// as they are now, until they make size bytes; at least one. It returns the change up to which it looked, and done if
// nothing is left. Tombstones up to the change present are left out: the reader never had those values.
func (l *Log) Changes(f *Filter, after, present uint64, size int, dst []*Value) (vals []*Value, upTo uint64, done bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	vals = dst
	s := &l.state
	if after >= s.order {
		return vals, after, true
	}
	f.reset(l)
	i := sort.Search(len(s.changes), func(i int) bool { return s.changes[i].order > after })
	for left := scanEntries; i < len(s.changes); i++ {
		c := s.changes[i]
		if left--; left < 0 {
			return vals, after, false
		}
		if c.current() && !(c.topic.value.Gone && c.order <= present) && f.wants(c.topic) {
			v := c.topic.value
			if size -= len(v.Frame); size < 0 && len(vals) > len(dst) {
				return vals, after, false
			}
			vals = append(vals, v)
		}
		after = c.order
	}
	return vals, s.order, true
}

// Values returns the present values of the topics that a pattern matches.
func (l *Log) Values(p string) []*Value {
	l.mu.Lock()
	defer l.mu.Unlock()
	var vals []*Value
	if !pattern.HasWildcard(p) {
		if t := l.topics[p]; t != nil && t.value != nil && !t.value.Gone {
			vals = append(vals, t.value)
		}
		return vals
	}
	for _, c := range l.state.changes {
		if v := c.topic.value; c.current() && !v.Gone && pattern.Covers(p, c.topic.Name) {
			vals = append(vals, v)
		}
	}
	return vals
}

// Value returns the present value of a topic, or nil.
func (l *Log) Value(topic string) *Value {
	if vals := l.Values(topic); len(vals) == 1 {
		return vals[0]
	}
	return nil
}
