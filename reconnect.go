package hotline

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/gohotline/hotline/internal/wire"
)

const (
	backoffBase  = 500 * time.Millisecond
	backoffFirst = 2 * time.Second  // no limit of a delay is below that
	backoffCap   = 20 * time.Second // or above
	settled      = 5 * time.Second  // a connection that lasted so long was a good one: the delays begin anew
)

// backoffLimit is the longest delay before attempt n, counted from 0.
func backoffLimit(n int) time.Duration {
	return min(backoffCap, max(backoffFirst, backoffBase<<min(n, 16)))
}

// backoff is the delay before attempt n: any between 0 and its limit. The whole of it is random, also where the limit no
// longer grows, else the clients that one event has disconnected come back in the same second again and again.
func backoff(n int) time.Duration { return rand.N(backoffLimit(n) + 1) }

// pause waits.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return cause(ctx)
	}
}

// run keeps the client connected. It is the only goroutine of a client that lasts.
func (c *Client) run() {
	defer close(c.done)
	defer c.finish()
	for n, first := 0, true; ; n++ {
		s, err := c.connect()
		lost := first
		var hint time.Duration = -1
		if err == nil {
			err = s.talk()
			lost = lost || s.up
			first = first && !s.up
			if s.up && time.Since(s.since) >= settled {
				n = 0
			}
			if s.hasRetry {
				hint = s.retry // it is spread already
			}
		}
		if c.ctx.Err() != nil {
			return
		}
		if final(err, first) {
			c.cancel(finalError(err))
			return
		}
		delay := backoff(n)
		var failed *handshakeError
		if errors.As(err, &failed) {
			delay += failed.retryAfter
		}
		if hint >= 0 {
			delay = hint
		}
		c.mu.Lock()
		c.last = err
		c.mu.Unlock()
		c.log().Debug("hotline: not connected", "url", c.shown, "error", err, "retry", delay)
		if lost {
			c.state.put(err)
		}
		if pause(c.ctx, delay) != nil {
			return
		}
	}
}

// final reports whether there is no use in trying again; first: the client has never been connected, so that it may be a
// mistake in how it was set up.
func final(err error, first bool) bool {
	var closed *CloseError
	var failed *handshakeError
	var cert *tls.CertificateVerificationError
	switch {
	case errors.Is(err, ErrDenied), errors.Is(err, errHub):
		return true
	case errors.As(err, &closed):
		return wire.Final(closed.Code) // the token was fetched for this attempt, so 3500 is final too
	case errors.As(err, &cert), errors.Is(err, http.ErrSchemeMismatch), errors.Is(err, errRedirects):
		return first
	case errors.As(err, &failed):
		return failed.final || first && failed.mistaken
	}
	return false
}

// finalError is the cause of a client's end.
func finalError(err error) error {
	var closed *CloseError
	if errors.As(err, &closed) && closed.Code == wire.CloseUnauthorized {
		return fmt.Errorf("%w: %w", ErrDenied, err)
	}
	return err
}

// notifier calls OnState in a goroutine of its own, so that the call may do with the client what it likes. It tells the
// newest state only: what was overtaken while a call lasted is left out.
type notifier struct {
	call func(err error)

	mu      sync.Mutex
	next    error
	due     bool
	running bool
	closed  bool
}

func (n *notifier) put(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	n.next, n.due = err, true
	if !n.running {
		n.running = true
		go n.run()
	}
}

// run is not waited for: it ends with the call that it is in.
func (n *notifier) run() {
	for {
		n.mu.Lock()
		if !n.due || n.closed {
			n.running = false
			n.mu.Unlock()
			return
		}
		err := n.next
		n.due = false
		n.mu.Unlock()
		n.call(err)
	}
}

func (n *notifier) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
}

// onState calls the application, whose panic is no reason to end its process.
func (c *Client) onState(err error) {
	if c.opts.OnState == nil {
		return
	}
	defer func() {
		if v := recover(); v != nil {
			c.log().Error("hotline: panic in a hook", "hook", "DialOptions.OnState", "panic", v)
		}
	}()
	c.opts.OnState(err)
}
