package pattern

import (
	"strings"
	"unicode/utf8"
)

// special holds the ASCII bytes that can't stand in a segment as they are.
var special = func() (t [256]bool) {
	for c := range byte(' ' + 1) {
		t[c] = true
	}
	for _, c := range []byte(".*>%{}\x7f") {
		t[c] = true
	}
	return t
}()

// noText is the segment that stands for the empty string, which a '%' inside other text never is.
const noText = "%"

// Escape makes one valid segment of any string. It writes '.', '*', '>', '%', '{', '}', the ASCII space, control bytes
// and bytes that are no part of valid UTF-8 as %XX with upper-case digits, and the empty string as "%". [Unescape] is
// its inverse. A string that needs no escape is returned as it is, without allocation. The result is up to three times
// as long as s, so a long s makes a topic that is too long. A leading '$' is left alone: see [Reserved].
func Escape(s string) string {
	if s == "" {
		return noText
	}
	bits, extra := byte(0), 0 // of all bytes, to see whether any is above ASCII
	for i := range len(s) {
		bits |= s[i]
		if special[s[i]] {
			extra += 2
		}
	}
	if extra == 0 && (bits < utf8.RuneSelf || utf8.ValidString(s)) {
		return s
	}
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	b.Grow(len(s) + extra) // exact unless s has bad UTF-8, which is rare
	for i := 0; i < len(s); {
		_, n := utf8.DecodeRuneInString(s[i:])
		if c := s[i]; special[c] || n == 1 && c >= utf8.RuneSelf {
			b.WriteByte('%')
			b.WriteByte(digits[c>>4])
			b.WriteByte(digits[c&15])
		} else {
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}

// Unescape returns the string for which the valid segment stands: Unescape(Escape(s)) == s. What is no escape is left
// as it is. Without a '%' in seg it does not allocate.
func Unescape(seg string) string {
	i := strings.IndexByte(seg, '%')
	if i < 0 {
		return seg
	}
	if seg == noText {
		return ""
	}
	b := make([]byte, 0, len(seg))
	b = append(b, seg[:i]...)
	for i < len(seg) {
		if c, ok := escaped(seg[i:]); ok {
			b = append(b, c)
			i += 3
		} else {
			b = append(b, seg[i])
			i++
		}
	}
	return string(b)
}

// escaped returns the byte for which the %XX stands with which s begins, if it does.
func escaped(s string) (c byte, ok bool) {
	if len(s) < 3 || s[0] != '%' {
		return 0, false
	}
	high, ok1 := upperHex(s[1])
	low, ok2 := upperHex(s[2])
	return high<<4 | low, ok1 && ok2
}

// upperHex returns the value of an upper-case hexadecimal digit.
func upperHex(c byte) (v byte, ok bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// escapeLen returns the length of the escape with which s, the rest of a topic, begins, or 0 if Escape would not have
// written it. first says that s begins a segment.
func escapeLen(s string, first bool) int {
	if first && (len(s) == 1 || s[1] == '.') {
		return 1
	}
	c, ok := escaped(s)
	if !ok || c < utf8.RuneSelf {
		if ok && special[c] {
			return 3
		}
		return 0
	}
	// A byte above ASCII is escaped only where the string is not UTF-8: "%C3%A9" is another spelling of "é". What
	// follows unescaped is whole runes, none of which can complete one that begins here.
	var raw [utf8.UTFMax]byte
	n := 0
	for ; n < len(raw); n++ {
		if c, ok = escaped(s[min(3*n, len(s)):]); !ok {
			break
		}
		raw[n] = c
	}
	if _, size := utf8.DecodeRune(raw[:n]); size > 1 {
		return 0
	}
	return 3
}
