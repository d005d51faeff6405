//go:build !linux

package hotline

import (
	"net"
	"syscall"
)

// limitUnsent bounds what the kernel takes before it has sent it, where there is no TCP_NOTSENT_LOWAT.
func limitUnsent(tcp *net.TCPConn, _ syscall.RawConn, bytes int) { tcp.SetWriteBuffer(bytes) }
