package eventlog

import "time"

// Newest prepares f to read the newest n entries of each topic up to a position, and then what follows: it sets f.Replay
// and returns where to begin.
func (l *Log) Newest(f *Filter, n int, upTo Pos, now time.Time) (begin Pos) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f.reset(l)
	f.Replay = &Replay{UpTo: upTo, at: now, start: make(map[*Topic]uint64)}
	begin = upTo
	add := func(t *Topic) {
		if t.Row.State {
			return
		}
		inLog, older := t.entries.after(upTo.Seq), t.keptUpTo(upTo.Seq)
		if inLog+older == 0 {
			return
		}
		start := t.gone.Seq
		switch skip := older + inLog - n; {
		case skip > older:
			start = t.entries.at(skip - older - 1)
		case skip > 0:
			start = t.kept[skip-1].rec.seq
		}
		f.Replay.start[t] = start
		if start < begin.Seq {
			begin = Pos{Seq: start}
		}
	}
	wild := false
	f.Replay.freed = make([]uint64, len(f.Parts))
	for i := range f.Parts {
		if t := f.Parts[i].Topic; t != nil {
			add(t)
		} else {
			wild = true
			f.Replay.freed[i] = l.freed.matching(f.Parts[i].Pattern).Seq
		}
	}
	if wild {
		for _, t := range l.topics {
			if f.match(t, false) {
				add(t)
			}
		}
	}
	return begin
}

// Oldest returns the time of the first entry after at that f wants, or zero if there is none.
func (l *Log) Oldest(f *Filter, at Pos, now time.Time) time.Time {
	var first [1]Entry
	for {
		res := l.Read(f, at, Limit{Entries: 1, Bytes: 1, Now: now}, first[:0])
		if len(res.Entries) > 0 {
			return time.Unix(0, res.Entries[0].When)
		}
		if at = res.At; res.Done {
			return time.Time{}
		}
	}
}

// Knows reports whether p names an entry that this log has or had, or the place before its first one: the only
// positions that it can continue from.
func (l *Log) Knows(p Pos) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case p == l.headPos || p == l.floor || p == l.base:
		return true
	case p.Seq > l.headPos.Seq:
		return false
	case l.opts.Tag != 0: // all entries of this log have its tag
		return p.Tag == l.opts.Tag
	case p.Seq <= l.floor.Seq:
		return false
	}
	s, i := locate(*l.segs.Load(), p.Seq)
	return i < int(s.n.Load()) && s.recs[i].seq == p.Seq && s.recs[i].tag == p.Tag
}
