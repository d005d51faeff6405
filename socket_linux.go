package hotline

import (
	"net"
	"syscall"
)

const tcpNotSentLowat = 25 // TCP_NOTSENT_LOWAT, tcp(7)

// limitUnsent bounds what the kernel takes before it has sent it. Without it a peer that reads nothing gets 4 MB into
// the kernel, and a window above that bounds nothing.
func limitUnsent(_ *net.TCPConn, raw syscall.RawConn, bytes int) {
	_ = raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpNotSentLowat, bytes)
	})
}
