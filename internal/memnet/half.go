package memnet

import (
	"bytes"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// half is one direction of a connection: a bounded queue of bytes between one writer and one reader. Its fields are
// guarded by the network's mu.
type half struct {
	// Static after init.
	link *Link
	path *path // what the link does to this direction
	size int   // bytes that buf may hold

	cond            sync.Cond // something below, or in link or path, has changed; or a time came
	buf             bytes.Buffer
	readBy, writeBy time.Time // deadlines; zero is none
	writing         bool      // a Write is under way, and others wait for it to end
	finished        bool      // the writer will write no more: io.EOF after buf
	readerClosed    bool
	writerClosed    bool
	broken          bool

	// mark says what has arrived while the path has a rate: as many bytes of buf as the rate makes of the time since.
	mark time.Time
}

func (h *half) init(l *Link, p *path) {
	h.link, h.path, h.size = l, p, l.net.size
	h.cond.L = &l.net.mu
}

// reset breaks the direction and loses what is in it. The caller holds mu.
func (h *half) reset() {
	h.broken = true
	h.buf.Reset()
	h.cond.Broadcast()
}

func (h *half) read(p []byte) (int, error) {
	h.cond.L.Lock()
	defer h.cond.L.Unlock()
	for {
		// A passed deadline comes before bytes that could be read, as in package net.
		switch {
		case h.readerClosed:
			return 0, net.ErrClosed
		case len(p) == 0:
			return 0, nil
		case passed(h.readBy):
			return 0, os.ErrDeadlineExceeded
		case h.broken:
			return 0, syscall.ECONNRESET
		}
		var more time.Time // when the path will have let more bytes through; zero is not by itself
		if !h.path.stalled && h.link.dark == nil {
			if h.finished && h.buf.Len() == 0 {
				return 0, io.EOF
			}
			var n int
			if n, more = h.arrived(); n > 0 {
				return h.take(p[:min(n, len(p))]), nil
			}
		}
		h.wait(h.readBy, more)
	}
}

func (h *half) write(p []byte) (n int, err error) {
	h.cond.L.Lock()
	defer h.cond.L.Unlock()
	// As in package net, the bytes of one Write stay together, however long it is blocked.
	for h.writing {
		h.cond.Wait()
	}
	h.writing = true
	defer func() {
		h.writing = false
		h.cond.Broadcast()
	}()
	for {
		switch {
		case h.writerClosed:
			return n, net.ErrClosed
		case passed(h.writeBy):
			return n, os.ErrDeadlineExceeded
		case h.broken:
			return n, syscall.ECONNRESET
		case h.finished, h.readerClosed && h.link.dark == nil:
			return n, syscall.EPIPE
		}
		n += h.put(p[n:])
		if n == len(p) {
			return n, nil
		}
		h.wait(h.writeBy)
	}
}

// put appends as much of p as there is room for.
func (h *half) put(p []byte) int {
	n := min(len(p), h.size-h.buf.Len())
	if n == 0 {
		return 0
	}
	// Time in which there was nothing to carry earns nothing.
	if earliest := time.Now().Add(-h.path.duration(h.buf.Len())); h.mark.Before(earliest) {
		h.mark = earliest
	}
	h.buf.Write(p[:n])
	h.cond.Broadcast()
	return n
}

// take fills p from buf, which holds as much.
func (h *half) take(p []byte) int {
	n, _ := h.buf.Read(p)
	h.mark = h.mark.Add(h.path.duration(n))
	h.cond.Broadcast()
	return n
}

// arrived counts the bytes that the rate of the path has let through to the reader. If there are none but some are on
// the way, more is when to look again.
func (h *half) arrived() (n int, more time.Time) {
	rate, waiting := h.path.rate, h.buf.Len()
	if rate == 0 || waiting == 0 {
		return waiting, time.Time{}
	}
	elapsed := time.Since(h.mark)
	if elapsed >= h.path.duration(waiting) {
		return waiting, time.Time{}
	}
	if n = int(elapsed * time.Duration(rate) / time.Second); n > 0 {
		return n, time.Time{}
	}
	// A reader that waits gets 10 ms' worth at once, for a timer a byte would be slow.
	return 0, h.mark.Add(h.path.duration(min(waiting, max(1, rate/100))))
}

// duration is how long n bytes take, rounded up so that they have arrived when it is over.
func (p *path) duration(n int) time.Duration {
	if p.rate == 0 {
		return 0
	}
	rate := time.Duration(p.rate)
	return (time.Duration(n)*time.Second + rate - 1) / rate
}

// wait blocks until something changes or the first of times comes. Zero times never come.
func (h *half) wait(times ...time.Time) {
	var first time.Time
	for _, t := range times {
		if first.IsZero() || !t.IsZero() && t.Before(first) {
			first = t
		}
	}
	if first.IsZero() {
		h.cond.Wait()
		return
	}
	timer := time.AfterFunc(time.Until(first), func() {
		h.cond.L.Lock() // or the broadcast could come before the Wait
		defer h.cond.L.Unlock()
		h.cond.Broadcast()
	})
	defer timer.Stop()
	h.cond.Wait()
}

func passed(deadline time.Time) bool {
	return !deadline.IsZero() && !time.Now().Before(deadline)
}
