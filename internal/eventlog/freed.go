package eventlog

import (
	lru "container/list"
	"hash/maphash"
	"strings"

	"github.com/gohotline/hotline/internal/pattern"
)

const (
	freedNames = 1 << 15 // in each of two tables
	freedDepth = 3       // segments of a pattern that are looked at
	freedLast  = 1 << 10 // topics that are remembered in full
	maxLosses  = 32
)

// freed remembers up to where topics that nothing holds any more have lost entries: so many names, and beginnings of
// names, and for those that are forgotten the greatest of their positions. It may report a loss where there was none,
// never the reverse.
type freed struct {
	seed       maphash.Seed
	young, old map[uint64]Pos // by hash of a name, or of a beginning with its dot; what is in both counts in young
	all        Pos            // of any topic
	newest     [2]Pos         // in young and in old
	forgotten  Pos

	// The last topics that were let go of, each once: of these a pattern says exactly which it matches.
	last   lru.List // of *freedTopic, the newest last
	byName map[string]*lru.Element
	early  Pos // the greatest position of those before them

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

func newFreed() freed {
	return freed{
		seed: maphash.MakeSeed(), young: make(map[uint64]Pos), old: make(map[uint64]Pos), byName: make(map[string]*lru.Element),
	}
}

// add is for a topic that is let go of.
func (f *freed) add(name string, p Pos) {
	f.all = later(f.all, p)
	f.remember(name, p)
	f.put(name, p)
	for i, depth := 0, 0; depth < freedDepth; depth++ {
		n := strings.IndexByte(name[i:], '.')
		if n < 0 {
			break
		}
		i += n + 1
		f.put(name[:i], p)
	}
}

// remember puts a topic behind all others. One that is let go of again and again takes one place.
func (f *freed) remember(name string, p Pos) {
	e := f.byName[name]
	switch {
	case e != nil:
	case f.last.Len() < freedLast:
		e = f.last.PushBack(&freedTopic{name: name})
	default:
		e = f.last.Front()
		oldest := e.Value.(*freedTopic)
		f.early = later(f.early, oldest.pos)
		delete(f.byName, oldest.name)
		*oldest = freedTopic{name: name}
	}
	x := e.Value.(*freedTopic)
	x.pos = later(x.pos, p)
	f.byName[name] = e
	f.last.MoveToBack(e)
}

func (f *freed) put(key string, p Pos) {
	h := maphash.String(f.seed, key)
	p = later(f.get(h), p) // which may have been put by a topic that lost something later, and is freed earlier
	if len(f.young) >= freedNames {
		f.forgotten = later(f.forgotten, f.newest[1])
		f.young, f.old = f.old, f.young
		clear(f.young)
		f.newest = [2]Pos{1: f.newest[0]}
	}
	f.young[h] = p
	f.newest[0] = later(f.newest[0], p)
}

func (f *freed) get(h uint64) Pos {
	if p, ok := f.young[h]; ok {
		return p
	}
	if p, ok := f.old[h]; ok {
		return p
	}
	return f.forgotten
}

// part is up to where what a part without a topic stands for may have lost something. Not closely, it is not compared with each
// of the last topics.
func (f *freed) part(p string, closely bool) Pos {
	if pattern.HasWildcard(p) {
		return f.matching(p, closely)
	}
	return f.topic(p)
}

// topic is up to where a topic that nothing holds may have lost something.
func (f *freed) topic(name string) Pos {
	p := f.get(maphash.String(f.seed, name))
	return f.loss(p, func(lost string) bool { return pattern.Covers(lost, name) })
}

// matching is the same for all topics that a pattern matches.
func (f *freed) matching(p string, closely bool) Pos {
	begin := 0 // the segments of p before its first wildcard
	for depth := 0; depth < freedDepth && p[begin] != '*' && p[begin] != '>'; depth++ {
		n := strings.IndexByte(p[begin:], '.')
		if n < 0 {
			break
		}
		begin += n + 1
	}
	g := f.all
	if begin > 0 {
		g = f.get(maphash.String(f.seed, p[:begin]))
	}
	if closely && f.early.Seq < g.Seq {
		g = f.early
		for e := f.last.Front(); e != nil; e = e.Next() {
			if x := e.Value.(*freedTopic); x.pos.Seq > g.Seq && pattern.Covers(p, x.name) {
				g = x.pos
			}
		}
	}
	return f.loss(g, func(lost string) bool { return pattern.Overlap(lost, p) })
}

// broken is for a loss of the broker's.
func (f *freed) broken(pattern string, p Pos) {
	if len(f.losses) == maxLosses {
		f.older = f.losses[0].pos
		f.losses = append(f.losses[:0], f.losses[1:]...)
	}
	f.losses = append(f.losses, loss{pattern, p})
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

func later(a, b Pos) Pos {
	if b.Seq > a.Seq {
		return b
	}
	return a
}
