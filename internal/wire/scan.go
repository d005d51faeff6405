package wire

import (
	"encoding/binary"
	"math/bits"
)

// The scanner finds the end of a JSON value (RFC 8259), and refuses what is none. It does not recurse, because a peer
// chooses how deep its JSON nests. It leaves UTF-8 to its callers, who look at the whole message at once.

// at returns b[i], or 0, which no JSON has outside of a value, beyond the end.
func at(b []byte, i int) byte {
	if i < len(b) {
		return b[i]
	}
	return 0
}

// space returns the index of the first byte from i on that is no white space.
func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// nest is what the scanner is in: a bit for each level, set for an object.
type nest struct {
	few   [MaxDepth/64 + 1]uint64 // enough for all that is accepted, and on the stack
	more  []uint64                // the levels below, which are refused, but only once their end is found
	depth int
	max   int
}

// level returns the word and the bit of the level at the given depth.
func (n *nest) level(depth int) (word *uint64, bit uint64) {
	i, bit := depth/64, 1<<(depth%64)
	if i < len(n.few) {
		return &n.few[i], bit
	}
	return &n.more[i-len(n.few)], bit
}

// enter goes one level deeper.
func (n *nest) enter(object bool) {
	if n.depth/64 == len(n.few)+len(n.more) {
		n.more = append(n.more, 0)
	}
	word, bit := n.level(n.depth)
	*word &^= bit
	if object {
		*word |= bit
	}
	n.depth++
	n.max = max(n.max, n.depth)
}

// inObject reports whether the innermost level is an object.
func (n *nest) inObject() bool {
	word, bit := n.level(n.depth - 1)
	return *word&bit != 0
}

// skip returns the index after the JSON value that begins at i, and how many arrays and objects deep it nests; -1 if
// there is no value.
func skip(b []byte, i int) (end, depth int) {
	if c := at(b, i); c != '{' && c != '[' {
		return skipScalar(b, i), 0
	}
	var n nest
	for {
		switch c := at(b, i); c {
		case '{', '[':
			n.enter(c == '{')
			i = space(b, i+1)
			if at(b, i) == c+2 { // in ASCII the closing brackets come two after the opening ones
				break // an empty one: after reads its end
			}
			if c == '{' {
				i = skipKey(b, i)
			}
			if i < 0 {
				return -1, 0
			}
			continue
		default:
			i = skipScalar(b, i)
		}
		var more bool
		if i, more = after(b, i, &n); !more {
			return i, n.max
		}
	}
}

// after goes on from the end of a value: it leaves the levels that end here, and returns where the next value begins,
// or, with more false, where the outermost one has ended; -1 if neither.
func after(b []byte, i int, n *nest) (next int, more bool) {
	for i >= 0 && n.depth > 0 {
		i = space(b, i)
		object := n.inObject()
		switch c := at(b, i); {
		case c == '}' && object, c == ']' && !object:
			n.depth--
			i++
		case c == ',' && object:
			i = skipKey(b, space(b, i+1))
			return i, i >= 0
		case c == ',':
			return space(b, i+1), true
		default:
			return -1, false
		}
	}
	return i, false
}

// skipKey skips the key at i and its colon, and returns where the value begins; -1 if there is no key.
func skipKey(b []byte, i int) int {
	if at(b, i) != '"' {
		return -1
	}
	i = skipString(b, i)
	if i < 0 {
		return -1
	}
	if i = space(b, i); at(b, i) != ':' {
		return -1
	}
	return space(b, i+1)
}

// skipScalar skips the value at i that is neither an object nor an array; -1 if there is none.
func skipScalar(b []byte, i int) int {
	switch c := at(b, i); {
	case c == '"':
		return skipString(b, i)
	case c == 't':
		return skipWord(b, i, "true")
	case c == 'f':
		return skipWord(b, i, "false")
	case c == 'n':
		return skipWord(b, i, "null")
	case c == '-' || digit(c):
		return skipNumber(b, i)
	}
	return -1
}

func skipWord(b []byte, i int, word string) int {
	if len(b)-i < len(word) || string(b[i:i+len(word)]) != word {
		return -1
	}
	return i + len(word)
}

// skipString skips the string whose quotation mark is at i.
func skipString(b []byte, i int) int {
	for i++; ; i++ {
		for i+8 <= len(b) {
			n := plain(binary.LittleEndian.Uint64(b[i:]))
			i += n
			if n < 8 {
				break
			}
		}
		switch c := at(b, i); {
		case c == '"':
			return i + 1
		case c == '\\':
			if i = skipEscape(b, i+1); i < 0 {
				return -1
			}
		case c < ' ': // also at the end, where at is 0
			return -1
		}
	}
}

// plain returns how many of the eight bytes of w, from the lowest on, are before the first quotation mark, backslash or
// control character. Each term sets the top bit of the bytes that it looks for; a borrow may set it in bytes above the
// first of them as well, which makes no difference.
func plain(w uint64) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	quote, slash := w^ones*'"', w^ones*'\\'
	found := ((quote-ones)&^quote | (slash-ones)&^slash | (w-ones*' ')&^w) & tops
	return bits.TrailingZeros64(found) / 8
}

// skipEscape returns the index of the last byte of the escape whose backslash is before i.
func skipEscape(b []byte, i int) int {
	switch at(b, i) {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i
	case 'u':
		for range 4 {
			i++
			if c := at(b, i) | 0x20; !digit(at(b, i)) && (c < 'a' || c > 'f') {
				return -1
			}
		}
		return i
	}
	return -1
}

// skipNumber skips the number at i. What follows it is not looked at: it is no number's business whether a comma is
// there.
func skipNumber(b []byte, i int) int {
	if at(b, i) == '-' {
		i++
	}
	if at(b, i) == '0' {
		i++
	} else if i = skipDigits(b, i); i < 0 {
		return -1
	}
	if at(b, i) == '.' {
		if i = skipDigits(b, i+1); i < 0 {
			return -1
		}
	}
	if at(b, i)|0x20 == 'e' {
		i++
		if at(b, i) == '+' || at(b, i) == '-' {
			i++
		}
		return skipDigits(b, i)
	}
	return i
}

// skipDigits skips at least one digit.
func skipDigits(b []byte, i int) int {
	if !digit(at(b, i)) {
		return -1
	}
	for digit(at(b, i)) {
		i++
	}
	return i
}

func digit(c byte) bool { return '0' <= c && c <= '9' }
