package hotline

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/gohotline/hotline/internal/eventlog"
)

// presence is who holds which Presence value: State that belongs to the connections that published it. When the last
// of them has ended the value stays for the topic's Linger, so that a reconnect does not show, and is cleared.
type presence struct {
	hub *Hub

	mu     sync.Mutex
	topics map[string]*holding
	clears map[string]chan struct{} // topics that are being cleared; closed when they are
	closed bool
}

type holding struct {
	conns map[*Conn]struct{}
	row   *row
	timer *time.Timer // running: nobody holds it
	value publication // the last one; only with a broker
	sets  int         // how often value was set
}

// publish stores a value for the connection that publishes it, or gives it up.
func (x *presence) publish(ctx context.Context, p publication) (pos eventlog.Pos, held bool, err error) {
	x.mu.Lock()
	if err := x.settle(ctx, p.topic); err != nil {
		x.mu.Unlock()
		return pos, false, err
	}
	if p.null() {
		last := x.release(p.conn, p.topic)
		if !last || !x.hub.feed.nodes.ours(p.topic) {
			x.mu.Unlock()
			return eventlog.Pos{}, false, nil // somebody else holds it
		}
		cleared := x.beginClear(p.topic)
		x.mu.Unlock()
		defer cleared()
		pos, err = x.hub.put(ctx, p)
		return pos, false, err
	}
	if p.conn.ctx.Err() != nil || x.closed {
		x.mu.Unlock()
		return eventlog.Pos{}, false, ErrClosed
	}
	h := x.topics[p.topic]
	if h == nil && x.hub.opts.Broker != nil {
		// Who holds a value follows its topic, to learn when another hub clears it.
		x.mu.Unlock()
		if err := x.hub.feed.follow(ctx, p.topic, func(eventlog.Pos) {}); err != nil {
			return eventlog.Pos{}, false, fmt.Errorf("%w: %w", ErrUncertain, err)
		}
		x.mu.Lock()
		if err := x.settle(ctx, p.topic); err != nil {
			x.mu.Unlock()
			x.hub.feed.unfollow(p.topic)
			return pos, false, err
		}
		h = x.topics[p.topic]
		ended := p.conn.ctx.Err() != nil || x.closed
		if h != nil || ended { // another one has come first
			x.hub.feed.unfollow(p.topic)
		}
		if ended {
			x.mu.Unlock()
			return eventlog.Pos{}, false, ErrClosed
		}
	}
	if h == nil {
		h = &holding{conns: make(map[*Conn]struct{}), row: p.row}
		x.topics[p.topic] = h
	}
	undo := x.hold(h, p)
	x.mu.Unlock()
	if pos, err = x.hub.put(ctx, p); err != nil {
		undo()
	}
	return pos, err == nil, err
}

// hold makes p.conn hold p. It needs mu. undo, which does not, is for a value that could not be stored: the one before it
// is still there, and may be nobody's now.
func (x *presence) hold(h *holding, p publication) (undo func()) {
	c, topic := p.conn, p.topic
	before := h.value
	_, already := h.conns[c]
	if h.sets++; x.hub.opts.Broker != nil {
		h.value = p
	}
	set := h.sets
	if h.timer != nil {
		h.timer.Stop()
		h.timer = nil
	}
	h.conns[c] = struct{}{}
	c.mu.Lock()
	if c.held == nil {
		c.held = make(map[string]struct{})
	}
	c.held[topic] = struct{}{}
	c.mu.Unlock()
	return func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		if h.sets == set {
			h.value = before
		}
		if already {
			return
		}
		x.letGo(c, topic)
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.held, topic)
	}
}

// beginClear makes whoever publishes to a topic wait until the caller has cleared it: a value that is stored in between
// would be cleared with the one before it. It needs mu; the function that it returns does not.
func (x *presence) beginClear(topic string) (cleared func()) {
	done := make(chan struct{})
	x.clears[topic] = done
	return func() {
		x.mu.Lock()
		delete(x.clears, topic)
		x.mu.Unlock()
		close(done)
	}
}

// settle waits until a topic is not being cleared. It needs mu, and holds it again when it returns.
func (x *presence) settle(ctx context.Context, topic string) error {
	for done := x.clears[topic]; done != nil; done = x.clears[topic] {
		x.mu.Unlock()
		var err error
		select {
		case <-done:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		if x.mu.Lock(); err != nil {
			return err
		}
	}
	return nil
}

// release makes c let go of a topic, and reports whether nobody holds it any more. It needs mu.
func (x *presence) release(c *Conn, topic string) (last bool) {
	c.mu.Lock()
	delete(c.held, topic)
	c.mu.Unlock()
	h := x.topics[topic]
	if h == nil {
		return true
	}
	delete(h.conns, c)
	if len(h.conns) > 0 {
		return false
	}
	if h.timer != nil {
		h.timer.Stop()
	}
	delete(x.topics, topic)
	x.hub.feed.unfollow(topic)
	return true
}

// leave makes c let go of everything: it has ended.
func (x *presence) leave(c *Conn) {
	x.mu.Lock() // before held is looked at: who publishes at this moment sees that c has ended, or is seen here
	defer x.mu.Unlock()
	c.mu.Lock()
	held := c.held
	c.held = nil
	c.mu.Unlock()
	for topic := range held {
		x.letGo(c, topic)
	}
}

// letGo makes c hold a topic no longer. After its last holder the value stays for a while. It needs mu.
func (x *presence) letGo(c *Conn, topic string) {
	h := x.topics[topic]
	if h == nil {
		return
	}
	if delete(h.conns, c); len(h.conns) > 0 || h.timer != nil || x.closed {
		return
	}
	x.clearAfter(max(h.row.Linger, 0), topic, h)
}

// clearAfter calls clear later, unless the hub has ended. It needs mu.
func (x *presence) clearAfter(d time.Duration, topic string, h *holding) {
	h.timer = time.AfterFunc(d, func() { x.hub.feed.spawn(func() { x.clear(topic, h) }) })
}

// clear clears the value of a topic that nobody has held for its Linger.
func (x *presence) clear(topic string, h *holding) {
	x.mu.Lock()
	if x.topics[topic] != h || len(h.conns) > 0 || x.closed {
		x.mu.Unlock()
		return
	}
	delete(x.topics, topic)
	cleared := x.beginClear(topic)
	x.mu.Unlock()
	defer cleared()
	if !x.hub.feed.nodes.ours(topic) {
		x.hub.feed.unfollow(topic)
		return // a connection of another hub holds it
	}
	ctx, cancel := context.WithTimeout(x.hub.feed.ctx, hookTimeout)
	defer cancel()
	if _, err := x.hub.put(ctx, publication{topic: topic, row: h.row, payload: payload{data: null}, lapsed: true}); err != nil {
		x.hub.log_().Warn("hotline: clearing a Presence value failed", "topic", topic, "error", err)
		x.mu.Lock()
		defer x.mu.Unlock()
		if !x.closed { // it is tried again until it succeeds, or somebody holds the topic
			x.topics[topic] = h
			x.clearAfter(clearAgain, topic, h)
		}
		return
	}
	x.hub.feed.unfollow(topic)
}

const clearAgain = 10 * time.Second

// holds returns the last value of a topic that a connection of this hub holds, or held a moment ago.
func (x *presence) holds(topic string) (p publication, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	h := x.topics[topic]
	if h == nil || x.closed {
		return p, false
	}
	return h.value, true
}

// close stops the clocks.
func (x *presence) close() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.closed = true
	for _, h := range x.topics {
		if h.timer != nil {
			h.timer.Stop()
		}
	}
}
