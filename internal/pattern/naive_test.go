package pattern

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// The oracles of this package's tests: slow, obvious, and sharing no code with what they check.

// naiveEscape writes the definition of Escape byte by byte.
func naiveEscape(s string) string {
	if s == "" {
		return "%"
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		bad := r == utf8.RuneError && n == 1
		if bad || r <= ' ' || r == 0x7f || strings.ContainsRune(".*>%{}", r) {
			fmt.Fprintf(&b, "%%%02X", s[0])
		} else {
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

var escapes = regexp.MustCompile(`%[0-9A-F]{2}`)

func naiveUnescape(seg string) string {
	if seg == "%" {
		return ""
	}
	return escapes.ReplaceAllStringFunc(seg, func(e string) string {
		var c byte
		fmt.Sscanf(e, "%%%02X", &c)
		return string([]byte{c})
	})
}

// naiveValid is the grammar: a segment is valid if escaping what it stands for gives it back.
func naiveValid(s string, wildcards bool) bool {
	if len(s) > 255 || !utf8.ValidString(s) {
		return false
	}
	segments := strings.Split(s, ".")
	for i, seg := range segments {
		if wildcards && (seg == "*" || seg == ">" && i == len(segments)-1) {
			continue
		}
		if seg == "" || naiveEscape(naiveUnescape(seg)) != seg {
			return false
		}
	}
	return true
}

// naiveRegexp is a pattern as a regular expression for topics.
func naiveRegexp(pattern string) *regexp.Regexp {
	segments := strings.Split(pattern, ".")
	for i, seg := range segments {
		switch seg {
		case "*":
			segments[i] = `[^.]+`
		case ">":
			segments[i] = `[^.]+(\.[^.]+)*`
		default:
			segments[i] = regexp.QuoteMeta(seg)
		}
	}
	return regexp.MustCompile(`(?s)^` + strings.Join(segments, `\.`) + `$`)
}

// naiveCovers asks whether p matches enough of the topics for which q stands: each '*' replaced by a segment that is in
// neither, and the '>' by one of them up to one more than p has segments.
func naiveCovers(p, q string) bool {
	const fresh = "never-in-a-pattern"
	re := naiveRegexp(p)
	segments := strings.Split(q, ".")
	last := len(segments) - 1
	for i, seg := range segments[:last] {
		if seg == "*" {
			segments[i] = fresh
		}
	}
	switch segments[last] {
	case "*":
		segments[last] = fresh
	case ">":
		for range strings.Count(p, ".") + 2 {
			segments[last] = fresh
			if !re.MatchString(strings.Join(segments, ".")) {
				return false
			}
			segments = append(segments, fresh)
			last++
		}
		return true
	}
	return re.MatchString(strings.Join(segments, "."))
}

// words returns all sequences of 1 to most segments out of alphabet, as topics.
func words(most int, alphabet ...string) []string {
	all, longest := []string{}, []string{""}
	for range most {
		var next []string
		for _, w := range longest {
			for _, seg := range alphabet {
				next = append(next, strings.TrimPrefix(w+"."+seg, "."))
			}
		}
		all = append(all, next...)
		longest = next
	}
	return all
}

// tinyPatterns returns all patterns of up to three segments over a, b, '*' and '>'.
func tinyPatterns() []string {
	short := words(2, "a", "b", "*")
	all := append(words(3, "a", "b", "*"), ">")
	for _, p := range short {
		all = append(all, p+".>")
	}
	return all
}

// tinyTopics returns all topics of up to five segments over a, b and c, which is in no pattern. Two patterns of
// tinyPatterns that match the same of these match the same topics.
func tinyTopics() []string { return words(5, "a", "b", "c") }

// sets returns for each of patterns which of topics it matches, by the regular expression.
func sets(patterns, topics []string) [][]bool {
	all := make([][]bool, len(patterns))
	for i, p := range patterns {
		re := naiveRegexp(p)
		all[i] = make([]bool, len(topics))
		for j, t := range topics {
			all[i][j] = re.MatchString(t)
		}
	}
	return all
}

func TestOraclesAgree(t *testing.T) {
	patterns, topics := tinyPatterns(), tinyTopics()
	matched := sets(patterns, topics)
	for i, p := range patterns {
		for j, q := range patterns {
			subset := true
			for k := range topics {
				subset = subset && (matched[i][k] || !matched[j][k])
			}
			if got := naiveCovers(p, q); got != subset {
				t.Errorf("naiveCovers(%q, %q) = %v, enumeration says %v", p, q, got, subset)
			}
		}
	}
}
