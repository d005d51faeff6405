package eventlog

import "sort"

// kept is an entry that has left the log and is still among the newest Row.Keep of its topic.
type kept struct {
	rec   record
	frame []byte
}

// keptRef is where an entry stands in the order of all that are kept.
type keptRef struct {
	pos   Pos
	topic uint32 // its id, so that it holds no topic that nothing else does
}

// kept finds the entry. It is no longer kept if ok is false; by then the number may be another topic's.
func (l *Log) kept(o *keptRef) (t *Topic, k *kept, ok bool) {
	if t = l.pages.get(o.topic); t == nil {
		return nil, nil, false
	}
	i := t.keptUpTo(o.pos.Seq) - 1
	if i < 0 || t.kept[i].rec.seq != o.pos.Seq {
		return nil, nil, false
	}
	return t, &t.kept[i], true
}

func (k *kept) cost() int { return cap(k.frame) + keptOverhead }

const keptOverhead = 112 // a kept, and its place in the order, twice because of those that are not kept any more

// keep copies an entry out of its segment. It needs mu.
func (l *Log) keep(t *Topic, s *segment, r *record) {
	k := kept{rec: *r, frame: append([]byte(nil), s.frame(r)...)}
	if len(t.kept) == 0 {
		l.keptTopics.moveToBack(&t.keptAt, t)
		l.keptBytes += topicCost
	}
	t.kept = append(t.kept, k)
	l.keptOrder = append(l.keptOrder, keptRef{Pos{Seq: r.seq, Tag: r.tag}, t.ID})
	t.refs++
	l.keptBytes += k.cost()
	l.trimKept(t)
	for l.keptBytes > l.opts.KeptBytes {
		l.dropKept(l.keptTopics.first.topic, 1)
	}
}

// keptUpTo is how many kept entries do not lie after seq.
func (t *Topic) keptUpTo(seq uint64) int {
	return sort.Search(len(t.kept), func(i int) bool { return t.kept[i].rec.seq > seq })
}

// trimKept drops what is no longer among the newest Keep.
func (l *Log) trimKept(t *Topic) {
	if n := min(len(t.kept)+t.entries.n-t.Row.Keep, len(t.kept)); n > 0 {
		l.dropKept(t, n)
	}
}

// dropKept loses the oldest n kept entries of a topic.
func (l *Log) dropKept(t *Topic, n int) {
	for i := range n {
		l.keptBytes -= t.kept[i].cost()
	}
	last := &t.kept[n-1].rec
	l.lost(t, Pos{Seq: last.seq, Tag: last.tag})
	clear(t.kept[:n])
	if t.kept = t.kept[n:]; len(t.kept) == 0 {
		t.kept = nil
		l.keptTopics.remove(&t.keptAt)
		l.keptBytes -= topicCost
	}
	if l.keptStale += n; l.keptStale > 64 && l.keptStale > len(l.keptOrder)/2 {
		order := make([]keptRef, 0, len(l.keptOrder)-l.keptStale+64)
		for i := range l.keptOrder {
			if _, _, ok := l.kept(&l.keptOrder[i]); ok {
				order = append(order, l.keptOrder[i])
			}
		}
		l.keptOrder, l.keptStale = order, 0
	}
	l.release(t, n)
}

// after is the index of the first entry after seq, over those that are kept and those in the log.
func (t *Topic) after(seq uint64) int {
	if n := t.keptUpTo(seq); n < len(t.kept) {
		return n
	}
	return len(t.kept) + t.entries.after(seq)
}

// len is how many entries there are, kept and in the log.
func (t *Topic) len() int { return len(t.kept) + t.entries.n }

// seq is the number of the i-th entry.
func (t *Topic) seq(i int) uint64 {
	if i < len(t.kept) {
		return t.kept[i].rec.seq
	}
	return t.entries.at(i - len(t.kept))
}

// entry reads the i-th entry. It returns the segments from the one on that has it.
func (t *Topic) entry(segs []*segment, i int, e *Entry) []*segment {
	if i < len(t.kept) {
		t.kept[i].rec.entry(t, t.kept[i].frame, e)
		return segs
	}
	seq := t.seq(i)
	n := 1 // the next entry is rarely far away
	for n < len(segs) && segs[n].begins(seq) {
		n *= 2
	}
	k := n / 2
	s, j := locate(segs[k:min(n, len(segs))], seq)
	s.fill(&s.recs[j], t, e)
	return segs[k:]
}

// lost records that nothing is left of a topic up to p.
func (l *Log) lost(t *Topic, p Pos) {
	if p.Seq <= t.gone.Seq {
		return
	}
	t.gone = p
	l.enlist(t)
}

// enlist puts a topic behind all others that have lost something.
func (l *Log) enlist(t *Topic) {
	l.goneMark = max(l.goneMark, t.gone.Seq)
	// The list is in the order of its marks: who looks for losses after a position stops at the first mark that is not.
	l.goneTopics.moveToBack(&t.goneAt, t)
	t.goneAt.mark = l.goneMark
}
