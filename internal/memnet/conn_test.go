package memnet

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

// The essentials of golang.org/x/net/nettest.TestConn, in a bubble and in real time: only there do timers race with
// what they interrupt.
func TestConn(t *testing.T) {
	for _, tt := range []struct {
		name string
		f    func(t *testing.T, c1, c2 net.Conn)
	}{
		{"BasicIO", testBasicIO},
		{"PingPong", testPingPong},
		{"RacyRead", testRacyRead},
		{"RacyWrite", testRacyWrite},
		{"ReadTimeout", testReadTimeout},
		{"WriteTimeout", testWriteTimeout},
		{"PastTimeout", testPastTimeout},
		{"PresentTimeout", testPresentTimeout},
		{"FutureTimeout", testFutureTimeout},
		{"CloseTimeout", testCloseTimeout},
		{"ConcurrentMethods", testConcurrentMethods},
	} {
		run := func(t *testing.T) {
			_, client, server := newPair(t, &Options{SendBuffer: 1000, RecvBuffer: 24})
			tt.f(t, client, server)
			client.Close()
			server.Close()
			_, client, server = newPair(t, &Options{SendBuffer: 1000, RecvBuffer: 24})
			tt.f(t, server, client)
		}
		bubble(t, tt.name+"/bubble", run)
		t.Run(tt.name+"/real", run)
	}
}

var aLongTimeAgo = time.Unix(1, 0) // as in net/http

// checkTimeout fails t unless err is a timeout in every way that callers ask for it.
func checkTimeout(t *testing.T, err error) {
	t.Helper()
	var ne net.Error
	if !errors.As(err, &ne) || !ne.Timeout() || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want a timeout", err)
	}
}

// More bytes than the buffers hold come out at the other end and back as they were.
func testBasicIO(t *testing.T, c1, c2 net.Conn) {
	want := pattern(0, 200_000)
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := c1.Write(want); err != nil {
			t.Error(err)
		}
	})
	wg.Go(func() {
		if n, err := io.CopyN(c2, c2, int64(len(want))); err != nil {
			t.Error(n, err)
		}
		c2.Close()
	})
	got, err := io.ReadAll(c1)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	wg.Wait()
}

func testPingPong(t *testing.T, c1, c2 net.Conn) {
	const rounds = 100
	player := func(c net.Conn, serve bool) {
		buf := make([]byte, 1)
		if serve {
			c.Write(buf)
		}
		for range rounds {
			if _, err := io.ReadFull(c, buf); err != nil {
				t.Error(err)
				return
			}
			buf[0]++
			if _, err := c.Write(buf); err != nil {
				t.Error(err)
				return
			}
		}
		if serve && buf[0] != 2*rounds {
			t.Errorf("the ball was hit %d times", buf[0])
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() { player(c1, true) })
	wg.Go(func() { player(c2, false) })
	wg.Wait()
}

// drain reads, whatever the deadlines, until c fails otherwise.
func drain(c net.Conn) {
	buf := make([]byte, 333)
	for {
		if _, err := c.Read(buf); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
	}
}

func testRacyRead(t *testing.T, c1, c2 net.Conn) {
	var writer, readers sync.WaitGroup
	writer.Go(func() {
		for {
			if _, err := c2.Write(make([]byte, 1024)); err != nil {
				return
			}
		}
	})
	for range 5 {
		readers.Go(func() {
			b1, b2 := make([]byte, 1024), make([]byte, 1024)
			c1.SetReadDeadline(time.Now().Add(time.Millisecond))
			for range 10 {
				_, err := c1.Read(b1)
				copy(b1, b2) // for the race detector: b1 is ours again
				if err != nil {
					checkTimeout(t, err)
					c1.SetReadDeadline(time.Now().Add(time.Millisecond))
				}
			}
		})
	}
	readers.Wait()
	c1.Close()
	writer.Wait()
}

func testRacyWrite(t *testing.T, c1, c2 net.Conn) {
	var reader, writers sync.WaitGroup
	reader.Go(func() { drain(c2) })
	for range 5 {
		writers.Go(func() {
			b1, b2 := make([]byte, 1024), make([]byte, 1024)
			c1.SetWriteDeadline(time.Now().Add(time.Millisecond))
			for range 10 {
				_, err := c1.Write(b1)
				copy(b1, b2)
				if err != nil {
					checkTimeout(t, err)
					c1.SetWriteDeadline(time.Now().Add(time.Millisecond))
				}
			}
		})
	}
	writers.Wait()
	c1.Close()
	reader.Wait()
}

// A write goes on while the same end's read has timed out.
func testReadTimeout(t *testing.T, c1, c2 net.Conn) {
	var reader sync.WaitGroup
	reader.Go(func() { drain(c2) })
	c1.SetReadDeadline(aLongTimeAgo)
	_, err := c1.Read(make([]byte, 1024))
	checkTimeout(t, err)
	if _, err := c1.Write(make([]byte, 1024)); err != nil {
		t.Errorf("Write: %v", err)
	}
	c1.Close()
	reader.Wait()
}

func testWriteTimeout(t *testing.T, c1, c2 net.Conn) {
	mustWrite(t, c2, "hello")
	c1.SetWriteDeadline(aLongTimeAgo)
	_, err := c1.Write(make([]byte, 1024))
	checkTimeout(t, err)
	mustRead(t, c1, "hello")
}

// A deadline in the past fails calls even if they needn't wait, and lifting it restores the connection.
func testPastTimeout(t *testing.T, c1, c2 net.Conn) {
	mustWrite(t, c2, "hello")
	c1.SetDeadline(aLongTimeAgo)
	n, err := c1.Write(make([]byte, 1024))
	if n != 0 {
		t.Errorf("wrote %d bytes", n)
	}
	checkTimeout(t, err)
	n, err = c1.Read(make([]byte, 1024))
	if n != 0 {
		t.Errorf("read %d bytes", n)
	}
	checkTimeout(t, err)
	c1.SetDeadline(time.Time{})
	mustRead(t, c1, "hello")
	mustWrite(t, c1, "world")
	mustRead(t, c2, "world")
}

// A deadline in the past that is set while calls wait wakes them.
func testPresentTimeout(t *testing.T, c1, _ net.Conn) {
	read := started(func() (int, error) { return c1.Read(make([]byte, 1024)) })
	write := started(func() (int, error) { return c1.Write(make([]byte, 5000)) })
	time.Sleep(10 * time.Millisecond) // whether they wait by now or not, they must end
	c1.SetDeadline(aLongTimeAgo)
	checkTimeout(t, (<-read).err)
	r := <-write
	checkTimeout(t, r.err)
	if r.n != 0 && r.n != 1024 { // 0 if it had not started
		t.Errorf("wrote %d bytes, the buffers hold 1024", r.n)
	}
}

func testFutureTimeout(t *testing.T, c1, c2 net.Conn) {
	start := time.Now()
	c1.SetDeadline(start.Add(20 * time.Millisecond))
	read := started(func() (int, error) { return c1.Read(make([]byte, 1024)) })
	write := started(func() (int, error) { return c1.Write(make([]byte, 5000)) })
	checkTimeout(t, (<-read).err)
	r := <-write
	checkTimeout(t, r.err)
	if r.n != 1024 && r.n != 0 { // 0 if it began late, in real time
		t.Errorf("wrote %d bytes, the buffers hold 1024", r.n)
	}
	if took := time.Since(start); took < 20*time.Millisecond {
		t.Errorf("timed out after %v", took)
	}
	if n, err := io.ReadFull(c2, make([]byte, r.n)); err != nil {
		t.Errorf("of the partial write, %d bytes arrived: %v", n, err)
	}
	c1.SetDeadline(time.Time{})
	mustWrite(t, c2, "hello")
	mustRead(t, c1, "hello")
}

// Close wakes calls, with and without deadlines.
func testCloseTimeout(t *testing.T, c1, _ net.Conn) {
	c1.SetReadDeadline(time.Now().Add(time.Hour))
	read := started(func() (int, error) { return c1.Read(make([]byte, 1024)) })
	write := started(func() (int, error) { return c1.Write(make([]byte, 5000)) })
	queued := started(func() (int, error) { return c1.Write(make([]byte, 5000)) })
	time.Sleep(10 * time.Millisecond)
	c1.Close()
	wantErr(t, "Read", (<-read).err, net.ErrClosed)
	wantErr(t, "Write", (<-write).err, net.ErrClosed)
	wantErr(t, "Write behind the other", (<-queued).err, net.ErrClosed)
}

func testConcurrentMethods(_ *testing.T, c1, c2 net.Conn) {
	var wg, peer sync.WaitGroup
	peer.Go(func() { drain(c2) })
	for range 20 {
		for _, f := range []func(){
			func() { c1.Read(make([]byte, 1024)) },
			func() { c1.Write(make([]byte, 1024)) },
			func() { c1.SetDeadline(time.Now().Add(10 * time.Millisecond)) },
			func() { c1.SetReadDeadline(aLongTimeAgo) },
			func() { c1.SetWriteDeadline(aLongTimeAgo) },
			func() { c1.LocalAddr() },
			func() { c1.RemoteAddr() },
		} {
			wg.Go(f)
		}
	}
	wg.Wait()
	c1.Close()
	peer.Wait()
}
