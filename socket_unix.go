//go:build unix

package hotline

import (
	"errors"
	"io"
	"syscall"
)

const nonBlocking = true

// writeNow writes as much of b as the socket takes without waiting. It is called by one goroutine at a time; w keeps
// the closure, so that a write allocates nothing.
func (w *writer) writeNow(s *socket, b []byte) (n int, err error) {
	w.b, w.n, w.err = b, 0, nil
	if w.f == nil {
		w.f = func(fd uintptr) bool {
			for {
				n, err := syscall.Write(int(fd), w.b)
				switch {
				case err == syscall.EINTR:
				case err == syscall.EAGAIN:
					return true
				case err != nil:
					w.err = err
					return true
				default:
					w.n = n
					return true
				}
			}
		}
	}
	if err := s.raw.Write(w.f); err != nil {
		return 0, err
	}
	w.b = nil
	return w.n, w.err
}

type writer struct {
	b   []byte
	n   int
	err error
	f   func(fd uintptr) bool
}

// writeWait writes some of b, which is not empty, once the socket is writable.
func (s *socket) writeWait(b []byte) (n int, err error) {
	waitErr := s.raw.Write(func(fd uintptr) bool {
		for {
			n, err = syscall.Write(int(fd), b)
			switch {
			case errors.Is(err, syscall.EINTR):
				continue
			case errors.Is(err, syscall.EAGAIN):
				n, err = 0, nil
				return false
			case n == 0 && err == nil:
				err = io.ErrUnexpectedEOF
			}
			return true
		}
	})
	if waitErr != nil {
		return 0, waitErr
	}
	return max(n, 0), err
}

// await waits until the socket is readable. It looks once before, into p, and takes a few bytes if there are any.
func (s *socket) await(p []byte) (n int, err error) {
	looked := false
	waitErr := s.raw.Read(func(fd uintptr) bool {
		if looked {
			return true
		}
		looked = true
		n, err = readNow(fd, p)
		return !errors.Is(err, syscall.EAGAIN)
	})
	if !looked || errors.Is(err, syscall.EAGAIN) {
		n, err = 0, waitErr
	}
	return max(n, 0), err
}

func readNow(fd uintptr, p []byte) (n int, err error) {
	for {
		if n, err = syscall.Read(int(fd), p); !errors.Is(err, syscall.EINTR) {
			return n, err
		}
	}
}

// readReady reads once the socket is readable, into a buffer that it takes only then, and gives back if there was
// nothing after all.
func (s *socket) readReady(take func() []byte, put func()) (n int, err error) {
	waitErr := s.raw.Read(func(fd uintptr) bool {
		if n, err = readNow(fd, take()); errors.Is(err, syscall.EAGAIN) {
			n, err = 0, nil
			put()
			return false
		}
		return true
	})
	if waitErr != nil {
		return 0, waitErr
	}
	return max(n, 0), err
}
