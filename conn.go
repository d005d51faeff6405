package hotline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
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
	ws     *websocket.Conn
	under  *wireConn // what ws reads from
	plain  bool
	ctx    context.Context // made for this connection; its cause says why it ended
	cancel context.CancelCauseFunc

	// Static once authenticated, before any hook but Authenticate sees the connection.
	identity Identity

	// Owned by the command loop.
	lastSub int64
	tokens  float64 // of the rate limit
	refill  time.Time

	subs     atomic.Int64 // subscriptions of the client's own
	talks    atomic.Bool  // the control lane has something, or is closed
	asked    atomic.Int64 // commands that the data lane answers, since it was last written
	blocked  atomic.Bool  // the socket is full
	sending  atomic.Int64 // bytes of Send that the shard has not taken
	owed     atomic.Int64 // bytes that it has taken, can't make again, and keeps until a write is over
	lastRead atomic.Int64 // when something was received or a hook ended, Unix nanoseconds
	lastSent atomic.Int64 // when a full socket took something
	hooks    atomic.Int32 // running
	pinged   atomic.Int64 // when the ping that is not answered was sent

	commands sync.Mutex // held while a command runs

	mu       sync.Mutex
	ctl      []byte // control lane: whole frames
	ctlN     int
	ctlClose bool                    // its last frame is a Close frame: nothing goes out after it
	room     chan struct{}           // closed when the lanes have been written; nil: nobody waits
	closing  *closing                // the first reason wins
	over     bool                    // nothing is read any more
	unread   bool                    // and the peer may still be sending; static once over
	readDone chan struct{}           // closed once over; nil: nobody waits
	hookEnd  context.CancelCauseFunc // ends the ctx of the hook that runs; nil: none does
	timer    *time.Timer             // ping, then pong
	expiry   *time.Timer
	granted  map[string]struct{} // topics of Subscribe
	pushed   int64               // number of the last of them
	held     map[string]struct{} // Presence topics
	starting *hello              // until the hello has gone to the shard: what OnConnect subscribes joins it
}

// closing says how a connection ends.
type closing struct {
	code   int    // of the Close frame; 0: none is sent
	reason string // for the peer
	retry  time.Duration
	cause  error
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

// Subscribe subscribes the connection to a topic or pattern without asking AuthorizeSubscribe. A plain connection has
// no other way; any other client is told, and may now also subscribe to it by itself, to read it. The error wraps
// [ErrInvalid] or [ErrClosed].
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
	if c.starting != nil {
		c.starting.pushed = append(c.starting.pushed, r)
		c.mu.Unlock()
		return nil
	}
	c.mu.Unlock()
	return c.hub.feed.follow(c.ctx, topic, func(from eventlog.Pos) {
		r.from = from
		c.shard.do(func() { c.shard.begin(c.peer, []subscribing{r}) })
	})
}

// Close closes the connection now. The client reconnects after codes 4000–4499 and not after 4500–4999;
// [CloseReconnect] and [CloseFinal] will do where the client tells no codes apart. Codes that may not be sent
// (RFC 6455 §7.4) become 1011. reason is cut to 123 bytes. Only the first Close counts.
func (c *Conn) Close(code int, reason string) {
	switch {
	case code >= 3000 && code <= 4999, code >= 1000 && code <= 1003, code >= 1007 && code <= 1014:
	default:
		code = wire.CloseInternalError
	}
	c.close(code, reason, nil)
}

// close ends the connection with a Close frame.
func (c *Conn) close(code int, reason string, cause error) {
	c.end(c.because(code, reason, cause))
}

// because says how the hub ends a connection. The cause wraps ErrClosed, and err if that says more than the reason.
func (c *Conn) because(code int, reason string, err error) *closing {
	why := &closing{code: code, reason: frame.CutReason(reason), retry: -1}
	if err == nil {
		why.cause = fmt.Errorf("%w: by the hub with code %d: %s", ErrClosed, code, why.reason)
	} else {
		why.cause = fmt.Errorf("%w: by the hub with code %d: %w", ErrClosed, code, err)
	}
	return why
}

// fail ends a connection whose network is gone.
func (c *Conn) fail(err error) { c.end(&closing{cause: err}) }

// end ends the connection, once.
func (c *Conn) end(why *closing) {
	c.mu.Lock()
	if c.closing != nil {
		c.mu.Unlock()
		return
	}
	c.closing = why
	if c.timer != nil {
		c.timer.Stop()
	}
	if c.expiry != nil {
		c.expiry.Stop()
	}
	hookEnd := c.hookEnd
	// Under the lock, so that whoever finds the connection closing finds its end on the way to the shard.
	c.shard.do(func() { c.shard.retire(c.peer, why) })
	c.mu.Unlock()
	c.cancel(why.cause)
	if hookEnd != nil {
		hookEnd(why.cause)
	}
	c.roomy()
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

func (c *Conn) received()   { c.lastRead.Store(time.Now().UnixNano()) }
func (c *Conn) progressed() { c.lastSent.Store(time.Now().UnixNano()) }

// schedule starts the clock of the pings, and that of the identity.
func (c *Conn) schedule() {
	c.received()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing != nil {
		return
	}
	c.timer = time.AfterFunc(c.hub.limits.PingInterval, func() { c.shard.do(func() { c.shard.tick(c.peer) }) })
	if at := c.identity.Expires; !at.IsZero() {
		c.expiry = time.AfterFunc(time.Until(at), func() { c.close(wire.CloseExpired, "identity expired", nil) })
	}
}

// rearm sets the clock again.
func (c *Conn) rearm(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing == nil {
		c.timer.Reset(max(d, time.Millisecond))
	}
}

// tick sends a ping, or finds that the last one was not answered. Whatever was received is life; so is a full socket
// that takes bytes, and a hook holds the clock up.
func (sh *shard) tick(p *peer) {
	c := p.conn
	if p.gone || p.ending {
		return
	}
	now := time.Now().UnixNano()
	interval, grace := int64(sh.hub.limits.PingInterval), int64(pongGrace)
	sent := c.pinged.Load()
	if sent != 0 && c.lastRead.Load() < sent {
		alive := max(c.lastRead.Load(), c.lastSent.Load())
		switch {
		case c.hooks.Load() > 0:
			c.rearm(pongGrace)
		case now < alive+interval+grace:
			c.rearm(time.Duration(alive + interval + grace - now))
		default:
			c.close(wire.CloseNoPong, "no pong", errNoPong)
		}
		return
	}
	if wait := p.pinged + interval - now; wait > 0 { // the last one was answered meanwhile
		c.pinged.Store(0)
		c.rearm(time.Duration(wait))
		return
	}
	p.pinged = now
	c.pinged.Store(now)
	if at := sh.position(p); p.live && len(p.subs) > 0 && at != p.told && p.enc != encodingPlain {
		// So that a client that nothing was sent for an hour resumes from here and not from an hour ago.
		sh.say(p, wire.AppendAt(nil, sh.hub.log.Public(at)))
		p.told = at
	}
	if c.plain {
		c.control(frame.Ping, nil)
	} else {
		c.control(frame.Text, wire.AppendPing(nil))
	}
	c.rearm(min(pongGrace, time.Duration(interval)))
}

// retire takes a connection out of the shard, and writes what is to be written last.
func (sh *shard) retire(p *peer, why *closing) {
	if p.gone {
		return
	}
	var last []byte
	ctl, closed := p.conn.takeControl()
	last = append(last, ctl...)
	if why.code != 0 && !closed {
		for _, i := range p.pending {
			p.out = append(p.out, sh.frame(p, int(i))...)
		}
		last = p.conn.appendLast(append(last, p.out...))
	}
	p.out = nil
	if slot := p.slot; sh.peers[slot] == p {
		sh.remove(p)
	}
	sh.placed.Add(-1)
	p.end, p.ending = last, true
	if p.busy {
		p.conn.sock.finish(closeTimeout)
	} else {
		p.conn.linger(last, nil)
	}
}

// appendLast appends what tells the peer how the connection ends.
func (c *Conn) appendLast(dst []byte) []byte {
	why := c.closing
	if !c.plain {
		dst = appendFrame(dst, frame.Text, wire.AppendBye(nil, why.code, why.retry, why.reason))
	}
	return frame.AppendClose(dst, why.code, why.reason)
}

// closeTimeout is how long the last frames of a connection, and the peer's answer to them, are waited for.
const closeTimeout = time.Second

// linger writes the last frames, waits a moment for the peer's Close, and closes the socket: the server closes first,
// but not before the peer has had its say (RFC 6455 §7.1.1). It is called once for each socket.
func (c *Conn) linger(last []byte, err error) {
	go func() {
		defer c.hub.sockets.Done()
		defer c.sock.Close()
		if err != nil || c.hub.abrupt.Load() && len(last) == 0 {
			return
		}
		timeout := closeTimeout
		if c.hub.abrupt.Load() {
			timeout = closeTimeout / 10
		}
		c.sock.finish(timeout)
		if c.sock.writeAll(last, timeout, c.progressed) != nil {
			return
		}
		if c.closing.code == 0 {
			return
		}
		until := time.Now().Add(timeout)
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		select {
		case <-c.whenRead():
		case <-timer.C:
			return
		}
		if c.unread {
			// A socket that is closed with something to read is reset, and what it was sent before may be lost.
			c.sock.SetReadDeadline(until)
			_, _ = io.Copy(io.Discard, c.sock)
		}
	}()
}

// whenRead returns a channel that is closed once nothing is read any more.
func (c *Conn) whenRead() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.readDone == nil {
		c.readDone = make(chan struct{})
		if c.over {
			close(c.readDone)
		}
	}
	return c.readDone
}

// endRead says that nothing is read any more, because of err, and notes whether the peer may still send.
func (c *Conn) endRead(err error) {
	var closed websocket.CloseError
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	c.unread = !c.under.failed && !errors.As(err, &closed)
	if c.readDone != nil {
		close(c.readDone)
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
