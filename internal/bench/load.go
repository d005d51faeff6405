//go:build linux

package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// The load is one goroutine and one epoll for all connections, so that it takes little of the machine from the server.
// Over TLS, where that can't be, it is a goroutine a connection.
type load struct {
	addr    string
	peer    candidate
	tls     bool
	deflate bool
	history bool // places are noted

	epoll  int
	conns  []*loadConn
	places []string      // of the connections that were dropped
	slow   int           // the first so many read slowly
	rate   float64       // bytes a second that they do
	stop   chan struct{} // of reading
	idle   chan struct{} // reading has stopped
	ready  atomic.Int64  // subscriptions and handshakes that were confirmed
	got    atomic.Int64
	slowly atomic.Int64 // of got those of slow connections
	bytes  atomic.Int64
	closed atomic.Int64
	mu     sync.Mutex
	waits  []int64 // latencies of the others, ns; the reading goroutine's, or under mu those of viewers
	last   atomic.Int64
}

type loadConn struct {
	nc     net.Conn // nil: fd
	fd     int
	i      int // its number, which says what it subscribes to
	slow   bool
	place  string // where it is to resume
	parser parser
}

// runLoad is main of the load: its arguments are the address, the peer, and tls, deflate or history.
func runLoad(args []string) error {
	l := &load{addr: args[0], peer: peers[args[1]], tls: slices.Contains(args[2:], "tls"), deflate: slices.Contains(args[2:], "deflate"),
		history: slices.Contains(args[2:], "history")}
	var err error
	if l.epoll, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		return err
	}
	return obey(l.do)
}

func (l *load) do(o order) (answer, error) {
	switch o.Do {
	case "connect":
		begin := time.Now()
		if l.peer.polls {
			return answer{}, l.pollAll(o)
		}
		err := l.connect(o)
		return answer{Took: time.Since(begin).Seconds()}, err
	case "expect":
		return l.expect(o), nil
	case "slow": // part of the connections reads no more than so much, and has a small buffer
		l.pause()
		l.slow, l.rate = len(l.conns)*o.Percent/100, o.Rate
		for i, c := range l.conns {
			if c.slow = i < l.slow; c.slow {
				if err := syscall.SetsockoptInt(c.fd, syscall.SOL_SOCKET, syscall.SO_RCVBUF, 64<<10); err != nil {
					return answer{}, err
				}
			}
		}
		l.read()
		return answer{}, nil
	case "drop": // all connections
		l.pause()
		l.places = make([]string, len(l.conns))
		for _, c := range l.conns {
			_ = syscall.Close(c.fd)
			l.places[c.i] = c.place
		}
		l.conns = nil
		l.ready.Store(0)
		return answer{}, nil
	case "hurry": // and reads again
		l.pause()
		l.slow = 0
		l.read()
		return answer{}, nil
	}
	return answer{}, fmt.Errorf("unknown order %q", o.Do)
}

// connect makes o.N connections, each subscribed to o.Each of o.Topics topics.
func (l *load) connect(o order) error {
	want := int64(0)
	const abreast = 64 // handshakes at a time
	type made struct {
		c   *loadConn
		err error
	}
	results := make(chan made, abreast)
	l.pause()
	next := 0
	for done := 0; done < o.N; {
		for ; next < o.N && next-done < abreast; next++ {
			go func(i int) {
				c, err := l.dial(i, o)
				results <- made{c, err}
			}(next)
		}
		m := <-results
		if m.err != nil {
			return m.err
		}
		l.conns = append(l.conns, m.c)
		done++
		switch d := l.peer.dialect; {
		case d.ready == "":
		case d.once:
			want++
		default:
			want += int64(o.Each)
		}
	}
	l.read()
	for end := time.Now().Add(60 * time.Second); l.ready.Load() < want; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("%d of %d subscriptions were confirmed", l.ready.Load(), want)
		}
	}
	return nil
}

func (l *load) dial(i int, o order) (*loadConn, error) {
	nc, err := net.Dial("tcp", l.addr)
	if err != nil {
		return nil, err
	}
	if l.tls {
		nc = tls.Client(nc, &tls.Config{InsecureSkipVerify: true})
	}
	d := l.peer.dialect
	path := d.path
	if path == "" {
		path = "/"
	}
	var extra string
	if d.protocol != "" {
		extra += "Sec-WebSocket-Protocol: " + d.protocol + "\r\n"
	}
	if l.deflate {
		extra += "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n"
	}
	fmt.Fprintf(nc, "GET %s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n", path, extra)
	head, rest, err := readHead(nc)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(head, "HTTP/1.1 101 ") {
		return nil, fmt.Errorf("the handshake was answered %q", head)
	}
	var topics []string
	for j := range o.Each {
		topics = append(topics, o.subscribed((i*o.Each+j)%o.Topics))
	}
	var messages []string
	switch {
	case i < len(l.places):
		messages = d.again(topics, l.places[i])
	case d.hello != nil:
		messages = d.hello(topics)
	}
	if rest, err = greet(nc, d, messages, rest); err != nil {
		return nil, err
	}
	c := &loadConn{nc: nc, i: i}
	c.parser.buf = rest
	if l.tls {
		return c, nil
	}
	f, err := nc.(*net.TCPConn).File() // the runtime's poller lets go of it
	if err != nil {
		return nil, err
	}
	if c.fd, err = syscall.Dup(int(f.Fd())); err != nil {
		return nil, err
	}
	_ = f.Close()
	nc.Close()
	c.nc = nil
	if err := syscall.SetNonblock(c.fd, true); err != nil {
		return nil, err
	}
	ev := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(c.fd)}
	return c, syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_ADD, c.fd, &ev)
}

// greet says hello. It returns what was received and is to be parsed.
func greet(nc net.Conn, d dialect, messages []string, got []byte) ([]byte, error) {
	var b []byte
	for i, msg := range messages {
		if i == 1 && d.greeting != "" {
			if _, err := nc.Write(b); err != nil {
				return nil, err
			}
			b = b[:0]
			for buf := make([]byte, 1024); !strings.Contains(string(got), d.greeting); {
				n, err := nc.Read(buf)
				if err != nil {
					return nil, err
				}
				got = append(got, buf[:n]...)
			}
		}
		b = appendMasked(b, msg)
	}
	_, err := nc.Write(b)
	return got, err
}

// readHead reads up to the empty line, and returns what came after it.
func readHead(nc net.Conn) (head string, rest []byte, err error) {
	b := make([]byte, 0, 1024)
	for {
		n, err := nc.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if i := strings.Index(string(b), "\r\n\r\n"); i >= 0 {
			return string(b[:i]), b[i+4:], nil
		}
		if err != nil || len(b) == cap(b) {
			return "", nil, errors.Join(err, fmt.Errorf("no answer to the handshake: %q", b))
		}
	}
}

// appendMasked appends a client's text frame; its mask is zero.
func appendMasked(dst []byte, msg string) []byte {
	at := len(dst)
	dst = appendText(dst, []byte(msg))
	dst[at+1] |= 0x80
	return slices.Insert(dst, len(dst)-len(msg), 0, 0, 0, 0)
}

// read begins to read all connections that are not slow.
func (l *load) read() {
	l.stop, l.idle = make(chan struct{}), make(chan struct{})
	for _, c := range l.conns {
		l.took(c, nil) // what came with the handshake
	}
	if l.tls {
		go l.readEach()
		return
	}
	byFD := make(map[int32]*loadConn, len(l.conns))
	for i, c := range l.conns {
		byFD[int32(c.fd)] = c
		ev := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(c.fd)}
		if i < l.slow {
			ev.Events = 0
		}
		_ = syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_MOD, c.fd, &ev)
	}
	go l.poll(byFD)
}

func (l *load) poll(byFD map[int32]*loadConn) {
	defer close(l.idle)
	events := make([]syscall.EpollEvent, 512)
	buf := make([]byte, 64<<10)
	const slice = 50 * time.Millisecond
	last := time.Now()
	for {
		if now := time.Now(); l.slow > 0 && now.Sub(last) >= slice {
			last = now
			for fd, c := range byFD {
				if c.slow {
					l.readOne(byFD, fd, buf[:min(len(buf), int(l.rate*slice.Seconds()))])
				}
			}
		}
		select {
		case <-l.stop:
			return
		default:
		}
		n, err := syscall.EpollWait(l.epoll, events, 20)
		if err != nil && !errors.Is(err, syscall.EINTR) {
			exit(err)
		}
		for _, ev := range events[:max(n, 0)] {
			l.readOne(byFD, ev.Fd, buf)
		}
	}
}

// readOne reads once what a connection has.
func (l *load) readOne(byFD map[int32]*loadConn, fd int32, buf []byte) {
	c := byFD[fd]
	if c == nil {
		return
	}
	n, err := syscall.Read(c.fd, buf)
	switch {
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
	case n <= 0:
		l.closed.Add(1)
		_ = syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_DEL, c.fd, nil)
		delete(byFD, fd)
	default:
		l.took(c, buf[:n])
	}
}

// readEach is poll for TLS. Latencies are not noted.
func (l *load) readEach() {
	for _, c := range l.conns {
		go func() {
			buf := make([]byte, 64<<10)
			for {
				n, err := c.nc.Read(buf)
				if n > 0 {
					l.took(c, buf[:n])
				}
				if err != nil {
					l.closed.Add(1)
					return
				}
			}
		}()
	}
	<-l.stop
	close(l.idle)
}

func (l *load) pause() {
	if l.stop != nil && !l.tls {
		close(l.stop)
		<-l.idle
		l.stop = nil
	}
}

// took handles what a connection has received.
func (l *load) took(c *loadConn, b []byte) {
	l.bytes.Add(int64(len(b)))
	now := time.Now().UnixNano()
	n := int64(0)
	c.parser.feed(b, func(msg []byte) {
		d := l.peer.dialect
		if d.ready != "" && (l.history || c.parser.messages == 0) {
			l.ready.Add(int64(strings.Count(string(msg), d.ready)))
		}
		if l.history {
			c.place = d.place(c.place, msg)
		}
		stamps(msg, func(sent int64) {
			n++
			c.parser.messages++
			if !c.slow && !l.tls {
				l.waits = append(l.waits, now-sent)
			}
		})
	})
	if n > 0 {
		l.got.Add(n)
		if c.slow {
			l.slowly.Add(n)
		}
		l.last.Store(now)
	}
}

// expect waits until so many messages have come since the last time, or nothing for a while.
func (l *load) expect(o order) answer {
	end := time.Now().Add(time.Duration(o.Seconds * float64(time.Second)))
	got := func() int64 {
		if o.Healthy {
			return l.got.Load() - l.slowly.Load()
		}
		return l.got.Load()
	}
	for got() < int64(o.N) && time.Now().Before(end) {
		time.Sleep(200 * time.Microsecond)
	}
	l.pause()
	l.mu.Lock()
	defer l.mu.Unlock()
	a := answer{
		Got: l.got.Swap(0), Slow: l.slowly.Swap(0), Bytes: l.bytes.Swap(0), Closed: int(l.closed.Load()),
	}
	if len(l.waits) > 0 {
		slices.Sort(l.waits)
		ms := func(p float64) float64 { return float64(l.waits[int(p*float64(len(l.waits)-1))]) / 1e6 }
		a.P50, a.P99 = ms(0.5), ms(0.99)
	}
	l.waits = l.waits[:0]
	if !l.tls && !l.peer.polls {
		l.read()
	}
	return a
}
