package hotline

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/gohotline/hotline/internal/frame"
	"github.com/gohotline/hotline/internal/wire"
)

// B5: of 200 connections that read nothing the kernel holds no more than half a window each, and the write that went
// beyond it.
func TestKernelBuffers(t *testing.T) {
	const conns, window, message = 200, 64 << 10, 4 << 10
	w := newRealWorld(t, &HubOptions{Limits: Limits{WindowBytes: window, WriteTimeout: -1, PingInterval: -1}})
	for range conns {
		c := w.raw(wire.Protocol)
		c.hello("load")
		if _, _, err := c.read(); err != nil { // ok
			t.Fatal(err)
		}
	}
	for range 4000 {
		w.publish("load", strings.Repeat("x", message))
	}
	for w.hub.Stats().Behind < conns {
		time.Sleep(10 * time.Millisecond)
	}
	sum, most := 0, 0
	for c := range w.hub.Conns() {
		var queued int32
		if err := c.sock.raw.Control(func(fd uintptr) {
			// SIOCOUTQ, tcp(7): what is in the send buffer.
			_, _, _ = syscall.Syscall(syscall.SYS_IOCTL, fd, 0x5411, uintptr(unsafe.Pointer(&queued)))
		}); err != nil {
			t.Fatal(err)
		}
		sum += int(queued)
		most = max(most, int(queued))
	}
	t.Logf("%d bytes a connection, at most %d", sum/conns, most)
	if limit := window/2 + window + message; sum/conns > limit {
		t.Errorf("the kernel holds %d bytes a connection, the limit is %d", sum/conns, limit)
	}
}

// A process that stood still finds that the time of its writes is over. A peer that has taken something meanwhile is not
// cut off for that, one that has not is.
func TestWriteAfterPause(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	peer, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	s := newSocket(nc, 64<<10)
	const over = -time.Second // before it begins
	if err := s.writeAll(make([]byte, 1000), over, func() {}); err != nil {
		t.Errorf("a socket with room: %v", err)
	}
	if err := s.writeAll(make([]byte, 64<<20), over, func() {}); !errors.Is(err, errNoProgress) {
		t.Errorf("a full one: %v", err)
	}
}

// TestIdleStack: whoever only answers pings waits outside coder/websocket, where 2 KiB of stack are enough.
func TestIdleStack(t *testing.T) {
	w := newRealWorld(t, nil)
	c := w.raw(wire.Protocol)
	c.hello()
	idle := func(when string) {
		t.Helper()
		buf := make([]byte, 1<<20)
		for end := time.Now().Add(10 * time.Second); ; runtime.Gosched() {
			stacks := buf[:runtime.Stack(buf, true)]
			if bytes.Contains(stacks, []byte("(*wireConn).await")) {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s: nobody awaits the next frame:\n%s", when, stacks)
			}
		}
	}
	idle("at first")
	for _, op := range []byte{frame.Ping, frame.Pong} {
		c.write(clientFrame(op, true, []byte("x")))
		c.write(clientFrame(frame.Ping, true, []byte("y")))
		for string(c.next()) != "y" {
		}
		idle(fmt.Sprintf("after opcode %d", op))
	}
}
