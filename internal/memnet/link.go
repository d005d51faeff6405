package memnet

import (
	"context"
	"net"
	"os"
	"syscall"
	"time"
)

// connectTimeout is how long a connection attempt lasts that nobody answers: with net.ipv4.tcp_syn_retries at 6, its
// default, Linux sends its last SYN after 63 s and waits 64 s more.
const connectTimeout = 127 * time.Second

// Link is the network between one client and the server, over which the client may have any number of connections.
// Faults apply to the present connections and to later ones, except for Cut. They add up, until Heal.
type Link struct {
	// Static after construction.
	net *Network
	ip  net.IP // the client's

	// Guarded by net.mu.
	dials              int
	pairs              map[*pair]struct{} // connections with an end that is not closed
	toClient, toServer path
	dark               chan struct{} // not nil while nothing passes; closed by Heal
	empty              chan struct{} // not nil while somebody waits for pairs to be empty; closed then
}

// path is what a link does to one of its directions.
type path struct {
	stalled bool
	rate    int // bytes a second; 0 is no limit
}

// DialContext connects to the server, whatever the address, as the DialContext of an http.Transport. When nobody
// listens, the error is a *net.OpError that wraps syscall.ECONNREFUSED.
func (l *Link) DialContext(ctx context.Context, network, _ string) (net.Conn, error) {
	conn, err := l.dial(ctx)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: l.net.addr, Err: err}
	}
	return conn, nil
}

func (l *Link) dial(ctx context.Context) (net.Conn, error) {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	var timeout <-chan time.Time
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		dark := l.dark
		if dark == nil {
			return l.net.connect(l)
		}
		if timeout == nil {
			timer := time.NewTimer(connectTimeout)
			defer timer.Stop()
			timeout = timer.C
		}
		l.net.mu.Unlock()
		timedOut := false
		select {
		case <-dark:
		case <-ctx.Done():
		case <-timeout:
			timedOut = true
		}
		l.net.mu.Lock()
		if timedOut {
			return nil, os.NewSyscallError("connect", syscall.ETIMEDOUT)
		}
	}
}

// newPair makes a connection. The caller holds mu.
func (l *Link) newPair() (client, server *conn) {
	p := &pair{link: l}
	p.down.init(l, &l.toClient)
	p.up.init(l, &l.toServer)
	l.pairs[p] = struct{}{}

	addr := &net.TCPAddr{IP: l.ip, Port: 49152 + l.dials%16384} // RFC 6335, section 6: the dynamic ports
	l.dials++
	client = &conn{pair: p, in: &p.down, out: &p.up, local: addr, remote: l.net.addr}
	server = &conn{pair: p, in: &p.up, out: &p.down, local: l.net.addr, remote: addr}
	return client, server
}

// Cut breaks the present connections: Read and Write fail with ECONNRESET at both ends, at once even during a
// Blackhole, and what was on its way is lost. The client may connect again.
func (l *Link) Cut() {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	for p := range l.pairs {
		p.reset()
	}
}

// Close closes the client's ends, as the end of its process does. It may connect again.
func (l *Link) Close() {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	for p := range l.pairs {
		if !p.down.readerClosed {
			(&conn{pair: p, in: &p.down, out: &p.up}).close()
		}
	}
}

// Stall keeps bytes from the client's Read, as if it were slow: they wait in the buffers until those are full, then
// the server's Write blocks. What the client sends arrives.
func (l *Link) Stall() {
	l.change(func() { l.toClient.stalled = true })
}

// StallUp is Stall in the other direction: the server reads nothing from the client.
func (l *Link) StallUp() {
	l.change(func() { l.toServer.stalled = true })
}

// Blackhole lets nothing through in either direction. Writes succeed until the buffers are full, then block; a Close
// isn't seen by the other end; DialContext waits for Heal or for its ctx, and after 127 s fails with ETIMEDOUT.
func (l *Link) Blackhole() {
	l.change(func() {
		if l.dark == nil {
			l.dark = make(chan struct{})
		}
	})
}

// Throttle limits each connection's rate towards the client. Bytes that wait already are subject to it too. A rate of
// zero or less is no limit.
func (l *Link) Throttle(bytesPerSecond int) {
	l.change(func() {
		l.toClient.rate = max(0, bytesPerSecond)
		for p := range l.pairs {
			p.down.mark = time.Now()
		}
	})
}

// Heal undoes Stall, StallUp, Blackhole and Throttle. What waits in the buffers flows.
func (l *Link) Heal() {
	l.change(func() {
		l.toClient, l.toServer = path{}, path{}
		if l.dark != nil {
			close(l.dark)
			l.dark = nil
		}
	})
}

// change applies f to the state of the link, and makes all that wait look at it again.
func (l *Link) change(f func()) {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	f()
	for p := range l.pairs {
		p.down.cond.Broadcast()
		p.up.cond.Broadcast()
	}
}

// Conns counts the connections that are open at one end at least. A cut connection counts until both ends closed it:
// like a socket, it is there until then.
func (l *Link) Conns() int {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	return len(l.pairs)
}

// Wait waits until there are no connections, as Conns counts them, or until ctx is done, whose error it returns.
func (l *Link) Wait(ctx context.Context) error {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	for len(l.pairs) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		if l.empty == nil {
			l.empty = make(chan struct{})
		}
		empty := l.empty
		l.net.mu.Unlock()
		select {
		case <-empty:
		case <-ctx.Done():
		}
		l.net.mu.Lock()
	}
	return nil
}

// remove forgets a pair, both ends of which are closed. The caller holds mu.
func (l *Link) remove(p *pair) {
	delete(l.pairs, p)
	if len(l.pairs) == 0 && l.empty != nil {
		close(l.empty)
		l.empty = nil
	}
}

// Unread counts the bytes written towards the client that it has not read, on all connections that Conns counts.
func (l *Link) Unread() int {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	n := 0
	for p := range l.pairs {
		n += p.down.buf.Len()
	}
	return n
}
