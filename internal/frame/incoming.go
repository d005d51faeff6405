package frame

import (
	"errors"
	"math"
)

// ErrLength says that a frame's length takes more bytes than it needs, which RFC 6455 §5.2 forbids.
var ErrLength = errors.New("frame: a length that is not in its shortest form")

// Incoming follows what a client sends, as it comes, and looks at what a reader of its frames may not care about.
type Incoming struct {
	// Scraps counts frames that continue a message and bring next to nothing. Whoever reads sets it back.
	Scraps int

	bad  bool
	left int // of the payload
	n    int // bytes of head
	head [maxHeaderIn]byte
}

// scrap is a payload that is smaller than what it costs to receive it.
const scrap = 64

// Feed takes the next bytes. The error is ErrLength, and stays.
func (s *Incoming) Feed(p []byte) error {
	if s.bad {
		return ErrLength
	}
	for len(p) > 0 {
		if s.left > 0 {
			n := min(s.left, len(p))
			s.left -= n
			p = p[n:]
			continue
		}
		s.head[s.n] = p[0]
		s.n++
		p = p[1:]
		h, ok := ParseHeader(s.head[:s.n])
		switch {
		case !ok && s.n < len(s.head):
			continue
		case !ok: // a length that nothing has; the reader of the frames will say so
			s.left = math.MaxInt
		case h.Size != headerSizeIn(h):
			s.bad = true
			return ErrLength
		default:
			if s.left = h.Len; h.Op == 0 && h.Len < scrap {
				s.Scraps++
			}
		}
		s.n = 0
	}
	return nil
}

// headerSizeIn is the size of the header in its shortest form.
func headerSizeIn(h Header) int {
	n := HeaderSize(h.Len)
	if h.Masked {
		n += 4
	}
	return n
}
