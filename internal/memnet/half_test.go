package memnet

import (
	"bytes"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// What each end sees after a Close, a CloseWrite and the end of both.
func TestClose(t *testing.T) {
	bubble(t, "Close", func(t *testing.T) {
		l, c1, c2 := newPair(t, nil)
		mustWrite(t, c1, "last words")
		mustWrite(t, c2, "unread")
		blocked := started(func() (int, error) { return c2.Write(make([]byte, 200<<10)) })
		pending(t, "Write", blocked)
		c1.Close()
		wantErr(t, "the peer's pending Write", (<-blocked).err, syscall.EPIPE)
		_, err := c2.Write([]byte("x"))
		wantErr(t, "the peer's next Write", err, syscall.EPIPE)
		mustRead(t, c2, "last words")
		for range 2 {
			if n, err := c2.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Fatalf("Read: %d, %v; want the bare io.EOF", n, err)
			}
		}
		_, err = c1.Read(make([]byte, 1))
		wantErr(t, "Read", err, net.ErrClosed)
		_, err = c1.Read(nil)
		wantErr(t, "Read of nothing", err, net.ErrClosed)
		_, err = c1.Write([]byte("x"))
		wantErr(t, "Write", err, net.ErrClosed)
		wantErr(t, "SetDeadline", c1.SetDeadline(time.Time{}), net.ErrClosed)
		wantErr(t, "Close", c1.Close(), net.ErrClosed)
		if n := l.Conns(); n != 1 {
			t.Fatalf("%d connections with one end closed", n)
		}
		c2.Close()
		if n := l.Conns(); n != 0 {
			t.Fatalf("%d connections with both ends closed", n)
		}
	})
	bubble(t, "CloseWrite", func(t *testing.T) {
		_, c1, c2 := newPair(t, nil)
		read := started(func() (int, error) { p, err := io.ReadAll(c2); return len(p), err })
		mustWrite(t, c1, "last words")
		pending(t, "ReadAll", read)
		if err := c1.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if r := <-read; r.n != len("last words") || r.err != nil {
			t.Fatalf("the peer read %d bytes, %v", r.n, r.err)
		}
		_, err := c1.Write([]byte("x"))
		wantErr(t, "Write", err, syscall.EPIPE)
		mustWrite(t, c2, "answer")
		mustRead(t, c1, "answer")
	})
}

// A Read of nothing returns, a Read from nothing blocks.
func TestReadEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c1, c2 := newPair(t, nil)
		if n, err := c1.Read(nil); n != 0 || err != nil {
			t.Fatalf("Read(nil): %d, %v", n, err)
		}
		read := started(func() (int, error) { return c1.Read(make([]byte, 10)) })
		pending(t, "Read", read)
		time.Sleep(time.Hour)
		pending(t, "Read", read)
		mustWrite(t, c2, "abc")
		if r := <-read; r.n != 3 || r.err != nil {
			t.Fatalf("Read: %d, %v", r.n, r.err)
		}
	})
}

// The bytes of Writes that don't fit the buffers are not mixed, and a deadline ends all that wait.
func TestWritesStayTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c1, c2 := newPair(t, &Options{SendBuffer: 3, RecvBuffer: 4})
		var writes []<-chan result
		for _, b := range []byte("abcdef") {
			writes = append(writes, started(func() (int, error) { return c1.Write(bytes.Repeat([]byte{b}, 20)) }))
		}
		var got []byte
		for range 90 { // in the midst of the fifth
			synctest.Wait()
			p := make([]byte, 1)
			if _, err := c2.Read(p); err != nil {
				t.Fatal(err)
			}
			got = append(got, p...)
		}
		if runs := slices.Compact(bytes.Clone(got)); len(runs) != 5 {
			t.Fatalf("mixed: %q", got)
		}
		c1.SetWriteDeadline(time.Now().Add(time.Second))
		total, timeouts := 0, 0
		for _, w := range writes {
			r := <-w
			total += r.n
			if r.err != nil {
				checkTimeout(t, r.err)
				timeouts++
			}
		}
		if total != 97 || timeouts != 2 {
			t.Fatalf("%d bytes written, %d timeouts", total, timeouts)
		}
	})
}

// Errors look like those of package net.
func TestErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, c1, _ := newPair(t, nil)
		l.Cut()
		for op, f := range map[string]func([]byte) (int, error){"read": c1.Read, "write": c1.Write} {
			_, err := f(make([]byte, 1))
			op1, ok := err.(*net.OpError)
			if !ok || op1.Op != op || op1.Source != c1.LocalAddr() || op1.Addr != c1.RemoteAddr() {
				t.Fatalf("%s: %#v", op, err)
			}
			want := "tcp " + c1.LocalAddr().String() + "->192.0.2.1:80: " + op + ": connection reset by peer"
			if got := strings.TrimPrefix(err.Error(), op+" "); got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
		}
	})
}

// Moving a deadline applies to the call that waits.
func TestDeadlineMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c1, _ := newPair(t, nil)
		start := time.Now()
		c1.SetReadDeadline(start.Add(time.Second))
		read := started(func() (int, error) { return c1.Read(make([]byte, 1)) })
		time.Sleep(999 * time.Millisecond)
		c1.SetReadDeadline(start.Add(time.Minute))
		time.Sleep(58 * time.Second)
		pending(t, "Read", read)
		checkTimeout(t, (<-read).err)
		if took := time.Since(start); took != time.Minute {
			t.Fatalf("timed out after %v", took)
		}
	})
}
