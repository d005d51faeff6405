// Package pattern is the grammar of topics, and everything that compares them.
//
// A topic is 1 to [MaxLen] bytes of valid UTF-8: segments separated by '.', none of them empty. A segment holds no
// ASCII space, no control character (below 0x20, and 0x7f), none of '*', '>', '{', '}', and '%' only as part of an
// escape that [Escape] writes. It is valid if and only if Escape(Unescape(segment)) == segment, so every string has
// exactly one spelling as a segment and every segment stands for exactly one string: two topics that differ as bytes
// differ in meaning, and comparing bytes is comparing topics.
//
// In a pattern a whole segment may be '*', which stands for any one segment, and the whole last segment may be '>',
// which stands for one or more. A pattern without wildcards is a topic, and stands for itself.
//
// The length limit is part of the grammar but not of the comparisons: [Overlap] says that two patterns overlap also if
// the topics in both would be longer than MaxLen. That errs towards refusing, and keeps coverage a matter of segments.
//
// The functions are safe for concurrent use; the types say what they are.
package pattern

import "strings"

// MaxLen is the most bytes that a topic or pattern has.
const MaxLen = 255

// HasWildcard reports whether s, a valid pattern, has a wildcard, and so is no topic.
func HasWildcard(s string) bool {
	return strings.HasSuffix(s, ">") || strings.IndexByte(s, '*') >= 0
}

// Reserved reports whether the first segment of s, a topic or pattern, begins with '$': the hub keeps such topics for
// itself. A pattern that begins with a wildcard is not reserved, though it matches reserved topics too.
func Reserved(s string) bool {
	return strings.HasPrefix(s, "$")
}

// segment returns the segment of s that begins at from, which is at most len(s).
func segment(s string, from int) string {
	if n := strings.IndexByte(s[from:], '.'); n >= 0 {
		return s[from : from+n]
	}
	return s[from:]
}
