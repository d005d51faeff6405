// Package oracle judges what publishers and subscribers saw of a hub: which messages were lost without a gap, came twice or
// out of order, were never published, and which gaps stand where nothing is missing.
//
// It is for tests. It knows the hub by nothing but what it is told: publishes as attempted and accepted, and of each
// subscription its messages, gaps and positions, in order. Verdict then says which promises were broken.
package oracle

import (
	"fmt"
	"sync"

	"github.com/gohotline/hotline/internal/eventlog"
	"github.com/gohotline/hotline/internal/pattern"
	"github.com/gohotline/hotline/internal/wire"
)

// Oracle records what was published, accepted and delivered, and every gap notice, and then says which promises were
// broken. Its methods and those of its subscriptions are safe for concurrent use. They panic on what is no position: nobody
// could judge what follows.
type Oracle struct {
	// Lenient lets gaps pass that say "may have missed" where nothing was: topics that nobody is subscribed to and of
	// which nothing is left share a table that errs towards a gap (A12).
	Lenient bool
	// Whole says that the log forgets nothing: a gap is due only where one hub's life ends and another's begins.
	Whole bool
	// Hollow is for hubs with a broker: what a gap tells of may also lie between its position and what comes next,
	// because a position is that of a real entry, and what was lost has none that anybody could show.
	Hollow bool
	// Witnessed says that somebody is shown every message that is stored, so that a publish of which nothing was heard was not.
	Witnessed bool

	mu        sync.Mutex
	lives     map[uint64]uint64 // number of each hub's life by the tag of its positions; nil: there is one hub
	attempted map[string]string // topic by data, which is unique
	since     map[string]uint64 // the newest message that was known when it was attempted
	acked     map[string]bool   // accepted, by data, also where the id was not told
	head      uint64            // the newest message that is known
	stored    map[uint64]stored // by sequence; from acks and deliveries
	ids       map[string]string // by data
	newest    map[string]Value  // of State topics, as far as anybody was told
	subs      []*Sub
	failures  []string
	counts    Counts
}

// Counts is how much an Oracle was told of.
type Counts struct {
	Attempted, Accepted, Stored int // messages
	Delivered                   int // to all subscriptions together
	Gaps, Missed                int // what subscribers were told of, and what they were told is missing: zero before Verdict
	Missing                     int // what is, of what they were told: zero before Verdict, and not over a restart
}

// String leaves out what only who publishes over a network needs: which publishes were not answered.
func (c Counts) String() string {
	return fmt.Sprintf("%d stored, %d delivered, %d gaps, %d missed", c.Stored, c.Delivered, c.Gaps, c.Missed)
}

// Value is one value of a State topic; Data is empty if the topic has none.
type Value struct {
	Rev  uint64
	Data string
}

type stored struct{ topic, data, id string }

// New returns an Oracle that has seen nothing.
func New() *Oracle {
	return &Oracle{
		attempted: make(map[string]string), since: make(map[string]uint64), stored: make(map[uint64]stored), ids: make(map[string]string),
		acked: make(map[string]bool), newest: make(map[string]Value),
	}
}

// Sub is what one subscription saw, over all its connections.
type Sub struct {
	// State says that it is to topics that have no Events: positions mean nothing to it. It is set before anything is told.
	State bool

	// Static after construction.
	o     *Oracle
	who   string
	topic string

	// Guarded by the Oracle's mu.
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
	seenDue                     // likewise, and no gap can come any more
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

func posOf(pos string) eventlog.Pos {
	p, err := wire.ParsePos(pos)
	if err != nil {
		panic(fmt.Sprintf("oracle: %q is no position", pos))
	}
	return p
}

// NextLife says that a hub begins its life, and shows any of its positions. Without it there is one hub.
func (o *Oracle) NextLife(pos string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.lives == nil {
		o.lives = make(map[uint64]uint64)
	}
	o.lives[posOf(pos).Tag] = uint64(len(o.lives) + 1)
}

// seqOf numbers the entries of all hubs that there were, one after the other.
func (o *Oracle) seqOf(pos string) uint64 {
	p := posOf(pos)
	if o.lives == nil {
		return p.Seq
	}
	life, ok := o.lives[p.Tag]
	if !ok {
		panic(fmt.Sprintf("oracle: %q is a position of no hub", pos))
	}
	return life<<lifeBits | p.Seq
}

const lifeBits = 40

// Fail records what is wrong at once, without waiting for the end.
func (o *Oracle) Fail(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.failures = append(o.failures, fmt.Sprintf(format, args...))
}

// Attempt is called before a message is published.
func (o *Oracle) Attempt(topic, data string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, ok := o.attempted[data]; ok {
		panic("oracle: " + data + " is published twice")
	}
	o.attempted[data], o.since[data] = topic, o.head
}

// untold reports whether something may have been stored up to there of which nobody was told: the hub ended before its
// publisher had the answer, and before anybody was sent it. The publisher then had it stored once more, by the next hub.
func (o *Oracle) untold(topic string, upTo uint64) bool {
	if o.Witnessed {
		return false
	}
	for data, at := range o.attempted {
		id, told := o.ids[data]
		if pattern.Covers(topic, at) && o.since[data] <= upTo && (!told || o.seqOf(id)>>lifeBits > upTo>>lifeBits) {
			return true
		}
	}
	return false
}

// Accepted is called when a publish was answered with the id of the message.
func (o *Oracle) Accepted(topic, data, id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.acked[data] = true
	o.know(topic, data, id)
}

// Acked is called when a publish was answered, and whoever published was not told the id. Somebody has to be shown the
// message, or it counts as lost: have a subscription to everything that nothing disturbs.
func (o *Oracle) Acked(data string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.acked[data] = true
}

// know notes that a message is stored. It needs mu.
func (o *Oracle) know(topic, data, id string) {
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

// Sub begins the record of a subscription to a topic or pattern.
func (o *Oracle) Sub(who, topic string) *Sub {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := &Sub{o: o, who: who, topic: topic}
	o.subs = append(o.subs, l)
	return l
}

func (l *Sub) add(e seen) {
	l.o.mu.Lock()
	defer l.o.mu.Unlock()
	if !l.finished {
		l.events = append(l.events, e)
	}
}

// Begin says that it is asked for, after a position or "" for none, with so many earlier messages.
func (l *Sub) Begin(after string, replay int) {
	e := seen{kind: seenBegin, replay: replay}
	if after != "" {
		e = seen{kind: seenResume, seq: l.SeqOf(after), replay: replay}
	}
	l.add(e)
}

// SeqOf is the number of the entry at a position, over all lives of the hub.
func (l *Sub) SeqOf(pos string) uint64 {
	l.o.mu.Lock()
	defer l.o.mu.Unlock()
	return l.o.seqOf(pos)
}

// Resume says that it is asked for again, from a position of its own.
func (l *Sub) Resume(after string) { l.add(seen{kind: seenResume, seq: l.SeqOf(after)}) }

// At says that the hub has stated a position: everything is here up to there. why is for the reader of a failure.
func (l *Sub) At(pos, why string) { l.add(seen{kind: seenAt, seq: l.SeqOf(pos), cause: why}) }

// OK says that it was confirmed, at a position: what is published later is owed.
func (l *Sub) OK(pos string) { l.add(seen{kind: seenOK, seq: l.SeqOf(pos)}) }

// Due says that it would go on from a position, if the connection were cut now: what it lacks up to there it will not be told of.
func (l *Sub) Due(pos string) { l.add(seen{kind: seenDue, seq: l.SeqOf(pos)}) }

// Gap says that messages are missing up to a position; missed is zero where their number is not known.
func (l *Sub) Gap(pos string, missed uint64, cause string) {
	l.add(seen{kind: seenGap, seq: l.SeqOf(pos), missed: missed, cause: cause})
}

// Missing says that n messages are missing just before the one with an id, as a client tells of it.
func (l *Sub) Missing(before string, n int) {
	l.add(seen{kind: seenGap, seq: l.SeqOf(before) - 1, missed: uint64(n)})
}

// BeginsBefore moves the beginning to before the first event, if that is earlier: whoever is told of a confirmation and not
// of its position knows only a later one.
func (l *Sub) BeginsBefore(id string) {
	l.o.mu.Lock()
	defer l.o.mu.Unlock()
	if seq := l.o.seqOf(id); len(l.events) == 2 && seq <= l.events[1].seq {
		l.events[1].seq = seq - 1
	}
}

// Finish says that it is ended: nothing is owed any more, and what still comes is nobody's.
func (l *Sub) Finish() {
	l.o.mu.Lock()
	defer l.o.mu.Unlock()
	l.finished = true
}

// Message says that a message was handed out.
func (l *Sub) Message(topic, id, data string) {
	l.add(seen{kind: seenMessage, seq: l.SeqOf(id), topic: topic, data: data})
	l.o.mu.Lock()
	defer l.o.mu.Unlock()
	l.o.counts.Delivered++
	if !pattern.Covers(l.topic, topic) {
		l.o.failures = append(l.o.failures, fmt.Sprintf("unexpected: %s has a message of %s, and subscribed to %q", l.who, topic, l.topic))
	}
	if at, ok := l.o.attempted[data]; !ok || at != topic {
		l.o.failures = append(l.o.failures, fmt.Sprintf("unexpected: %s %s was never published", topic, data))
		return
	}
	l.o.know(topic, data, id)
}

// StateSeen notes the newest value of a State topic that anybody was shown.
func (o *Oracle) StateSeen(topic string, v Value) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if old, ok := o.newest[topic]; !ok || v.Rev > old.Rev {
		o.newest[topic] = v
	} else if v.Rev == old.Rev && v != old {
		o.failures = append(o.failures, fmt.Sprintf("unexpected: %s has two values of rev %d: %q, %q", topic, v.Rev, v.Data, old.Data))
	}
}

// WrongState compares the State values that who holds of a topic or pattern, by topic, with the true ones. An empty value is
// none.
func WrongState(who, topic string, have, truth map[string]string) (failures []string) {
	for t, data := range truth {
		if pattern.Covers(topic, t) && have[t] != data {
			failures = append(failures, fmt.Sprintf("%s: %q has %.40q for %s, the value is %.40q", who, topic, have[t], t, data))
		}
	}
	for t, data := range have {
		if _, ok := truth[t]; !ok && data != "" {
			failures = append(failures, fmt.Sprintf("%s: %q has %.40q for %s, which has no value", who, topic, data, t))
		}
	}
	return failures
}

// Counts is how much it was told of until now.
func (o *Oracle) Counts() Counts {
	o.mu.Lock()
	defer o.mu.Unlock()
	c := o.counts
	c.Attempted, c.Accepted, c.Stored = len(o.attempted), len(o.acked), len(o.stored)
	return c
}
