package pattern

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// userSegment is the segment of an [Allow] pattern that stands for the user.
const userSegment = "{user}"

// CheckTopic returns nil if s is a valid topic, which has no wildcard, or an error that names s, shortened, and the
// rule that it breaks.
func CheckTopic(s string) error {
	rule, at, wild := scan(s, false)
	if rule == ruleNone && wild {
		return fmt.Errorf("topic %s is a pattern: it has a wildcard", quote(s))
	}
	return explain("topic", s, rule, at)
}

// CheckPattern returns nil if s is a valid topic or pattern, or an error that names s, shortened, and the rule that it
// breaks.
func CheckPattern(s string) error {
	rule, at, _ := scan(s, false)
	return explain("pattern", s, rule, at)
}

// rule is one rule of the grammar that an input can break.
type rule uint8

const (
	ruleNone rule = iota
	ruleEmpty
	ruleLength
	ruleUTF8
	ruleSegment // no empty one
	ruleStar    // a whole segment
	ruleRest    // the whole last segment
	ruleEscape  // only as Escape writes it
	ruleByte    // not in a segment at all
)

// scan reports the first rule of the grammar that s breaks, where, and whether s has wildcards. It does not allocate,
// so that [Match] can afford it. users allows {user} as a segment.
func scan(s string, users bool) (broken rule, at int, wild bool) {
	if s == "" {
		return ruleEmpty, 0, false
	}
	if len(s) > MaxLen {
		return ruleLength, 0, false
	}
	start, bits := 0, byte(0) // of the segment; of all bytes, to see whether any is above ASCII
	for i := 0; i < len(s); i++ {
		c := s[i]
		bits |= c
		if !special[c] {
			continue
		}
		switch c {
		case '.':
			if i == start {
				return ruleSegment, i, wild
			}
			start = i + 1
		case '*':
			if i != start || i+1 < len(s) && s[i+1] != '.' {
				return ruleStar, i, wild
			}
			wild = true
		case '>':
			if i != start || i+1 < len(s) {
				return ruleRest, i, wild
			}
			wild = true
		case '%':
			n := escapeLen(s[i:], i == start)
			if n == 0 {
				return ruleEscape, i, wild
			}
			i += n - 1
		default:
			if !users || i != start || segment(s, i) != userSegment {
				return ruleByte, i, wild
			}
			i += len(userSegment) - 1
		}
	}
	if start == len(s) {
		return ruleSegment, start, wild
	}
	if bits >= utf8.RuneSelf && !utf8.ValidString(s) {
		return ruleUTF8, 0, wild
	}
	return ruleNone, 0, wild
}

// explain makes the error for what scan found.
func explain(what, s string, broken rule, at int) error {
	var text string
	switch broken {
	case ruleNone:
		return nil
	case ruleEmpty:
		return errors.New(what + " is empty")
	case ruleLength:
		text = fmt.Sprintf("is %d bytes long, more than %d", len(s), MaxLen)
	case ruleUTF8:
		text = "is not valid UTF-8"
	case ruleSegment:
		text = "has an empty segment"
	case ruleStar:
		text = "has '*' beside other characters: it must be a whole segment"
	case ruleRest:
		text = "has '>' elsewhere than as its whole last segment"
	case ruleEscape:
		text = fmt.Sprintf("has %q, which is not an escape as Escape writes it", s[at:min(at+3, len(s))])
	case ruleByte:
		text = fmt.Sprintf("has %q in a segment, which Escape writes as %s", s[at:at+1], Escape(s[at:at+1]))
	}
	return fmt.Errorf("%s %s %s", what, quote(s), text)
}

// quote quotes s for an error, which may come from a peer and end up in a log: 64 bytes are enough to recognize it.
func quote(s string) string {
	const most = 64
	if len(s) <= most {
		return fmt.Sprintf("%q", s)
	}
	end := most
	for end > most-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return fmt.Sprintf("%q…", s[:end])
}
