package hostile

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"
)

// strict is a client's end that takes from a server what RFC 6455 and RFC 7692 allow, and nothing else.
type strict struct {
	nc      net.Conn
	br      *bufio.Reader
	deflate bool
	plain   bool

	pongs  []string
	closed int // the code of the Close frame; cut: there was none
	reason string
	torn   bool // the last frame was cut
}

// message is a message from a server.
type message struct {
	binary bool
	data   []byte
}

const patience = 60 * time.Second // a slow machine is no failure; a hang is

// dial makes a connection and shakes hands.
func dial(nc net.Conn, deflate, plain bool) (*strict, error) {
	nc.SetDeadline(time.Now().Add(patience))
	var b strings.Builder
	b.WriteString("GET / HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
	if !plain {
		b.WriteString("Sec-WebSocket-Protocol: hotline.v1, hotline\r\n")
	}
	if deflate {
		b.WriteString("Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n")
	}
	b.WriteString("\r\n")
	if _, err := io.WriteString(nc, b.String()); err != nil {
		return nil, err
	}
	s := &strict{nc: nc, br: bufio.NewReader(nc), deflate: deflate, plain: plain, closed: cut}
	resp, err := http.ReadResponse(s.br, nil)
	if err != nil {
		return nil, fmt.Errorf("the handshake: %w", err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		return nil, fmt.Errorf("the handshake: %s %v", resp.Status, resp.Header)
	}
	if got := resp.Header.Get("Sec-WebSocket-Extensions") != ""; got != deflate {
		return nil, fmt.Errorf("the handshake: extensions %q", resp.Header.Get("Sec-WebSocket-Extensions"))
	}
	return s, nil
}

// errOver is the end of a connection: closed says how.
var errOver = errors.New("the connection is over")

// read returns the next message. The error is errOver once the connection has ended as it may, or says what the server
// did that it must not.
func (s *strict) read() (m message, err error) {
	var msg []byte
	begun, pressed := byte(0), false
	for {
		op, fin, rsv1, payload, err := s.frame()
		if err != nil {
			if begun != 0 && errors.Is(err, errOver) && s.closed != cut {
				return m, errors.New("a Close frame inside a message")
			}
			return m, err
		}
		switch {
		case op == opClose:
			return m, s.close(payload)
		case op == opPing:
			continue
		case op == opPong:
			s.pongs = append(s.pongs, string(payload))
			continue
		case op == opMore && begun == 0, op != opMore && begun != 0:
			return m, fmt.Errorf("frame %d after the beginning of %d", op, begun)
		case op != opMore:
			begun, pressed = op, rsv1
		}
		msg = append(msg, payload...)
		if !fin {
			continue
		}
		if pressed {
			if msg, err = io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(msg), strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff")))); err != nil {
				return m, fmt.Errorf("a message does not inflate: %w", err)
			}
		}
		if begun == opText && !utf8.Valid(msg) {
			return m, fmt.Errorf("a text message that is not UTF-8: %q", msg)
		}
		return message{begun == opBinary, msg}, nil
	}
}

// frame reads a frame. An end of the stream is one only between two frames.
func (s *strict) frame() (op byte, fin, rsv1 bool, payload []byte, err error) {
	fail := func(format string, args ...any) (byte, bool, bool, []byte, error) {
		return 0, false, false, nil, fmt.Errorf(format, args...)
	}
	var h [8]byte
	if _, err := io.ReadFull(s.br, h[:2]); err != nil {
		if gone(err) {
			err = errOver
		}
		return fail("%w", err)
	}
	op, fin = h[0]&0xf, h[0]&0x80 != 0
	rsv1 = h[0]&0x40 != 0
	n := uint64(h[1] & 0x7f)
	switch {
	case h[0]&0x30 != 0 || rsv1 && (!s.deflate || op != opText && op != opBinary):
		return fail("reserved bits: %x", h[:2])
	case h[1]&0x80 != 0:
		return fail("a masked frame")
	case op > opBinary && op < opClose || op > opPong:
		return fail("opcode %d", op)
	case op >= opClose && (!fin || n > 125):
		return fail("a control frame in pieces, or too long: %x", h[:2])
	}
	switch n {
	case 126:
		_, err = io.ReadFull(s.br, h[:2])
		if n = uint64(binary.BigEndian.Uint16(h[:])); err == nil && n < 126 {
			return fail("length %d in two bytes", n)
		}
	case 127:
		_, err = io.ReadFull(s.br, h[:8])
		if n = binary.BigEndian.Uint64(h[:]); err == nil && (n <= 0xffff || n > 1<<30) {
			return fail("length %d in eight bytes", n)
		}
	}
	if err == nil {
		payload = make([]byte, n)
		_, err = io.ReadFull(s.br, payload)
	}
	if err != nil && gone(err) {
		s.torn = true
		return fail("a frame is cut short: %w", errOver)
	}
	if err != nil {
		return fail("a frame is cut short: %w", err)
	}
	return op, fin, rsv1, payload, nil
}

// gone reports whether an error is the end of the connection. A reset is one: the server may have been sent what it had
// no use for.
func gone(err error) bool {
	return errors.Is(err, io.EOF) || strings.Contains(err.Error(), "connection reset")
}

// close checks a Close frame, and that nothing comes after it.
func (s *strict) close(p []byte) error {
	switch {
	case len(p) == 0:
		s.closed = noStatus
	case len(p) == 1 || !utf8.Valid(p[2:]):
		return fmt.Errorf("a Close frame with %q", p)
	default:
		s.closed, s.reason = int(binary.BigEndian.Uint16(p)), string(p[2:])
	}
	closeWrite(s.nc)
	rest, err := io.ReadAll(s.br)
	if err != nil && !gone(err) {
		return fmt.Errorf("after the Close frame: %w", err)
	}
	if len(rest) > 0 {
		return fmt.Errorf("%q after the Close frame", rest)
	}
	return errOver
}

func closeWrite(nc net.Conn) {
	if c, ok := nc.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite()
	}
}
