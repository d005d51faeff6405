package frame

import "unicode/utf8"

// maxReason is what a Close frame holds beside the code: control frames carry at most 125 bytes (RFC 6455 §5.5).
const maxReason = 123

// AppendClose appends a whole unmasked Close frame. The reason is cut by [CutReason]; the code is the caller's to choose
// among those that may be sent (§7.4).
func AppendClose(dst []byte, code int, reason string) []byte {
	reason = CutReason(reason)
	dst = AppendHeader(dst, Close, 2+len(reason), false)
	return append(append(dst, byte(code>>8), byte(code)), reason...)
}

// CutReason returns as much of s as a Close frame holds: at most 123 bytes, cut between runes. Each byte that is not
// UTF-8 is replaced by U+FFFD: a peer must fail a connection whose close reason is not UTF-8 (§5.5.1, §8.1).
func CutReason(s string) string {
	if len(s) <= maxReason && utf8.ValidString(s) {
		return s
	}
	b := make([]byte, 0, maxReason)
	for _, r := range s { // ranging over a string gives U+FFFD for a bad byte
		if len(b)+utf8.RuneLen(r) > maxReason {
			break
		}
		b = utf8.AppendRune(b, r)
	}
	return string(b)
}
