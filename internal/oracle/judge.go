package oracle

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gohotline/hotline/internal/pattern"
)

// Verdict is every broken promise; it is called once, when everything has come to rest.
func (o *Oracle) Verdict() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	v := &judge{o: o}
	for seq := range o.stored {
		v.seqs = append(v.seqs, seq)
	}
	slices.Sort(v.seqs)
	for _, l := range o.subs {
		v.judge(l)
	}
	for data := range o.acked {
		if _, ok := o.ids[data]; !ok {
			v.failures = append(v.failures, fmt.Sprintf("lost: %.60s was accepted, and nobody was shown it", data))
		}
	}
	return append(o.failures, v.failures...)
}

// judge goes through what a subscription saw, in order. A message that it was not sent is open: the hub has time to
// say so until the topic's next message, or the end. Between them its reader may hand out what it kept of other topics.
type judge struct {
	o        *Oracle
	seqs     []uint64 // stored, ascending
	failures []string

	l     *Sub
	cur   uint64 // everything up to here was delivered, is open, or was said to be lost
	open  []uint64
	owed  bool              // everything after cur is owed
	again bool              // if the position is not known, a replay comes in its place
	start map[string]uint64 // until then: what is owed of each topic that was replayed
	hole  *hole             // a gap whose end is not yet known
}

type hole struct {
	event, n int
	missed   uint64
}

func (v *judge) fail(i int, format string, args ...any) {
	if len(v.failures) < 20 {
		v.failures = append(v.failures, fmt.Sprintf("%s: %q, event %d: ", v.l.who, v.l.topic, i)+fmt.Sprintf(format, args...)+v.before(i))
	}
}

// before shows what led to an event.
func (v *judge) before(i int) string {
	var s strings.Builder
	for j := max(0, i-8); j <= i && j < len(v.l.events); j++ {
		e := v.l.events[j]
		fmt.Fprintf(&s, "\n\t%s %d %s %s", [...]string{"begin", "resume", "message", "gap", "at", "ok", "due"}[e.kind], e.seq, e.topic, e.cause)
	}
	return s.String()
}

func (v *judge) judge(l *Sub) {
	v.l, v.cur, v.open, v.owed, v.again, v.start, v.hole = l, 0, nil, false, false, make(map[string]uint64), nil
	for i, e := range l.events {
		switch e.kind {
		case seenBegin:
			if v.owed || len(v.start) > 0 {
				v.fail(i, "begun twice")
			}
		case seenResume:
			v.again = e.replay > 0
			if !v.owed {
				v.owe(e.seq)
			} else if e.seq > v.cur {
				v.reach(e.seq)
			}
		case seenMessage:
			v.message(i, e)
		case seenGap:
			v.gap(i, e)
		case seenDue:
			if v.owed {
				v.reach(e.seq)
				v.lost(i, "")
			}
		case seenAt, seenOK:
			if e.seq < v.cur && !l.State {
				v.fail(i, "back at %d, but %d was reached", e.seq, v.cur)
			}
			v.again = v.again && e.kind != seenOK
			if v.owed {
				v.reach(e.seq)
			} else if e.kind == seenOK {
				v.owe(e.seq)
			}
		}
	}
	if !l.finished && v.owed && len(v.seqs) > 0 {
		v.reach(v.seqs[len(v.seqs)-1])
		v.lost(len(l.events), "")
	}
	v.closeHole()
}

// owe makes everything after a position owed, and of the topics that were replayed what comes before it.
func (v *judge) owe(seq uint64) {
	v.cur, v.owed = seq, true
	for topic, from := range v.start {
		v.between(topic, from, seq+1)
	}
}

// reach moves on to a position.
func (v *judge) reach(seq uint64) {
	n := len(v.open)
	v.between("", v.cur, seq+1)
	v.cur = max(v.cur, seq)
	if v.hole != nil {
		v.hole.n += len(v.open) - n
		v.open = v.open[:n]
		v.closeHole()
	}
}

// closeHole judges a gap once it is known what it covers.
func (v *judge) closeHole() {
	h := v.hole
	if v.hole = nil; h == nil {
		return
	}
	v.o.counts.Missing += h.n
	switch {
	case h.n == 0 && (h.missed > 0 || !v.o.Lenient) && !v.o.untold(v.l.topic, v.cur):
		v.fail(h.event, "false gap: nothing is missing")
	case int(h.missed) > h.n:
		v.fail(h.event, "a gap says %d, but only %d are missing", h.missed, h.n)
	}
}

func (v *judge) message(i int, e seen) {
	if v.owed && e.seq <= v.cur || !v.owed && v.start[e.topic] >= e.seq {
		word := "reordered"
		for _, o := range v.l.events[:i] {
			if o.kind == seenMessage && o.seq == e.seq {
				word = "duplicated"
			}
		}
		v.fail(i, "%s: %s %d", word, e.topic, e.seq)
		return
	}
	if v.owed {
		v.reach(e.seq - 1)
		v.cur = e.seq
	} else {
		if from, ok := v.start[e.topic]; ok {
			v.between(e.topic, from, e.seq)
		}
		v.start[e.topic] = e.seq
	}
	v.lost(i, e.topic)
}

func (v *judge) gap(i int, e seen) {
	v.o.counts.Gaps++
	v.o.counts.Missed += int(e.missed)
	if e.seq < v.cur {
		v.fail(i, "a gap up to %d, but %d was reached", e.seq, v.cur)
	}
	restarted := e.seq>>lifeBits != v.cur>>lifeBits // then a hub doesn't know the position
	if !v.owed {                                    // a part of what was to be replayed is missing, perhaps of topics that nothing was seen of
		for topic, from := range v.start {
			v.start[topic] = max(from, e.seq)
		}
		return
	}
	if v.hole != nil && v.hole.n > 0 { // what comes now is this one's
		v.closeHole()
	}
	v.hole = nil // nothing was missing yet: the two share what is
	v.reach(e.seq)
	n := len(v.open)
	v.open = v.open[:0]
	// Nor does it know one behind more losses than it looks for, see eventlog.Names; it says so.
	unknown := restarted || e.cause == "restart" && !v.o.Whole
	switch {
	case unknown && v.again:
		v.owed, v.start = false, make(map[string]uint64)
	case restarted, e.cause == "denied": // whether anything was there is not for this one to know
	case v.o.Whole:
		v.fail(i, "a gap, but the log has everything")
	default:
		v.hole = &hole{i, n, e.missed}
		if !v.o.Hollow {
			v.closeHole()
		}
	}
}

// lost fails if a message is open, of one topic or any.
func (v *judge) lost(i int, topic string) {
	n := 0
	var first stored
	v.open = slices.DeleteFunc(v.open, func(seq uint64) bool {
		s := v.o.stored[seq]
		if topic != "" && s.topic != topic {
			return false
		}
		if n++; n == 1 {
			first = s
		}
		return true
	})
	if n > 0 {
		v.fail(i, "lost: %d without a gap, the first is %s of %s, number %d", n, first.id, first.topic, v.o.seqOf(first.id))
	}
}

// between opens the stored messages that it should have been sent between two others.
func (v *judge) between(topic string, after, before uint64) {
	i, _ := slices.BinarySearch(v.seqs, after+1)
	for ; i < len(v.seqs) && v.seqs[i] < before; i++ {
		if s := v.o.stored[v.seqs[i]]; (topic == "" || s.topic == topic) && pattern.Covers(v.l.topic, s.topic) {
			v.open = append(v.open, v.seqs[i])
		}
	}
}
