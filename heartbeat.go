package hotline

import (
	"context"
	"math"
	"time"

	"github.com/gohotline/hotline/internal/frame"
	"github.com/gohotline/hotline/internal/wire"
)

// This file is how both ends know that the other one lives.

func (c *Conn) received()   { c.lastRead.Store(int64(c.hub.age())) }
func (c *Conn) progressed() { c.lastSent.Store(int64(c.hub.age())) }

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

// tick sends a ping when it is time for one, answered or not: the peer takes silence for our death. Or it finds that the
// peer's time is up.
func (sh *shard) tick(p *peer) {
	c := p.conn
	if p.gone || p.ending {
		return
	}
	now := int64(sh.hub.age())
	interval := int64(sh.hub.limits.PingInterval)
	if now >= c.dies() {
		c.close(wire.CloseNoPong, "no pong", errNoPong)
		return
	}
	if now >= p.pinged+interval {
		sh.ping(p, now)
	}
	c.rearm(time.Duration(min(p.pinged+interval, c.dies()) - now))
}

// dies returns when the peer counts as dead, by Hub.age. Whatever was received is life; so is a full socket that takes bytes,
// and while a command runs, with its hooks, it is we who do not read.
func (c *Conn) dies() int64 {
	received, sent := c.lastRead.Load(), c.pinged.Load()
	if sent == 0 || received >= sent || c.working.Load() {
		return math.MaxInt64
	}
	return max(received, c.lastSent.Load()) + int64(c.hub.limits.PingInterval) + int64(pongGrace)
}

// ping sends a ping, but none on top of another that still waits to be written.
func (sh *shard) ping(p *peer, now int64) {
	c := p.conn
	p.pinged = now
	if sent := c.pinged.Load(); sent == 0 || c.lastRead.Load() >= sent {
		c.pinged.Store(now)
	} else if p.busy {
		return
	}
	at := sh.position(p)
	switch {
	case c.plain:
		c.control(frame.Ping, nil)
	case p.live && len(p.subs) > 0 && at != p.told:
		// So that a client that nothing was sent for an hour resumes from here and not from an hour ago. The control lane
		// would overtake that.
		sh.say(p, wire.AppendAt(nil, sh.hub.log.Public(at)))
		sh.say(p, wire.AppendPing(nil))
		p.told = at
	default:
		c.control(frame.Text, wire.AppendPing(nil))
	}
}

func (c *Conn) onControl(op byte, data []byte) {
	if op == frame.Ping {
		c.onPing(c.ctx, data)
	} else {
		c.onPong(c.ctx, data)
	}
}

// onPing answers a ping (RFC 6455 §5.5.3). coder would write the answer itself and wait for it.
func (c *Conn) onPing(_ context.Context, data []byte) bool {
	c.received()
	c.slowDown()
	c.mu.Lock()
	room := c.ctlN < 2*windowFrames
	c.mu.Unlock()
	if room { // beyond that, the answers to later pings will do
		c.control(frame.Pong, data)
	}
	return false
}

func (c *Conn) onPong(context.Context, []byte) {
	c.slowDown()
	c.pong()
}

// pong notes that the peer lives.
func (c *Conn) pong() {
	c.received()
	if at := c.pinged.Swap(0); at != 0 {
		c.hub.stats.ping(c.hub.age() - time.Duration(at))
	}
}
