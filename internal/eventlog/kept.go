package eventlog

import (
	"hash/maphash"
	"sort"
	"strings"
)

// kept is an entry that has left the log and is still among the newest Row.Keep of its topic.
type kept struct {
	rec   record
	frame []byte
}

func (k *kept) cost() int { return len(k.frame) + recordSize + 24 }

// keep copies an entry out of its segment. It needs mu.
func (l *Log) keep(t *Topic, s *segment, r *record) {
	k := kept{rec: *r, frame: append([]byte(nil), s.frame(r)...)}
	if len(t.kept) == 0 {
		l.keptTopics.moveToBack(&t.keptAt, t)
	}
	t.kept = append(t.kept, k)
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
	l.release(t, n)
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

// freed remembers, in a table of fixed size, up to where topics that nothing holds any more have lost entries. Topics
// that share a slot share the greater position: it may report a loss where there was none, never the reverse.
type freed struct {
	seed   maphash.Seed
	names  [1 << 14]Pos // by topic
	firsts [1 << 10]Pos // by first segment
	all    Pos
}

func (f *freed) add(name string, p Pos) {
	for _, slot := range []*Pos{f.slot(name), f.first(name), &f.all} {
		if p.Seq > slot.Seq {
			*slot = p
		}
	}
}

func (f *freed) slot(name string) *Pos {
	return &f.names[maphash.String(f.seed, name)%uint64(len(f.names))]
}

func (f *freed) first(name string) *Pos {
	first, _, _ := strings.Cut(name, ".")
	return &f.firsts[maphash.String(f.seed, first)%uint64(len(f.firsts))]
}

func (f *freed) topic(name string) Pos { return *f.slot(name) }

// pattern is the greatest position that a freed topic which matches the pattern may have lost.
func (f *freed) pattern(pattern string) Pos {
	if pattern[0] == '*' || pattern[0] == '>' {
		return f.all
	}
	return *f.first(pattern)
}
