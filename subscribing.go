package hotline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gohotline/hotline/internal/eventlog"
	"github.com/gohotline/hotline/internal/pattern"
	"github.com/gohotline/hotline/internal/wire"
)

// hello is what a connection begins with.
type hello struct {
	req    wire.Request
	pushed []subscribing // by OnConnect
}

// continued says what the server's own subscriptions continue from, where that is not in the log but in the broker.
type continued struct {
	remote *remote
	nums   []int64      // the subscriptions: those whose history is for the client
	begun  bool         // it is being read
	at     eventlog.Pos // what the client has for its position: as it named it, and then as it is sent
}

// subscribing is a subscription on its way to the shard.
type subscribing struct {
	num    int64
	name   string
	after  eventlog.Pos
	known  bool         // after is a position of this log
	replay int          // count of newest messages, where after is not honoured
	cause  string       // of the gap that it begins with
	from   eventlog.Pos // it can't begin before this one: the broker's feed does not reach further back
	err    error        // it is refused
	remote *remote      // it begins with what this reads from the broker; nil: it does not
	oldest time.Time    // of that
}

// resolve looks up the position that a subscription is to continue from, or where its history begins. It waits for the
// broker, if there is one.
func (r *subscribing) resolve(ctx context.Context, h *Hub, after string) {
	if after != "" {
		pos, err := wire.ParsePos(after)
		if err == nil {
			r.continues(h.feed.resume(ctx, []string{r.name}, pos, r.from))
		}
		if r.err != nil || r.known || r.remote != nil {
			return
		}
		r.cause = wire.CauseRestart
	}
	if r.replay > 0 && h.rows.events(r.name) {
		r.continues(h.feed.history(ctx, r.name, r.replay, r.from))
	}
}

func (r *subscribing) continues(o origin, err error) {
	r.err = err
	if r.remote = o.remote; r.remote != nil {
		r.oldest = o.since
		return
	}
	r.after, r.known = o.at, o.known
}

// since is the time of the oldest message that r will be sent.
func (r *subscribing) since(h *Hub) time.Time {
	now := time.Now()
	if r.remote != nil && !r.oldest.IsZero() {
		return r.oldest
	}
	part := h.log.Part(r.name)
	if part.Topic == nil && !pattern.HasWildcard(r.name) {
		return now // nothing is stored of it
	}
	f := eventlog.Filter{Parts: []eventlog.Part{part}}
	at := r.after
	if !r.known {
		at = h.log.Newest(&f, r.replay, h.log.Head(), now)
	}
	if t := h.log.Oldest(&f, at, now); !t.IsZero() {
		return t
	}
	return now
}

// noHistory makes r begin now.
func (r *subscribing) noHistory() {
	r.known, r.replay, r.cause, r.remote = false, 0, wire.CauseDenied, nil
}

// start makes a connection ready: its hello has been answered, and these are the subscriptions that it asked for. The
// stream begins at the newest position that one of them continues from; the others read up to it on their own. What
// the server subscribed has no position but the connection's, so if there is any the stream begins at that.
func (sh *shard) start(p *peer, list []subscribing, remote *continued) {
	if p.gone {
		sh.release(list)
		return
	}
	p.cur, p.st = sh.cur, sh.st
	pushed := false
	var newest eventlog.Pos
	for _, r := range list {
		switch {
		case !r.known:
		case r.num < 0 && (!pushed || r.after.Seq < p.cur.Seq):
			p.cur, pushed = r.after, true
		case r.num > 0 && !pushed && r.after.Seq >= newest.Seq:
			newest = r.after
			p.cur = newest
		}
	}
	p.ready, p.remote = true, remote
	sh.behind.Add(1)
	sh.begin(p, list)
	sh.read(p)
}

// begin adds subscriptions, and answers for the refused ones.
func (sh *shard) begin(p *peer, list []subscribing) {
	if p.gone {
		sh.release(list)
		return
	}
	for i := range list {
		r := &list[i]
		if r.err == nil && r.remote != nil {
			sh.resume(p, r)
			continue
		}
		if r.err != nil {
			code, again := refusal(r.err)
			sh.say(p, wire.AppendEnd(nil, r.num, code, told(r.err), again))
			continue
		}
		if r.num < 0 {
			sh.say(p, wire.AppendPush(nil, r.num, r.name))
		}
		h := sh.hub
		s := &sub{num: r.num, name: r.name, events: h.rows.events(r.name), states: h.rows.state(r.name)}
		sh.subscribe(p, s)
		if p.live {
			p.cur = sh.position(p)
		}
		s.at = later(later(p.cur, sh.cur), r.from)
		s.cause, s.replay, s.from = r.cause, r.replay, r.from
		if r.known {
			s.at, s.cause, s.replay = r.after, "", 0
		}
		if !s.events {
			s.cause = "" // what it had of State is replaced, whatever that was: nothing is lost
		}
		if s.states {
			s.startWalk(h.log)
		}
		if s.num < 0 {
			sh.tellCause(p, s) // before the client's position moves, which is all that it can present for it
		}
		switch {
		case p.live && sh.arrived(p, s):
			sh.join(p, s) // it need not read, so the others need not wait
		case p.live:
			sh.goBehind(p, sh.cur, sh.st)
		}
	}
}

// cancel ends a subscription at the client's wish.
func (sh *shard) cancel(p *peer, num int64) {
	sh.markDirty(p) // also if there is nothing to say: the command counts as unanswered until p is written
	if sh.giveUp(p, num) {
		sh.say(p, wire.AppendEnd(nil, num, "", "", false))
		p.conn.subs.Add(-1)
	} else if s := p.find(num); s != nil {
		sh.unsubscribe(p, s)
		sh.say(p, wire.AppendEnd(nil, num, "", "", false))
		if num > 0 {
			p.conn.subs.Add(-1)
		}
	}
}

// position is where the stream of p stands.
func (sh *shard) position(p *peer) eventlog.Pos {
	if p.live {
		return later(p.cur, sh.cur)
	}
	return p.cur
}

func later(a, b eventlog.Pos) eventlog.Pos {
	if b.Seq > a.Seq {
		return b
	}
	return a
}

func checkTopic(topic string) error {
	if err := pattern.CheckTopic(topic); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if pattern.Reserved(topic) {
		return fmt.Errorf("%w: topic %q: topics that begin with $ are the hub's own", ErrInvalid, topic)
	}
	return nil
}

func checkPattern(p string) error {
	if err := pattern.CheckPattern(p); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if pattern.Reserved(p) {
		return fmt.Errorf("%w: topic %q: topics that begin with $ are the hub's own", ErrInvalid, p)
	}
	return nil
}

// refusal maps an error to the code of the protocol, and whether the client is to try again. One rule holds for the
// errors of all hooks: what wraps ErrDenied or ErrInvalid is final, anything else is temporary.
func refusal(err error) (code string, again bool) {
	var large tooLargeError
	switch {
	case errors.Is(err, ErrDenied):
		return wire.CodeDenied, false
	case errors.As(err, &large):
		return wire.CodeTooLarge, false
	case errors.Is(err, ErrInvalid):
		return wire.CodeInvalid, false
	case errors.Is(err, ErrLimit):
		return wire.CodeLimit, false
	case errors.Is(err, ErrClosed):
		return wire.CodeClosing, true
	case errors.Is(err, ErrUncertain):
		return wire.CodeUnavailable, true
	case errors.Is(err, errHookTimeout):
		return wire.CodeTimeout, true
	}
	return wire.CodeInternal, true
}

// told is what the peer may know of an error: the text of those that wrap one of our sentinels.
func told(err error) string {
	for _, e := range []error{ErrDenied, ErrInvalid, ErrLimit, ErrClosed, ErrUncertain, errHookTimeout} {
		if errors.Is(err, e) {
			return err.Error()
		}
	}
	var bad *wire.BadRequest
	if errors.As(err, &bad) {
		return bad.Reason
	}
	return "internal error"
}

// tooLargeError is an ErrInvalid that the protocol has a code of its own for.
type tooLargeError string

func tooLarge(format string, args ...any) error { return tooLargeError(fmt.Sprintf(format, args...)) }

func (e tooLargeError) Error() string { return "hotline: invalid: " + string(e) }

func (e tooLargeError) Unwrap() error { return ErrInvalid }
