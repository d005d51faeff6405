package eventlog

import (
	"time"

	"github.com/gohotline/hotline/internal/pattern"
)

const (
	maxLists    = 8     // exact topics up to which their lists are merged; above, the log is scanned
	scanEntries = 16384 // a call
)

// Part is one subscription of a Filter: a topic or a pattern.
type Part struct {
	Topic   *Topic // nil: Pattern has wildcards
	Pattern string
	Lost    bool // out: the hole concerns it
}

// Filter says what a reader wants: what one of Parts matches.
type Filter struct {
	Parts  []Part
	Replay *Replay // nil: the reader continues from where it was

	// For the length of one Read.
	lists      bool
	known, yes []uint64 // by topic id
	wanted     map[uint32]*Topic
}

// Replay bounds the reading of the newest entries of each topic, see Newest. It reaches as far back as it reaches: what
// it does not find any more is no hole. What comes after it is read as ever.
type Replay struct {
	UpTo  Pos
	start map[*Topic]uint64 // of each topic that has entries, the last that is left out
}

func (f *Filter) reset(l *Log) {
	f.lists = len(f.Parts) <= maxLists
	for i := range f.Parts {
		f.Parts[i].Lost = false
		if f.Parts[i].Topic == nil {
			f.lists = false
		}
	}
	if f.lists {
		return
	}
	n := int(l.ids)/64 + 1
	if cap(f.yes) < n {
		f.known, f.yes = make([]uint64, n), make([]uint64, n)
	}
	f.known, f.yes = f.known[:n], f.yes[:n]
	clear(f.known)
	clear(f.yes)
	if f.wanted == nil {
		f.wanted = make(map[uint32]*Topic)
	}
	clear(f.wanted)
	f.set(l.losses, true)
	for i := range f.Parts {
		if t := f.Parts[i].Topic; t != nil {
			f.set(t, true)
		}
	}
}

func (f *Filter) set(t *Topic, yes bool) {
	f.known[t.ID/64] |= 1 << (t.ID % 64)
	if yes {
		f.yes[t.ID/64] |= 1 << (t.ID % 64)
		f.wanted[t.ID] = t
	}
}

// match reports whether a part matches t, and marks those parts as lost if asked.
func (f *Filter) match(t *Topic, lost bool) (found bool) {
	for i := range f.Parts {
		p := &f.Parts[i]
		if p.Topic == t || p.Topic == nil && pattern.Covers(p.Pattern, t.Name) {
			found = true
			p.Lost = p.Lost || lost
		}
	}
	return found
}

// overlap is match for a pattern.
func (f *Filter) overlap(lost string, mark bool) (found bool) {
	for i := range f.Parts {
		p := &f.Parts[i]
		if p.Topic != nil && pattern.Covers(lost, p.Topic.Name) || p.Topic == nil && pattern.Overlap(lost, p.Pattern) {
			found = true
			p.Lost = p.Lost || mark
		}
	}
	return found
}

// Limit bounds one Read. The first entry is always returned.
type Limit struct {
	Entries, Bytes int
	UpTo           Pos       // zero: the head
	Now            time.Time // for Row.MaxAge
}

// Hole says why there are no more entries just after those that were read.
type Hole uint8

// What a hole is.
const (
	NoHole  Hole = iota
	Lapped       // evicted
	Expired      // older than the topic's MaxAge
	Broken       // lost by the broker
)

// Result is what Read found: entries, after them perhaps a hole, and where that leaves the reader.
type Result struct {
	Entries []Entry
	Hole    Hole
	Missed  uint64 // in the hole; 0: unknown
	At      Pos
	Done    bool // there is nothing more up to the limit
}

// Read returns the entries after at that f wants, oldest first, in the array of dst. It merges what is kept beyond the log with the log, and it
// is the only place where a loss is found: it marks the parts that a hole concerns.
func (l *Log) Read(f *Filter, at Pos, lim Limit, dst []Entry) Result {
	l.mu.Lock()
	r := reading{l: l, f: f, lim: lim, head: l.headPos, res: Result{Entries: dst[:0], At: at}}
	if lim.UpTo != (Pos{}) && lim.UpTo.Seq < r.head.Seq {
		r.head = lim.UpTo
	}
	r.end = r.head
	if f.Replay != nil && at.Seq < f.Replay.UpTo.Seq {
		if r.replay = f.Replay; r.replay.UpTo.Seq < r.head.Seq {
			r.head = r.replay.UpTo
		}
	}
	f.reset(l)
	more := at.Seq >= l.floor.Seq || r.older()
	if !more || r.res.At.Seq >= r.head.Seq {
		l.mu.Unlock()
		return r.result()
	}
	if f.lists {
		r.merge()
		l.mu.Unlock()
		return r.result()
	}
	segs := *l.segs.Load()
	l.mu.Unlock()
	r.scan(segs)
	return r.result()
}

type reading struct {
	l      *Log
	f      *Filter
	lim    Limit
	replay *Replay // nil: none, or it is over
	head   Pos     // where this call ends,
	end    Pos     // and where there is nothing more
	res    Result
	size   int
}

func (r *reading) result() Result {
	r.res.Done = r.res.At.Seq >= r.end.Seq && r.res.Hole == NoHole
	return r.res
}

// left reports whether a replay leaves an entry of a topic out.
func (r *reading) left(t *Topic, seq uint64) bool { return r.replay != nil && seq <= r.replay.start[t] }

// add appends an entry; false: there is no room for it, or a hole comes first.
func (r *reading) add(e *Entry) bool {
	if m := e.Topic.Row.MaxAge; m > 0 && r.lim.Now.UnixNano()-e.When > int64(m) {
		return r.expired(e)
	}
	if r.res.Hole != NoHole {
		return false
	}
	n := len(r.res.Entries)
	if n > 0 && (n >= r.lim.Entries || r.size+len(e.Frame) > r.lim.Bytes) {
		return false
	}
	r.size += len(e.Frame)
	r.res.Entries = append(r.res.Entries, *e)
	r.res.At = e.Pos
	return true
}

// expired steps over an entry that is too old.
func (r *reading) expired(e *Entry) bool {
	if r.replay != nil {
		r.res.At = e.Pos
		return true
	}
	if len(r.res.Entries) > 0 {
		return false // the hole is for the next call
	}
	r.f.match(e.Topic, true)
	r.res.Hole = Expired
	r.res.Missed++
	r.res.At = e.Pos
	return true
}

// older reads what is no longer in the log: kept entries, and the holes between them. True: the log comes next.
func (r *reading) older() bool {
	l := r.l
	for {
		at := r.res.At.Seq
		t, k := r.nextKept(at)
		until := l.floor.Seq
		if t != nil {
			until = k.rec.seq - 1
		}
		if r.replay == nil && r.losing(at, min(until, r.head.Seq)) {
			if r.res.Hole != NoHole || len(r.res.Entries) > 0 {
				return false // this hole is for the next call
			}
			r.res.Hole, r.res.At = Lapped, r.lost(at, min(until, r.head.Seq))
			return false
		}
		if t == nil || k.rec.seq > r.head.Seq {
			if r.res.At = l.floor; l.floor.Seq > r.head.Seq {
				r.res.At = r.head
			}
			return r.res.Hole == NoHole
		}
		var e Entry
		k.rec.entry(t, k.frame, &e)
		if !r.add(&e) {
			return false
		}
	}
}

// nextKept is the first kept entry after at that the filter wants.
func (r *reading) nextKept(at uint64) (topic *Topic, next *kept) {
	try := func(t *Topic) {
		for i := range t.kept {
			if k := &t.kept[i]; k.rec.seq > at && !r.left(t, k.rec.seq) {
				if next == nil || k.rec.seq < next.rec.seq {
					topic, next = t, k
				}
				return
			}
		}
	}
	if r.f.lists {
		for i := range r.f.Parts {
			try(r.f.Parts[i].Topic)
		}
		return topic, next
	}
	for e := r.l.keptTopics.first; e != nil; e = e.next {
		if r.wants(e.topic) {
			try(e.topic)
		}
	}
	return topic, next
}

// losses calls found with each part that has lost something after at and not after until, and where, until it
// returns false.
func (r *reading) losses(at, until uint64, found func(t *Topic, p *Part, gone Pos) bool) {
	for i := range r.f.Parts {
		p := &r.f.Parts[i]
		var g Pos
		if p.Topic != nil {
			g = p.Topic.gone
		} else {
			g = r.l.freed.matching(p.Pattern)
		}
		if g.Seq > at && g.Seq <= until && !found(p.Topic, p, g) {
			return
		}
	}
	if r.f.lists {
		return
	}
	for e := r.l.goneTopics.last; e != nil && e.mark > at; e = e.prev {
		if g := e.topic.gone; g.Seq > at && g.Seq <= until && r.wants(e.topic) && !found(e.topic, nil, g) {
			return
		}
	}
}

// losing reports whether a part has lost something in that range.
func (r *reading) losing(at, until uint64) (yes bool) {
	r.losses(at, until, func(*Topic, *Part, Pos) bool {
		yes = true
		return false
	})
	return yes
}

// lost marks the parts that have lost something in that range, and returns up to where.
func (r *reading) lost(at, until uint64) (upTo Pos) {
	r.losses(at, until, func(t *Topic, p *Part, gone Pos) bool {
		if p != nil {
			p.Lost = true
		} else {
			r.f.match(t, true)
		}
		if gone.Seq > upTo.Seq {
			upTo = gone
		}
		return true
	})
	return upTo
}

// wants needs mu.
func (r *reading) wants(t *Topic) bool {
	if r.f.known[t.ID/64]&(1<<(t.ID%64)) == 0 {
		r.f.set(t, r.f.match(t, false))
	}
	return r.f.yes[t.ID/64]&(1<<(t.ID%64)) != 0
}

// merge reads the lists of a few topics. It needs mu.
func (r *reading) merge() {
	var next [maxLists + 1]int
	topics := append(make([]*Topic, 0, maxLists+1), r.l.losses)
	for i := range r.f.Parts {
		topics = append(topics, r.f.Parts[i].Topic)
	}
	for i, t := range topics {
		at := r.res.At.Seq
		if r.replay != nil {
			at = max(at, r.replay.start[t])
		}
		next[i] = t.entries.after(at)
	}
	segs := *r.l.segs.Load()
	for {
		var t *Topic
		seq := r.head.Seq + 1
		for i, c := range topics {
			if next[i] < c.entries.n && c.entries.at(next[i]) < seq {
				t, seq = c, c.entries.at(next[i])
			}
		}
		if t == nil {
			r.res.At = r.head
			return
		}
		for i, c := range topics { // two parts may name one topic
			if next[i] < c.entries.n && c.entries.at(next[i]) == seq {
				next[i]++
			}
		}
		s, i := locate(segs, seq)
		var e Entry
		s.fill(&s.recs[i], t, &e)
		if !r.take(&e) {
			return
		}
	}
}

// take adds an entry or the loss that it stands for.
func (r *reading) take(e *Entry) bool {
	if !e.Loss {
		return r.add(e)
	}
	lost := string(e.Payload())
	if r.replay != nil || !r.f.overlap(lost, false) {
		return true
	}
	if len(r.res.Entries) == 0 && r.res.Hole == NoHole {
		r.f.overlap(lost, true)
		r.res.Hole, r.res.At = Broken, e.Pos
	}
	return false
}

// locate finds the record with that seq.
func locate(segs []*segment, seq uint64) (*segment, int) {
	lo, hi := 0, len(segs)-1
	for lo < hi { // the last segment that begins at or before seq
		mid := (lo + hi + 1) / 2
		if segs[mid].n.Load() > 0 && segs[mid].recs[0].seq <= seq {
			lo = mid
		} else {
			hi = mid - 1
		}
	}
	s := segs[lo]
	return s, s.find(seq-1, int(s.n.Load()))
}

// scan reads the log entry by entry, without the lock: what it looks at does not change.
func (r *reading) scan(segs []*segment) {
	left := scanEntries
	at := r.res.At // of the last entry looked at, wanted or not
	first, i := locate(segs, at.Seq+1)
	for k := range segs {
		if segs[k] == first {
			segs = segs[k:]
			break
		}
	}
	for k, s := range segs {
		if k > 0 {
			i = 0
		}
		n := int(s.n.Load())
		for ; i < n && s.recs[i].seq <= r.head.Seq; i++ {
			if left--; left < 0 {
				r.stop(at)
				return
			}
			id := s.topics[i]
			if r.f.known[id/64]&(1<<(id%64)) == 0 && !r.resolve(s, i) {
				r.stop(at)
				return
			}
			rec := &s.recs[i]
			if r.f.yes[id/64]&(1<<(id%64)) != 0 {
				var e Entry
				t := r.f.wanted[id]
				s.fill(rec, t, &e)
				if !r.left(t, rec.seq) && !r.take(&e) {
					r.stop(at)
					return
				}
			}
			at = Pos{Seq: rec.seq, Tag: rec.tag}
		}
	}
	r.stop(r.head)
}

// stop says where the scan ended, beyond the last entry that was wanted.
func (r *reading) stop(at Pos) {
	if at.Seq > r.res.At.Seq {
		r.res.At = at
	}
}

// resolve finds out whether the topic of a record is wanted. False: the entry has been evicted meanwhile, so that its
// number may stand for another topic by now; the next Read will find a hole.
func (r *reading) resolve(s *segment, i int) bool {
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	if s.recs[i].seq <= r.l.floor.Seq {
		return false
	}
	r.wants(r.l.pages.get(s.topics[i]))
	return true
}

// Newest prepares f to read the newest n entries of each topic up to a position, and then what follows: it sets f.Replay
// and returns where to begin.
func (l *Log) Newest(f *Filter, n int, upTo Pos) (begin Pos) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f.reset(l)
	f.Replay = &Replay{UpTo: upTo, start: make(map[*Topic]uint64)}
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
	for i := range f.Parts {
		if t := f.Parts[i].Topic; t != nil {
			add(t)
		} else {
			wild = true
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
