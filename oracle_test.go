package hotline

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/gohotline/hotline/internal/eventlog"
	"github.com/gohotline/hotline/internal/pattern"
	"github.com/gohotline/hotline/internal/wire"
)

// oracle records what was published, accepted and delivered, and every gap notice, and then says which promises were
// broken. It knows the hub by nothing else.
type oracle struct {
	// lenient lets gaps pass that say "may have missed" where nothing was: topics that nobody is subscribed to and of
	// which nothing is left share a table that errs towards a gap (A12).
	lenient bool
	// whole says that the log forgets nothing: a gap is due only where one hub's life ends and another's begins.
	whole bool

	// hollow is for hubs with a broker: what a gap tells of may also lie between its position and what comes next,
	// because a position is that of a real entry, and what was lost has none that anybody could show.
	hollow bool

	mu        sync.Mutex
	lives     map[uint64]uint64 // number of each hub's life by the tag of its positions; nil: there is one hub
	attempted map[string]string // topic by data, which is unique
	since     map[string]uint64 // the newest message that was known when it was attempted
	head      uint64            // the newest message that is known
	stored    map[uint64]stored // by sequence; from acks and deliveries
	ids       map[string]string // by data
	newest    map[string]value  // of State topics, as far as anybody was told
	subs      []*subLog
	failures  []string
	gaps      int
	missed    int
	delivered int
}

type stored struct{ topic, data, id string }

func newOracle() *oracle {
	return &oracle{
		attempted: make(map[string]string), since: make(map[string]uint64), stored: make(map[uint64]stored), ids: make(map[string]string),
		newest: make(map[string]value),
	}
}

// subLog is what one subscription saw.
type subLog struct {
	o        *oracle
	who      string
	topic    string
	state    bool // it is to one topic that has no Events: positions mean nothing to it
	finished bool // it was ended before the end
	events   []seen
}

type seenKind uint8

const (
	seenBegin   seenKind = iota // new, with replay and after
	seenResume                  // from a position of its own
	seenMessage                 //
	seenGap                     // something is missing up to the position
	seenAt                      // everything is here up to the position
	seenOK                      // likewise, and it has joined
)

type seen struct {
	kind   seenKind
	seq    uint64
	topic  string // message
	data   string
	missed uint64 // gap
	cause  string
	replay int // begin; resume: in case that the position is not known
}

func seqOf(pos string) uint64 { return posOf(pos).Seq }

func posOf(pos string) eventlog.Pos {
	p, err := wire.ParsePos(pos)
	if err != nil {
		panic(fmt.Sprintf("%q is no position", pos))
	}
	return p
}

// seqOf numbers the entries of all hubs that there were, one after the other.
func (o *oracle) seqOf(pos string) uint64 {
	p := posOf(pos)
	if o.lives == nil {
		return p.Seq
	}
	life, ok := o.lives[p.Tag]
	if !ok {
		panic(fmt.Sprintf("%q is a position of no hub", pos))
	}
	return life<<lifeBits | p.Seq
}

const lifeBits = 40

// fail records what is wrong at once, without waiting for the end.
func (o *oracle) fail(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.failures = append(o.failures, fmt.Sprintf(format, args...))
}

// attempt is called before a message is published.
func (o *oracle) attempt(topic, data string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, ok := o.attempted[data]; ok {
		panic("oracle: " + data + " is published twice")
	}
	o.attempted[data], o.since[data] = topic, o.head
}

// untold reports whether something may have been stored up to there of which nobody was told: the hub ended before its
// publisher had the answer, and before anybody was sent it. The publisher then had it stored once more, by the next hub.
func (o *oracle) untold(topic string, upTo uint64) bool {
	for data, at := range o.attempted {
		id, told := o.ids[data]
		if Match(topic, at) && o.since[data] <= upTo && (!told || o.seqOf(id)>>lifeBits > upTo>>lifeBits) {
			return true
		}
	}
	return false
}

// accepted is called when a publish was answered.
func (o *oracle) accepted(topic, data, id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.know(topic, data, id)
}

// know notes that a message is stored. It needs mu.
func (o *oracle) know(topic, data, id string) {
	seq := o.seqOf(id)
	if have, ok := o.ids[data]; ok && have != id && o.seqOf(have)>>lifeBits == seq>>lifeBits {
		o.failures = append(o.failures, fmt.Sprintf("duplicated: %s is stored as %s and %s", data, have, id))
	}
	if have, ok := o.stored[seq]; ok && have != (stored{topic, data, id}) {
		o.failures = append(o.failures, fmt.Sprintf("unexpected: %s is %v and %v", id, have, stored{topic, data, id}))
	}
	o.ids[data] = id
	o.head = max(o.head, seq)
	o.stored[seq] = stored{topic, data, id}
}

// publish publishes as server code does.
func (o *oracle) publish(w *world, topic, data string) {
	o.attempt(topic, data)
	p, err := w.hub.publication(topic, []byte(data))
	if err != nil {
		panic(err)
	}
	pos, _, err := w.hub.store(context.Background(), p)
	if err != nil {
		panic(err)
	}
	o.accepted(topic, data, pos.String())
}

func (o *oracle) newSub(who, topic string) *subLog {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := &subLog{o: o, who: who, topic: topic}
	o.subs = append(o.subs, l)
	return l
}

func (l *subLog) add(e seen) {
	l.o.mu.Lock()
	defer l.o.mu.Unlock()
	if !l.finished {
		l.events = append(l.events, e)
	}
}

func (l *subLog) begin(after string, replay int) {
	e := seen{kind: seenBegin, replay: replay}
	if after != "" {
		e = seen{kind: seenResume, seq: l.seqOf(after), replay: replay}
	}
	l.add(e)
}

func (l *subLog) seqOf(pos string) uint64 {
	l.o.mu.Lock()
	defer l.o.mu.Unlock()
	return l.o.seqOf(pos)
}

func (l *subLog) resume(after string) { l.add(seen{kind: seenResume, seq: l.seqOf(after)}) }
func (l *subLog) at(pos, why string)  { l.add(seen{kind: seenAt, seq: l.seqOf(pos), cause: why}) }
func (l *subLog) ok(pos string)       { l.add(seen{kind: seenOK, seq: l.seqOf(pos)}) }
func (l *subLog) gap(pos string, missed uint64, cause string) {
	l.add(seen{kind: seenGap, seq: l.seqOf(pos), missed: missed, cause: cause})
}

func (l *subLog) message(topic, id, data string) {
	l.add(seen{kind: seenMessage, seq: l.seqOf(id), topic: topic, data: data})
	l.o.mu.Lock()
	defer l.o.mu.Unlock()
	l.o.delivered++
	if at, ok := l.o.attempted[data]; !ok || at != topic {
		l.o.failures = append(l.o.failures, fmt.Sprintf("unexpected: %s %s was never published", topic, data))
		return
	}
	l.o.know(topic, data, id)
}

// stateSeen notes the newest value of a State topic that anybody was shown.
func (o *oracle) stateSeen(topic string, v value) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if old, ok := o.newest[topic]; !ok || v.rev > old.rev {
		o.newest[topic] = v
	} else if v.rev == old.rev && v != old {
		o.failures = append(o.failures, fmt.Sprintf("unexpected: %s has two values of rev %d: %q, %q", topic, v.rev, v.data, old.data))
	}
}

// verdict is every broken promise; it is called once everything has come to rest.
func (o *oracle) verdict() []string {
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
	return append(o.failures, v.failures...)
}

// judge goes through what a subscription saw, in order. A message that it was not sent is open: the hub has time to
// say so until the topic's next message, or the end. Between them its reader may hand out what it kept of other topics.
type judge struct {
	o        *oracle
	seqs     []uint64 // stored, ascending
	failures []string

	l     *subLog
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
	s := ""
	for j := max(0, i-8); j <= i && j < len(v.l.events); j++ {
		e := v.l.events[j]
		s += fmt.Sprintf("\n\t%s %d %s %s", [...]string{"begin", "resume", "message", "gap", "at", "ok"}[e.kind], e.seq, e.topic, e.cause)
	}
	return s
}

func (v *judge) judge(l *subLog) {
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
		case seenAt, seenOK:
			if e.seq < v.cur && !l.state {
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
	switch {
	case h.n == 0 && (h.missed > 0 || !v.o.lenient) && !v.o.untold(v.l.topic, v.cur):
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
	v.o.gaps++
	v.o.missed += int(e.missed)
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
	switch {
	case restarted && v.again:
		v.owed, v.start = false, make(map[string]uint64)
	case restarted:
	case v.o.whole:
		v.fail(i, "a gap, but the log has everything")
	default:
		v.hole = &hole{i, n, e.missed}
		if !v.o.hollow {
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
