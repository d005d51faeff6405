package wire

import (
	"strconv"
	"unicode/utf8"
)

// clean holds the bytes that stand for themselves in a JSON string. Bytes above ASCII are looked at as runes.
var clean = func() (t [utf8.RuneSelf]bool) {
	for c := range t {
		t[c] = c >= ' ' && c != '"' && c != '\\'
	}
	return t
}()

// appendString appends s as a JSON string, as JSON.stringify writes it: nothing is escaped that needn't be, HTML
// neither. Bytes that are not UTF-8 become U+FFFD.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0 // of what is not yet copied
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf && clean[c] {
			i++
			continue
		}
		size := 1
		if c >= utf8.RuneSelf {
			if _, size = utf8.DecodeRuneInString(s[i:]); size > 1 {
				i += size
				continue
			}
		}
		dst = appendEscape(append(dst, s[start:i]...), c)
		i += size
		start = i
	}
	return append(append(dst, s[start:]...), '"')
}

// appendEscape appends what stands for c, which can't stand for itself.
func appendEscape(dst []byte, c byte) []byte {
	const digits = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, `\b`...)
	case '\f':
		return append(dst, `\f`...)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	}
	if c >= utf8.RuneSelf {
		return utf8.AppendRune(dst, utf8.RuneError)
	}
	return append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
}

// appendName appends a comma, a member's name, which needs no escape, and the colon.
func appendName(dst []byte, name string) []byte {
	dst = append(append(dst, ',', '"'), name...)
	return append(dst, '"', ':')
}

// appendText appends a member that is a string, unless s is empty.
func appendText(dst []byte, name, s string) []byte {
	if s == "" {
		return dst
	}
	return appendString(appendName(dst, name), s)
}

// appendInt appends a member that is a number.
func appendInt(dst []byte, name string, v int64) []byte {
	return appendNumber(appendName(dst, name), v)
}

func appendNumber(dst []byte, v int64) []byte { return strconv.AppendInt(dst, v, 10) }

// appendPos appends a member that is a position.
func appendPos(dst []byte, name string, p Pos) []byte {
	dst = p.Append(append(appendName(dst, name), '"'))
	return append(dst, '"')
}
