// Package frame builds WebSocket frames (RFC 6455) as a server sends them: whole and unmasked, so that the same bytes
// serve every connection, and messages deflated once for all of them (RFC 7692).
package frame

import "encoding/binary"

// Opcodes of RFC 6455 §5.2.
const (
	Text   byte = 1
	Binary byte = 2
	Close  byte = 8
	Ping   byte = 9
	Pong   byte = 10
)

// MaxHeader is the size of the longest header of a frame that a server sends.
const MaxHeader = 10

// Bits of the first two bytes of a frame (RFC 6455 §5.2).
const (
	finBit  = 0x80
	rsv1Bit = 0x40 // "compressed", on the first frame of a message (RFC 7692 §6)
	maskBit = 0x80
)

// HeaderSize returns the size of the header of an unmasked frame with a payload of n bytes: 2, 4 or 10.
func HeaderSize(n int) int {
	switch {
	case n <= 125:
		return 2
	case n <= 0xffff:
		return 4
	}
	return MaxHeader
}

// AppendHeader appends the header of an unmasked frame that is a whole message of n bytes: FIN is set, and RSV1 if the
// payload is compressed. The length takes the fewest bytes that hold it, as §5.2 demands.
func AppendHeader(dst []byte, op byte, n int, compressed bool) []byte {
	first := finBit | op
	if compressed {
		first |= rsv1Bit
	}
	switch HeaderSize(n) {
	case 2:
		return append(dst, first, byte(n))
	case 4:
		return append(dst, first, 126, byte(n>>8), byte(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, first, 127), uint64(n))
}

// Header is the header of a frame.
type Header struct {
	Op                byte
	Fin, RSV1, Masked bool
	Size              int // of the header, with the masking key if there is one
	Len               int // of the payload
}

// maxHeaderIn is the size of the longest header that a client sends: it has a masking key.
const maxHeaderIn = MaxHeader + 4

// ParseHeader reads the header of the frame at the start of b, masked or not. If ok is false b is too short for it; or,
// should b have 14 bytes or more, it states a length that no frame can have: its top bit is set (§5.2), or it doesn't fit
// in an int.
func ParseHeader(b []byte) (h Header, ok bool) {
	if len(b) < 2 {
		return Header{}, false
	}
	h = Header{
		Op:     b[0] & 0x0f,
		Fin:    b[0]&finBit != 0,
		RSV1:   b[0]&rsv1Bit != 0,
		Masked: b[1]&maskBit != 0,
		Size:   2,
		Len:    int(b[1] &^ maskBit),
	}
	length := 0
	switch h.Len {
	case 126:
		length = 2
	case 127:
		length = 8
	}
	h.Size += length
	if h.Masked {
		h.Size += 4
	}
	if len(b) < h.Size {
		return Header{}, false
	}
	switch length {
	case 2:
		h.Len = int(binary.BigEndian.Uint16(b[2:]))
	case 8:
		n := binary.BigEndian.Uint64(b[2:])
		if h.Len = int(n); h.Len < 0 || uint64(h.Len) != n {
			return Header{}, false
		}
	}
	return h, true
}
