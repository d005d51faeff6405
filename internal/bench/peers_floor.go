//go:build linux

package main

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
)

// floorPeer is what no server can do without: a loop of one write(2) a message and a connection.
type floorPeer struct{ conns set[net.Conn] }

func newFloor(options) (peer, error) { return &floorPeer{}, nil }

func (p *floorPeer) serve(l net.Listener) error {
	for {
		nc, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			req, err := http.ReadRequest(bufio.NewReader(nc))
			if err != nil {
				nc.Close()
				return
			}
			sum := sha1.Sum([]byte(req.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
			fmt.Fprintf(nc, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
				base64.StdEncoding.EncodeToString(sum[:]))
			p.conns.add(nc)
		}()
	}
}

func (p *floorPeer) publish(_ string, payload []byte) {
	b := appendText(nil, payload)
	p.conns.each(func(c net.Conn) { _, _ = c.Write(b) })
}

// appendText appends a text frame (RFC 6455 §5.2).
func appendText(dst, payload []byte) []byte {
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, 0x81, byte(n))
	case n < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, 0x81, 126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 0x81, 127), uint64(n))
	}
	return append(dst, payload...)
}

// joinedPeer sends a burst as one write a connection.
type joinedPeer struct{ floorPeer }

func newJoined(options) (peer, error) { return &joinedPeer{}, nil }

func (p *joinedPeer) burst(payloads [][]byte) {
	var b []byte
	for _, payload := range payloads {
		b = appendText(b, payload)
	}
	p.conns.each(func(c net.Conn) { _, _ = c.Write(b) })
}
