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
	clears map[string]chan struct{} // topics of which nobody else may change the value; closed when they may again
	closed bool

	waiting  map[time.Duration]*lapses
	due      []*lapse // to be cleared
	clearing int      // goroutines that do so
}

type holding struct {
	conns map[*Conn]*claim
	row   *row
	lapse *lapse      // nobody holds it; nil: somebody does, or it is being cleared
	value publication // the last one; only with a broker
	sets  int         // how often value was set
}

// claim is why a connection holds a topic.
type claim struct {
	stored bool // it has stored a value
	trying int  // and stores so many
}

// publish stores a value for the connection that publishes it, or gives it up.
func (x *presence) publish(ctx context.Context, p publication) (pos eventlog.Pos, held bool, err error) {
	x.mu.Lock()
	if err := x.settle(ctx, p.topic); err != nil {
		x.mu.Unlock()
		return pos, false, err
	}
	if p.null() {
		pos, err = x.giveUp(ctx, p)
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
		h = &holding{conns: make(map[*Conn]*claim), row: p.row}
		x.topics[p.topic] = h
	}
	answered := x.hold(h, p)
	x.mu.Unlock()
	pos, err = x.hub.put(ctx, p)
	answered(err == nil)
	return pos, err == nil, err
}

// hold makes p.conn hold p. It needs mu. answered, which does not, is told whether it was stored: if not, the value before
// it is still there, and may be nobody's now.
func (x *presence) hold(h *holding, p publication) (answered func(stored bool)) {
	c, topic := p.conn, p.topic
	before := h.value
	if h.sets++; x.hub.opts.Broker != nil {
		h.value = p
	}
	set := h.sets
	h.stop()
	k := h.conns[c]
	if k == nil {
		k = new(claim)
	}
	k.trying++
	x.claim(c, topic, h, k)
	return func(stored bool) {
		x.mu.Lock()
		defer x.mu.Unlock()
		k.trying--
		k.stored = k.stored || stored
		if !stored && h.sets == set {
			h.value = before
		}
		if k.stored || k.trying > 0 || x.topics[topic] != h || h.conns[c] != k {
			return
		}
		x.letGo(c, topic)
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.held, topic)
	}
}

// claim makes c one of those that hold a topic. It needs mu.
func (x *presence) claim(c *Conn, topic string, h *holding, k *claim) {
	h.conns[c] = k
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held == nil {
		c.held = make(map[string]struct{})
	}
	c.held[topic] = struct{}{}
}

// giveUp makes p.conn let go of a topic, which is cleared if nobody else holds it. If that fails all is as before. It
// needs mu, and returns without it.
func (x *presence) giveUp(ctx context.Context, p publication) (pos eventlog.Pos, err error) {
	c, topic := p.conn, p.topic
	h := x.topics[topic]
	var k *claim
	if h != nil {
		k = h.conns[c]
	}
	switch {
	case !x.release(c, topic): // somebody else holds it
		x.mu.Unlock()
		return pos, nil
	case x.hub.feed.nodes.ours(topic):
		cleared := x.beginClear(topic)
		x.mu.Unlock()
		defer cleared()
		pos, err = x.hub.put(ctx, p)
	default: // likewise, a connection of another hub
		x.mu.Unlock()
	}
	switch {
	case h == nil:
	case err == nil:
		x.hub.feed.unfollow(topic)
	default:
		x.restore(c, topic, h, k)
	}
	return pos, err
}

// restore is for a topic that could not be cleared. If c held it and has not ended it does so still.
func (x *presence) restore(c *Conn, topic string, h *holding, k *claim) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		return
	}
	x.topics[topic] = h
	if k != nil && c.ctx.Err() == nil {
		x.claim(c, topic, h, k)
	} else {
		x.clearAfter(max(h.row.Linger, 0), topic, h)
	}
}

// beginClear makes whoever publishes to a topic wait until the caller has cleared it, or stored its value again: a value
// that is stored in between would be cleared with the one before it, or followed by that. It needs mu; the function that it
// returns does not.
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

// settle waits until others may change the value of a topic. It needs mu, and holds it again when it returns.
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

// release makes c let go of a topic, and reports whether nobody holds it any more: then it is forgotten here. It needs mu.
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
	h.stop()
	delete(x.topics, topic)
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
	if delete(h.conns, c); len(h.conns) > 0 || h.lapse != nil || x.closed {
		return
	}
	x.clearAfter(max(h.row.Linger, 0), topic, h)
}

// clear clears the value of a topic that nobody has held for its Linger.
func (x *presence) clear(l *lapse) {
	topic, h := l.topic, l.h
	x.mu.Lock()
	if x.settle(x.hub.feed.ctx, topic) != nil || x.topics[topic] != h || l.stopped() || x.closed {
		x.mu.Unlock()
		return
	}
	h.lapse = nil
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

// holds reports whether a connection of this hub holds a topic, or held it a moment ago.
func (x *presence) holds(topic string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.topics[topic] != nil && !x.closed
}

// again stores the last value of a topic once more, if a connection of this hub holds it or held it a moment ago.
func (x *presence) again(ctx context.Context, topic string) error {
	x.mu.Lock()
	if err := x.settle(ctx, topic); err != nil {
		x.mu.Unlock()
		return err
	}
	h := x.topics[topic]
	if h == nil || h.value.row == nil || x.closed { // or its first value could not be stored
		x.mu.Unlock()
		return nil
	}
	value, stored := h.value, x.beginClear(topic)
	x.mu.Unlock()
	defer stored()
	_, err := x.hub.put(ctx, value)
	return err
}

// close stops the clocks.
func (x *presence) close() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.closed = true
	for _, in := range x.waiting {
		in.timer.Stop()
	}
}
