package eventlog

import (
	"bytes"
	"slices"
	"time"

	"github.com/gohotline/hotline/internal/pattern"
)

// modelReader is a reader that lives through other operations.
type modelReader struct {
	f     Filter
	shard int
	at    Pos
	start Pos               // of a replay, with what it leaves out in f.Replay
	begun bool              // it has returned something
	gone  map[*message]bool // what was lost already when it began
	since time.Time         // that was then
	// owed are, for each part, topics that have lost something that the reader has stepped over and was not yet told: its
	// hole comes later, but before the next entry of that topic.
	owed []map[string]bool
}

func (m *model) newReader(in *modelInput) {
	if len(m.readers) == 6 {
		m.end(0)
	}
	r := &modelReader{shard: in.n(modelShards), at: m.head}
	if in.byte()&1 != 0 && len(m.all) > 0 {
		r.at = m.all[(in.n(256)*256+in.n(256))%len(m.all)].pos
	} else if in.byte()&1 != 0 {
		r.at = m.base
	}
	shape := in.byte()
	many := 1 + int(shape&7)
	if shape&128 != 0 {
		many += maxLists // too many for lists
	}
	for i := range many {
		var p Part
		if shape&64 != 0 && (shape&32 == 0 || i%2 == 0) {
			p = wild(pick(in, modelPatterns))
		} else {
			p = Part{Pattern: pick(in, modelTopics)}
		}
		m.subscribe(r.shard, &p)
		r.f.Parts = append(r.f.Parts, p)
		r.owed = append(r.owed, make(map[string]bool))
	}
	m.readers = append(m.readers, r)
}

// newReplay makes a reader that begins with the newest entries.
func (m *model) newReplay(in *modelInput) {
	n := 1 + in.n(8)
	m.newReader(in)
	r := m.readers[len(m.readers)-1]
	r.at = m.log.Newest(&r.f, n, r.at, m.now)
	r.start, r.since, r.gone = r.at, m.now, make(map[*message]bool)
	for _, x := range m.all {
		r.gone[x] = x.place == lost
	}
}

func (r *modelReader) replaying(at Pos) bool {
	return r.f.Replay != nil && at.Seq < r.f.Replay.UpTo.Seq
}

// excused reports whether the replay of a reader steps over a message without a word: it reaches as far back as it reaches.
func (m *model) excused(r *modelReader, x *message, begun bool) bool {
	switch p := r.f.Replay; {
	case x.pos.Seq > p.UpTo.Seq:
		return false
	case !x.loss && p.leaves(x.topic, x.pos.Seq), r.gone[x], x.place == lost && (x.loss || !r.begun), x.loss && !begun:
		return true
	case x.place != lost && m.expired(x):
		return !r.begun || m.expiredAt(x, r.since)
	}
	return false
}

func (m *model) subscribe(shard int, p *Part) {
	if pattern.HasWildcard(p.Pattern) {
		m.wild[shard]++
		m.log.SubscribeAll(shard, 1)
		return
	}
	m.subs[shard][p.Pattern]++
	p.Topic = m.log.Subscribe(p.Pattern, shard)
}

func (m *model) endReader(in *modelInput) {
	if len(m.readers) > 0 {
		m.end(in.n(len(m.readers)))
	}
}

func (m *model) end(i int) {
	r := m.readers[i]
	for _, p := range r.f.Parts {
		if p.Topic == nil {
			m.wild[r.shard]--
			m.log.SubscribeAll(r.shard, -1)
			continue
		}
		m.log.Unsubscribe(p.Topic, r.shard)
		if m.subs[r.shard][p.Pattern]--; m.subs[r.shard][p.Pattern] == 0 {
			delete(m.subs[r.shard], p.Pattern)
		}
	}
	m.readers = slices.Delete(m.readers, i, i+1)
}

func (m *model) read(in *modelInput) {
	if len(m.readers) == 0 {
		return
	}
	lim := Limit{Entries: 1 + in.n(12), Bytes: 1 + in.n(256)*16, Now: m.now}
	if in.byte()&3 == 0 && len(m.all) > 0 {
		lim.UpTo = m.all[(in.n(256)*256+in.n(256))%len(m.all)].pos
	}
	m.readOn(m.readers[in.n(len(m.readers))], lim)
}

func (m *model) drain(in *modelInput) {
	if len(m.readers) > 0 {
		m.readToEnd(m.readers[in.n(len(m.readers))])
	}
}

func (m *model) readToEnd(r *modelReader) {
	for !m.readOn(r, Limit{Entries: 5, Bytes: 1 << 20, Now: m.now}).Done {
	}
	for i, owed := range r.owed {
		for topic := range owed {
			m.failf("%s is at the head, and was not told that %s has lost something", r.f.Parts[i].Pattern, topic)
		}
	}
}

func (p *Part) covers(topic string) bool { return pattern.Covers(p.Pattern, topic) }

func (p *Part) concerns(x *message) bool {
	if x.loss {
		return pattern.Overlap(x.topic, p.Pattern)
	}
	return p.covers(x.topic)
}

func wanted(parts []Part, x *message) bool {
	return slices.ContainsFunc(parts, func(p Part) bool { return p.concerns(x) })
}

func (m *model) expired(x *message) bool { return m.expiredAt(x, m.now) }

func (m *model) expiredAt(x *message, now time.Time) bool {
	age := m.row(x.topic).MaxAge
	return !x.loss && age > 0 && now.Sub(x.when) >= age
}

// readOn makes one call of Read and compares it with what the model has between where it began and where it ended.
func (m *model) readOn(r *modelReader, lim Limit) Result {
	from, parts := r.at, r.f.Parts
	replaying := r.replaying(from)
	res := m.log.Read(&r.f, from, lim, nil)
	if m.sabotage != nil {
		m.sabotage(&res)
	}
	if r.at = res.At; res.At.Seq < from.Seq {
		m.failf("Read went back from %v to %v", from, res.At)
	}
	if !res.Done && res.At == from && len(res.Entries) == 0 && res.Hole == NoHole {
		m.failf("Read stays at %v", from)
	}
	if at := res.At; at != from && at != m.base && !slices.ContainsFunc(m.all, func(x *message) bool { return x.pos == at }) {
		m.failf("%v is the position of no entry", at)
	}
	end := m.head.Seq
	if lim.UpTo != (Pos{}) {
		end = min(end, lim.UpTo.Seq)
	}
	if res.Done != (res.At.Seq >= end && res.Hole == NoHole) {
		m.failf("Done is %t at %v of %d, hole %d", res.Done, res.At, end, res.Hole)
	}
	far := m.log.brokered() && res.Hole == Lapped // nobody knows where the newest loss begins, so it ends where that ends
	if res.At.Seq > max(end, from.Seq) && !far {
		m.failf("Read went to %v, beyond %d", res.At, end)
	}
	var want []*message // that are to be delivered
	passed := map[place][]*message{}
	expired, size := 0, 0
	for _, x := range m.all {
		switch {
		case x.pos.Seq <= from.Seq || x.pos.Seq > res.At.Seq || !wanted(parts, x):
		case replaying && m.excused(r, x, r.begun || len(want) > 0):
			if x.place != inLog && !r.gone[x] && !r.f.Replay.leaves(x.topic, x.pos.Seq) {
				passed["excused"] = append(passed["excused"], x)
			}
		case x.loss && x.place == inLog:
			passed["broken"] = append(passed["broken"], x)
		case x.place == lost, x.place == inTail && m.log.brokered() && res.Hole == Lapped:
			passed[lost] = append(passed[lost], x)
		case m.expired(x):
			passed["expired"] = append(passed["expired"], x)
			expired++
		default:
			want = append(want, x)
			size += len(x.frame)
		}
	}
	m.compare(r, want, res.Entries)
	if n := len(res.Entries); n > 1 && (n > lim.Entries || size > lim.Bytes) {
		m.failf("%d entries of %d bytes are beyond the limit", n, size)
	}
	m.hole(r, &res, from, passed)
	r.begun = r.begun || len(res.Entries) > 0
	return res
}

// leaves is what Replay says of a topic by its name.
func (p *Replay) leaves(topic string, seq uint64) bool {
	for t, start := range p.start {
		if t.Name == topic {
			return seq <= start
		}
	}
	return false
}

// compare looks at what was delivered.
func (m *model) compare(r *modelReader, want []*message, got []Entry) {
	for i := range max(len(want), len(got)) {
		switch {
		case i >= len(got):
			m.failf("%v was not delivered; up to %v", want[i], r.at)
		case i >= len(want) || got[i].Pos != want[i].pos:
			m.failf("%v of %s was delivered, out of turn", got[i].Pos, got[i].Topic.Name)
		}
		e, x := &got[i], want[i]
		if e.Topic.Name != x.topic || !bytes.Equal(e.Frame, x.frame) || e.When != x.when.UnixNano() || e.Loss || e.Gone {
			m.failf("%v is %+v", x, e)
		}
		for k := range r.f.Parts {
			if r.owed[k][x.topic] {
				m.failf("%v was delivered, and %s was not told that something before it was lost", x, r.f.Parts[k].Pattern)
			}
		}
	}
}

// hole looks at what was said of losses.
func (m *model) hole(r *modelReader, res *Result, from Pos, passed map[place][]*message) {
	concerned := func(p *Part, list []*message) bool {
		return slices.ContainsFunc(list, func(x *message) bool { return p.concerns(x) })
	}
	broken, expired := passed["broken"], passed["expired"]
	switch res.Hole {
	case NoHole, Lapped:
		if len(broken)+len(expired) > 0 {
			m.failf("steps over %v%v without a word, from %v to %v", broken, expired, from, res.At)
		}
	case Expired:
		if len(broken) > 0 || res.Missed != uint64(len(expired)) || len(expired) == 0 {
			m.failf("%d are expired, and it says %d; %d are broken", len(expired), res.Missed, len(broken))
		}
	case Broken:
		if len(expired) > 0 || len(broken) != 1 || broken[0].pos != res.At {
			m.failf("a broken hole at %v: %v%v", res.At, broken, expired)
		}
	}
	if len(res.Entries) > 0 && res.Hole != NoHole {
		m.failf("entries and a hole")
	}
	for i := range r.f.Parts {
		p := &r.f.Parts[i]
		switch {
		case res.Hole == NoHole && p.Lost:
			m.failf("%s is marked, without a hole", p.Pattern)
		case res.Hole == Expired && p.Lost != concerned(p, expired), res.Hole == Broken && p.Lost != concerned(p, broken):
			m.failf("%s marked: %t, by hole %d at %v", p.Pattern, p.Lost, res.Hole, res.At)
		case res.Hole == Lapped && p.Lost:
			mayErr := m.mayErr(p, from) || p.Topic == nil && r.replaying(from) // then what is let go of counts, however old its loss
			if !concerned(p, passed[lost]) && !concerned(p, passed["excused"]) && !mayErr {
				m.failf("a false gap: %s has lost nothing from %v to %v", p.Pattern, from, res.At)
			}
			clear(r.owed[i])
			continue
		}
		for _, x := range passed[lost] {
			m.owe(r, i, x)
		}
	}
	if res.Hole == Lapped && !slices.ContainsFunc(r.f.Parts, func(p Part) bool { return p.Lost }) {
		m.failf("a hole that concerns nobody")
	}
}

// lostAfter is all that is lost after a position.
func (m *model) lostAfter(at Pos) (list []*message) {
	for _, x := range m.all {
		if x.place == lost && x.pos.Seq > at.Seq {
			list = append(list, x)
		}
	}
	return list
}

// mayErr reports whether a part may be told of a loss that it doesn't have: where more was lost by the broker than is remembered.
func (m *model) mayErr(p *Part, from Pos) bool {
	return m.errs && p.Topic == nil || m.log.freed.older.Seq > from.Seq
}

// owe notes that a part was not told of a loss. That is right only if its topic has lost more further on.
func (m *model) owe(r *modelReader, i int, x *message) {
	p := &r.f.Parts[i]
	if !p.concerns(x) {
		return
	}
	if m.log.brokered() {
		m.failf("%s was not told of %v before %v: it may go on elsewhere", p.Pattern, x, r.at)
	}
	later := m.errs && p.Topic == nil && m.log.freed.part(p.Pattern, false).Seq > r.at.Seq // it may be told of more than there is
	for _, y := range m.all {
		if y.place == lost && y.pos.Seq > r.at.Seq && (y.topic == x.topic || y.loss || x.loss) && p.concerns(y) {
			later = true
		}
		if p.Topic == nil && y.place == lost && y.pos.Seq > r.at.Seq && p.concerns(y) {
			later = true // topics that nothing holds are told of together
		}
	}
	if !later {
		m.failf("%s was not told of %v", p.Pattern, x)
	}
	for _, topic := range modelTopics {
		if x.topic == topic || x.loss && pattern.Covers(x.topic, topic) && p.covers(topic) {
			r.owed[i][topic] = true
		}
	}
}

// newest reads the newest n of each topic, up to some position, in one go.
func (m *model) newest(in *modelInput) {
	n := 1 + in.n(8)
	at := in.n(256)*256 + in.n(256)
	m.newReader(in)
	r := m.readers[len(m.readers)-1]
	defer m.end(len(m.readers) - 1)
	upTo := m.head
	if at%3 == 0 && len(m.all) > 0 {
		upTo = m.all[at%len(m.all)].pos
	}
	var want []*message
	count := map[string]int{}
	for _, x := range slices.Backward(m.all) {
		if x.loss || x.place == lost || x.pos.Seq > upTo.Seq || !wanted(r.f.Parts, x) {
			continue
		}
		if count[x.topic]++; count[x.topic] <= n && !m.expired(x) {
			want = append(want, x)
		}
	}
	slices.Reverse(want)
	var got []Entry
	r.at = m.log.Newest(&r.f, n, upTo, m.now)
	for begin := r.at; ; {
		res := m.log.Read(&r.f, r.at, Limit{Entries: 4, Bytes: 4 << 10, UpTo: upTo, Now: m.now}, nil)
		if got = append(got, res.Entries...); res.Done {
			break
		}
		if res.At == r.at || res.Hole == Expired || res.Hole == Lapped && !m.mayErr(&Part{}, r.at) {
			m.failf("a replay from %v stays at %v, hole %d", begin, r.at, res.Hole)
		}
		if res.Hole == Lapped && m.log.brokered() {
			return // what is kept was lost with it
		}
		r.at = res.At
	}
	m.compare(r, want, got)
}

func (m *model) oldest(in *modelInput) {
	m.newReader(in)
	r := m.readers[len(m.readers)-1]
	defer m.end(len(m.readers) - 1)
	want, overtaken := time.Time{}, uint64(0)
	for _, x := range m.lostAfter(r.at) {
		if m.log.brokered() && wanted(r.f.Parts, x) {
			overtaken = x.pos.Seq // what is kept from before it is lost with it
		}
	}
	for _, x := range m.all {
		if x.pos.Seq > max(r.at.Seq, overtaken) && !x.loss && x.place != lost && wanted(r.f.Parts, x) && !m.expired(x) {
			want = x.when
			break
		}
	}
	mayErr := m.errs && m.log.brokered() // and lose what is kept with a loss that is none
	if got := m.log.Oldest(&r.f, r.at, m.now); !got.Equal(want) && !(mayErr && (got.IsZero() || got.After(want))) {
		m.failf("the oldest after %v is of %v, want %v", r.at, got, want)
	}
}
