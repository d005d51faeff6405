package hotline

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gohotline/hotline/internal/eventlog"
	"github.com/gohotline/hotline/internal/frame"
	"github.com/gohotline/hotline/internal/wire"
)

// Close codes for [Conn.Close] and [Hub.Kick].
const (
	CloseReconnect = 4000 // come back, with a new token: permissions have changed
	CloseFinal     = 4500 // do not come back: logged out, banned
)

// Conn is the hub's end of one connection: one socket. A client that reconnects gets a new one, so what must outlive a
// reconnect is to be kept under Identity().User. Its methods are safe for concurrent use and never wait for the peer.
type Conn struct {
	// Static after construction.
	hub    *Hub
	shard  *shard
	peer   *peer
	id     string
	sock   *socket
	under  *wireConn // sock, as it is read
	plain  bool
	ctx    context.Context // made for this connection; its cause says why it ended
	cancel context.CancelCauseFunc

	// Static once authenticated, before any hook but Authenticate sees the connection.
	identity Identity

	// Owned by the command loop.
	lastSub int64
	spoke   bool    // of a plain one: it has sent a message
	tokens  float64 // of the rate limit
	refill  time.Time

	subs     atomic.Int64 // subscriptions of the client's own
	talks    atomic.Bool  // the control lane has something, or is closed
	asked    atomic.Int64 // commands that the data lane answers, since it was last written
	blocked  atomic.Bool  // the socket is full
	sending  atomic.Int64 // bytes of Send that the shard has not taken
	owed     atomic.Int64 // bytes that it has taken, can't make again, and keeps until a write is over
	lastRead atomic.Int64 // Hub.age when something was received or a hook ended
	lastSent atomic.Int64 // when a full socket took something
	working  atomic.Bool  // a command runs, so nothing is read
	pinged   atomic.Int64 // when the ping that is not answered was sent; 0: there is none

	mu       sync.Mutex
	ctl      []byte // control lane: whole frames
	ctlN     int
	ctlClose bool                    // its last frame is a Close frame: nothing goes out after it
	room     chan struct{}           // closed when the lanes have been written; nil: nobody waits
	closing  *closing                // the first reason wins
	over     bool                    // nothing is read any more
	unread   bool                    // and the peer may still be sending; static once over
	readDone chan struct{}           // closed once over; nil: nobody waits
	idle     chan struct{}           // closed when no command runs; nil: nobody waits
	hookEnd  context.CancelCauseFunc // ends the ctx of the hook that runs; nil: none does
	timer    *time.Timer             // ping, then pong
	expiry   *time.Timer
	granted  map[string]struct{} // topics of Subscribe
	pushed   int64               // number of the last of them
	held     map[string]struct{} // Presence topics
	starting *hello              // until the hello has gone to the shard: what OnConnect subscribes joins it
}

var (
	errLapped = errors.New("hotline: a plain connection lost messages")
	errNoPong = errors.New("hotline: the peer does not answer")
)

// ID is unique among all connections of all hubs.
func (c *Conn) ID() string { return c.id }

// Identity is what Authenticate returned.
func (c *Conn) Identity() Identity { return c.identity }

// Context is done when the connection ends; [context.Cause] of it says why: a *[CloseError] if the peer closed it, an
// error that wraps [ErrClosed] if the hub did, or what the network said.
func (c *Conn) Context() context.Context { return c.ctx }

// Publish publishes as if the client had: From is its user, and a Presence value is this connection's. It is not
// authorized and not passed to OnPublish: it is server code that calls it. The errors are those of [Hub.Publish].
func (c *Conn) Publish(ctx context.Context, topic string, v any) error {
	p, err := c.hub.publication(topic, v)
	if err != nil {
		return err
	}
	p.from, p.conn = c.identity.User, c
	_, _, err = c.hub.store(ctx, p)
	return err
}

// Send sends v to this connection alone, as a message of topic without ID: as a Signal, so it is not repeated after a
// reconnect, and it fails with [ErrLimit] if the connection is behind. A plain connection gets v without the topic.
func (c *Conn) Send(topic string, v any) error {
	if err := checkTopic(topic); err != nil {
		return err
	}
	p, err := encode(v)
	if err != nil {
		return err
	}
	e := eventlog.Signal(nil, wire.Head{Topic: topic, Binary: p.binary, Send: true}, p.data, time.Now())
	b := e.Frame
	if c.plain {
		b = plainFrame(&e)
	}
	if c.ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ErrClosed, context.Cause(c.ctx))
	}
	n := int64(len(b))
	sum := c.sending.Add(n) + c.owed.Load()
	if c.blocked.Load() || sum > n && sum > int64(c.hub.limits.WindowBytes) {
		c.sending.Add(-n)
		c.hub.stats.droppedSend.Add(1)
		return fmt.Errorf("%w: connection %s does not read fast enough to be sent to", ErrLimit, c.id)
	}
	c.shard.do(func() {
		c.sending.Add(-n)
		if !c.peer.gone {
			c.shard.items = append(c.shard.items, item{kind: itemOwn, entry: eventlog.Entry{Frame: b}})
			c.shard.push(c.peer, len(c.shard.items)-1, len(b))
		}
	})
	return nil
}

// Subscribe subscribes the connection to a topic or pattern without asking AuthorizeSubscribe: what is published once it
// has returned is sent. A plain connection has no other way; any other client is told, and may now also subscribe to it by
// itself, to read it. The error wraps [ErrInvalid] or [ErrClosed].
func (c *Conn) Subscribe(topic string) error {
	if err := checkPattern(topic); err != nil {
		return err
	}
	if c.ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ErrClosed, context.Cause(c.ctx))
	}
	c.mu.Lock()
	if _, ok := c.granted[topic]; ok {
		c.mu.Unlock()
		return nil
	}
	if c.granted == nil {
		c.granted = make(map[string]struct{})
	}
	c.granted[topic] = struct{}{}
	c.pushed--
	r := subscribing{num: c.pushed, name: topic}
	c.mu.Unlock()
	begun := make(chan struct{})
	err := c.hub.feed.follow(c.ctx, topic, func(from eventlog.Pos) {
		if r.from = from; c.starts(&r) {
			close(begun)
			return
		}
		c.shard.do(func() {
			c.shard.begin(c.peer, []subscribing{r})
			close(begun)
		})
	})
	if err != nil {
		c.mu.Lock()
		delete(c.granted, topic) // it may be tried again
		early := c.starting != nil
		c.mu.Unlock()
		if early { // the client can't ask for it, but by coming back
			c.close(wire.CloseTryLater, told(err), err)
		}
		return err
	}
	select {
	case <-begun:
		return nil
	case <-c.ctx.Done():
		return fmt.Errorf("%w: %w", ErrClosed, context.Cause(c.ctx))
	}
}

// starts makes r one of the subscriptions that a connection begins with, unless it has begun.
func (c *Conn) starts(r *subscribing) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.starting == nil {
		return false
	}
	c.starting.pushed = append(c.starting.pushed, *r)
	return true
}

// Close closes the connection now. The client reconnects after codes 4000–4499 and not after 4500–4999;
// [CloseReconnect] and [CloseFinal] will do where the client tells no codes apart. Codes that may not be sent
// (RFC 6455 §7.4) become 1011. reason is cut to 123 bytes. Only the first Close counts.
func (c *Conn) Close(code int, reason string) { c.close(sendable(code), reason, nil) }

// sendable returns code, or 1011 if it may not be sent.
func sendable(code int) int {
	switch {
	case code >= 3000 && code <= 4999, code >= 1000 && code <= 1003, code >= 1007 && code <= 1014:
		return code
	}
	return wire.CloseInternalError
}

// control sends a frame of the control lane.
func (c *Conn) control(op byte, body []byte) {
	c.mu.Lock()
	if !c.ctlClose {
		c.ctl = appendFrame(c.ctl, op, body)
		c.ctlN++
		c.ctlClose = op == frame.Close
		c.talks.Store(true)
	}
	c.mu.Unlock()
	c.shard.touch(c.peer)
}

// takeControl returns what waits in the control lane, and whether nothing may follow it.
func (c *Conn) takeControl() (b []byte, closed bool) {
	if c.asked.Load() != 0 {
		c.asked.Store(0)
		c.roomy()
	}
	if !c.talks.Load() {
		return nil, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	b, c.ctl, c.ctlN = c.ctl, nil, 0
	c.talks.Store(c.ctlClose)
	if c.room != nil {
		close(c.room)
		c.room = nil
	}
	return b, c.ctlClose
}

// roomy wakes a command loop that waits for its lanes.
func (c *Conn) roomy() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.room != nil {
		close(c.room)
		c.room = nil
	}
}

// waitLane waits while the peer does not take its answers: who does not read is not read.
func (c *Conn) waitLane() {
	for {
		c.mu.Lock()
		if c.ctlN < windowFrames && c.asked.Load() < windowFrames || c.closing != nil {
			c.mu.Unlock()
			return
		}
		if c.room == nil {
			c.room = make(chan struct{})
		}
		room := c.room
		c.mu.Unlock()
		<-room
	}
}

// group counts goroutines; each is waited for by Shutdown and Close.
type group struct{ g errgroup.Group }

func (g *group) Go(f func()) {
	g.g.Go(func() error {
		f()
		return nil
	})
}

func (g *group) Wait() { _ = g.g.Wait() }
