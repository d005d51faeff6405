package pattern

import (
	"fmt"
	"strings"
)

// Params returns what stands in topic for the wildcards of pattern, in their order, each unescaped. A '>' gives one
// string: the segment for which it stands, unescaped, or if there are several, all of them as they are written. It
// returns nil if pattern does not match topic, if either is malformed, and if topic is itself a pattern: the '*' of a
// pattern must not be taken for the name "*". A pattern without wildcards gives an empty slice that is not nil.
func Params(pattern, topic string) []string {
	if !Match(pattern, topic) || HasWildcard(topic) {
		return nil
	}
	params := make([]string, 0, wildcards(pattern))
	for i, j := 0, 0; i < len(pattern); {
		want, got := segment(pattern, i), segment(topic, j)
		switch {
		case want == ">" && j+len(got) < len(topic):
			params = append(params, topic[j:])
		case want == ">" || want == "*":
			params = append(params, Unescape(got))
		}
		i += len(want) + 1
		j += len(got) + 1
	}
	return params
}

// Fill returns pattern with its first wildcards replaced by params, each made one segment by [Escape]; a '>' takes one
// too. Wildcards for which there is no param stay, so the result is a topic or a pattern. It is an error if pattern is
// malformed, if there are more params than wildcards, and if the result is longer than [MaxLen].
func Fill(pattern string, params ...string) (string, error) {
	if err := CheckPattern(pattern); err != nil {
		return "", err
	}
	if most := wildcards(pattern); len(params) > most {
		return "", fmt.Errorf("pattern %s has %d wildcards, too few for %d params", quote(pattern), most, len(params))
	}
	if len(params) == 0 {
		return pattern, nil
	}
	size := len(pattern)
	for _, p := range params {
		size += len(p)
	}
	var b strings.Builder
	b.Grow(size)
	i := 0
	for ; len(params) > 0; i++ {
		if c := pattern[i]; c != '*' && c != '>' { // in a valid pattern these are always wildcards
			b.WriteByte(c)
			continue
		}
		b.WriteString(Escape(params[0]))
		params = params[1:]
	}
	b.WriteString(pattern[i:])
	if b.Len() > MaxLen {
		return "", explain("filled pattern", b.String(), ruleLength, 0)
	}
	return b.String(), nil
}

// wildcards counts the wildcards of a valid pattern.
func wildcards(pattern string) int {
	n := strings.Count(pattern, "*")
	if strings.HasSuffix(pattern, ">") {
		n++
	}
	return n
}
