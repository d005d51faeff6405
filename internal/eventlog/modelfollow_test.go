package eventlog

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// modelFollower is what a shard does with its follower.
type modelFollower struct {
	f      *Follower
	shard  int
	at     uint64 // Seq of the last entry that it returned
	passed uint64 // and that it let go of
	asleep bool   // in the eyes of the log
	waits  bool   // it has slept, and was not awoken
	resume uint64 // where it goes on if it was made awake by an entry
}

func (m *model) follower(in *modelInput) *modelFollower { return m.followers[in.n(modelShards)] }

func (m *model) step(in *modelInput) {
	if f := m.follower(in); f != nil {
		f.awake(m)
		for range in.byte() {
			if !f.next(m) {
				break
			}
		}
		f.pass(m)
	}
}

func (f *modelFollower) pass(m *model) {
	f.f.Pass()
	f.passed = f.at
	m.settle()
}

func (f *modelFollower) drain(m *model) {
	if f == nil {
		return
	}
	f.awake(m)
	for f.next(m) {
	}
	f.pass(m)
	if f.at != m.head.Seq && len(m.all) > 0 {
		m.failf("follower %d ends at %d, the head is %v", f.shard, f.at, m.head)
	}
}

// next expects the very next entry, whoever wants it.
func (f *modelFollower) next(m *model) bool {
	i := slices.IndexFunc(m.all, func(x *message) bool { return x.pos.Seq > f.at })
	var e Entry
	ok := f.f.Next(&e)
	if ok != (i >= 0) {
		m.failf("follower %d at %d has more: %t; the head is %v", f.shard, f.at, ok, m.head)
	}
	if !ok {
		return false
	}
	if x := m.all[i]; e.Pos != x.pos || e.Loss != x.loss || !x.loss && e.Topic.Name != x.topic || string(e.Frame) != string(x.frame) {
		m.failf("follower %d reads %+v, want %v", f.shard, e, x)
	}
	if f.at = e.Pos.Seq; f.f.At() != e.Pos {
		m.failf("follower %d is at %v, want %v", f.shard, f.f.At(), e.Pos)
	}
	return true
}

func (m *model) sleep(in *modelInput) {
	f := m.follower(in)
	if f == nil || f.waits {
		return
	}
	if in.byte()&1 != 0 {
		f.drain(m)
	}
	behind := len(m.all) > 0 && f.at < m.head.Seq
	if f.f.Behind() != behind {
		m.failf("follower %d at %d is behind: %t; the head is %v", f.shard, f.at, f.f.Behind(), m.head)
	}
	if ok := f.f.Sleep(); ok == behind {
		m.failf("follower %d at %d sleeps: %t; the head is %v", f.shard, f.at, ok, m.head)
	} else if ok {
		f.waits, f.asleep = true, true
		if f.f.seg != nil {
			m.failf("follower %d holds a segment in its sleep", f.shard)
		}
	}
	m.settle()
}

func (m *model) wake(in *modelInput) {
	if f := m.follower(in); f != nil {
		f.awake(m)
	}
}

func (f *modelFollower) awake(m *model) {
	if !f.waits {
		return
	}
	want := f.resume
	if f.asleep {
		want = m.head.Seq
	}
	f.waits, f.asleep = false, false
	if at := f.f.Awake(); at.Seq != want {
		m.failf("follower %d goes on from %v, want %d", f.shard, at, want)
	}
	f.at, f.passed = want, want
}

// check counts what the log holds.
func (m *model) check() {
	l := m.log
	held := map[string]int{}
	for _, s := range m.subs {
		for topic, n := range s {
			held[topic] += n
		}
	}
	in, kept := 0, 0
	for _, x := range m.all {
		switch {
		case x.place == inLog:
			if in++; !x.loss {
				held[x.topic]++
			}
		case x.place == inTail:
			kept++
			held[x.topic]++
		}
	}
	z := l.Size()
	bytes, topics := 0, map[*Topic]bool{}
	for _, s := range *l.segs.Load() {
		bytes += s.cost()
		for _, id := range s.topics[:s.n.Load()] {
			topics[l.pages.get(id)] = true
		}
	}
	if bytes += len(topics) * topicCost; z.Entries != in || z.Bytes != bytes || z.KeptBytes != m.kept {
		m.failf("the size is %+v, want %d entries, %d bytes, %d kept", z, in, bytes, m.kept)
	}
	if z.Bytes > l.opts.Bytes && in > 0 || z.KeptBytes > m.size {
		m.failf("the size is %+v, beyond its limits", z)
	}
	if x := m.inLog(); x == nil && !z.Oldest.IsZero() || x != nil && !z.Oldest.Equal(x.when) {
		m.failf("the oldest entry is of %v, want %v", z.Oldest, x)
	}
	if len(l.topics) != len(held) || l.Topics() != len(held) {
		m.failf("%d topics are held, want %d", len(l.topics), len(held))
	}
	ids := map[uint32]bool{lossID: true}
	for name, t := range l.topics {
		if t.Name != name || t.refs != held[name] || l.pages.get(t.ID) != t || ids[t.ID] {
			m.failf("%s has %d references, want %d; its id %d is another's: %t", name, t.refs, held[name], t.ID, ids[t.ID])
		}
		ids[t.ID] = true
		if (len(t.kept) > 0) != slices.Contains(m.tails, name) {
			m.failf("%s has %d kept entries", name, len(t.kept))
		}
		if got, shards := l.Interest(name); got != t || shards != m.interest(name) {
			m.failf("%s wakes %b, want %b", name, shards, m.interest(name))
		}
	}
	for _, id := range l.free {
		if ids[id] || l.pages.get(id) != nil {
			m.failf("the id %d is free and in use", id)
		}
		ids[id] = true
	}
	if len(ids) != int(l.ids) {
		m.failf("%d ids are known, of %d", len(ids), l.ids)
	}
	m.checkLists(kept)
}

func (m *model) interest(topic string) (shards uint64) {
	for i := range modelShards {
		if m.wild[i] > 0 || m.subs[i][topic] > 0 {
			shards |= 1 << i
		}
	}
	return shards
}

// checkLists looks at the orders in which topics and kept entries stand.
func (m *model) checkLists(kept int) {
	l, mark, n := m.log, uint64(0), 0
	for e := l.goneTopics.first; e != nil; e = e.next {
		if e.mark < mark || e.mark < e.topic.gone.Seq || l.topics[e.topic.Name] != e.topic {
			m.failf("%s has lost up to %v, and stands at %d after %d", e.topic.Name, e.topic.gone, e.mark, mark)
		}
		mark = e.mark
	}
	var tails []string
	for e := l.keptTopics.first; e != nil; e = e.next {
		tails = append(tails, e.topic.Name)
	}
	if !slices.Equal(tails, m.tails) {
		m.failf("tails go in the order of %v, want %v", tails, m.tails)
	}
	before := uint64(0)
	for i := range l.keptOrder {
		o := &l.keptOrder[i]
		if o.pos.Seq <= before {
			m.failf("%v is kept after %d", o.pos, before)
		}
		before = o.pos.Seq
		if _, _, ok := l.kept(o); ok {
			n++
		}
	}
	if n != kept || len(l.keptOrder)-l.keptStale != n {
		m.failf("%d are kept, %d of %d in order stale, want %d", n, l.keptStale, len(l.keptOrder), kept)
	}
}

// modelSeed is a string of operations, the n-th of those that tests use.
func modelSeed(n uint64) []byte {
	rng := rand.New(rand.NewPCG(n, 7))
	b := make([]byte, 200+rng.IntN(1500))
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// TestModel runs the log beside a slice of all entries.
func TestModel(t *testing.T) {
	n := 400
	if testing.Short() {
		n = 100
	}
	for seed := range uint64(n) {
		if failure := runModel(modelSeed(seed), nil); failure != "" {
			t.Errorf("seed %d: %s", seed, failure)
		}
	}
}

// TestModelOfFewComparisons: where too little may be done to find out what was lost, readers of patterns may be told of losses that they
// don't have. Nothing else changes.
func TestModelOfFewComparisons(t *testing.T) {
	for work := range 8 {
		for seed := range uint64(50) {
			if failure := runModel(modelSeed(seed), func(m *model) { m.errs, m.log.lossWork = true, work*work-1 }); failure != "" {
				t.Errorf("work %d, seed %d: %s", work*work-1, seed, failure)
			}
		}
	}
}

func FuzzLog(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(modelSeed(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if failure := runModel(b[:min(len(b), 1<<10)], nil); failure != "" {
			t.Error(failure)
		}
	})
}

// TestModelNotices falsifies one answer after the other: the model has to see it.
func TestModelNotices(t *testing.T) {
	for name, sabotage := range map[string]func(*Result) bool{
		"an entry is lost": func(r *Result) bool {
			n := len(r.Entries)
			r.Entries = r.Entries[:max(n-1, 0)]
			return n > 0
		},
		"two entries change places": func(r *Result) bool {
			if len(r.Entries) < 2 {
				return false
			}
			r.Entries[0], r.Entries[1] = r.Entries[1], r.Entries[0]
			return true
		},
		"a hole is kept secret": func(r *Result) bool {
			had := r.Hole != NoHole
			r.Hole = NoHole
			return had
		},
		"a hole is made up": func(r *Result) bool {
			had := r.Hole == NoHole && len(r.Entries) == 0
			if had {
				r.Hole = Lapped
			}
			return had
		},
		"a miscount": func(r *Result) bool {
			had := r.Hole == Expired
			r.Missed++
			return had
		},
		"an entry twice": func(r *Result) bool {
			n := len(r.Entries)
			if n > 0 {
				r.Entries = append(r.Entries, r.Entries[n-1])
			}
			return n > 0
		},
		"another tag": func(r *Result) bool {
			r.At.Tag ^= 64
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			did, noticed := 0, 0
			for seed := range uint64(60) {
				count := 0
				failure := runModel(modelSeed(seed), func(m *model) {
					m.sabotage = func(r *Result) {
						if count == 0 && sabotage(r) {
							count++
						}
					}
				})
				if did += count; failure != "" {
					noticed++
				}
			}
			if noticed == 0 || noticed < did {
				t.Errorf("it noticed %d of %d", noticed, did)
			}
		})
	}
}
