package memnet

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// pair is one connection: its two directions.
type pair struct {
	link     *Link
	down, up half // towards the client, towards the server
}

// reset breaks both directions. The caller holds mu.
func (p *pair) reset() {
	p.down.reset()
	p.up.reset()
}

// conn is one end of a pair: the reader of one direction and the writer of the other.
type conn struct {
	*pair
	in, out       *half
	local, remote *net.TCPAddr
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.in.read(p)
	return n, c.opError("read", err)
}

func (c *conn) Write(p []byte) (int, error) {
	n, err := c.out.write(p)
	return n, c.opError("write", err)
}

// Close closes the connection. The peer reads what was written before, and then io.EOF.
func (c *conn) Close() error {
	c.link.net.mu.Lock()
	defer c.link.net.mu.Unlock()
	if c.in.readerClosed {
		return c.opError("close", net.ErrClosed)
	}
	c.close()
	return nil
}

// close does the work of Close. The caller holds mu.
func (c *conn) close() {
	c.in.readerClosed = true
	c.out.writerClosed = true
	c.out.finished = true
	c.in.cond.Broadcast()
	c.out.cond.Broadcast()
	if c.in.writerClosed { // by the peer
		c.link.remove(c.pair)
	}
}

// CloseWrite ends the writing side, like that of a *net.TCPConn: the peer reads io.EOF after what was written before,
// and can go on writing.
func (c *conn) CloseWrite() error {
	c.link.net.mu.Lock()
	defer c.link.net.mu.Unlock()
	if c.out.writerClosed {
		return c.opError("close", net.ErrClosed)
	}
	c.out.finished = true
	c.out.cond.Broadcast()
	return nil
}

func (c *conn) SetDeadline(t time.Time) error {
	return c.setDeadline(t, &c.in.readBy, &c.out.writeBy)
}

func (c *conn) SetReadDeadline(t time.Time) error {
	return c.setDeadline(t, &c.in.readBy)
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	return c.setDeadline(t, &c.out.writeBy)
}

func (c *conn) setDeadline(t time.Time, deadlines ...*time.Time) error {
	c.link.net.mu.Lock()
	defer c.link.net.mu.Unlock()
	if c.in.readerClosed {
		return c.opError("set", net.ErrClosed)
	}
	for _, d := range deadlines {
		*d = t
	}
	c.in.cond.Broadcast()
	c.out.cond.Broadcast()
	return nil
}

func (c *conn) LocalAddr() net.Addr  { return c.local }
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// opError dresses an error the way package net does, since callers look at it: net/http at the Op.
func (c *conn) opError(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		err = os.NewSyscallError(op, err)
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}
