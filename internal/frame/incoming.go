package frame

import (
	"errors"
	"math"
)

// What Err says of a frame that RFC 6455 §5.2 forbids.
var (
	ErrLength   = errors.New("frame: a length that is not in its shortest form")
	ErrDeflated = errors.New("frame: a deflated message, but no compression was agreed on")
)

// Incoming follows what a client sends, as it comes, and looks at what a reader of its frames may not care about.
type Incoming struct {
	// Deflates says that messages may be deflated (RFC 7692). Feed takes the bit away that says so of one: who reads the frames
	// is to leave the payload as it is, and knows nothing of compression.
	Deflates bool
	// Scraps counts frames that continue a message and bring next to nothing. Whoever reads sets it back.
	Scraps int

	kinds uint64 // whether messages are deflated that have begun and that Deflated has not spoken of, the first in the lowest bit
	begun int    // how many
	left  int    // of the payload
	n     int    // bytes of head
	err   error
	head  [maxHeaderIn]byte
}

// scrap is a payload that is smaller than what it costs to receive it.
const scrap = 64

// Err is what is wrong with a frame that Feed has met; nil: nothing.
func (s *Incoming) Err() error { return s.err }

// Deflated reports whether a message is deflated. It is called for each in turn, once its reader has begun it.
func (s *Incoming) Deflated() bool {
	is := s.kinds&1 != 0
	s.kinds >>= 1
	s.begun = max(s.begun-1, 0)
	return is
}

// begins notes the first byte of a frame, and returns what its reader is to see.
func (s *Incoming) begins(b byte) byte {
	if op := b & 0x0f; op != Text && op != Binary {
		return b
	}
	if b&rsv1Bit != 0 && !s.Deflates {
		s.err = ErrDeflated
	} else if b&rsv1Bit != 0 {
		s.kinds |= 1 << s.begun // beyond 64 there is no bit: more than that nobody reads ahead
		b &^= rsv1Bit
	}
	s.begun++
	return b
}

// Feed takes the next bytes, in which it may change bits, see Deflates. It returns how many of them are not of a frame that Err
// speaks of, or of what follows it.
func (s *Incoming) Feed(p []byte) (good int) {
	for i := 0; i < len(p) && s.err == nil; {
		if s.left > 0 {
			n := min(s.left, len(p)-i)
			s.left -= n
			i += n
			good = i
			continue
		}
		if s.n == 0 {
			if p[i] = s.begins(p[i]); s.err != nil {
				return good
			}
		}
		s.head[s.n] = p[i]
		s.n++
		i++
		h, ok := ParseHeader(s.head[:s.n])
		switch {
		case !ok && s.n < len(s.head):
			continue
		case !ok: // a length that nothing has; the reader of the frames will say so
			s.left = math.MaxInt
		case h.Size != headerSizeIn(h):
			s.err = ErrLength
			return good
		default:
			if s.left = h.Len; h.Op == 0 && h.Len < scrap {
				s.Scraps++
			}
		}
		s.n = 0
		good = i
	}
	if s.err != nil {
		return good
	}
	return len(p)
}

// headerSizeIn is the size of the header in its shortest form.
func headerSizeIn(h Header) int {
	n := HeaderSize(h.Len)
	if h.Masked {
		n += 4
	}
	return n
}
