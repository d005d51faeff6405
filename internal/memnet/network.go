// Package memnet is a network in memory for tests, with the faults of a real one at the test's command.
//
// A [Network] has one server address. Each client reaches it over a [Link] of its own, which can be cut, stalled,
// blackholed and throttled. The connections behave like TCP sockets as far as a program can tell: buffers of a fixed
// size that fill up, partial writes, deadlines, half close, and the errors that package net would return.
//
// Everything that waits waits on a sync.Cond, a channel or a timer, so it is durably blocked in the sense of
// testing/synctest. The network has no goroutine, and a timer exists only while a call waits for it. Outside a bubble
// it works as well, in real time. All methods are safe for concurrent use.
package memnet

import (
	"net"
	"os"
	"sync"
	"syscall"
)

const defaultBuffer = 64 << 10

// Options sets the sizes of a connection's buffers. Nil, zero and negative values mean the defaults.
//
// A direction holds the sum of the two between its writer and its reader: which of them a waiting byte is in can't be
// told from the ends.
type Options struct {
	SendBuffer int // bytes at the writer's end; default 64 KiB
	RecvBuffer int // bytes at the reader's end; default 64 KiB
}

// Network is one server address and the links of its clients.
type Network struct {
	// Static after construction.
	size int // bytes that a direction of a connection holds
	addr *net.TCPAddr

	// mu guards what follows and the state of every listener, link and connection. One lock for all makes a fault hit
	// everything at one moment, and leaves no lock order to get wrong.
	mu       sync.Mutex
	listener *listener // the open one, or nil
	links    int       // made so far
}

// New makes a network.
func New(opts *Options) *Network {
	size := 0
	var o Options
	if opts != nil {
		o = *opts
	}
	for _, n := range []int{o.SendBuffer, o.RecvBuffer} {
		if n <= 0 {
			n = defaultBuffer
		}
		size += n
	}
	return &Network{size: size, addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 80}}
}

// Listen opens the server's end, for http.Server.Serve. Clients can connect from then on, before the first Accept.
// Its Close unblocks Accept, resets connections that were not accepted yet and refuses later ones; Listen may be called
// again after it, like a server that was restarted. While a listener is open, Listen panics.
func (n *Network) Listen() net.Listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listener != nil {
		panic("memnet: Listen while another listener is open")
	}
	n.listener = &listener{net: n, arrived: sync.Cond{L: &n.mu}}
	return n.listener
}

// Link makes the network between one client and the server. The client gets an IP address of its own.
func (n *Network) Link() *Link {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.links++
	i := n.links
	return &Link{net: n, ip: net.IPv4(10, byte(i>>16), byte(i>>8), byte(i)), pairs: make(map[*pair]struct{})}
}

// listener is the server's end of a Network. Its fields are guarded by Network.mu.
type listener struct {
	net     *Network
	arrived sync.Cond
	backlog []*conn
	closed  bool
}

func (ln *listener) Accept() (net.Conn, error) {
	ln.net.mu.Lock()
	defer ln.net.mu.Unlock()
	for len(ln.backlog) == 0 && !ln.closed {
		ln.arrived.Wait()
	}
	if ln.closed {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: ln.net.addr, Err: net.ErrClosed}
	}
	c := ln.backlog[0]
	ln.backlog = ln.backlog[1:]
	return c, nil
}

func (ln *listener) Close() error {
	ln.net.mu.Lock()
	defer ln.net.mu.Unlock()
	if ln.closed {
		return &net.OpError{Op: "close", Net: "tcp", Addr: ln.net.addr, Err: net.ErrClosed}
	}
	ln.closed = true
	ln.net.listener = nil
	for _, c := range ln.backlog {
		c.reset()
		c.close()
	}
	ln.backlog = nil
	ln.arrived.Broadcast()
	return nil
}

func (ln *listener) Addr() net.Addr { return ln.net.addr }

// connect makes a connection and hands its server's end to the listener. The caller holds mu.
func (n *Network) connect(l *Link) (net.Conn, error) {
	ln := n.listener
	if ln == nil {
		return nil, os.NewSyscallError("connect", syscall.ECONNREFUSED)
	}
	client, server := l.newPair()
	ln.backlog = append(ln.backlog, server)
	ln.arrived.Signal()
	return client, nil
}
