package hotline

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
)

// endingConn ends after so many bytes, as if the server's process had: without a Close frame, wherever that is.
type endingConn struct {
	net.Conn
	left int
}

func (c *endingConn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, io.EOF
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// A connection that ends in the middle of a message has ended: what came of the message is not one.
func TestClientCutMessage(t *testing.T) {
	for _, compression := range []bool{false, true} {
		for at := 150; at < 1500; at += 7 {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, &HubOptions{Compression: compression})
				first := true
				c, _ := w.connect(func(o *DialOptions) {
					dial := o.HTTPClient.Transport.(*http.Transport).DialContext
					o.Compression = compression
					o.HTTPClient.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
						nc, err := dial(ctx, network, addr)
						if err == nil && first {
							first, nc = false, &endingConn{nc, at}
						}
						return nc, err
					}
				})
				s, err := c.Subscribe(t.Context(), "a", nil)
				if err != nil {
					t.Fatalf("cut at %d: %v", at, err)
				}
				for i := range 8 {
					var v any = fmt.Sprint(i, strings.Repeat("x", 300))
					if i%2 == 1 {
						v = Binary(fmt.Sprint(i, strings.Repeat("x", 300)))
					}
					w.publish("a", v)
				}
				for i := range 8 {
					m, err := s.Next(t.Context())
					if text := strings.Trim(string(m.Data), `"`); err != nil || text != fmt.Sprint(i, strings.Repeat("x", 300)) {
						t.Fatalf("cut at %d: message %d is %q, %v", at, i, text, err)
					}
				}
			})
		}
	}
}
