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

	left int // of the payload
	n    int // bytes of head
	bad  bool
	head [maxHeaderIn]byte
}

// scrap is a payload that is smaller than what it costs to receive it.
const scrap = 64

// Err is ErrLength once Feed has met such a length.
func (s *Incoming) Err() error {
	if s.bad {
		return ErrLength
	}
	return nil
}

// Feed takes the next bytes. It returns how many of them are not of a frame that Err speaks of, or of what follows it.
func (s *Incoming) Feed(p []byte) (good int) {
	for i := 0; i < len(p) && !s.bad; {
		if s.left > 0 {
			n := min(s.left, len(p)-i)
			s.left -= n
			i += n
			good = i
			continue
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
			s.bad = true
			return good
		default:
			if s.left = h.Len; h.Op == 0 && h.Len < scrap {
				s.Scraps++
			}
		}
		s.n = 0
		good = i
	}
	if s.bad {
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
