package hotline

import (
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

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
