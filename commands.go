package hotline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"

	"github.com/coder/websocket"

	"github.com/gohotline/hotline/internal/eventlog"
	"github.com/gohotline/hotline/internal/frame"
	"github.com/gohotline/hotline/internal/wire"
)

// This file is the command loop of a connection: one goroutine that reads what the client sends and runs the hooks, one
// at a time and in order. It waits: for hooks, for the broker, for a peer that does not take its answers. Nobody waits
// for it.

// serve is the life of a connection after its hello was read. Reading has a goroutine of its own: a stack that the hello has made larger than
// that needs would stay so for as long as the connection is idle.
func (c *Conn) serve() {
	c.hello()
	c.hub.group.Go(c.run)
}

// run reads until the connection ends, and ends it.
func (c *Conn) run() {
	h := c.hub
	err := c.loop()
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
		_ = h.guard("OnDisconnect", func() error {
			h.opts.OnDisconnect(context.Background(), c, cause)
			return nil
		})
	}
	h.forget(c)
}

// hello runs OnConnect and makes the first subscriptions.
func (c *Conn) hello() {
	h, l := c.hub, c.hub.limits
	if !c.plain {
		c.control(frame.Text, wire.AppendWelcome(nil, wire.Welcome{
			Conn: c.id, Ping: l.PingInterval, Grace: pongGrace, In: l.MessageBytes, Out: maxOut, Subs: l.Subscriptions,
		}))
	}
	c.schedule()
	if h.opts.OnConnect != nil {
		if err := c.hook("OnConnect", func(ctx context.Context) error {
			h.opts.OnConnect(ctx, c)
			return nil
		}); err != nil {
			c.close(wire.CloseInternalError, "internal error", err)
		}
	}
	c.mu.Lock()
	first := c.starting
	c.starting = nil
	c.mu.Unlock()
	list := make([]subscribing, 0, len(first.pushed)+len(first.req.Subs))
	list = append(list, first.pushed...)
	remote := c.continues(list, first.req.After)
	for _, s := range first.req.Subs {
		list = append(list, c.subscribing(s))
	}
	c.shard.do(func() { c.shard.start(c.peer, list, remote) })
}

// continues finds where the topics go on to which the server has subscribed the connection: all from one position.
func (c *Conn) continues(pushed []subscribing, after string) *continued {
	h := c.hub
	var names []string
	var floor eventlog.Pos
	for i := range pushed {
		r := &pushed[i]
		if c.follow(r); r.err == nil && h.rows.events(r.name) {
			names, floor = append(names, r.name), later(floor, r.from)
		}
	}
	if after == "" || len(names) == 0 {
		return nil
	}
	var o origin
	pos, err := wire.ParsePos(after)
	if err == nil {
		if o, err = h.feed.resume(c.ctx, names, pos, floor); err != nil {
			// It comes back, and asks again, when the broker does.
			c.close(wire.CloseTryLater, told(err), err)
			return nil
		}
	}
	for i := range pushed {
		if r := &pushed[i]; o.remote == nil {
			if r.after, r.known = o.at, o.known; !o.known {
				r.cause = wire.CauseRestart
			}
		}
	}
	if o.remote == nil {
		return nil
	}
	return &continued{remote: o.remote, after: after}
}

// maxOut is the largest message that a client has to expect: the payload and its head.
const maxOut = maxMessage + 8<<10

// loop handles what the client sends, until the connection ends.
func (c *Conn) loop() error {
	for {
		c.waitLane()
		msg, binary, err := c.read()
		if err != nil {
			return err
		}
		c.received()
		c.hub.stats.messagesIn.Add(1)
		c.hub.stats.bytesIn.Add(int64(len(msg)))
		if c.ctx.Err() == nil {
			c.commands.Lock()
			c.handle(msg, binary)
			c.commands.Unlock()
		}
	}
}

// read returns the next message; it is the caller's until the next call.
func (c *Conn) read() (msg []byte, binary bool, err error) {
	typ, r, err := c.ws.Reader(context.Background())
	if err != nil {
		return nil, false, err
	}
	msg, err = io.ReadAll(r)
	return msg, typ == websocket.MessageBinary, err
}

// readEnd says how a connection ends that can't be read on, for reason err.
func (c *Conn) readEnd(err error) *closing {
	var closed websocket.CloseError
	var bad *wire.BadRequest
	switch {
	case errors.As(err, &closed):
		c.control(frame.Close, c.under.answer)
		return &closing{cause: &CloseError{Code: int(closed.Code), Reason: closed.Reason}}
	case errors.As(err, &bad):
		return c.because(bad.Close, bad.Reason, nil)
	case errors.Is(err, websocket.ErrMessageTooBig):
		return c.because(wire.CloseTooBig, fmt.Sprintf("a message larger than %d bytes", c.hub.limits.MessageBytes), nil)
	case !c.under.failed: // by whoever reads: what came is no WebSocket frame, or does not inflate
		reason := "not a WebSocket frame"
		if len(c.under.answer) > 2 {
			reason = string(c.under.answer[2:])
		}
		return c.because(wire.CloseFrameError, reason, err)
	case c.ctx.Err() != nil: // it awaits a hello; or it has ended already, and this does not count
		return c.because(wire.CloseRestart, told(errShutdown), errShutdown)
	case errors.Is(err, os.ErrDeadlineExceeded): // there is none but that of the hello
		return c.because(wire.CloseNoPong, fmt.Sprintf("no hello within %s", c.hub.limits.HelloTimeout), nil)
	}
	return &closing{cause: err}
}

// onPing answers a ping (RFC 6455 §5.5.3). coder would write the answer itself and wait for it.
func (c *Conn) onPing(_ context.Context, data []byte) bool {
	c.received()
	c.mu.Lock()
	room := c.ctlN < 2*windowFrames
	c.mu.Unlock()
	if room { // beyond that, the answers to later pings will do
		c.control(frame.Pong, data)
	}
	return false
}

func (c *Conn) onPong(context.Context, []byte) { c.pong() }

// pong notes that the peer lives.
func (c *Conn) pong() {
	c.received()
	if at := c.pinged.Swap(0); at != 0 {
		c.hub.stats.ping(time.Duration(time.Now().UnixNano() - at))
		c.pinged.Store(0)
	}
}

// handle does what one message asks for.
func (c *Conn) handle(msg []byte, binary bool) {
	if c.plain {
		c.slowDown()
		c.message(msg)
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
	c.slowDown()
	switch req.Op {
	case "pub":
		c.publish(&req)
	case "sub":
		r := c.subscribing(wire.SubRequest{Sub: req.Sub, Topic: req.Topic, After: req.After, Replay: req.Replay})
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

// message hands what a plain connection sent to OnMessage.
func (c *Conn) message(msg []byte) {
	if bytes.HasPrefix(bytes.TrimSpace(msg), []byte("{")) {
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

// subscribing checks and authorizes a subscription.
func (c *Conn) subscribing(s wire.SubRequest) (r subscribing) {
	h := c.hub
	r = subscribing{num: s.Sub, name: s.Topic, replay: s.Replay}
	switch limit := h.limits.Subscriptions; {
	case s.Sub <= c.lastSub && s.Sub > 0:
		r.err = fmt.Errorf("%w: subscription number %d: numbers ascend on a connection and are not used again", ErrInvalid, s.Sub)
		return r
	case c.subs.Load() >= int64(limit):
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
	if c.follow(&r); r.err != nil {
		return r
	}
	defer func() {
		if r.err != nil {
			h.feed.unfollow(r.name)
		}
	}()
	if r.resolve(c.ctx, h, s.After); r.err != nil {
		return r
	}
	if h.opts.AuthorizeHistory != nil && (r.known || r.remote != nil || r.replay > 0) {
		switch err := c.hook("AuthorizeHistory", func(ctx context.Context) error {
			return h.opts.AuthorizeHistory(ctx, c, r.name, r.since(h))
		}); {
		case errors.Is(err, ErrDenied):
			r.noHistory()
		case err != nil:
			r.err = err
			return r
		}
	}
	c.subs.Add(1)
	return r
}

// follow makes the broker's feed carry a subscription's topics.
func (c *Conn) follow(r *subscribing) {
	r.err = c.hub.feed.follow(c.ctx, r.name, func(from eventlog.Pos) { r.from = from })
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
			c.hub.log_().Debug("hotline: signal refused", "conn", c.id, "topic", req.Topic, "error", err)
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
	if hook := row.OnPublish; hook != nil {
		if err := c.hookMessage("OnPublish", hook, p); err != nil {
			return pos, false, err
		}
	}
	if row.Handle != nil {
		return pos, false, c.hookMessage("Handle", row.Handle, p)
	}
	if c.ctx.Err() != nil {
		// The client will send it again on its next connection: stored now, it could come after that.
		return pos, false, fmt.Errorf("%w: %w", ErrClosed, context.Cause(c.ctx))
	}
	return h.store(c.ctx, *p)
}

// hookMessage shows a publication to a hook, which may change its data and its sender.
func (c *Conn) hookMessage(name string, hook func(context.Context, *Conn, *Message) error, p *publication) error {
	m := Message{Topic: p.topic, From: p.from, Data: p.data, Binary: p.binary}
	if err := c.hook(name, func(ctx context.Context) error { return hook(ctx, c, &m) }); err != nil {
		return err
	}
	if bytes.Equal(m.Data, p.data) && m.Binary == p.binary {
		p.from = m.From
		return nil
	}
	var v any = m.Data
	if m.Binary {
		v = Binary(m.Data)
	} else if m.Data == nil {
		v = nil
	}
	changed, err := encode(v)
	if err != nil {
		return fmt.Errorf("%s made it: %w", name, err)
	}
	p.payload, p.from = changed, m.From
	return nil
}

var errHookTimeout = fmt.Errorf("hotline: the server did not decide within %s", hookTimeout)

// hook runs a hook of the application. It holds no lock, and the pong clock waits for it.
func (c *Conn) hook(name string, f func(ctx context.Context) error) error {
	ctx, cancel := c.hookContext()
	defer cancel()
	c.hooks.Add(1)
	defer func() {
		c.received()
		c.hooks.Add(-1)
	}()
	err := c.hub.guard(name, func() error { return f(ctx) })
	if err != nil && context.Cause(ctx) == errHookTimeout && !errors.Is(err, ErrDenied) {
		err = errHookTimeout
	}
	if err != nil && told(err) == "internal error" {
		c.hub.log_().Error("hotline: a hook failed", "hook", name, "conn", c.id, "user", c.identity.User, "error", err)
	}
	return err
}

// hookContext returns the context of one hook. It is no child of the connection's: that would hold a map for its
// children for ever, on every idle connection.
func (c *Conn) hookContext() (context.Context, context.CancelFunc) {
	base, end := context.WithCancelCause(context.Background())
	ctx, cancel := context.WithTimeoutCause(base, hookTimeout, errHookTimeout)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing != nil {
		end(c.closing.cause)
	}
	c.hookEnd = end
	return ctx, func() {
		c.mu.Lock()
		c.hookEnd = nil
		c.mu.Unlock()
		cancel()
		end(nil)
	}
}

// guard runs application code and makes an error of its panic.
func (h *Hub) guard(name string, f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = h.panicked(name, v)
		}
	}()
	return f()
}

func (h *Hub) panicked(hook string, v any) error {
	h.log_().Error("hotline: panic in a hook", "hook", hook, "panic", v, "stack", string(debug.Stack()))
	return fmt.Errorf("%w: %s: %v", errPanic, hook, v)
}

// slowDown waits as long as the client is over its rate: the hub then reads more slowly, and refuses nothing.
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
	c.hooks.Add(1) // it is we who do not read
	defer c.hooks.Add(-1)
	select {
	case <-t.C:
	case <-c.ctx.Done():
	}
}
