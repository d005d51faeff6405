package hotline

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/coder/websocket"

	"github.com/gohotline/hotline/internal/frame"
	"github.com/gohotline/hotline/internal/wire"
)

// This file is how a connection ends, for whatever reason: the first one counts, its shard writes what is to be written
// last, and a goroutine waits for that and closes the socket.

// closing says how a connection ends.
type closing struct {
	code   int    // of the Close frame; 0: none is sent
	reason string // for the peer
	retry  time.Duration
	cause  error
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
	switch {
	case p.busy:
		p.conn.sock.finish(closeTimeout)
	case p.broken:
		p.conn.linger(nil, why.cause)
	default:
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
		if err != nil {
			c.sock.abandon()
			return
		}
		if c.hub.abrupt.Load() && len(last) == 0 {
			return
		}
		timeout := closeTimeout
		if c.hub.abrupt.Load() {
			timeout = closeTimeout / 10
		}
		c.sock.finish(timeout)
		if c.sock.writeAll(last, timeout, c.progressed) != nil {
			c.sock.abandon()
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
	// A Conn of coder's that is not closed is kept for ever by its finalizer, because what it refers to refers to it: c. As
	// nobody reads any more this waits for nothing. It ends reading, so it comes before whoever reads the rest.
	_ = c.ws.CloseNow()
	var closed websocket.CloseError
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	c.unread = !c.under.failed && !errors.As(err, &closed)
	if c.readDone != nil {
		close(c.readDone)
	}
}
