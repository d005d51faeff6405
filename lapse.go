package hotline

import (
	"slices"
	"time"
)

// This file is the clock of Presence values that nobody holds any more. One client may have held 100,000 that lapse in the
// same moment: there is one timer for all that wait equally long, and few goroutines that clear them.

// clearers is how many values are cleared at a time.
const clearers = 16

// lapses are topics that wait equally long, the first ones first. Guarded by presence.mu.
type lapses struct {
	wait  time.Duration
	list  []*lapse
	stale int // of list: they were stopped
	timer *time.Timer
	armed bool // it runs
}

// lapse is a topic that nobody holds.
type lapse struct {
	topic string
	h     *holding
	in    *lapses
	at    time.Time
}

// clearAfter calls clear later, unless the hub has ended. It needs mu.
func (x *presence) clearAfter(d time.Duration, topic string, h *holding) {
	in := x.waiting[d]
	if in == nil {
		in = &lapses{wait: d}
		x.waiting[d] = in
	}
	h.lapse = &lapse{topic, h, in, time.Now().Add(d)}
	in.list = append(in.list, h.lapse)
	if !in.armed {
		x.arm(in, d)
	}
}

func (x *presence) arm(in *lapses, d time.Duration) {
	in.armed = true
	in.timer = time.AfterFunc(d, func() { x.ripe(in) })
}

// stop is for a topic that is held again, or forgotten. It needs presence.mu.
func (h *holding) stop() {
	if h.lapse == nil {
		return
	}
	in := h.lapse.in
	h.lapse = nil
	if in.stale++; in.stale > 64 && in.stale > len(in.list)/2 {
		in.list = slices.DeleteFunc(in.list, (*lapse).stopped)
		in.stale = 0
	}
}

func (l *lapse) stopped() bool { return l.h.lapse != l }

// ripe has the values cleared whose time has come.
func (x *presence) ripe(in *lapses) {
	x.mu.Lock()
	defer x.mu.Unlock()
	in.armed = false
	now, n := time.Now(), 0
	for ; n < len(in.list) && !in.list[n].at.After(now); n++ {
		if l := in.list[n]; !l.stopped() {
			x.due = append(x.due, l)
		} else {
			in.stale--
		}
	}
	clear(in.list[:n])
	in.list = in.list[n:] // moving what is left costs as much as there is, at each of them
	switch {
	case x.closed:
	case len(in.list) > 0:
		x.arm(in, in.list[0].at.Sub(now))
	default:
		delete(x.waiting, in.wait)
	}
	for ; x.clearing < min(clearers, len(x.due)); x.clearing++ {
		x.hub.feed.spawn(x.clearDue)
	}
}

// clearDue clears what is due, until nothing is.
func (x *presence) clearDue() {
	for {
		x.mu.Lock()
		if len(x.due) == 0 {
			x.due = nil
			x.clearing--
			x.mu.Unlock()
			return
		}
		l := x.due[0]
		x.due = x.due[1:]
		x.mu.Unlock()
		x.clear(l)
	}
}
