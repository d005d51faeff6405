package eventlog

// This file is about a log that a broker numbers. Its own numbers (Seq of a Pos inside the hub) only ever ascend. The
// broker's, which clients are told, need not: a store that was restored from an older copy uses numbers again, and what
// the broker has lost takes a place in the log between two entries that have no number to spare between them. So the
// log's numbers are the broker's and a shift, which grows by one with each loss and is chosen anew with each restored
// store. In one process there is no broker, and the two are the same.

// shift says how far the log's numbers are ahead of the broker's, from one entry on.
type shift struct {
	from uint64 // the log's number
	by   uint64 // modulo 2^64
}

// maxShifts bounds the table. What it forgets is a position that is not known any more, never another one.
const maxShifts = 1024

// lossStep makes the tag of a loss: that of the entry before it, and so many steps more as there are losses in between.
// Any node that has the entry can tell where such a position lies.
const lossStep = 0x9e3779b97f4a7c15

// maxLossSteps is how many losses without an entry in between are told apart when they are looked up.
const maxLossSteps = 16

func (l *Log) brokered() bool { return l.opts.Tag == 0 }

// addShift needs mu.
func (l *Log) addShift(s shift) {
	var list []shift
	if old := l.shifts.Load(); old != nil {
		list = *old
	}
	if len(list) == maxShifts {
		list = list[maxShifts/2:]
	}
	list = append(append(make([]shift, 0, len(list)+1), list...), s)
	l.shifts.Store(&list)
	l.shift = s.by
}

// Public is a position as clients are told it.
func (l *Log) Public(p Pos) Pos {
	list := l.shifts.Load()
	if list == nil {
		return p
	}
	for i := len(*list) - 1; i >= 0; i-- {
		if s := (*list)[i]; p.Seq >= s.from {
			return Pos{Seq: p.Seq - s.by, Tag: p.Tag}
		}
	}
	return p
}

// Resolve finds what a client names: an entry that this log has or had, or the place before its first one. Other
// positions it can't continue from. A loss that another node met is the entry before it.
func (l *Log) Resolve(p Pos) (at Pos, known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.brokered() {
		return p, l.knows(p)
	}
	for step := range uint64(maxLossSteps) {
		if at, known = l.resolve(Pos{Seq: p.Seq, Tag: p.Tag - step*lossStep}); known {
			return at, true
		}
	}
	return Pos{}, false
}

// resolve needs mu.
func (l *Log) resolve(p Pos) (at Pos, known bool) {
	var list []shift
	if s := l.shifts.Load(); s != nil {
		list = *s
	}
	for i := len(list) - 1; i >= -1; i-- {
		var s shift
		if i >= 0 {
			s = list[i]
		}
		at = Pos{Seq: p.Seq + s.by, Tag: p.Tag}
		if at.Seq >= s.from && (i+1 == len(list) || at.Seq < list[i+1].from) && l.knows(at) {
			return at, true
		}
	}
	return Pos{}, false
}

// Place is where a position of the broker's lies that was shown to be one of the present store. If the log has a loss
// there, it is the place before that.
func (l *Log) Place(p Pos) Pos {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := Pos{Seq: p.Seq + l.shift, Tag: p.Tag}
	list := l.shifts.Load()
	if list == nil {
		return at
	}
	for i := len(*list) - 1; i >= 0 && at.Seq <= (*list)[i].from && (*list)[i].from > l.life.Seq+1; i-- {
		by := uint64(0)
		if i > 0 {
			by = (*list)[i-1].by
		}
		at.Seq = p.Seq + by
	}
	return at
}

// Advance says that everything up to p, a position of the broker's, is in the log as far as it is to be. A log that
// never had an entry begins there. It returns from where on that is so.
func (l *Log) Advance(p Pos) (from Pos) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := Pos{Seq: p.Seq + l.shift, Tag: p.Tag}
	switch {
	case l.headPos == l.base && l.shift == 0 && p.Seq >= l.base.Seq:
		l.base, l.headPos, l.floor = p, p, p // head stays: followers look for entries, and there are none
		l.real, l.steps = p, 0
	case at.Seq > l.headPos.Seq:
		l.headPos, l.real, l.steps = at, p, 0
	}
	return later(at, l.life)
}

// Renumber says that the broker's next entry has that number, which may be one that it has used before: the store has
// begun another life. The log must have a loss just before.
func (l *Log) Renumber(next uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.addShift(shift{from: l.headPos.Seq + 1, by: l.headPos.Seq + 1 - next})
	l.life, l.lifeUpTo = l.headPos, next-1
}

// Takeover is the first place from which on this log has everything of a pattern that the feed carries since from. upTo
// is the number up to which somebody has to read the broker's store to come there.
func (l *Log) Takeover(from Pos) (at Pos, upTo uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at = later(from, l.floor)
	if at.Seq <= l.life.Seq && l.life.Seq > 0 {
		return l.life, l.lifeUpTo
	}
	return at, l.Public(at).Seq
}

// Real is the broker's newest entry with a number not above seq that is in this log, or the zero position.
func (l *Log) Real(seq uint64) Pos {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.real.Seq <= seq {
		return l.real
	}
	// The newest shift is the largest of this life: what is looked for lies there or before.
	segs := *l.segs.Load()
	for k := len(segs) - 1; k >= 0; k-- {
		s := segs[k]
		for i := s.find(seq+l.shift, int(s.n.Load())) - 1; i >= 0; i-- {
			r := &s.recs[i]
			if r.seq <= l.life.Seq {
				return Pos{}
			}
			if p := l.Public(Pos{Seq: r.seq, Tag: r.tag}); r.flags&flagLoss == 0 && p.Seq <= seq {
				return p
			}
		}
	}
	return Pos{}
}

// knows reports whether p, a position of the log's own, names an entry that it has or had, or the place before its first
// one. It needs mu.
func (l *Log) knows(p Pos) bool {
	switch {
	case p == l.headPos || p == l.floor || p == l.base:
		return true
	case p.Seq > l.headPos.Seq:
		return false
	case !l.brokered(): // all entries of this log have its tag
		return p.Tag == l.opts.Tag
	}
	s, i := locate(*l.segs.Load(), p.Seq)
	return i < int(s.n.Load()) && s.recs[i].seq == p.Seq && s.recs[i].tag == p.Tag
}

// AfterLoss is where a reader stands that was told of a loss just after an entry of the broker's.
func AfterLoss(p Pos) Pos { return Pos{Seq: p.Seq, Tag: p.Tag + lossStep} }

// Names are the entries of the broker's that a position can be the place after: that entry, or losses that follow it.
func Names(p Pos) (list [3]Pos) {
	for i := range list {
		list[i] = Pos{Seq: p.Seq, Tag: p.Tag - uint64(i)*lossStep}
	}
	return list
}
