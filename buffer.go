package hotline

import (
	"context"
	"sync"
	"time"
)

// What a subscription of a client buffers. Of State it holds the newest value of each topic that the application has not
// read: a slow loop conflates here as it does at the hub.
const (
	bufferMessages = 256
	bufferBytes    = 1 << 20
	bufferSignals  = 64

	// bufferGrace is how long a client does not read its socket because a buffer is full: so long that a loop which
	// merely waits for the CPU is not taken for a slow one, and what is on its way is not asked for twice.
	bufferGrace = 5 * time.Millisecond
)

// buffer is what a subscription of a client has received and its application has not read.
type buffer struct {
	woken chan struct{} // buffered, 1; never closed
	roomy chan struct{} // buffered, 1; never closed

	mu      sync.Mutex
	awaited bool            // somebody waits for half of it to be free, or has waited in vain
	events  queue[buffered] // Events and gaps, in order
	bytes   int             // of events
	crowded bool            // an event was refused, and half of the buffer is not free yet
	values  map[string]*cell
	changes queue[change] // of values, in their order; stale if the value has changed again since
	present int           // changes that are not stale
	order   uint64
	signals []Message
	turn    bool   // State is looked at first
	pos     string // where the application stands; empty: nobody can say yet
	start   string // a place before whatever came since; empty: there is none that is known
	untold  bool   // a gap was read, and no message since: pos stays before it
	beyond  string // then: the place after it
	herd    bool   // the last gap is everybody's
	err     error  // the end, once everything is read
	closed  bool   // by the application: nothing is read any more
}

// buffered is an event, or a gap: then there is no topic.
type buffered struct {
	Message
	pos  string // after it
	herd bool
}

// cell is what is known of a State topic.
type cell struct {
	rev     string
	shown   bool // it is among the present values that are being sent
	told    bool // the application has read a value of it
	order   uint64
	message Message // if it is pending
	pending bool
}

// change says that a topic has a value that is not read yet.
type change struct {
	cell  *cell
	order uint64
}

func newBuffer(pos string) buffer {
	return buffer{woken: make(chan struct{}, 1), roomy: make(chan struct{}, 1), pos: pos}
}

func (b *buffer) wake() {
	select {
	case b.woken <- struct{}{}:
	default:
	}
}

// event adds an event that leaves the subscription at pos; not ok: there is no room; full: there is hardly any for another,
// which was not waited for yet.
func (b *buffer) event(m *Message, pos string) (ok, full bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	size := len(m.Data)
	if b.events.len() >= bufferMessages || b.events.len() > 0 && b.bytes+size > bufferBytes {
		b.crowded = true
		return false, false
	}
	b.bytes += size
	b.events.push(buffered{Message: *m, pos: pos})
	b.wake()
	return true, !b.awaited && (b.events.len() >= bufferMessages || b.bytes >= bufferBytes*3/4)
}

// half reports whether half of it is free. It needs mu.
func (b *buffer) half() bool { return b.events.len() <= bufferMessages/2 && b.bytes <= bufferBytes/2 }

// await waits until half of it is free, or for the timer.
func (b *buffer) await(timer <-chan time.Time) {
	b.mu.Lock()
	b.awaited = !b.half()
	wait := b.awaited
	b.mu.Unlock()
	if wait {
		select {
		case <-b.roomy:
		case <-timer:
		}
	}
}

// gap adds the notice of a loss. It always has room: between two of them there is a message, or they become one.
func (b *buffer) gap(missed int, herd bool, pos string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if last := b.events.last(); last != nil && last.Topic == "" {
		last.Missed += missed
		last.pos, last.herd = pos, last.herd || herd
	} else {
		b.events.push(buffered{Message: Message{Missed: missed}, pos: pos, herd: herd})
	}
	b.wake()
}

// signal adds a signal, or drops it.
func (b *buffer) signal(m *Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.signals) < bufferSignals {
		b.signals = append(b.signals, *m)
		b.wake()
	}
}

// value takes the new value of a State topic, or that it is gone. One with the revision that is known is not new.
func (b *buffer) value(m *Message, rev string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	v := b.values[m.Topic]
	if v == nil {
		if m.Data == nil {
			return
		}
		if b.values == nil {
			b.values = make(map[string]*cell)
		}
		v = &cell{}
		b.values[m.Topic] = v
	}
	v.shown = true
	if v.rev == rev {
		return
	}
	v.rev = rev
	b.change(v, m)
}

// change makes m what is to be read of a topic.
func (b *buffer) change(v *cell, m *Message) {
	if v.pending {
		b.present--
	}
	v.pending = false
	if m.Data == nil && !v.told { // it came and went unseen
		delete(b.values, m.Topic)
		return
	}
	b.order++
	v.order, v.pending, v.message = b.order, true, *m
	b.changes.push(change{v, b.order})
	if b.present++; b.changes.len() > 2*b.present+64 {
		b.changes.keep(func(c change) bool { return c.cell.pending && c.cell.order == c.order })
	}
	b.wake()
}

// begin is for a subscription that is about to be sent all present values. A new one is sent events only after start.
func (b *buffer) begin(start string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.events.len() == 0 { // else they lie before it
		b.start = start
	}
	for _, v := range b.values {
		v.shown = false
	}
}

// complete is for one that has been: what was not among them is gone. It stands at pos.
func (b *buffer) complete(pos string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for topic, v := range b.values {
		if !v.shown && !(v.pending && v.message.Data == nil) {
			v.rev = ""
			b.change(v, &Message{Topic: topic})
		}
	}
	switch {
	case b.pos != "":
	case b.events.len() == 0:
		b.pos = pos
	default:
		b.pos = b.start // where it began lies before what is buffered, and not before this
	}
}

// seek forgets the events: reading goes on after pos.
func (b *buffer) seek(pos string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events, b.bytes, b.crowded, b.pos, b.untold = queue[buffered]{}, 0, false, pos, false
}

// told notes that the application knows of what was lost, or has made it good: its position is after it.
func (b *buffer) told() {
	if b.untold {
		b.pos, b.untold = b.beyond, false
	}
}

// recovered is told for a loss that a snapshot covers.
func (b *buffer) recovered() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.told()
}

// end lets reading end with err once everything is read, or, if the application wants it, at once.
func (b *buffer) end(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed = b.closed || err == errSubscriptionClosed; b.err == nil || b.closed {
		b.err = err
	}
	b.wake()
}

// over is why nothing more is received, or nil.
func (b *buffer) over() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// refusal is the end of a subscription that has never begun.
func (b *buffer) refusal() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.events.len() == 0 && b.present == 0 {
		return b.err
	}
	return nil
}

// next returns the next message, when there is one. It calls drained when there is room again after there was none.
func (b *buffer) next(ctx context.Context, drained func()) (Message, error) {
	for {
		b.mu.Lock()
		m, ok := b.read()
		err := b.err
		if !ok && err != nil {
			b.wake() // for the next call
		}
		half := b.half()
		room := half && b.crowded
		b.crowded = b.crowded && !half
		if half && b.awaited {
			b.awaited = false
			select {
			case b.roomy <- struct{}{}:
			default:
			}
		}
		b.mu.Unlock()
		if room {
			drained()
		}
		switch {
		case ok:
			return m, nil
		case err != nil:
			return Message{}, err
		case ctx.Err() != nil:
			return Message{}, cause(ctx)
		}
		select {
		case <-b.woken:
		case <-ctx.Done():
			return Message{}, cause(ctx)
		}
	}
}

// read returns the next message without waiting. Neither Events nor State may keep the other waiting. It needs mu.
func (b *buffer) read() (m Message, ok bool) {
	if b.closed {
		return m, false
	}
	if len(b.signals) > 0 {
		m = b.signals[0]
		b.signals = b.signals[1:]
		b.told()
		return m, true
	}
	b.turn = !b.turn
	if b.turn {
		if m, ok = b.readValue(); !ok {
			m, ok = b.readEvent()
		}
	} else if m, ok = b.readEvent(); !ok {
		m, ok = b.readValue()
	}
	return m, ok
}

func (b *buffer) readEvent() (m Message, ok bool) {
	x, ok := b.events.pop()
	if !ok {
		return m, false
	}
	b.bytes -= len(x.Data)
	if x.Topic == "" { // it is told with the next message
		b.herd, b.untold, b.beyond = x.herd, true, x.pos
	} else {
		b.pos, b.untold = x.pos, false
	}
	return x.Message, true
}

func (b *buffer) readValue() (m Message, ok bool) {
	for {
		c, ok := b.changes.pop()
		if !ok {
			return m, false
		}
		v := c.cell
		if !v.pending || v.order != c.order {
			continue
		}
		m, v.message = v.message, Message{}
		v.pending, v.told = false, true
		if b.present--; m.Data == nil {
			delete(b.values, m.Topic)
		}
		b.told()
		return m, true
	}
}

// afterRestart reports whether the last gap was that of a hub which has restarted: every client has one now.
func (b *buffer) afterRestart() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.herd
}

// position is where the application stands, if the subscription stands at at.
func (b *buffer) position(at string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.events.len() == 0 && !b.crowded && !b.untold && at != "" {
		b.pos = at
	}
	return b.pos
}

// queue is a first-in first-out queue in a ring.
type queue[T any] struct {
	ring  []T // its length is a power of two
	start int
	n     int
}

func (q *queue[T]) len() int { return q.n }

func (q *queue[T]) at(i int) *T { return &q.ring[(q.start+i)&(len(q.ring)-1)] }

func (q *queue[T]) push(v T) {
	if q.n == len(q.ring) {
		ring := make([]T, max(8, 2*q.n))
		for i := range q.n {
			ring[i] = *q.at(i)
		}
		q.ring, q.start = ring, 0
	}
	q.n++
	*q.at(q.n - 1) = v
}

func (q *queue[T]) pop() (v T, ok bool) {
	if q.n == 0 {
		return v, false
	}
	var zero T
	v, *q.at(0) = *q.at(0), zero
	q.start++
	q.n--
	return v, true
}

// last is the newest element, or nil.
func (q *queue[T]) last() *T {
	if q.n == 0 {
		return nil
	}
	return q.at(q.n - 1)
}

// keep drops the elements for which f is false.
func (q *queue[T]) keep(f func(T) bool) {
	for range q.n {
		if v, _ := q.pop(); f(v) {
			q.push(v)
		}
	}
}
