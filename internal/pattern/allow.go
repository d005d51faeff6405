package pattern

import "fmt"

// Allow is a set of patterns in which a segment {user} stands for whoever asks. It is safe for concurrent use.
type Allow struct {
	patterns []string // static after construction
}

// NewAllow returns the set of patterns. Beside what [CheckPattern] accepts, whole segments may be {user}; no other name
// may stand in braces. The error names the first malformed pattern.
func NewAllow(patterns ...string) (*Allow, error) {
	a := &Allow{patterns: make([]string, 0, len(patterns))}
	for _, p := range patterns {
		broken, at, _ := scan(p, true)
		if broken == ruleByte && (p[at] == '{' || p[at] == '}') {
			return nil, fmt.Errorf("pattern %s has %q: in braces it may have only %s, as a whole segment", quote(p), p[at:at+1], userSegment)
		}
		if err := explain("pattern", p, broken, at); err != nil {
			return nil, err
		}
		a.patterns = append(a.patterns, p)
	}
	return a, nil
}

// Covers reports whether one of the patterns covers topic, which may be a pattern too, when {user} stands for
// Escape(user). If user is empty, patterns with {user} cover nothing. It is false for a malformed topic. It does not
// allocate, unless user has to be escaped.
func (a *Allow) Covers(user, topic string) bool {
	if user != "" {
		user = Escape(user)
	}
	for _, p := range a.patterns {
		if match(p, user, topic) == len(topic) {
			broken, _, _ := scan(topic, false)
			return broken == ruleNone
		}
	}
	return false
}
