package hotline

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gohotline/hotline/internal/frame"
	"github.com/gohotline/hotline/internal/wire"
)

// TestConnCloseCodes: whatever the application asks for, what goes out is a code that may be sent (RFC 6455 §7.4.1,
// §7.4.2) and a reason that fits.
func TestConnCloseCodes(t *testing.T) {
	for code, want := range map[int]int{
		CloseReconnect: 4000, CloseFinal: 4500, 4999: 4999, 3000: 3000, 1000: 1000, 1012: 1012,
		0: 1011, 999: 1011, 1004: 1011, 1005: 1011, 1006: 1011, 1015: 1011, 2999: 1011, 5000: 1011,
	} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				c := w.client("a")
				c.want("ok 1")
				for conn := range w.hub.Conns() {
					conn.Close(code, strings.Repeat("é", 100))
				}
				got, reason, frames := c.closed()
				if got != want || reason != strings.Repeat("é", 61) {
					t.Errorf("closed with %d %q", got, reason)
				}
				if len(frames) != 1 || frames[0].Op != wire.OpBye || frames[0].CloseCode != want {
					t.Errorf("got %+v", frames)
				}
			})
		})
	}
}

// TestPeerCloses: a connection that the peer ends is not reset, which would take from it what is on its way: the answer to
// its Close frame too.
func TestPeerCloses(t *testing.T) {
	w := newRealWorld(t, nil)
	ended := func(c *rawClient) {
		t.Helper()
		if op, body, err := c.read(); !errors.Is(err, io.EOF) {
			t.Fatalf("%d %q, %v", op, body, err)
		}
		c.nc.Close()
	}
	for range 100 {
		c := w.raw(wire.Protocol)
		c.hello()
		c.write(clientFrame(frame.Close, true, []byte{0x03, 0xe8}))
		if code, reason := c.closed(); code != 1000 {
			t.Fatalf("closed with %d %s", code, reason)
		}
		ended(c)
	}
	c := w.raw(wire.Protocol)
	c.hello()
	_ = c.nc.(*net.TCPConn).CloseWrite()
	ended(c)
}
