package hotline

import (
	"errors"
	"math"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// socket is the network end of a connection and the only place where bytes reach it.
//
// A plain TCP connection on a Unix system is written without blocking, by its shard. Everything else (TLS, a network
// in memory, other systems) blocks, so a goroutine writes.
type socket struct {
	net.Conn
	raw     syscall.RawConn // nil: writes block
	records bool            // TLS: a write that is cut short by its deadline breaks the connection

	last atomic.Pointer[time.Time] // nothing is written after that moment; nil: there is none
}

// tlsRecord is the most that one TLS record carries (RFC 8446 §5.1). Writing more at a time saves nothing, and a write
// has to make progress as a whole.
const tlsRecord = 16 << 10

func newSocket(c net.Conn, window int) *socket {
	s := &socket{Conn: c}
	tcp := c
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		s.records = true
		tcp = t.NetConn()
	}
	if t, ok := tcp.(*net.TCPConn); ok {
		raw, err := t.SyscallConn()
		if err != nil {
			return s
		}
		limitUnsent(t, raw, min(window/2, math.MaxInt32))
		if nonBlocking && !s.records {
			s.raw = raw
		}
	}
	return s
}

// errNoProgress is the reason of a connection that took no byte for Limits.WriteTimeout.
var errNoProgress = errors.New("hotline: the peer takes no data")

// writeAll writes b and waits until the socket takes more, for as long as there is progress; it calls progressed when
// that was slow.
func (s *socket) writeAll(b []byte, timeout time.Duration, progressed func()) error {
	defer s.SetWriteDeadline(time.Time{})
	for len(b) > 0 {
		s.SetWriteDeadline(time.Now().Add(timeout))
		if last := s.last.Load(); last != nil {
			s.SetWriteDeadline(*last)
		}
		var n int
		var err error
		begin := time.Now()
		switch {
		case s.raw != nil:
			n, err = s.writeWait(b)
			if errors.Is(err, os.ErrDeadlineExceeded) && s.last.Load() == nil {
				// Where it is this process that stood still, the socket may have become writable together with the end.
				s.SetWriteDeadline(time.Time{}) // it does not wait
				if n, err = new(writer).writeNow(s, b); n == 0 && err == nil {
					err = os.ErrDeadlineExceeded
				}
			}
		case s.records:
			n, err = s.Write(b[:min(len(b), tlsRecord)])
		default:
			n, err = s.Write(b)
		}
		b = b[n:]
		if n > 0 && time.Since(begin) >= slowWrite {
			progressed()
		}
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded) && n > 0 && !s.records && s.last.Load() == nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			return errNoProgress
		default:
			return err
		}
	}
	return nil
}

// finish bounds what is being written and what will be: progress makes it no longer.
func (s *socket) finish(within time.Duration) {
	last := time.Now().Add(within)
	s.last.Store(&last) // before: whoever sets another deadline looks for this one then
	s.SetWriteDeadline(last)
}

// abandon makes the kernel forget what the peer has not taken. Otherwise it would hold that for minutes after Close, for
// a peer that takes nothing.
func (s *socket) abandon() {
	c := s.Conn
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = t.NetConn()
	}
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
}
