package interop

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for what must happen. Nothing passes or fails by it on a machine that is merely slow.
const patience = time.Minute

// Opcodes of RFC 6455 §5.2.
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xa
)

// tap stands between clients and a hub, passes on what they say, and keeps which frames it was.
type tap struct {
	ln    net.Listener
	to    string
	group sync.WaitGroup

	mu    sync.Mutex
	links []*link
}

// link is one connection through a tap.
type link struct {
	client, server net.Conn
	up, down       record // what the client sent, what the hub sent
}

// newTap listens for clients of the server at to, until t ends.
func newTap(t *testing.T, to string) *tap {
	t.Helper()
	ln, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	tp := &tap{ln: ln, to: to}
	tp.group.Go(tp.accept)
	t.Cleanup(func() {
		ln.Close()
		for _, l := range tp.all() {
			l.cut()
		}
		tp.group.Wait()
	})
	return tp
}

func (tp *tap) accept() {
	for {
		client, err := tp.ln.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", tp.to)
		if err != nil {
			client.Close()
			continue
		}
		l := &link{client: client, server: server}
		l.up.init()
		l.down.init()
		tp.mu.Lock()
		tp.links = append(tp.links, l)
		tp.mu.Unlock()
		tp.group.Go(func() { pump(server, client, &l.up) })
		tp.group.Go(func() { pump(client, server, &l.down) })
	}
}

func (tp *tap) all() []*link {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	return slices.Clone(tp.links)
}

// last is the link of the client that came last.
func (tp *tap) last() *link {
	links := tp.all()
	return links[len(links)-1]
}

// cut resets the connection on both sides: neither says good-bye.
func (l *link) cut() {
	for _, c := range []net.Conn{l.client, l.server} {
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
}

func pump(dst, src net.Conn, r *record) {
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			r.add(buf[:n])
			if _, err := dst.Write(buf[:n]); err != nil {
				src.Close()
				return
			}
		}
		if err != nil {
			dst.(*net.TCPConn).CloseWrite()
			return
		}
	}
}

// wireFrame is a frame as it was on the wire.
type wireFrame struct {
	fin, rsv1 bool
	op        byte
	size      int
	control   string // payload of a control frame, unmasked
}

// record reads one direction of a link: a head of HTTP, then frames.
type record struct {
	mu      sync.Mutex
	rest    []byte
	head    string // of the request or the answer; empty until it is complete
	frames  []wireFrame
	changed chan struct{} // closed and replaced at each change
}

func (r *record) init() { r.changed = make(chan struct{}) }

func (r *record) add(b []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rest = append(r.rest, b...)
	if r.head == "" {
		end := bytes.Index(r.rest, []byte("\r\n\r\n"))
		if end < 0 {
			return
		}
		r.head, r.rest = string(r.rest[:end]), r.rest[end+4:]
	}
	for {
		f, n := parseFrame(r.rest)
		if n == 0 {
			break
		}
		r.frames, r.rest = append(r.frames, f), r.rest[n:]
	}
	close(r.changed)
	r.changed = make(chan struct{})
}

// parseFrame reads the first frame of b, and returns how long it is: 0 if it is not complete.
func parseFrame(b []byte) (f wireFrame, n int) {
	if len(b) < 2 {
		return f, 0
	}
	f = wireFrame{fin: b[0]&0x80 != 0, rsv1: b[0]&0x40 != 0, op: b[0] & 0x0f, size: int(b[1] & 0x7f)}
	masked, at := b[1]&0x80 != 0, 2
	switch {
	case f.size == 126 && len(b) >= 4:
		f.size, at = int(binary.BigEndian.Uint16(b[2:])), 4
	case f.size == 127 && len(b) >= 10:
		f.size, at = int(binary.BigEndian.Uint64(b[2:])), 10
	case f.size >= 126:
		return f, 0
	}
	var mask [4]byte
	if masked {
		if len(b) < at+4 {
			return f, 0
		}
		at += copy(mask[:], b[at:])
	}
	if len(b) < at+f.size {
		return f, 0
	}
	if f.op >= opClose {
		payload := bytes.Clone(b[at : at+f.size])
		for i := range payload {
			payload[i] ^= mask[i%4]
		}
		f.control = string(payload)
	}
	return f, at + f.size
}

// wait waits until n frames for which want is true have passed, and returns all such.
func (r *record) wait(t *testing.T, what string, n int, want func(wireFrame) bool) []wireFrame {
	t.Helper()
	timeout := time.After(patience)
	for {
		found, changed := r.find(want)
		if len(found) >= n {
			return found
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("%d of %d frames on the wire: %s", len(found), n, what)
		}
	}
}

// find returns the frames so far for which want is true, and what is closed when there are more.
func (r *record) find(want func(wireFrame) bool) ([]wireFrame, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []wireFrame
	for _, f := range r.frames {
		if want(f) {
			found = append(found, f)
		}
	}
	return found, r.changed
}

// header returns a header of the request or answer.
func (r *record) header(name string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := make(http.Header)
	for _, line := range bytes.Split([]byte(r.head), []byte("\r\n"))[1:] {
		key, value, _ := bytes.Cut(line, []byte(": "))
		h.Add(string(key), string(value))
	}
	return h.Get(name)
}

func isOp(op byte) func(wireFrame) bool { return func(f wireFrame) bool { return f.op == op } }

// status is the code of the answer.
func (r *record) status() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	var code int
	fmt.Sscanf(r.head, "HTTP/1.1 %d", &code)
	return code
}
