package wire

import (
	"errors"
	"math"
)

// Pos is a position: the place of an entry in the log, and the tag that tells it from every other entry that was or
// will be stored at that place. Its text is "<seq>.<tag>", both in base 36 with lower-case digits. A position has one
// text only, so that clients can compare positions as text. Zero lies before everything.
type Pos struct{ Seq, Tag uint64 }

const maxPosText = 13 + 1 + 13 // a uint64 has up to 13 digits in base 36

// String returns the text of p.
func (p Pos) String() string {
	return string(p.Append(make([]byte, 0, maxPosText)))
}

// Append appends the text of p.
func (p Pos) Append(dst []byte) []byte {
	dst = appendBase36(dst, p.Seq)
	return appendBase36(append(dst, '.'), p.Tag)
}

// appendBase36 is strconv.AppendUint for one base only, in half the time: each message has a position.
func appendBase36(dst []byte, v uint64) []byte {
	var b [13]byte
	for i := len(b) - 1; ; i-- {
		b[i] = "0123456789abcdefghijklmnopqrstuvwxyz"[v%36]
		if v /= 36; v == 0 {
			return append(dst, b[i:]...)
		}
	}
}

var errPos = errors.New("wire: not a position")

// ParsePos is the inverse of String. It refuses whatever String does not write: signs, leading zeros, upper case.
func ParsePos(s string) (Pos, error) {
	seq, n := parseBase36(s)
	if n == 0 || n == len(s) || s[n] != '.' {
		return Pos{}, errPos
	}
	s = s[n+1:]
	tag, n := parseBase36(s)
	if n == 0 || n != len(s) {
		return Pos{}, errPos
	}
	return Pos{Seq: seq, Tag: tag}, nil
}

// parseBase36 reads the number at the start of s, and returns how many digits it has: 0 if it has none, has a leading
// zero or overflows.
func parseBase36(s string) (v uint64, n int) {
	for ; n < len(s); n++ {
		var digit uint64
		switch c := s[n]; {
		case '0' <= c && c <= '9':
			digit = uint64(c - '0')
		case 'a' <= c && c <= 'z':
			digit = uint64(c-'a') + 10
		default:
			return v, n
		}
		if n > 0 && v == 0 || v > (math.MaxUint64-digit)/36 {
			return 0, 0
		}
		v = v*36 + digit
	}
	return v, n
}
