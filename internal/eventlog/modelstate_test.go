package eventlog

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gohotline/hotline/internal/wire"
)

var (
	stateTopics   = []string{"s.1", "s.2", "s.3", "s.b.c", "s.b.d", "t.1", "t.2", "t.b.c", "u.1", "u.2", "u.3", "u.4", "lonely"}
	statePatterns = []string{">", "s.*", "t.>", "*.1", "u.*", "s.b.>", "*.*", "z.>"}
	stateRows     = map[string]*Row{
		"t": {State: true, MaxAge: 20 * time.Second}, "u": {State: true, MaxAge: 50 * time.Second},
	}
)

// stateModel is the State table of a log and what it ought to do.
type stateModel struct {
	model            // for its failf
	order     uint64 // of the last change
	floor     uint64 // of the newest tombstone that is forgotten
	values    map[string]*modelValue
	stateSubs map[string]int // with shards 0 and 1
	all       int            // subscriptions of shard 2 with wildcards
	readers   []*stateReader
	live      []Live
	masks     []uint64
}

type modelValue struct {
	topic string
	order uint64
	data  string
	gone  bool
	when  time.Time
	frame []byte
}

func (v *modelValue) cost() int { return len(v.frame) + 512 }

// stateReader holds what a client of its subscriptions would.
type stateReader struct {
	f              Filter
	after, present uint64
	has            map[string]string
}

func newStateModel(in *modelInput) *stateModel {
	m := &stateModel{values: make(map[string]*modelValue), stateSubs: make(map[string]int)}
	m.now, m.row = epoch, rowsOf(stateRows)
	m.log = New(Options{
		Bytes: 64 << 10, Age: time.Minute, KeptBytes: 1 << 20, StateBytes: []int{1 << 20, 8 << 10}[in.n(2)],
		Values: []int{100, 6}[in.n(2)], Tombstones: 40 * time.Second, Shards: modelShards, Tag: 7, Row: m.row,
		Live: func(shards uint64, x Live) { m.live, m.masks = append(m.live, x), append(m.masks, shards) },
	})
	return m
}

func runStateModel(b []byte) (failure string) {
	in := &modelInput{b}
	m := newStateModel(in)
	op := ""
	defer func() {
		if v := recover(); v != nil {
			f, ok := v.(modelFailure)
			if !ok {
				panic(v)
			}
			failure = op + ": " + string(f)
		}
	}()
	ops := []struct {
		name string
		do   func(*modelInput)
	}{
		{"set", m.set}, {"set", m.set}, {"set", m.set}, {"clear", m.clear}, {"clear", m.clear}, {"age", m.ageState},
		{"reader", m.newStateReader}, {"read", m.readState}, {"read", m.readState}, {"read", m.readState}, {"values", m.valuesOf},
	}
	for len(in.b) > 0 {
		x := pick(in, ops)
		op = x.name
		m.live, m.masks = nil, nil
		x.do(in)
		m.checkState()
	}
	op = "the end"
	for _, r := range m.readers {
		for !m.readOnState(r, 1<<20) {
		}
	}
	return ""
}

func (m *stateModel) set(in *modelInput) {
	topic, size := pick(in, stateTopics), int(in.byte())*(1+int(in.byte()>>5))
	m.change(topic, fmt.Sprintf(`"%d%s"`, m.order, strings.Repeat("x", size)), false)
}

func (m *stateModel) clear(in *modelInput) { m.change(pick(in, stateTopics), "", true) }

func (m *stateModel) change(topic, data string, gone bool) {
	rev := Pos{}
	if len(data)%2 == 1 {
		rev = Pos{Seq: m.order * 3, Tag: 9} // a broker's
	}
	old := m.values[topic]
	v := &modelValue{topic: topic, order: m.order + 1, data: data, gone: gone, when: m.now}
	head := wire.Head{Topic: topic, Rev: rev, HasRev: true, Gone: gone}
	if rev == (Pos{}) {
		head.Rev = Pos{Seq: v.order, Tag: 7}
	}
	v.frame, _ = encode(head, []byte(data))
	want := error(nil)
	if !gone {
		present, _ := m.count()
		if (old == nil || old.gone) && present >= m.log.opts.Values {
			want = ErrTopics
		}
		for want == nil && m.bytes()+v.cost()-m.costOf(topic) > m.log.opts.StateBytes {
			if !m.forgetOldest() {
				want = ErrFull
			}
		}
	}
	got, wake, err := m.log.Set(&Set{Topic: topic, Data: []byte(data), Gone: gone, When: m.now, Rev: rev})
	switch {
	case !errors.Is(err, want):
		m.failf("%s: %v, want %v", topic, err, want)
	case err != nil:
		return
	case gone && (old == nil || old.gone):
		if got != nil || len(m.live) > 0 {
			m.failf("clearing %s, which has no value, makes %+v", topic, got)
		}
		return
	}
	if wake != m.interest(topic) || len(m.live) != 1 || m.live[0].Value != got || m.masks[0] != wake {
		m.failf("%s wakes %b, want %b; %d are handed out", topic, wake, m.interest(topic), len(m.live))
	}
	m.store(v, got)
}

// store compares a new value with what it should be.
func (m *stateModel) store(v *modelValue, got *Value) {
	if got.Order != v.order || got.Gone != v.gone || string(got.Frame) != string(v.frame) || string(got.Payload()) != v.data ||
		got.Topic.Name != v.topic || got.When != v.when.UnixNano() || got.Pos != (Pos{}) {
		m.failf("%+v, want %+v", got, v)
	}
	m.order = v.order
	m.values[v.topic] = v
	if _, cleared := m.count(); cleared > m.log.opts.Values {
		m.forgetOldest()
	}
}

func (m *stateModel) count() (present, cleared int) {
	for _, v := range m.values {
		if v.gone {
			cleared++
		} else {
			present++
		}
	}
	return present, cleared
}

func (m *stateModel) bytes() (n int) {
	for topic := range m.values {
		n += m.costOf(topic)
	}
	return n
}

func (m *stateModel) costOf(topic string) int {
	if v := m.values[topic]; v != nil {
		return v.cost()
	}
	return 0
}

// sorted are the values and tombstones that match, in the order of change.
func (m *stateModel) sorted(match func(*modelValue) bool) []*modelValue {
	list := slices.DeleteFunc(slices.Collect(maps.Values(m.values)), func(v *modelValue) bool { return !match(v) })
	slices.SortFunc(list, func(a, b *modelValue) int { return int(a.order) - int(b.order) })
	return list
}

func (m *stateModel) forgetOldest() bool {
	tombs := m.sorted(func(v *modelValue) bool { return v.gone })
	if len(tombs) == 0 {
		return false
	}
	m.floor = max(m.floor, tombs[0].order)
	delete(m.values, tombs[0].topic)
	return true
}

func (m *stateModel) interest(topic string) (shards uint64) {
	if m.stateSubs[topic] > 0 {
		shards = 1
	}
	if m.all > 0 {
		shards |= 4
	}
	return shards
}

// ageState lets time pass, and clears what is too old.
func (m *stateModel) ageState(in *modelInput) {
	m.now = m.now.Add(time.Duration(in.n(30)) * time.Second)
	tombs := m.sorted(func(v *modelValue) bool { return v.gone && m.now.Sub(v.when) >= 40*time.Second })
	for range tombs {
		m.forgetOldest()
	}
	m.log.Expire(m.now)
	for _, x := range m.live {
		old := m.values[x.Topic.Name]
		if age := m.row(x.Topic.Name).MaxAge; old == nil || old.gone || !x.Value.Gone || age == 0 || m.now.Sub(old.when) < age {
			m.failf("%s was cleared: %+v", x.Topic.Name, old)
		}
		v := &modelValue{topic: x.Topic.Name, order: m.order + 1, gone: true, when: m.now}
		v.frame, _ = encode(wire.Head{Topic: v.topic, Rev: Pos{Seq: v.order, Tag: 7}, HasRev: true, Gone: true}, nil)
		m.store(v, x.Value)
	}
	for _, v := range m.values {
		if age := m.row(v.topic).MaxAge; !v.gone && age > 0 && m.now.Sub(v.when) >= age {
			m.failf("%s has a value that is %v old", v.topic, m.now.Sub(v.when))
		}
	}
}

func (m *stateModel) newStateReader(in *modelInput) {
	if len(m.readers) == 5 {
		r := m.readers[0]
		m.readers = m.readers[1:]
		for _, p := range r.f.Parts {
			if p.Topic == nil {
				m.all--
				m.log.SubscribeAll(2, -1)
			} else {
				m.log.Unsubscribe(p.Topic, 0)
				if m.stateSubs[p.Pattern]--; m.stateSubs[p.Pattern] == 0 {
					delete(m.stateSubs, p.Pattern)
				}
			}
		}
	}
	r := &stateReader{present: m.log.Changed(), has: make(map[string]string)}
	shape := in.byte()
	for range 1 + shape&7 {
		if shape&64 != 0 && in.byte()&1 != 0 {
			m.all++
			m.log.SubscribeAll(2, 1)
			r.f.Parts = append(r.f.Parts, wild(pick(in, statePatterns)))
			continue
		}
		topic := pick(in, stateTopics)
		m.stateSubs[topic]++
		r.f.Parts = append(r.f.Parts, exact(m.log, topic))
	}
	m.readers = append(m.readers, r)
}

func (m *stateModel) readState(in *modelInput) {
	if len(m.readers) > 0 {
		m.readOnState(m.readers[in.n(len(m.readers))], 1+int(in.byte())*8)
	}
}

// readOnState makes one call of Changes and compares it; it reports whether nothing was left.
func (m *stateModel) readOnState(r *stateReader, size int) bool {
	u := m.log.Changes(&r.f, r.after, r.present, size, nil)
	if reset := r.after > 0 && m.floor > max(r.after, r.present); u.Reset != reset {
		m.failf("at %d, begun at %d, the floor is %d: reset %t", r.after, r.present, m.floor, u.Reset)
	}
	if u.Reset {
		r.after, r.present = 0, m.log.Changed()
		clear(r.has)
		return false
	}
	wants := func(v *modelValue) bool {
		return slices.ContainsFunc(r.f.Parts, func(p Part) bool { return p.covers(v.topic) })
	}
	want := m.sorted(func(v *modelValue) bool {
		return v.order > r.after && v.order <= u.UpTo && wants(v) && !(v.gone && v.order <= r.present)
	})
	if u.UpTo < r.after || u.Done != (u.UpTo >= m.order) && len(want) == 0 {
		m.failf("from %d to %d of %d: done %t", r.after, u.UpTo, m.order, u.Done)
	}
	for i := range max(len(want), len(u.Values)) {
		if i >= len(want) || i >= len(u.Values) || u.Values[i].Order != want[i].order || string(u.Values[i].Frame) != string(want[i].frame) {
			m.failf("from %d to %d: %d values, want %d", r.after, u.UpTo, len(u.Values), len(want))
		}
		size -= len(want[i].frame)
		if size < 0 && i > 0 {
			m.failf("%d values are beyond the limit", len(want))
		}
		if want[i].gone {
			delete(r.has, want[i].topic)
		} else {
			r.has[want[i].topic] = want[i].data
		}
	}
	if r.after = u.UpTo; u.Done {
		truth := make(map[string]string)
		for _, v := range m.sorted(func(v *modelValue) bool { return !v.gone && wants(v) }) {
			truth[v.topic] = v.data
		}
		if !maps.Equal(truth, r.has) {
			m.failf("a reader has %v, the values are %v", r.has, truth)
		}
	}
	return u.Done
}

func (m *stateModel) valuesOf(in *modelInput) {
	p := wild(pick(in, slices.Concat(statePatterns, stateTopics)))
	want := m.sorted(func(v *modelValue) bool { return !v.gone && p.covers(v.topic) })
	got := m.log.Values(p.Pattern)
	if !slices.EqualFunc(got, want, func(a *Value, b *modelValue) bool { return a.Order == b.order }) {
		m.failf("%s has %d values, want %d", p.Pattern, len(got), len(want))
	}
}

func (m *stateModel) checkState() {
	present, cleared := m.count()
	z := m.log.Size()
	if z.Values != present || z.StateBytes != m.bytes() || m.log.state.cleared != cleared || m.log.Changed() != m.order {
		m.failf("%+v, %d cleared, want %d, %d, %d bytes", z, m.log.state.cleared, present, cleared, m.bytes())
	}
	if z.StateBytes > m.log.opts.StateBytes+cleared*64 || z.Values > m.log.opts.Values || cleared > m.log.opts.Values {
		m.failf("%+v, %d cleared, are beyond the limits", z, cleared)
	}
	held := make(map[string]int)
	for topic := range m.values {
		held[topic]++
	}
	for topic, n := range m.stateSubs {
		held[topic] += n
	}
	if len(held) != m.log.Topics() {
		m.failf("%d topics are held, want %d", m.log.Topics(), len(held))
	}
	for name, t := range m.log.topics {
		if t.refs != held[name] {
			m.failf("%s has %d references, want %d", name, t.refs, held[name])
		}
	}
	s := &m.log.state
	stale := 0
	for i, c := range s.changes {
		if !c.current() {
			stale++
		}
		if i > 0 && c.order <= s.changes[i-1].order {
			m.failf("the changes are out of order")
		}
	}
	if stale != s.stale || len(s.changes)-stale != len(m.values) || stale > 65 && stale > len(s.changes)/2+1 {
		m.failf("%d of %d changes are stale, it says %d; %d values", stale, len(s.changes), s.stale, len(m.values))
	}
}

func TestStateModel(t *testing.T) {
	n := 400
	if testing.Short() {
		n = 100
	}
	for seed := range uint64(n) {
		if failure := runStateModel(modelSeed(seed)); failure != "" {
			t.Errorf("seed %d: %s", seed, failure)
		}
	}
}

func FuzzState(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(modelSeed(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if failure := runStateModel(b[:min(len(b), 1<<10)]); failure != "" {
			t.Error(failure)
		}
	})
}
