package hotline

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/gohotline/hotline/internal/eventlog"
	"github.com/gohotline/hotline/internal/pattern"
	"github.com/gohotline/hotline/internal/wire"
)

// Subscribe reads the hub's own log: topic may be a pattern. Authorization is not asked. It differs from
// [Client.Subscribe] in nothing else. ctx bounds the call only; the subscription ends with Close, or with the hub, once
// everything has been read. The error wraps [ErrInvalid] or [ErrClosed].
func (h *Hub) Subscribe(ctx context.Context, topic string, opts *SubscribeOptions) (*Subscription, error) {
	if err := checkPattern(topic); err != nil {
		return nil, err
	}
	if opts == nil {
		opts = &SubscribeOptions{}
	}
	if opts.Replay < 0 {
		return nil, fmt.Errorf("%w: SubscribeOptions.Replay is %d, which is negative", ErrInvalid, opts.Replay)
	}
	r := &logReader{
		hub: h, name: topic, shard: h.place(), events: h.rows.events(topic), states: h.rows.state(topic),
		woken: make(chan struct{}, 1), done: make(chan struct{}),
	}
	s := newSubscription(r, opts)
	s.local = r
	r.peer = &peer{local: s}
	h.mu.Lock()
	if h.closed.Load() {
		h.mu.Unlock()
		return nil, fmt.Errorf("%w: the hub", ErrClosed)
	}
	h.readers[s] = struct{}{}
	h.mu.Unlock()
	r.sub = s
	var from eventlog.Pos
	if err := h.feed.follow(ctx, topic, func(p eventlog.Pos) { from = p }); err != nil {
		r.close()
		return nil, err
	}
	if err := r.begin(ctx, opts, from); err != nil {
		r.close()
		return nil, err
	}
	s.stale = opts.Resync != nil && !r.honoured
	s.blank.Store(s.stale)
	return s, nil
}

// logReader reads the log in process. It holds two numbers and pins nothing; its shard tells it when there is
// something to read.
type logReader struct {
	// Static after Subscribe.
	hub            *Hub
	sub            *Subscription
	shard          *shard
	peer           *peer
	name           string
	events, states bool
	honoured       bool          // After was
	from           eventlog.Pos  // the log is complete from here on
	woken          chan struct{} // buffered, 1; never closed
	done           chan struct{} // closed by close

	mu        sync.Mutex
	closed    bool
	filter    eventlog.Filter
	at        eventlog.Pos // read up to here
	st        uint64       // State changes likewise
	stUpTo    uint64       // changes that were there before the subscription
	lost      eventlog.Pos // where the last loss ended
	missed    int          // to be told with the next message
	unknown   string       // the position that was given, while the loss is that it is not known
	turn      bool         // State is looked at first
	waiting   bool         // signals are taken
	signals   []Message
	buffer    [1]eventlog.Entry
	unread    bool         // nothing of what Replay asked for was returned yet
	position_ eventlog.Pos // after the last message that was returned, as others are told it
	remote    *remote      // is read before at; nil: nothing is
	history   bool         // for Replay
	until     eventlog.Pos // what comes before is for Replay too
}

const maxSignals = 64 // that wait for a reader

// begin finds the place where reading begins.
func (r *logReader) begin(ctx context.Context, opts *SubscribeOptions, from eventlog.Pos) error {
	log := r.hub.log
	part := eventlog.Part{Pattern: r.name}
	s := &sub{name: r.name}
	if !pattern.HasWildcard(r.name) {
		part.Topic = log.Subscribe(r.name, r.shard.n)
	} else {
		log.SubscribeAll(r.shard.n, 1)
	}
	r.filter.Parts = []eventlog.Part{part}
	r.at = later(log.Head(), from)
	r.stUpTo = log.Changed()
	registered := make(chan struct{})
	r.shard.do(func() {
		r.shard.add(r.peer)
		r.shard.subscribe(r.peer, s)
		close(registered)
	})
	select {
	case <-registered:
	case <-r.shard.done:
		return fmt.Errorf("%w: the hub", ErrClosed)
	}
	// The shard's subscription holds the topic and wakes the shard from now on.
	if part.Topic != nil {
		log.Unsubscribe(part.Topic, r.shard.n)
	} else {
		log.SubscribeAll(r.shard.n, -1)
	}
	r.from = from
	if opts.After != "" {
		var err error
		if r.honoured, err = r.goOn(ctx, opts.After); err != nil {
			return err
		}
		if r.honoured {
			return nil
		}
		if r.events {
			r.missed, r.unknown = 1, opts.After
		}
	}
	r.position_ = log.Public(r.at)
	if opts.Replay > 0 {
		o, err := r.hub.feed.history(ctx, r.name, opts.Replay, from)
		switch {
		case err != nil:
			return err
		case o.remote != nil:
			r.remote, r.history, r.until = o.remote, true, r.at
		default:
			r.at = later(log.Newest(&r.filter, opts.Replay, r.at, time.Now()), from)
		}
		r.unread = r.remote != nil || r.replaying()
	}
	return nil
}

// goOn makes reading continue after a position, if that is known.
func (r *logReader) goOn(ctx context.Context, after string) (known bool, err error) {
	pos, err := wire.ParsePos(after)
	if err != nil {
		return false, nil // nor is what is no position
	}
	o, err := r.hub.feed.resume(ctx, []string{r.name}, pos, r.from)
	if err != nil || !o.known && o.remote == nil {
		return false, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.remote, r.history = o.remote, false; o.remote == nil {
		r.at = o.at
	}
	r.position_, r.unread, r.filter.Replay, r.missed, r.until = pos, false, nil, 0, eventlog.Pos{}
	return true, nil
}

// notify is the shard's: there is something to read.
func (r *logReader) notify() {
	select {
	case r.woken <- struct{}{}:
	default:
	}
}

// live is the shard's: a State value is in the table by now; a signal is taken only while somebody waits.
func (r *logReader) live(m *eventlog.Live) {
	if m.Value == nil {
		r.mu.Lock()
		if r.waiting && len(r.signals) < maxSignals {
			r.signals = append(r.signals, r.hub.message(&m.Entry))
		} else {
			r.hub.stats.droppedBehind.Add(1)
		}
		r.mu.Unlock()
	}
	r.notify()
}

func (r *logReader) next(ctx context.Context) (Message, error) {
	for {
		if err := r.fetch(ctx); err != nil {
			return Message{}, err
		}
		r.mu.Lock()
		m, ok := r.read()
		r.waiting = !ok
		closed := r.closed
		r.mu.Unlock()
		switch {
		case closed:
			return Message{}, errSubscriptionClosed
		case ok:
			return m, nil
		case r.remote != nil:
			continue
		}
		if err := ctx.Err(); err != nil {
			return Message{}, r.interrupted(ctx)
		}
		select {
		case <-r.woken:
		case <-ctx.Done():
			return Message{}, r.interrupted(ctx)
		case <-r.done:
			return Message{}, errSubscriptionClosed
		case <-r.hub.ended:
			r.mu.Lock()
			m, ok = r.read()
			r.mu.Unlock()
			if !ok {
				return Message{}, fmt.Errorf("%w: the hub", ErrClosed)
			}
			return m, nil
		}
	}
}

// interrupted is for a reader that waits no longer: it takes no signals then.
func (r *logReader) interrupted(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = false
	return cause(ctx)
}

// cause is ctx's error and why.
func cause(ctx context.Context) error {
	if c := context.Cause(ctx); c != ctx.Err() {
		return fmt.Errorf("%w: %w", ctx.Err(), c)
	}
	return ctx.Err()
}

// read returns the next message without waiting. Neither Events nor State may keep the other waiting.
func (r *logReader) read() (m Message, ok bool) {
	if len(r.signals) > 0 {
		m = r.signals[0]
		r.signals = r.signals[1:]
		return m, true
	}
	r.turn = !r.turn
	if r.turn {
		if m, ok = r.readState(); !ok {
			m, ok = r.readEvent()
		}
	} else if m, ok = r.readEvent(); !ok {
		m, ok = r.readState()
	}
	return m, ok
}

func (r *logReader) readEvent() (m Message, ok bool) {
	if r.remote != nil {
		if m, ok = r.readRemote(); ok || r.remote != nil {
			return m, ok
		}
	}
	for {
		res := r.hub.log.Read(&r.filter, r.at, eventlog.Limit{Entries: 1, Bytes: 1, Now: time.Now()}, r.buffer[:0])
		replayed := r.replaying()
		r.at = res.At
		if len(res.Entries) > 0 {
			e := &res.Entries[0]
			m = r.hub.message(e)
			m.Missed, r.missed, r.unknown = r.missed, 0, ""
			m.Replayed = replayed
			r.position_, r.unread = r.hub.log.Public(e.Pos), false
			r.buffer[0] = eventlog.Entry{}
			return m, true
		}
		if res.Hole != eventlog.NoHole {
			r.missed += max(int(res.Missed), 1)
			r.lost = res.At
			if r.sub.resync != nil {
				m.Missed, r.missed = r.missed, 0
				return m, true
			}
		}
		if res.Done {
			if r.filter.Replay = nil; r.missed == 0 { // else it stays before a loss that was not told yet
				r.position_, r.unread = r.hub.log.Public(r.at), false
			}
			return m, false
		}
	}
}

// replaying reports whether what comes next was there before the subscription.
func (r *logReader) replaying() bool {
	return r.at.Seq < r.until.Seq || r.filter.Replay != nil && r.at.Seq < r.filter.Replay.UpTo.Seq
}

func (r *logReader) readState() (m Message, ok bool) {
	if !r.states {
		return m, false
	}
	u := r.hub.log.Changes(&r.filter, r.st, r.stUpTo, 1, nil)
	for len(u.Values) == 0 {
		switch {
		case u.Reset:
			u.UpTo = 0 // what was cleared meanwhile can't be told any more: everything is sent again
		case u.Done:
			r.st = u.UpTo
			return m, false
		}
		u = r.hub.log.Changes(&r.filter, u.UpTo, r.stUpTo, 1, nil)
	}
	v := u.Values[0]
	r.st = u.UpTo
	m = r.hub.message(&v.Entry)
	m.Replayed = v.Order <= r.stUpTo
	return m, true
}

func (r *logReader) position() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.replaying() && r.events && r.remote == nil && r.missed == 0 {
		// If nothing waits for the reader, its position is the head.
		res := r.hub.log.Read(&r.filter, r.at, eventlog.Limit{Entries: 1, Bytes: 1, Now: time.Now()}, r.buffer[:0])
		if res.Done && len(res.Entries) == 0 {
			r.at, r.position_, r.unread = res.At, r.hub.log.Public(res.At), false
		}
		r.buffer[0] = eventlog.Entry{}
	}
	switch {
	case r.unread:
		return ""
	case r.missed > 0 && r.unknown != "":
		return r.unknown
	}
	return r.position_.String()
}

func (r *logReader) over() error {
	select {
	case <-r.hub.ended:
		return fmt.Errorf("%w: the hub", ErrClosed)
	default:
		return nil
	}
}

func (r *logReader) restarted() bool { return false }

func (r *logReader) seek(after string) bool {
	if after == "" {
		return true // from the loss, or from where the subscription began
	}
	known, err := r.goOn(context.Background(), after)
	return known && err == nil
}

func (r *logReader) close() {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return
	}
	r.closed = true
	r.mu.Unlock()
	close(r.done)
	r.hub.mu.Lock()
	delete(r.hub.readers, r.sub)
	r.hub.mu.Unlock()
	r.shard.do(func() {
		if int(r.peer.slot) < len(r.shard.peers) && r.shard.peers[r.peer.slot] == r.peer {
			r.shard.remove(r.peer)
		}
	})
}
