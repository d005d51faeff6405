package eventlog

import "sort"

// This file finds what is no longer in the log: kept entries, and holes.

// older reads what is kept, for a filter that scans. True: the log comes next.
func (r *reading) older() bool {
	l, at := r.l, r.res.At
	end := l.floor
	if r.head.Seq < end.Seq {
		end = r.head
	}
	hole := r.hole(r.far(end.Seq))
	if hole != 0 && l.brokered() {
		r.overtaken()
		return false
	}
	i := sort.Search(len(l.keptOrder), func(i int) bool { return l.keptOrder[i].pos.Seq > at.Seq })
	r.f.compared = 0 // to find the hole, which is one piece of work
	for looked := 0; i < len(l.keptOrder) && l.keptOrder[i].pos.Seq <= end.Seq; i++ {
		if looked++; r.f.spent(looked - 1) {
			if hole != 0 && hole <= at.Seq {
				r.lapped(at.Seq)
			} else {
				r.stop(at)
			}
			return false
		}
		o := &l.keptOrder[i]
		at = o.pos
		t, k, ok := l.kept(o)
		if !ok || !r.f.wants(t) || r.left(t, at.Seq) {
			continue
		}
		if hole != 0 && hole < at.Seq {
			r.lapped(at.Seq - 1)
			return false
		}
		var e Entry
		if k.rec.entry(t, k.frame, &e); !r.add(&e) {
			return false
		}
	}
	if hole != 0 {
		r.lapped(end.Seq)
		return false
	}
	r.res.At = end
	return r.res.Hole == NoHole
}

// hole is where the first loss after the position of the reader lies; 0: there is none up to end.
func (r *reading) hole(end uint64) (first uint64) {
	last := uint64(0)
	r.losses(end, func(_ *Topic, _ *Part, gone Pos) {
		if first == 0 || gone.Seq < first {
			first = gone.Seq
		}
		last = max(last, gone.Seq)
	})
	r.over = r.replay != nil && last > r.replay.UpTo.Seq
	return first
}

// far is up to where losses matter to a reading that ends at end: with a broker the newest one, wherever it is, see overtaken. Such a
// hole ends where the newest loss does, be that after end: to end it before would be to tell of it twice, and perhaps falsely.
func (r *reading) far(end uint64) uint64 {
	if r.l.brokered() {
		return r.l.floor.Seq
	}
	return end
}

// overtaken is lapped for a log that a broker numbers. A reader may go on elsewhere from the position of whatever it is sent, and there
// nobody knows what it was not told of yet. So what is kept from before the newest loss is lost with the rest.
func (r *reading) overtaken() {
	after := r.res.At.Seq
	r.lapped(r.l.floor.Seq)
	upTo := r.res.At.Seq
	kept := func(t *Topic) bool { // something of t that the reader was to be sent is passed over
		from := after
		if r.replay != nil {
			from = max(from, r.replay.start[t])
		}
		return from < upTo && t.keptUpTo(from) < t.keptUpTo(upTo)
	}
	all := true // patterns are marked
	for i := range r.f.Parts {
		if p := &r.f.Parts[i]; p.Topic == nil {
			all = all && p.Lost
		} else {
			p.Lost = p.Lost || kept(p.Topic)
		}
	}
	if all {
		return
	}
	for e := r.l.keptTopics.first; e != nil; e = e.next { // each topic once
		if kept(e.topic) && r.f.lost(e.topic) {
			if r.f.lose(e.topic); r.f.tired() {
				r.f.lose(e.topic) // all patterns
				return
			}
		}
	}
}

// lapped marks the parts that have lost something up to until, and goes there. If something else comes first, it is
// left to the next call.
func (r *reading) lapped(until uint64) {
	if r.res.Hole != NoHole || len(r.res.Entries) > 0 {
		return
	}
	upTo := r.res.At
	r.losses(until, func(t *Topic, p *Part, gone Pos) {
		if p != nil {
			p.Lost = true
		} else {
			r.f.lose(t)
		}
		upTo = later(upTo, gone)
	})
	r.res.Hole, r.res.At = Lapped, upTo
}

// losses calls found with each topic or part that has lost something after the position of the reader and not after
// until, and up to where.
func (r *reading) losses(until uint64, found func(t *Topic, p *Part, gone Pos)) {
	at := r.res.At.Seq
	if until = min(until, r.l.floor.Seq); r.replay != nil && !r.replay.begun || at >= until {
		return
	}
	r.f.askFreed(r.l)
	for i := range r.f.Parts {
		p := &r.f.Parts[i]
		var g Pos
		var counts bool
		if p.Topic != nil {
			g = p.Topic.gone
			counts = r.replay == nil || r.replay.misses(p.Topic, g.Seq)
		} else {
			g = r.f.freed[i]
			counts = r.replay == nil || g.Seq > r.replay.freed[i]
		}
		if (counts || r.behind(g)) && g.Seq > at && g.Seq <= until {
			found(p.Topic, p, g)
		}
	}
	if len(r.f.patterns) == 0 {
		return
	}
	looked := 0
	for e := r.l.goneTopics.last; e != nil && e.mark > at; e = e.prev {
		if looked++; looked == indexFrom && r.f.index == nil && len(r.f.patterns) > fewPatterns {
			r.f.makeIndex()
		}
		if g := e.topic.gone; g.Seq > at && g.Seq <= until &&
			(r.replay == nil || r.replay.misses(e.topic, g.Seq) || r.behind(g)) && r.f.lost(e.topic) {
			found(e.topic, nil, g)
		}
	}
}

// behind reports whether a loss is one for who reads on when the replay is over, which it is with this hole.
func (r *reading) behind(gone Pos) bool { return r.over && gone.Seq > r.replay.UpTo.Seq }
