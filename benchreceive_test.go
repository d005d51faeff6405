package hotline

import (
	"bytes"
	"net"
	"strings"
	"testing"

	"github.com/gohotline/hotline/internal/frame"
	"github.com/gohotline/hotline/internal/wire"
)

// BenchmarkReceive is what messages cost that a client sends, 256 of them and one that is answered, and not what they do.
func BenchmarkReceive(b *testing.B) {
	const batch = 256
	for name, body := range map[string]string{
		"pong":     `{"op":"pong"}`,
		"1KiB":     `{"op":"pong","padding":"` + strings.Repeat("x", 1000) + `"}`,
		"deflated": `{"op":"pong","padding":"` + strings.Repeat("x", 1000) + `"}`,
	} {
		b.Run(name, func(b *testing.B) {
			h, addr := benchHub(b, false)
			h.opts.Compression = true
			nc, err := net.Dial("tcp", addr)
			if err != nil {
				b.Fatal(err)
			}
			c := newRawClient(b, nc, wire.Protocol+"\r\nSec-WebSocket-Extensions: permessage-deflate")
			c.hello()
			one := clientFrame(frame.Text, true, []byte(body))
			if name == "deflated" {
				one = clientFrame(frame.Text, true, frame.NewDeflater().Append(nil, []byte(body)))
				one[0] |= 0x40
			}
			sent := bytes.Repeat(one, batch)
			sent = append(sent, clientFrame(frame.Text, true, []byte(`{"op":"pub","ref":1,"topic":"a","data":1}`))...)
			b.ReportAllocs()
			for b.Loop() {
				c.write(sent)
				if _, _, err := c.read(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batch, "ns/message")
		})
	}
}
