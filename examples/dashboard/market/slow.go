package market

import (
	"bufio"
	"net"
	"net/http"
	"time"
)

// bytesPerSecond is what a slow link carries: 200 prices of some hundred bytes in about four seconds.
const bytesPerSecond = 5 << 10

// slowWriter makes the connection that is taken over from it a slow one.
type slowWriter struct {
	http.ResponseWriter
	rate int
}

// Hijack takes the connection over.
func (w slowWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	return &slowConn{Conn: conn, rate: w.rate}, rw, nil
}

// slowConn carries so many bytes a second towards the browser, and holds none of them: who writes waits, as for the buffers
// of a slow network. It is written by one goroutine at a time.
type slowConn struct {
	net.Conn
	rate int
	free time.Time // when what was written last has passed
}

// Write writes in small pieces, so that a deadline, or Close, ends it soon.
func (c *slowConn) Write(b []byte) (n int, err error) {
	piece := max(c.rate/20, 1)
	for n < len(b) {
		time.Sleep(time.Until(c.free))
		m, err := c.Conn.Write(b[n:min(n+piece, len(b))])
		n += m
		if now := time.Now(); c.free.Before(now) {
			c.free = now
		}
		c.free = c.free.Add(time.Duration(m) * time.Second / time.Duration(c.rate))
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
