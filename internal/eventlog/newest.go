package eventlog

import "time"

// Newest prepares f to read the newest n entries of each topic up to a position, and then what follows: it sets f.Replay
// and returns where to begin.
func (l *Log) Newest(f *Filter, n int, upTo Pos, now time.Time) (begin Pos) {
	p := &Replay{UpTo: upTo, at: now, start: make(map[*Topic]uint64), freed: make([]uint64, len(f.Parts))}
	f.Replay = p
	begin = upTo
	var topics []*Topic
	wild := false
	l.mu.Lock()
	ids := l.ids
	for i := range f.Parts {
		if t := f.Parts[i].Topic; t != nil {
			topics = append(topics, t)
		} else {
			wild = true
			p.freed[i] = l.freed.part(f.Parts[i].Pattern, true).Seq
		}
	}
	begin = p.begin(topics, n, begin)
	l.mu.Unlock()
	// The table is looked through without the lock, and the lock is held for some topics at a time. One that is made or
	// used again meanwhile has nothing to replay.
	topics = topics[:0]
	for id := uint32(lossID + 1); wild && id < ids; id++ {
		if t := l.pages.get(id); t != nil && f.match(t, false) {
			topics = append(topics, t)
		}
		if len(topics) == pageSize || id == ids-1 {
			l.mu.Lock()
			begin = p.begin(topics, n, begin)
			l.mu.Unlock()
			topics = topics[:0]
		}
	}
	return begin
}

// begin finds what is left out of topics, and where the first of their newest n entries comes, or begin if that is
// earlier. It needs Log.mu.
func (p *Replay) begin(topics []*Topic, n int, begin Pos) Pos {
	for _, t := range topics {
		inLog, older := t.entries.after(p.UpTo.Seq), t.keptUpTo(p.UpTo.Seq)
		if t.Row.State || inLog+older == 0 {
			continue
		}
		start := t.gone.Seq
		switch skip := older + inLog - n; {
		case skip > older:
			start = t.entries.at(skip - older - 1)
		case skip > 0:
			start = t.kept[skip-1].rec.seq
		}
		if p.start[t] = start; start < begin.Seq {
			begin = Pos{Seq: start}
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

// Count is how many entries f wants after a position, counted up to n.
func (l *Log) Count(f *Filter, at Pos, n int, now time.Time) (count int) {
	var dst []Entry
	for count < n {
		res := l.Read(f, at, Limit{Entries: min(n-count, 256), Bytes: 1 << 20, Now: now}, dst[:0])
		count += len(res.Entries)
		if dst, at = res.Entries, res.At; res.Done {
			break
		}
	}
	return count
}
