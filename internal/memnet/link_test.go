package memnet

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(&Options{SendBuffer: 10, RecvBuffer: 10})
		ln := n.Listen()
		defer ln.Close()
		l, other := n.Link(), n.Link()
		client, server := dialPair(t, ln, l)
		otherClient, otherServer := dialPair(t, ln, other)

		mustWrite(t, client, "lost")
		l.Stall()
		read := started(func() (int, error) { return client.Read(make([]byte, 1)) })
		write := started(func() (int, error) { return server.Write(make([]byte, 100)) })
		pending(t, "Read", read)
		pending(t, "Write", write)
		l.Cut()
		wantErr(t, "pending Read", (<-read).err, syscall.ECONNRESET)
		wantErr(t, "pending Write", (<-write).err, syscall.ECONNRESET)
		for _, c := range []net.Conn{client, server} {
			_, err := c.Read(make([]byte, 1))
			wantErr(t, "Read", err, syscall.ECONNRESET)
			_, err = c.Write(make([]byte, 1))
			wantErr(t, "Write", err, syscall.ECONNRESET)
		}
		if l.Conns() != 1 || l.Unread() != 0 {
			t.Fatalf("%d connections, %d bytes unread", l.Conns(), l.Unread())
		}
		client.Close()
		server.Close()
		if l.Conns() != 0 {
			t.Fatalf("%d connections after both ends closed", l.Conns())
		}

		mustWrite(t, otherClient, "hello")
		mustRead(t, otherServer, "hello")
		l.Heal() // of the Stall
		client, server = dialPair(t, ln, l)
		mustWrite(t, server, "again")
		mustRead(t, client, "again")
	})
}

func TestStall(t *testing.T) {
	down := func(l *Link) { l.Stall() }
	up := func(l *Link) { l.StallUp() }
	for _, tt := range []struct {
		name  string
		stall func(l *Link)
		isUp  bool
	}{{"Stall", down, false}, {"StallUp", up, true}} {
		bubble(t, tt.name, func(t *testing.T) {
			l, reader, writer := newPair(t, &Options{SendBuffer: 60, RecvBuffer: 40})
			if tt.isUp {
				reader, writer = writer, reader
			}
			mustWrite(t, writer, "x") // there before the stall, and not read
			tt.stall(l)
			read := started(func() (int, error) { return io.ReadFull(reader, make([]byte, 301)) })
			write := started(func() (int, error) { return writer.Write(make([]byte, 300)) })
			pending(t, "Read", read)
			pending(t, "Write", write)
			if want := map[bool]int{false: 100, true: 0}[tt.isUp]; l.Unread() != want {
				t.Fatalf("%d bytes unread, want %d", l.Unread(), want)
			}
			mustWrite(t, reader, "the other direction")
			mustRead(t, writer, "the other direction")
			time.Sleep(time.Hour)
			pending(t, "Read", read)
			l.Heal()
			if r := <-write; r.n != 300 || r.err != nil {
				t.Fatalf("Write: %d, %v", r.n, r.err)
			}
			if r := <-read; r.n != 301 || r.err != nil {
				t.Fatalf("Read: %d, %v", r.n, r.err)
			}
		})
	}
}

// A stalled client sees the end of the stream only behind the data, but can't write to who has gone.
func TestStallClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, client, server := newPair(t, nil)
		l.Stall()
		mustWrite(t, server, "bye")
		server.Close()
		read := started(func() (int, error) { p, err := io.ReadAll(client); return len(p), err })
		pending(t, "Read", read)
		_, err := client.Write([]byte("x"))
		wantErr(t, "Write", err, syscall.EPIPE)
		l.Heal()
		if r := <-read; r.n != 3 || r.err != nil {
			t.Fatalf("Read: %d, %v", r.n, r.err)
		}
	})
}

func TestBlackhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, client, server := newPair(t, &Options{SendBuffer: 60, RecvBuffer: 40})
		l.Blackhole()
		mustWrite(t, client, "up")
		mustWrite(t, server, "down")
		clientRead := started(func() (int, error) { return client.Read(make([]byte, 10)) })
		serverRead := started(func() (int, error) { return server.Read(make([]byte, 10)) })
		write := started(func() (int, error) { return server.Write(make([]byte, 300)) })
		time.Sleep(time.Hour)
		pending(t, "the client's Read", clientRead)
		pending(t, "the server's Read", serverRead)
		pending(t, "Write", write)

		client.Close()
		wantErr(t, "the client's own Read", (<-clientRead).err, net.ErrClosed)
		time.Sleep(time.Hour)
		pending(t, "the server's Read", serverRead)
		pending(t, "Write", write)
		if l.Conns() != 1 {
			t.Fatalf("%d connections", l.Conns())
		}

		l.Heal()
		if r := <-serverRead; r.n != 2 || r.err != nil {
			t.Fatalf("the server's Read: %d, %v", r.n, r.err)
		}
		wantErr(t, "Write", (<-write).err, syscall.EPIPE)
		_, err := server.Read(make([]byte, 1))
		wantErr(t, "the server's next Read", err, io.EOF)
	})
}

func TestBlackholeDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(nil)
		ln := n.Listen()
		defer ln.Close()
		l := n.Link()
		l.Blackhole()

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		_, err := l.DialContext(ctx, "tcp", "x:80")
		wantErr(t, "DialContext", err, context.DeadlineExceeded)
		var ne net.Error
		if !errors.As(err, &ne) || !ne.Timeout() || time.Since(start) != time.Minute {
			t.Fatalf("%v after %v, want a timeout", err, time.Since(start))
		}

		dial := started(func() (int, error) {
			c, err := l.DialContext(t.Context(), "tcp", "x:80")
			if err == nil {
				c.Close()
			}
			return 0, err
		})
		pending(t, "DialContext", dial)
		l.Blackhole() // twice is once
		l.Heal()
		if r := <-dial; r.err != nil {
			t.Fatal(r.err)
		}
	})
}

// An attempt that nobody answers ends as it does on Linux.
func TestBlackholeDialTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(nil)
		ln := n.Listen()
		defer ln.Close()
		l := n.Link()
		l.Blackhole()
		start := time.Now()
		dial := started(func() (int, error) { _, err := l.DialContext(t.Context(), "tcp", "x:80"); return 0, err })
		time.Sleep(connectTimeout - 1)
		pending(t, "DialContext", dial)
		err := (<-dial).err
		wantErr(t, "DialContext", err, syscall.ETIMEDOUT)
		var ne net.Error
		if !errors.As(err, &ne) || !ne.Timeout() || time.Since(start) != connectTimeout {
			t.Fatalf("%v after %v, want a timeout after %v", err, time.Since(start), connectTimeout)
		}
	})
}

func TestLinkClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(nil)
		ln := n.Listen()
		defer ln.Close()
		l := n.Link()
		client, server := dialPair(t, ln, l)
		read := started(func() (int, error) { return client.Read(make([]byte, 1)) })
		pending(t, "Read", read)
		mustWrite(t, client, "bye")
		l.Close()
		wantErr(t, "Read", (<-read).err, net.ErrClosed)
		wantErr(t, "Close", client.Close(), net.ErrClosed)
		mustRead(t, server, "bye")
		_, err := server.Read(make([]byte, 1))
		wantErr(t, "the server's Read", err, io.EOF)
		l.Close() // again, with the other end still open
		server.Close()
		if l.Conns() != 0 {
			t.Fatalf("%d connections", l.Conns())
		}
		dialPair(t, ln, l)
	})
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(nil)
		ln := n.Listen()
		defer ln.Close()
		l := n.Link()
		wait := func(ctx context.Context) <-chan result {
			return started(func() (int, error) { return 0, l.Wait(ctx) })
		}
		if err := l.Wait(t.Context()); err != nil {
			t.Fatalf("Wait without connections: %v", err)
		}
		client, server := dialPair(t, ln, l)
		client2, server2 := dialPair(t, ln, l)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		wantErr(t, "Wait", l.Wait(ctx), context.DeadlineExceeded)

		first, second := wait(t.Context()), wait(t.Context())
		client.Close()
		server.Close()
		client2.Close()
		l.Cut()
		pending(t, "Wait", first) // one end is open
		server2.Close()
		for _, w := range []<-chan result{first, second} {
			if r := <-w; r.err != nil {
				t.Fatalf("Wait: %v", r.err)
			}
		}
	})
}

func TestThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, client, server := newPair(t, nil)
		l.Throttle(1000)
		read := func(n int, want time.Duration) {
			t.Helper()
			start := time.Now()
			if _, err := io.ReadFull(client, make([]byte, n)); err != nil {
				t.Fatal(err)
			}
			// 1 ns a Read is lost to rounding.
			if took := time.Since(start); took < want || took > want+time.Microsecond {
				t.Fatalf("%d bytes took %v, want %v", n, took, want)
			}
		}

		mustWrite(t, server, string(make([]byte, 10_000)))
		read(10_000, 10*time.Second)

		// Idle time earns nothing, and a small write takes its own time.
		time.Sleep(time.Hour)
		mustWrite(t, server, "12345")
		read(5, 5*time.Millisecond)

		// What has arrived while nobody read is there at once, and not more.
		mustWrite(t, server, string(make([]byte, 10_000)))
		time.Sleep(4 * time.Second)
		mustWrite(t, server, "the bytes on the way keep their place")
		read(4000, 0)
		read(6000, 6*time.Second)
		read(37, 37*time.Millisecond)

		// All had arrived, so waiting with it earns nothing for what follows.
		mustWrite(t, server, "12345")
		time.Sleep(time.Hour)
		mustWrite(t, server, string(make([]byte, 1000)))
		read(5, 0)
		read(1000, time.Second)

		// A deadline comes before the bytes; the end of the stream behind them.
		mustWrite(t, server, "12345")
		server.Close()
		start := time.Now()
		client.SetReadDeadline(start.Add(2 * time.Millisecond))
		n, err := io.ReadFull(client, make([]byte, 10))
		checkTimeout(t, err)
		if n > 2 || time.Since(start) != 2*time.Millisecond {
			t.Fatalf("%d bytes in %v", n, time.Since(start))
		}
		client.SetReadDeadline(time.Time{})
		start = time.Now()
		if p, err := io.ReadAll(client); len(p) != 5-n || err != nil || time.Since(start) > 4*time.Millisecond {
			t.Fatalf("read %d bytes, %v, after %v", len(p), err, time.Since(start))
		}
	})
}

func TestThrottleChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, client, server := newPair(t, nil)
		mustWrite(t, server, string(make([]byte, 100_000))) // waits already when the limit comes
		time.Sleep(time.Minute)
		l.Throttle(1)
		start := time.Now()
		read := started(func() (int, error) { return io.ReadFull(client, make([]byte, 100_000)) })
		time.Sleep(10 * time.Second)
		pending(t, "Read", read)
		if got := 100_000 - l.Unread(); got != 10 {
			t.Fatalf("read %d bytes in 10 s at 1 byte a second", got)
		}
		mustWrite(t, client, "up") // is not throttled
		mustRead(t, server, "up")
		l.Throttle(50_000)
		time.Sleep(time.Second)
		l.Stall()
		time.Sleep(time.Hour)
		pending(t, "Read", read)
		l.Heal() // of both
		if r := <-read; r.err != nil {
			t.Fatal(r.err)
		}
		if took := time.Since(start); took != time.Hour+11*time.Second {
			t.Fatalf("took %v", took)
		}
	})
}

func TestListen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(nil)
		l := n.Link()
		refused := func() {
			t.Helper()
			_, err := l.DialContext(t.Context(), "tcp", "x:80")
			wantErr(t, "DialContext", err, syscall.ECONNREFUSED)
			var op *net.OpError
			if !errors.As(err, &op) || op.Op != "dial" {
				t.Fatalf("got %#v, want a *net.OpError of dial", err)
			}
		}
		refused()

		ln := n.Listen()
		waiting, err := l.DialContext(t.Context(), "tcp", "x:80")
		if err != nil {
			t.Fatal(err)
		}
		if err := ln.Close(); err != nil {
			t.Fatal(err)
		}
		_, err = waiting.Read(make([]byte, 1))
		wantErr(t, "Read of a connection that was never accepted", err, syscall.ECONNRESET)
		waiting.Close()
		if l.Conns() != 0 {
			t.Fatalf("%d connections left", l.Conns())
		}
		refused()
		wantErr(t, "second Close", ln.Close(), net.ErrClosed)

		ln = n.Listen()
		client, server := dialPair(t, ln, l)
		accept := started(func() (int, error) { _, err := ln.Accept(); return 0, err })
		pending(t, "Accept", accept)
		ln.Close()
		wantErr(t, "Accept", (<-accept).err, net.ErrClosed)
		refused()
		mustWrite(t, client, "outlives the listener")
		mustRead(t, server, "outlives the listener")

		n.Listen()
		defer func() {
			if recover() == nil {
				t.Fatal("a second listener beside the first")
			}
		}()
		n.Listen()
	})
}

func TestDialCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(nil)
		defer n.Listen().Close()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := n.Link().DialContext(ctx, "tcp", "x:80")
		wantErr(t, "DialContext", err, context.Canceled)
	})
}

// Clients can be told apart by their addresses, links by their IPs.
func TestAddrs(t *testing.T) {
	n := New(nil)
	ln := n.Listen()
	defer ln.Close()
	l1, l2 := n.Link(), n.Link()
	seen := make(map[string]bool)
	ips := make(map[string]bool)
	for _, l := range []*Link{l1, l1, l2} {
		client, server := dialPair(t, ln, l)
		if client.LocalAddr().String() != server.RemoteAddr().String() || client.RemoteAddr() != ln.Addr() || server.LocalAddr() != ln.Addr() {
			t.Fatalf("client %v -> %v, server %v -> %v", client.LocalAddr(), client.RemoteAddr(), server.LocalAddr(), server.RemoteAddr())
		}
		host, _, err := net.SplitHostPort(server.RemoteAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		seen[server.RemoteAddr().String()] = true
		ips[host] = true
	}
	if len(seen) != 3 || len(ips) != 2 {
		t.Fatalf("addresses %v, IPs %v", seen, ips)
	}
}

func TestDefaultBuffers(t *testing.T) {
	for _, tt := range []struct {
		opts *Options
		want int
	}{{nil, 128 << 10}, {&Options{SendBuffer: 1}, 1 + 64<<10}, {&Options{SendBuffer: -1, RecvBuffer: 5}, 5 + 64<<10}} {
		synctest.Test(t, func(t *testing.T) {
			l, _, server := newPair(t, tt.opts)
			server.SetWriteDeadline(time.Now().Add(time.Second))
			n, err := server.Write(make([]byte, 1<<20))
			checkTimeout(t, err)
			if n != tt.want || l.Unread() != tt.want {
				t.Fatalf("wrote %d bytes, %d unread, want %d", n, l.Unread(), tt.want)
			}
		})
	}
}
