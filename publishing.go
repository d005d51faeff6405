package hotline

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gohotline/hotline/internal/wire"
)

const (
	answerTimeout = 4 * time.Minute // the hub knows a key for 5
	signalBytes   = 64 << 10        // that wait for the socket; beyond it signals are refused
	publishCost   = 1 << 10         // of an unanswered publish, beside its frame
	maxCloses     = 2               // of the connection by the hub, of which a publish in flight may be the reason
)

// publishing is a publish that is not answered yet.
type publishing struct {
	// Static after construction.
	ref   uint64
	topic string
	frame []byte
	data  payload
	done  chan struct{} // closed when it is settled
	again bool          // it repeats a Presence value that the client holds; nobody waits for it

	// Guarded by Client.mu, and static once it is settled.
	on     *session // it was sent on this connection and is in flight there
	sent   bool     // on some connection: it may have been stored
	closes int      // of connections by the hub, while it was in flight
	tries  int
	timer  *time.Timer // ends the wait for an answer
	retry  *time.Timer
	err    error
}

// Publish returns when the hub has accepted the message, which then is stored exactly once, also across reconnects.
// While the client is not connected it waits, and likewise while 4 MiB of publishes are unanswered. The rules for v are those of
// [Hub.Publish], and the hub's limit for messages from clients holds, by default 64 KiB. The error wraps [ErrDenied],
// [ErrInvalid], [ErrLimit] or [ErrClosed]; or it is ctx's. If it wraps [ErrUncertain] too, the message was sent and not
// answered, for 4 minutes or before ctx, the client or, twice, the connection ended: it may or may not have been stored.
func (c *Client) Publish(ctx context.Context, topic string, v any) error {
	return c.publish(ctx, topic, v, rand.Text())
}

// Once returns a Publisher that stores at most one message a topic for this key, which must be UTF-8 and not empty. See [Hub.Once].
func (c *Client) Once(key string) Publisher { return &clientOnce{c, key} }

type clientOnce struct {
	c   *Client
	key string
}

// Publish publishes unless the key is known.
func (o *clientOnce) Publish(ctx context.Context, topic string, v any) error {
	if o.key == "" {
		return fmt.Errorf("%w: Once needs a key", ErrInvalid)
	}
	if !utf8.ValidString(o.key) { // which can't be sent as it is
		return fmt.Errorf("%w: the key %q of Once is not UTF-8", ErrInvalid, o.key)
	}
	return o.c.publish(ctx, topic, v, o.key)
}

func (c *Client) publish(ctx context.Context, topic string, v any, key string) error {
	if err := checkTopic(topic); err != nil {
		return err
	}
	data, err := encode(v)
	if err != nil {
		return err
	}
	cost := int64(len(data.data) + publishCost)
	if err := c.room.Acquire(ctx, cost); err != nil {
		return cause(ctx)
	}
	defer c.room.Release(cost)
	c.mu.Lock()
	p, err := c.enqueue(topic, data, key, false)
	c.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		c.mu.Lock()
		c.settle(p, unsettled(p, cause(ctx)))
		c.mu.Unlock()
		<-p.done
	}
	return p.err
}

// unsettled is the error of a publish that is given up for why.
func unsettled(p *publishing, why error) error {
	if p.sent {
		return fmt.Errorf("%w: %w", ErrUncertain, why)
	}
	return why
}

// enqueue makes a publish one that waits for its answer. It needs mu, as do all that follow.
func (c *Client) enqueue(topic string, data payload, key string, again bool) (*publishing, error) {
	if c.ended != nil {
		return nil, closedFor(c.ended)
	}
	c.ref++
	p := &publishing{ref: c.ref, topic: topic, data: data, done: make(chan struct{}), again: again}
	p.frame = wire.AppendRequest(nil, wire.Request{
		Op: wire.OpPub, Ref: p.ref, HasRef: true, Topic: topic, Data: data.data, Binary: data.binary, Key: key,
	})
	if err := c.fits(p.frame); err != nil {
		return nil, err
	}
	c.waiting[p.ref] = p
	if s := c.session; s != nil && s.up {
		c.send(s, p)
	}
	return p, nil
}

// fits checks what the hub would close the connection for.
func (c *Client) fits(frame []byte) error {
	if c.maxIn > 0 && len(frame) > c.maxIn {
		return tooLarge("the message has %d bytes, the limit is %d", len(frame), c.maxIn)
	}
	return nil
}

// send queues a publish on a connection; one that does not fit has no use.
func (c *Client) send(s *session, p *publishing) {
	if err := c.fits(p.frame); err != nil {
		c.settle(p, err)
		return
	}
	s.push(outgoing{frame: p.frame, binary: p.data.binary, pub: p})
}

// begin notes that a publish is about to be written.
func (p *publishing) begin(s *session) {
	p.on, p.sent = s, true
	if p.timer == nil {
		c := s.c
		p.timer = time.AfterFunc(answerTimeout, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.settle(p, fmt.Errorf("%w: not answered for %s", ErrUncertain, answerTimeout))
		})
	}
}

// settle ends the wait of a publish, once.
func (c *Client) settle(p *publishing, err error) {
	if c.waiting[p.ref] != p {
		return
	}
	delete(c.waiting, p.ref)
	for _, t := range []*time.Timer{p.timer, p.retry} {
		if t != nil {
			t.Stop()
		}
	}
	p.err = err
	if err != nil && !p.again {
		c.stillHeld(p)
	}
	close(p.done)
}

// unansweredNow are the unanswered publishes in their order.
func (c *Client) unansweredNow() []*publishing {
	return slices.SortedFunc(maps.Values(c.waiting), func(a, b *publishing) int { return cmp.Compare(a.ref, b.ref) })
}

// accepted is the answer to a publish that the hub has stored.
func (c *Client) accepted(f *wire.ServerFrame) {
	p := c.waiting[f.Ref]
	if p == nil {
		return
	}
	c.letGo(p.topic)
	if f.Held {
		c.hold(p)
	}
	c.settle(p, nil)
}

// refused is the answer to one that it has not.
func (c *Client) refused(s *session, f *wire.ServerFrame) {
	p := c.waiting[f.Ref]
	switch {
	case !f.HasRef:
		code, reason := f.Code, f.Reason
		s.notes = append(s.notes, func() {
			c.log().Debug("hotline: the hub could not do something", "code", code, "reason", reason)
		})
	case p == nil:
	case f.Again:
		p.on = nil
		delay := backoff(p.tries)
		p.tries++
		p.retry = time.AfterFunc(delay, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.waiting[p.ref] == p && c.session == s {
				c.send(s, p)
			}
		})
	default:
		err := refusedFor(f.Code, f.Reason)
		c.settle(p, err)
		if p.again {
			c.giveUp(s, p.topic, err)
		}
	}
}

// unsent is for the end of a connection; closed: by the hub, which said so.
func (c *Client) unsent(s *session, closed bool) {
	for _, p := range c.unansweredNow() {
		if p.retry != nil {
			p.retry.Stop()
		}
		if p.on != s {
			continue
		}
		p.on = nil
		if closed {
			p.closes++
		}
		h := c.holding(p.topic)
		if p.again && h != nil {
			h.closes = p.closes
		}
		if p.closes >= maxCloses {
			err := fmt.Errorf("%w: the hub closed the connection, %d times while this was in flight", ErrUncertain, p.closes)
			c.settle(p, err)
			if p.again {
				c.giveUp(s, p.topic, err)
			}
		}
	}
}

// resend sends what is unanswered, in its order, and then what the client holds of Presence: the hub has forgotten that
// with the connection.
func (c *Client) resend(s *session) {
	again := make(map[string]bool)
	for _, p := range c.unansweredNow() {
		if p.again {
			c.settle(p, nil) // it is made anew
			continue
		}
		again[p.topic] = true
		c.send(s, p)
	}
	for _, h := range slices.Clone(c.held) {
		if !again[h.topic] {
			c.repeat(s, h)
		}
	}
}

// Signal sends v without waiting, for input and cursors at a high rate: at most once. [ErrLimit] says that it was not
// sent, because the client is not connected or 64 KiB wait for the socket. The error can also wrap [ErrInvalid] or
// [ErrClosed]; a refusal by the hub is not told.
func (c *Client) Signal(topic string, v any) error {
	if err := checkTopic(topic); err != nil {
		return err
	}
	data, err := encode(v)
	if err != nil {
		return err
	}
	frame := wire.AppendRequest(nil, wire.Request{Op: wire.OpPub, Topic: topic, Data: data.data, Binary: data.binary})
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.session
	switch {
	case c.ended != nil:
		return closedFor(c.ended)
	case s == nil || !s.up:
		return fmt.Errorf("%w: not connected", ErrLimit)
	case s.outBytes > 0 && s.outBytes+len(frame) > signalBytes:
		return fmt.Errorf("%w: %d bytes wait for the socket", ErrLimit, s.outBytes)
	}
	if err := c.fits(frame); err != nil {
		return err
	}
	s.push(outgoing{frame: frame, binary: data.binary})
	return nil
}

// refusedError is what the hub refused something for.
type refusedError struct {
	code, text string
	kind       error // one of our errors; nil: none fits
}

func refusedFor(code, reason string) error {
	e := &refusedError{code: code, text: reason}
	switch code {
	case wire.CodeDenied:
		e.kind = ErrDenied
	case wire.CodeInvalid, wire.CodeTooLarge, wire.CodeUnknown:
		e.kind = ErrInvalid
	case wire.CodeLimit:
		e.kind = ErrLimit
	}
	return e
}

// Error is what the hub said, which begins like our own errors if it is one of them.
func (e *refusedError) Error() string {
	switch {
	case e.text == "":
		return "hotline: the hub refused it: " + e.code
	case strings.HasPrefix(e.text, "hotline: "):
		return e.text
	case e.kind != nil:
		return e.kind.Error() + ": " + e.text
	}
	return "hotline: the hub refused it: " + e.code + ": " + e.text
}

func (e *refusedError) Unwrap() error { return e.kind }
