package hotline

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"sync/atomic"

	"github.com/gohotline/hotline/internal/eventlog"
)

// Subscription reads the messages of a topic or pattern, in order. One goroutine may read at a time.
// A reader that falls behind, or stops, holds up nobody and costs no memory: it reads on from its position later.
type Subscription struct {
	src     source
	local   *logReader // src, if it reads the log of this process
	reading atomic.Bool
	life    context.Context // if there is a Resync: done when the subscription is closed
	end     context.CancelFunc
	blank   atomic.Bool // the snapshot that it begins with was not loaded yet: there is nothing to continue from

	// Owned by whoever reads.
	resync func(ctx context.Context) (after string, err error)
	stale  bool // Resync is to be run before anything else
	tries  int
	missed int // not yet told
}

// source is where a Subscription reads from: the log of this process, or a client's connection.
type source interface {
	// next returns the next message; Missed says what was lost before it. A message without topic says only that.
	next(ctx context.Context) (Message, error)
	position() string
	// restarted reports whether the last loss was that of a hub which has restarted, so that every client has one now.
	restarted() bool
	// over is why there will be nothing more but what is waiting already, or nil.
	over() error
	// seek makes reading go on after a position; empty: after the last loss. It reports whether that is known.
	seek(after string) bool
	close()
}

// Messages iterates over the messages until ctx or the subscription ends. An error comes last and once: ctx's and its
// cause, [ErrDenied] if permission was withdrawn, or why the client or hub ended; after Close the loop just ends.
// Leaving the loop does not close the subscription: a later Messages or Next reads on.
func (s *Subscription) Messages(ctx context.Context) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		for {
			m, err := s.Next(ctx)
			if err != nil && errors.Is(err, errSubscriptionClosed) {
				return
			}
			if !yield(m, err) || err != nil {
				return
			}
		}
	}
}

func newSubscription(src source, opts *SubscribeOptions) *Subscription {
	s := &Subscription{src: src, resync: opts.Resync}
	if s.resync != nil {
		s.life, s.end = context.WithCancel(context.Background())
	}
	return s
}

// errSubscriptionClosed is the ErrClosed of a subscription that its own Close ended.
var errSubscriptionClosed error = closedError("the subscription")

type closedError string

func (e closedError) Error() string { return "hotline: closed: " + string(e) }
func (e closedError) Unwrap() error { return ErrClosed }

// Next returns the next message, when there is one. The error is ctx's or its cause, [ErrDenied] if permission was
// withdrawn, or wraps [ErrClosed]. It panics if another goroutine is in Next.
func (s *Subscription) Next(ctx context.Context) (Message, error) {
	if !s.reading.CompareAndSwap(false, true) {
		panic("hotline: two goroutines read one Subscription")
	}
	defer s.reading.Store(false)
	for {
		if ctx.Err() != nil { // also if there is more to read: else a loop that never gets to the end of it would not end
			return Message{}, cause(ctx)
		}
		if err := s.runResync(ctx); err != nil {
			return Message{}, err
		}
		m, err := s.src.next(ctx)
		if err != nil {
			return Message{}, err
		}
		if m.Missed > 0 && s.resync != nil {
			// The snapshot covers what was lost, and perhaps this message: it is read again after it.
			s.stale = true
			continue
		}
		if s.missed += m.Missed; m.Topic == "" {
			continue
		}
		m.Missed, s.missed, s.tries = s.missed, 0, 0
		return m, nil
	}
}

// runResync loads a snapshot if one is due, until it succeeds or the subscription is closed, or fails and there is nothing
// more to come. Temporary errors are tried again, and so is a loss during it, more slowly each time. After a restart of the
// hub, when all its clients do the same, none begins at once.
func (s *Subscription) runResync(ctx context.Context) error {
	if !s.stale || s.resync == nil {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	for s.stale {
		if s.tries > 0 || s.src.restarted() {
			if err := pause(ctx, backoff(max(s.tries-1, 0))); err != nil {
				return cmp.Or(s.closed(), err)
			}
		}
		s.tries++
		after, err := s.resync(ctx)
		switch {
		case errors.Is(err, ErrDenied):
			return err
		case s.closed() != nil:
			return s.closed()
		case err != nil && ctx.Err() != nil:
			return cause(ctx)
		case err == nil && s.src.seek(after):
			s.stale, s.missed = false, 0
			s.blank.Store(false)
		case s.src.over() != nil:
			return s.src.over()
		}
	}
	return nil
}

// closed is why a Resync is given up whatever it returns, or nil.
func (s *Subscription) closed() error {
	if s.life.Err() != nil {
		return errSubscriptionClosed
	}
	return nil
}

// Position is where reading stands: after the last message that Next returned, or where the subscription began. Who saves
// what it makes of the messages from another goroutine saves the ID of the last one that it has applied with it instead: Next
// may have returned one that is not.
// It moves on also while nothing is published here, so that a saved position does not age. It stays before a loss that no
// message has told yet, or that Resync has not made good. It is empty before the first Resync, before the first message of a
// Replay was read, and as long as the hub has not said where the subscription began: who continues there begins anew. It is
// safe for concurrent use.
func (s *Subscription) Position() string {
	if s.blank.Load() {
		return ""
	}
	return s.src.position()
}

// Close ends the subscription. It can be called twice, and from any goroutine. It returns nil.
func (s *Subscription) Close() error {
	s.src.close()
	if s.end != nil {
		s.end()
	}
	return nil
}

// notify and live are the shard's: something was published for this subscription.
func (s *Subscription) notify()               { s.local.notify() }
func (s *Subscription) live(m *eventlog.Live) { s.local.live(m) }
