package hotline

import (
	"context"
	"errors"

	"github.com/gohotline/hotline/internal/eventlog"
	"github.com/gohotline/hotline/internal/frame"
	"github.com/gohotline/hotline/internal/wire"
)

// hello runs OnConnect and makes the first subscriptions.
func (c *Conn) hello() {
	h, l := c.hub, &c.hub.limits
	if !c.plain {
		c.control(frame.Text, wire.AppendWelcome(nil, l.welcome(c.id)))
	}
	c.schedule()
	began := h.log.Head()
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
	remote := c.continues(list, first.req.After, began)
	for i, s := range first.req.Subs {
		list = append(list, c.subscribing(s, i))
	}
	c.shard.do(func() { c.shard.start(c.peer, list, remote) })
}

// continues finds where the topics go on to which the server has subscribed the connection: all from one position. Those
// whose history is not for the client begin now. Without a position each begins where the log was when OnConnect was called,
// or from where on the broker's feed carries it: what OnConnect has loaded and sent after it subscribed is joined by what
// was published meanwhile.
func (c *Conn) continues(pushed []subscribing, after string, began eventlog.Pos) *continued {
	var floor eventlog.Pos
	for i := range pushed {
		r := &pushed[i]
		if c.hub.rows.events(r.name) {
			floor = later(floor, r.from)
		}
		r.after, r.known = later(began, r.from), after == ""
	}
	if after == "" {
		return nil
	}
	pos, bad := wire.ParsePos(after)
	for asked := false; ; asked = true {
		names := c.namesOf(pushed)
		if len(names) == 0 {
			return nil
		}
		var o origin
		if bad == nil {
			var err error
			if o, err = c.hub.feed.resume(c.ctx, names, pos, floor); err != nil {
				// It comes back, and asks again, when the broker does.
				c.close(wire.CloseTryLater, told(err), err)
				return nil
			}
		}
		denied := false
		for i := range pushed {
			r := &pushed[i]
			if r.err != nil || r.cause == wire.CauseDenied {
				continue
			}
			r.after, r.known, r.remote, r.oldest = o.at, o.known, o.remote, o.since
			if !r.known && r.remote == nil {
				r.cause = wire.CauseRestart
			}
			if !asked {
				c.mayReadBack(r)
				denied = denied || r.cause == wire.CauseDenied
			}
			r.remote = nil // it is the stream that begins there
		}
		switch {
		case o.remote == nil:
			return nil
		case !denied:
			x := &continued{remote: o.remote, at: pos}
			for i := range pushed {
				if r := &pushed[i]; r.err == nil && r.cause != wire.CauseDenied {
					x.nums = append(x.nums, r.num)
				}
			}
			return x
		}
	}
}

// namesOf are the topics with Events that may be continued.
func (c *Conn) namesOf(pushed []subscribing) (names []string) {
	for i := range pushed {
		if r := &pushed[i]; r.err == nil && r.cause != wire.CauseDenied && c.hub.rows.events(r.name) {
			names = append(names, r.name)
		}
	}
	return names
}

// mayReadBack is readBack for what the server subscribed, which the client can't ask for again, but on its next connection.
func (c *Conn) mayReadBack(r *subscribing) {
	if err := c.readBack(r); err != nil {
		code := wire.CloseTryLater
		if errors.Is(err, errPanic) {
			code = wire.CloseInternalError
		}
		c.close(code, told(err), err)
	}
}
