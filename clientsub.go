package hotline

import (
	"context"
	"slices"
	"time"

	"github.com/gohotline/hotline/internal/pattern"
	"github.com/gohotline/hotline/internal/wire"
)

// remoteReader is a subscription of a Client: what the hub was asked for, and where it stands there. What was received
// and not yet read is in buf. It outlives the connections.
type remoteReader struct {
	// Static after construction.
	c         *Client
	name      string
	wild      bool
	after     string // what the application asked for
	replay    int
	confirmed chan struct{} // closed when the hub has confirmed or refused it: see answered
	buf       buffer

	// Guarded by Client.mu.
	num      int64  // on the present connection; 0: none
	joined   bool   // it is part of the connection's stream, and at its position
	own      string // its position while it has not joined; empty: it is new
	fresh    bool   // there was no ok yet
	replays  bool   // until then what comes is history that was asked for, not a continuation
	parked   bool   // the application does not keep up: nothing is asked of the hub until it has
	answered bool
	ended    bool
	tries    int // to subscribe, since it was last confirmed
	retry    *time.Timer
}

func newRemoteReader(c *Client, topic string, opts *SubscribeOptions) *remoteReader {
	return &remoteReader{
		c: c, name: topic, wild: pattern.HasWildcard(topic), after: opts.After, replay: opts.Replay,
		confirmed: make(chan struct{}), buf: newBuffer(opts.After),
		own: opts.After, fresh: true, replays: opts.After == "",
	}
}

// ask subscribes on the wire, if there is a connection. It needs mu, as do all that follow.
func (c *Client) ask(r *remoteReader) {
	s := c.session
	if s == nil || r.num != 0 || r.parked || r.ended {
		return
	}
	s.push(outgoing{frame: appendSub(c.number(s, r))})
}

// number gives a subscription its number on a connection and returns what it asks for: rule 4.
func (c *Client) number(s *session, r *remoteReader) wire.SubRequest {
	s.last++
	r.num, r.joined = s.last, false
	s.nums[r.num] = r
	if r.wild {
		c.wild = append(c.wild, r)
	} else {
		c.exact[r.name] = append(c.exact[r.name], r)
	}
	start := c.pos
	if r.replays && r.replay > 0 { // what comes is older
		start = ""
	}
	r.buf.begin(start)
	req := wire.SubRequest{Sub: r.num, Topic: r.name, After: r.own}
	if r.fresh && r.own == r.after { // nothing was received: it is asked as the application asked
		req.Replay = r.replay
	}
	return req
}

// unnumber is the reverse: the connection knows r no more. What r has is now its own position.
func (c *Client) unnumber(s *session, r *remoteReader) {
	if r.num == 0 {
		return
	}
	delete(s.nums, r.num)
	without := func(list []*remoteReader) []*remoteReader {
		return slices.DeleteFunc(list, func(o *remoteReader) bool { return o == r })
	}
	if r.wild {
		c.wild = without(c.wild)
	} else if c.exact[r.name] = without(c.exact[r.name]); len(c.exact[r.name]) == 0 {
		delete(c.exact, r.name)
	}
	r.leave(c.pos)
	r.num = 0
}

// leave makes a subscription that has joined one that has not.
func (r *remoteReader) leave(pos string) {
	if r.joined {
		r.joined, r.own = false, pos
	}
}

// unsubscribe ends it on the wire: what still arrives for its number is dropped.
func (r *remoteReader) unsubscribe() {
	s, num := r.c.session, r.num
	if s == nil || num == 0 {
		return
	}
	r.c.unnumber(s, r)
	s.push(outgoing{frame: wire.AppendRequest(nil, wire.Request{Op: wire.OpUnsub, Sub: num})})
}

// answer lets Subscribe return.
func (r *remoteReader) answer() {
	if !r.answered {
		r.answered = true
		close(r.confirmed)
	}
}

// ok is for a subscription that joins the stream.
func (r *remoteReader) ok() {
	r.joined, r.fresh, r.replays, r.own, r.tries = true, false, false, "", 0
	r.buf.complete(r.c.pos)
	r.answer()
}

// reset is for one that is sent its State values again.
func (r *remoteReader) reset(pos string) {
	r.leave(pos)
	r.buf.begin(pos)
}

// take buffers a message that leaves the subscription at pos; false: it is an event and there is no room.
func (r *remoteReader) take(m *Message, rev, pos string) bool {
	switch {
	case rev != "":
		r.buf.value(m, rev)
	case m.ID == "":
		r.buf.signal(m)
	default:
		ok, full := r.buf.event(m, pos)
		if full {
			r.c.crowded = &r.buf
		}
		return ok
	}
	return true
}

// park keeps the place and asks the hub for nothing more until the application has read half of what is buffered: a
// slow loop costs a cursor here as it does there.
func (r *remoteReader) park(at string) {
	r.unsubscribe()
	r.own, r.joined, r.parked = at, false, true
	r.answer() // Subscribe has to return so that somebody reads; that messages came has confirmed it
}

// lost buffers the notice of a loss.
func (r *remoteReader) lost(f *wire.ServerFrame) {
	if f.Cause == wire.CauseRestart {
		r.replays = r.fresh // what it continued from is unknown, so a replay that was asked for comes
	}
	r.buf.gap(int(max(f.Missed, 1)), f.Cause == wire.CauseRestart, f.At)
}

// again asks once more after a while: the hub could not say.
func (r *remoteReader) again() {
	delay := backoff(r.tries)
	r.tries++
	r.retry = time.AfterFunc(delay, func() {
		r.c.mu.Lock()
		defer r.c.mu.Unlock()
		r.c.ask(r)
	})
}

// end is the end for good. What is buffered can still be read.
func (r *remoteReader) end(err error) {
	r.ended = true
	if r.retry != nil {
		r.retry.Stop()
	}
	r.buf.end(err)
	r.answer()
}

// The source of a Subscription.

func (r *remoteReader) next(ctx context.Context) (Message, error) {
	return r.buf.next(ctx, r.unpark)
}

// unpark asks the hub for more: half of the buffer is free again.
func (r *remoteReader) unpark() {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	if r.parked {
		r.parked = false
		r.c.ask(r)
	}
}

func (r *remoteReader) over() error { return r.buf.over() }

func (r *remoteReader) restarted() bool { return r.buf.afterRestart() }

func (r *remoteReader) position() string {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	at := r.own
	if r.joined {
		at = r.c.pos
	}
	return r.buf.position(at)
}

// seek asks the hub for what follows after, if that is not where the reader stands anyway.
func (r *remoteReader) seek(after string) bool {
	if after == "" {
		r.buf.recovered()
		return true
	}
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	r.unsubscribe()
	r.own, r.joined, r.parked = after, false, false
	r.buf.seek(after)
	r.c.ask(r)
	return true
}

func (r *remoteReader) close() {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	if r.ended {
		r.buf.end(errSubscriptionClosed)
		return
	}
	r.unsubscribe()
	r.c.subs = slices.DeleteFunc(r.c.subs, func(o *remoteReader) bool { return o == r })
	r.end(errSubscriptionClosed)
}
