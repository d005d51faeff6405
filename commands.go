package hotline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	"github.com/gohotline/hotline/internal/eventlog"
	"github.com/gohotline/hotline/internal/frame"
	"github.com/gohotline/hotline/internal/pattern"
	"github.com/gohotline/hotline/internal/wire"
)

// This file is the command loop of a connection: one goroutine that reads what the client sends and runs the hooks, one
// at a time and in order. It waits: for hooks, for the broker, for a peer that does not take its answers. Nobody waits
// for it.

// serve answers the hello that was read. The rest of the connection's life has a goroutine of its own.
func (c *Conn) serve() {
	c.work(c.hello)
	c.hub.group.Go(c.run)
}

// run waits for what the client sends and handles it, until the connection ends. A stack that a message has made larger
// does not shrink while somebody waits on half of the smaller size, so a connection that was quiet gets a new one for
// its next silence: 2 KiB. One that talks all the time keeps its own, because a new one costs it 20 us.
func (c *Conn) run() {
	const quiet = time.Second
	for {
		c.hub.giveBack(c.under)
		c.under.await()
		silence := c.hub.age() - time.Duration(c.lastRead.Load())
		if err := c.loop(); err != nil {
			c.finish(err)
			return
		}
		if silence > quiet {
			c.hub.group.Go(c.run)
			return
		}
	}
}

// work runs a command.
func (c *Conn) work(command func()) {
	c.working.Store(true)
	command()
	c.received() // what has come meanwhile is about to be read
	c.mu.Lock()
	defer c.mu.Unlock()
	c.working.Store(false)
	if c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
}

// answered returns a channel that is closed once the command that runs now has ended.
func (c *Conn) answered() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	idle := c.idle
	if idle == nil {
		idle = make(chan struct{})
		if c.working.Load() {
			c.idle = idle
		} else {
			close(idle)
		}
	}
	return idle
}

// finish ends a connection that can't be read on, for reason err.
func (c *Conn) finish(err error) {
	h := c.hub
	why := c.readEnd(err)
	c.endRead(err)
	c.end(why)
	removed := make(chan struct{})
	c.shard.do(func() { close(removed) }) // after what end has left there
	<-removed
	h.presence.leave(c)
	if h.opts.OnDisconnect != nil {
		c.mu.Lock()
		cause := c.closing.cause
		c.mu.Unlock()
		ctx, cancel := context.WithTimeoutCause(context.Background(), hookTimeout, errHookTimeout)
		_ = h.guard("OnDisconnect", func() error {
			h.opts.OnDisconnect(ctx, c, cause)
			return nil
		})
		cancel()
	}
	h.forget(c)
}

// maxOut is the largest message that a client has to expect: the payload and its head.
const maxOut = maxMessage + 8<<10

// welcome is what clients are told of the limits. They set their clocks by it, so what has no end is left out, and what
// no number of the protocol can say.
func (l *Limits) welcome(conn string) wire.Welcome {
	w := wire.Welcome{Conn: conn, Out: maxOut}
	if l.PingInterval != never {
		w.Ping, w.Grace = l.PingInterval, pongGrace
	}
	if l.MessageBytes <= math.MaxInt32 {
		w.In = l.MessageBytes
	}
	if l.Subscriptions <= math.MaxInt32 {
		w.Subs = l.Subscriptions
	}
	return w
}

// handle does what one message asks for.
func (c *Conn) handle(msg []byte, binary bool) {
	c.slowDown()
	if c.plain {
		c.message(msg, binary)
		return
	}
	req, err := wire.DecodeRequest(msg, binary)
	if err != nil {
		c.end(c.readEnd(err))
		return
	}
	if req.Op == "pong" {
		c.pong()
		return
	}
	switch req.Op {
	case "pub":
		c.publish(&req)
	case "sub":
		r := c.subscribing(wire.SubRequest{Sub: req.Sub, Topic: req.Topic, After: req.After, Replay: req.Replay}, 0)
		c.asked.Add(1)
		c.shard.do(func() { c.shard.begin(c.peer, []subscribing{r}) })
	case "unsub":
		c.asked.Add(1)
		c.shard.do(func() { c.shard.cancel(c.peer, req.Sub) })
	case "hello":
		c.close(wire.CloseProtocol, "a second hello", nil)
	default:
		c.control(frame.Text, wire.AppendErr(nil, req.Ref, req.HasRef, wire.CodeUnknown, "unknown op", false))
	}
}

// message hands what a plain connection sent to OnMessage. Who begins with a hello has forgotten the subprotocol.
func (c *Conn) message(msg []byte, binary bool) {
	if !binary && !utf8.Valid(msg) { // RFC 6455 §8.1
		c.close(wire.CloseNotUTF8, "not UTF-8", nil)
		return
	}
	first := !c.spoke
	c.spoke = true
	if first && bytes.HasPrefix(bytes.TrimSpace(msg), []byte("{")) {
		if req, err := wire.DecodeRequest(msg, false); err == nil && req.Op == "hello" {
			c.close(wire.CloseProtocol, "a hello needs the subprotocol "+wire.Protocol, nil)
			return
		}
	}
	if err := c.hook("OnMessage", func(ctx context.Context) error {
		c.hub.opts.OnMessage(ctx, c, msg)
		return nil
	}); err != nil {
		c.close(wire.CloseInternalError, "internal error", err)
	}
}

// subscribing checks and authorizes a subscription. So many were asked for before it in the same message, which count
// though they may have been refused: a hook may have been asked for each.
func (c *Conn) subscribing(s wire.SubRequest, before int) (r subscribing) {
	h := c.hub
	r = subscribing{num: s.Sub, name: s.Topic, replay: s.Replay}
	switch limit := h.limits.Subscriptions; {
	case s.Sub <= c.lastSub && s.Sub > 0:
		r.err = fmt.Errorf("%w: subscription number %d: numbers ascend on a connection and are not used again", ErrInvalid, s.Sub)
		return r
	case c.subs.Load() >= int64(limit) || before >= limit:
		r.err = fmt.Errorf("%w: a connection has at most %d subscriptions", ErrLimit, limit)
	case h.draining.Load():
		r.err = errShutdown
	default:
		r.err = checkPattern(s.Topic)
	}
	c.lastSub = s.Sub
	if r.err == nil {
		r.err = c.maySubscribe(s.Topic)
	}
	if r.err != nil {
		return r
	}
	if !c.follow(&r) {
		return r
	}
	if r.resolve(c.ctx, h, s.After); r.err == nil {
		r.err = c.readBack(&r)
	}
	if r.err != nil {
		h.feed.unfollow(r.name)
	} else {
		c.subs.Add(1)
	}
	return r
}

// readBack asks whether a subscription may begin with what was published before now. Refused, it begins now.
func (c *Conn) readBack(r *subscribing) error {
	h := c.hub
	if h.opts.AuthorizeHistory == nil || !r.known && r.remote == nil && r.replay == 0 {
		return nil
	}
	err := c.hook("AuthorizeHistory", func(ctx context.Context) error {
		return h.opts.AuthorizeHistory(ctx, c, r.name, r.since(h))
	})
	if errors.Is(err, ErrDenied) {
		r.noHistory()
		return nil
	}
	return err
}

// follow makes the broker's feed carry a subscription's topics.
func (c *Conn) follow(r *subscribing) (ok bool) {
	r.err = c.hub.feed.follow(c.ctx, r.name, func(from eventlog.Pos) { r.from = from })
	return r.err == nil
}

func (c *Conn) maySubscribe(topic string) error {
	c.mu.Lock()
	_, granted := c.granted[topic]
	c.mu.Unlock()
	if granted {
		return nil
	}
	if c.hub.opts.AuthorizeSubscribe == nil {
		return fmt.Errorf("%w: subscribing to %q", ErrDenied, topic)
	}
	return c.hook("AuthorizeSubscribe", func(ctx context.Context) error {
		return c.hub.opts.AuthorizeSubscribe(ctx, c, topic)
	})
}

// publish stores what the client publishes, or has it handled, and answers.
func (c *Conn) publish(req *wire.Request) {
	pos, held, err := c.tryPublish(req)
	switch {
	case !req.HasRef && err == nil:
	case err != nil:
		code, again := refusal(err)
		if !req.HasRef {
			c.hub.log_().Debug("hotline: signal refused", "conn", c.id, "topic", req.Topic[:min(len(req.Topic), pattern.MaxLen)], "error", err)
			return
		}
		c.control(frame.Text, wire.AppendErr(nil, req.Ref, true, code, told(err), again))
	default:
		c.control(frame.Text, wire.AppendAck(nil, req.Ref, pos, held))
	}
}

func (c *Conn) tryPublish(req *wire.Request) (pos eventlog.Pos, held bool, err error) {
	h := c.hub
	if err := checkTopic(req.Topic); err != nil {
		return pos, false, err
	}
	if h.draining.Load() {
		return pos, false, errShutdown
	}
	if req.TooDeep {
		return pos, false, fmt.Errorf("%w: the data nests deeper than %d", ErrInvalid, wire.MaxDepth)
	}
	if len(req.Data) > maxMessage { // Limits.MessageBytes allows it, but its subscribers may not be able to read it
		return pos, false, tooLarge("the message has %d bytes, the limit is %d", len(req.Data), maxMessage)
	}
	p := publication{topic: req.Topic, row: h.rows.of(req.Topic), from: c.identity.User, conn: c,
		payload: payload{data: req.Data, binary: req.Binary}}
	if p.data == nil && !p.binary {
		p.data = null
	}
	if req.Key == "" || p.row.Delivery == Presence {
		// A Presence value is held by the connection that publishes it: a repetition is a new holder's.
		return c.pass(&p)
	}
	return h.keys.once(c.ctx, scope(c.identity.User, req.Topic, req.Key), func(key string) (eventlog.Pos, bool, error) {
		p.key = key
		return c.pass(&p)
	})
}

// pass asks the hooks about a publication and stores it.
func (c *Conn) pass(p *publication) (pos eventlog.Pos, held bool, err error) {
	h := c.hub
	if h.opts.AuthorizePublish == nil {
		return pos, false, fmt.Errorf("%w: publishing to %q", ErrDenied, p.topic)
	}
	if err := c.hook("AuthorizePublish", func(ctx context.Context) error {
		return h.opts.AuthorizePublish(ctx, c, p.topic)
	}); err != nil {
		return pos, false, err
	}
	row := p.row
	if row.OnPublish != nil {
		m, err := c.hookMessage("OnPublish", row.OnPublish, p)
		if err == nil {
			err = p.become(m)
		}
		if err != nil {
			return pos, false, err
		}
	}
	if row.Handle != nil {
		_, err := c.hookMessage("Handle", row.Handle, p)
		return pos, false, err
	}
	if c.ctx.Err() != nil {
		// The client will send it again on its next connection: stored now, it could come after that.
		return pos, false, fmt.Errorf("%w: %w", ErrClosed, context.Cause(c.ctx))
	}
	return h.store(c.ctx, *p)
}

// hookMessage shows a publication to a hook, and returns what the hook has made of it.
func (c *Conn) hookMessage(name string, hook func(context.Context, *Conn, *Message) error, p *publication) (Message, error) {
	m := Message{Topic: p.topic, From: p.from, Data: p.data, Binary: p.binary}
	err := c.hook(name, func(ctx context.Context) error { return hook(ctx, c, &m) })
	return m, err
}

// become takes data and sender from m. The data is checked also if it looks the same: it may have been changed in place.
func (p *publication) become(m Message) (err error) {
	var v any = m.Data
	switch {
	case m.Binary:
		v = Binary(m.Data)
	case m.Data == nil:
		v = nil
	}
	p.from = m.From
	if p.payload, err = encode(v); err != nil {
		return fmt.Errorf("OnPublish made it: %w", err)
	}
	return nil
}

// slowDown waits as long as the client is over its rate: the hub then reads more slowly, and refuses nothing. Whatever
// a client sends counts, a ping too, or a flood of them would take a CPU.
func (c *Conn) slowDown() {
	rate := float64(c.hub.limits.PublishRate)
	now := time.Now()
	if c.refill.IsZero() {
		c.tokens = 2 * rate
	} else {
		c.tokens = min(2*rate, c.tokens+now.Sub(c.refill).Seconds()*rate)
	}
	c.refill = now
	if c.tokens--; c.tokens >= 0 {
		return
	}
	t := time.NewTimer(time.Duration(-c.tokens / rate * float64(time.Second)))
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.ctx.Done():
	}
}
