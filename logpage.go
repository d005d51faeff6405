package hotline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gohotline/hotline/internal/eventlog"
)

// This file is a logReader that begins in the broker's store.

// fetch waits for a page of what is to be read from the broker, if there is any. It is called by the one who reads.
func (r *logReader) fetch(ctx context.Context) error {
	r.mu.Lock()
	rem := r.remote
	wait := rem != nil && len(rem.page) == 0 && !r.closed
	r.mu.Unlock()
	if !wait {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(r.hub.feed.ctx, func() { cancel(fmt.Errorf("%w: the hub", ErrClosed)) })
	defer stop()
	next := *rem
	err := next.retry(ctx, windowFrames, 1<<20)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case errors.Is(err, ErrPosition): // it was there a moment ago
		if r.remote = nil; !r.history || !r.unread { // a replay that has not begun reaches as far back as it reaches
			r.missed++
		}
		r.at = later(r.hub.log.Head(), r.from)
	case err != nil:
		return cause(ctx)
	default:
		*rem = next
	}
	return nil
}

// readRemote returns the next message of the page. After the last page the log takes over.
func (r *logReader) readRemote() (m Message, ok bool) {
	rem := r.remote
	if rem.lost {
		rem.lost = false
		if r.missed++; r.sub.resync != nil {
			m.Missed, r.missed = r.missed, 0
			return m, true
		}
	}
	for len(rem.page) > 0 {
		e := rem.page[0]
		rem.page[0] = BrokerEntry{}
		rem.page = rem.page[1:]
		if e.Topic[0] == '$' || e.Delivery != Events {
			continue
		}
		r.position_, r.unread = eventlog.Pos(e.Position), false
		if age := r.hub.rows.of(e.Topic).MaxAge; age > 0 && time.Since(e.Time) >= age {
			if !r.history {
				r.missed++
			}
			continue
		}
		m = Message{
			Topic: e.Topic, ID: r.position_.String(), From: e.From, Data: e.Data, Binary: e.Binary,
			Missed: r.missed, Replayed: r.history,
		}
		r.missed = 0
		return m, true
	}
	if rem.read && !rem.more {
		r.at, r.remote = rem.at, nil
	}
	return m, false
}
