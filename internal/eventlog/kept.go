package eventlog

import (
	"hash/maphash"
	"sort"
	"strings"

	"github.com/gohotline/hotline/internal/pattern"
)

// kept is an entry that has left the log and is still among the newest Row.Keep of its topic.
type kept struct {
	rec   record
	frame []byte
}

// keptRef is where an entry stands in the order of all that are kept.
type keptRef struct {
	pos   Pos
	topic *Topic
}

// current reports whether the entry is still kept: those of a topic go oldest first.
func (o *keptRef) current() bool {
	return len(o.topic.kept) > 0 && o.pos.Seq >= o.topic.kept[0].rec.seq
}

func (k *kept) cost() int { return len(k.frame) + recordSize + 24 }

// keep copies an entry out of its segment. It needs mu.
func (l *Log) keep(t *Topic, s *segment, r *record) {
	k := kept{rec: *r, frame: append([]byte(nil), s.frame(r)...)}
	if len(t.kept) == 0 {
		l.keptTopics.moveToBack(&t.keptAt, t)
	}
	t.kept = append(t.kept, k)
	l.keptOrder = append(l.keptOrder, keptRef{Pos{Seq: r.seq, Tag: r.tag}, t})
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
	}
	if l.keptStale += n; l.keptStale > 64 && l.keptStale > len(l.keptOrder)/2 {
		order := make([]keptRef, 0, len(l.keptOrder)-l.keptStale+64)
		for i := range l.keptOrder {
			if l.keptOrder[i].current() {
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
	l.goneMark = max(l.goneMark, p.Seq)
	// The list is in the order of its marks: who looks for losses after a position stops at the first mark that is not.
	l.goneTopics.moveToBack(&t.goneAt, t)
	t.goneAt.mark = l.goneMark
}

// broken is what becomes of a loss of the broker's that leaves the log: each topic that it concerns has lost something
// there, and is not kept from before it, so that what is kept has no hole.
func (l *Log) broken(s *segment, r *record) {
	var e Entry
	s.fill(r, l.losses, &e)
	lost := string(e.Payload())
	for _, t := range l.topics {
		if !pattern.Covers(lost, t.Name) {
			continue
		}
		l.lost(t, e.Pos)
		if n := len(t.kept); n > 0 {
			l.dropKept(t, n)
		}
	}
	l.freed.broken(lost, e.Pos)
}

// freed remembers, in a table of fixed size, up to where topics that nothing holds any more have lost entries. Topics
// that share a slot share the greater position: it may report a loss where there was none, never the reverse.
type freed struct {
	seed   maphash.Seed
	names  [1 << 14]Pos // by topic
	firsts [1 << 10]Pos // by first segment
	all    Pos

	// The last topics that were let go, by name: for these a pattern errs towards nothing.
	recent    [1 << 10]freedTopic
	next      int
	forgotten Pos // the greatest position of those that are no longer among them

	losses []loss // of the broker's, the newest ones
	older  Pos    // of the newest one that is not among them
}

type freedTopic struct {
	name string
	pos  Pos
}

type loss struct {
	pattern string
	pos     Pos
}

const maxLosses = 32

func (f *freed) broken(pattern string, p Pos) {
	if len(f.losses) == maxLosses {
		f.older = f.losses[0].pos
		f.losses = append(f.losses[:0], f.losses[1:]...)
	}
	f.losses = append(f.losses, loss{pattern, p})
}

func (f *freed) add(name string, p Pos) {
	for _, slot := range []*Pos{f.slot(name), f.first(name), &f.all} {
		if p.Seq > slot.Seq {
			*slot = p
		}
	}
	old := &f.recent[f.next]
	f.forgotten = later(f.forgotten, old.pos)
	*old = freedTopic{name, p}
	f.next = (f.next + 1) % len(f.recent)
}

func (f *freed) slot(name string) *Pos {
	return &f.names[maphash.String(f.seed, name)%uint64(len(f.names))]
}

func (f *freed) first(name string) *Pos {
	first, _, _ := strings.Cut(name, ".")
	return &f.firsts[maphash.String(f.seed, first)%uint64(len(f.firsts))]
}

// topic is up to where a topic that nothing holds may have lost something.
func (f *freed) topic(name string) Pos {
	return f.loss(*f.slot(name), func(lost string) bool { return pattern.Covers(lost, name) })
}

// loss is p, or the newest of the broker's losses that matter if that is after it.
func (f *freed) loss(p Pos, matters func(lost string) bool) Pos {
	for i := len(f.losses) - 1; i >= 0; i-- {
		if x := &f.losses[i]; matters(x.pattern) {
			return later(p, x.pos)
		}
	}
	return later(p, f.older)
}

func later(a, b Pos) Pos {
	if b.Seq > a.Seq {
		return b
	}
	return a
}

// matching is the same for all topics that a pattern matches.
func (f *freed) matching(p string) Pos {
	g := f.all
	if p[0] != '*' && p[0] != '>' {
		g = *f.first(p)
	}
	if f.forgotten.Seq < g.Seq {
		g = f.forgotten
	}
	for i := range f.recent {
		if r := &f.recent[i]; r.pos.Seq > g.Seq && pattern.Covers(p, r.name) {
			g = r.pos
		}
	}
	return f.loss(g, func(lost string) bool { return pattern.Overlap(lost, p) })
}
