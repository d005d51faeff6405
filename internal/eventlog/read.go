package eventlog

import (
	"slices"
	"time"
)

// scanEntries is how many entries one call looks at, and topics compares with patterns.
const scanEntries = 16384

// Limit bounds one Read. The first entry is always returned.
type Limit struct {
	Entries, Bytes int
	UpTo           Pos       // zero: the head; a hole may reach beyond it, see overtaken
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

// Result is what Read found: entries or a hole, and where that leaves the reader.
type Result struct {
	Entries []Entry
	Hole    Hole
	Missed  uint64 // in the hole; 0: unknown
	At      Pos
	Done    bool // there is nothing more up to the limit
}

// Read returns the entries after at that f wants, oldest first, in the array of dst. It merges what is kept beyond the
// log with the log, and it is the only place where a loss is found: it marks the parts that a hole concerns.
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
	var segs []*segment
	switch {
	case at.Seq >= r.head.Seq:
	case f.lists:
		r.merge()
	case at.Seq >= l.floor.Seq || r.older():
		segs = *l.segs.Load()
	}
	l.mu.Unlock()
	if segs != nil {
		r.scan(segs)
	}
	if r.replay != nil && len(r.res.Entries) > 0 {
		r.replay.begun = true
	}
	r.res.Done = r.res.At.Seq >= r.end.Seq && r.res.Hole == NoHole
	return r.res
}

type reading struct {
	l      *Log
	f      *Filter
	lim    Limit
	replay *Replay // nil: none, or it is over
	over   bool    // with a hole that reaches beyond its end
	head   Pos     // where this call ends,
	end    Pos     // and where there is nothing more
	res    Result
	size   int
}

// left reports whether a replay leaves an entry of a topic out.
func (r *reading) left(t *Topic, seq uint64) bool { return r.replay != nil && seq <= r.replay.start[t] }

// add appends an entry; false: there is no room for it, or a hole comes first.
func (r *reading) add(e *Entry) bool {
	if e.tooOld(r.lim.Now) {
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
	if r.replay == nil || r.replay.begun && !e.tooOld(r.replay.at) {
		if len(r.res.Entries) > 0 {
			return false // the hole is for the next call
		}
		r.f.match(e.Topic, true)
		r.res.Hole = Expired
		r.res.Missed++
	}
	r.res.At = e.Pos
	return true
}

// take adds an entry or the loss that it stands for.
func (r *reading) take(e *Entry) bool {
	if !e.Loss {
		return r.add(e)
	}
	lost := string(e.Payload())
	if r.replay != nil && !r.replay.begun && len(r.res.Entries) == 0 || !r.f.overlap(lost, false) {
		return true
	}
	if len(r.res.Entries) == 0 && r.res.Hole == NoHole {
		r.f.overlap(lost, true)
		r.res.Hole, r.res.At = Broken, e.Pos
	}
	return false
}

// stop says where reading ended, beyond the last entry that was wanted.
func (r *reading) stop(at Pos) { r.res.At = later(r.res.At, at) }

// cursor is where a merge stands in the list of a topic.
type cursor struct {
	topic *Topic
	next  int
	seq   uint64 // of that entry
}

// merge reads exact topics, each of which has a list of its entries. It needs mu.
func (r *reading) merge() {
	r.begin(r.l.losses)
	for i := range r.f.Parts {
		r.begin(r.f.Parts[i].Topic)
	}
	hole := r.hole(r.far(r.head.Seq))
	if hole != 0 && r.l.brokered() {
		r.overtaken()
		return
	}
	segs := *r.l.segs.Load()
	at := r.res.At
	for range scanEntries {
		first, seq := -1, r.head.Seq+1
		for i := range r.f.cursors {
			if c := &r.f.cursors[i]; c.seq < seq {
				first, seq = i, c.seq
			}
		}
		if hole != 0 && hole < seq {
			r.lapped(seq - 1)
			return
		}
		if first < 0 {
			r.res.At = r.head
			return
		}
		c := &r.f.cursors[first]
		var e Entry
		segs = c.topic.entry(segs, c.next, &e)
		if !r.take(&e) {
			break
		}
		at = e.Pos
		if c.next++; c.next < c.topic.len() {
			c.seq = c.topic.seq(c.next)
		} else {
			r.f.cursors = slices.Delete(r.f.cursors, first, first+1)
		}
	}
	r.stop(at)
}

// begin adds a topic to those that are merged, if it has something to read.
func (r *reading) begin(t *Topic) {
	after := r.res.At.Seq
	if r.replay != nil {
		after = max(after, r.replay.start[t])
	}
	i := t.after(after)
	if i == t.len() || slices.ContainsFunc(r.f.cursors, func(c cursor) bool { return c.topic == t }) {
		return // it has not, or two parts name it
	}
	r.f.cursors = append(r.f.cursors, cursor{t, i, t.seq(i)})
}

// locate finds the record with that seq, or the place where it would stand.
func locate(segs []*segment, seq uint64) (*segment, int) {
	lo, hi := 0, len(segs)-1
	for lo < hi { // the last segment that begins at or before seq
		mid := (lo + hi + 1) / 2
		if segs[mid].begins(seq) {
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
	first, i := locate(segs, r.res.At.Seq+1)
	for segs[0] != first {
		segs = segs[1:]
	}
	known, yes := r.f.known, r.f.yes
	before := r.res.At // the position of the last record of the segment before
	looked := 0
	for _, s := range segs {
		n := s.find(r.head.Seq, int(s.n.Load()))
		for ; i < n && !r.f.spent(looked); i++ {
			looked++
			id := s.topics[i]
			word, bit := id/64, uint64(1)<<(id%64)
			if known[word]&^yes[word]&bit != 0 {
				continue
			}
			t := r.l.pages.get(id)
			if s.recs[i].seq <= r.l.evicted.Load() {
				// It has been evicted meanwhile, so that its number may stand for another topic by now; the next Read will
				// find a hole. Until evicted says so, which it did not after the look-up, an entry holds its topic.
				break
			}
			if !r.f.wants(t) {
				continue
			}
			var e Entry
			s.fill(&s.recs[i], t, &e)
			if !r.left(t, e.Pos.Seq) && !r.take(&e) {
				break
			}
		}
		before = s.before(i, before)
		if i < n {
			r.stop(before)
			return
		}
		i = 0
	}
	r.stop(r.head)
}
