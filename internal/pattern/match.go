package pattern

import "strings"

// Match reports whether pattern covers topic: whether it matches every topic for which topic, which may be a pattern
// too, stands. "chat.>" covers "chat.*", not the reverse. If either is malformed it is false. It does not allocate.
func Match(pattern, topic string) bool {
	if !Covers(pattern, topic) {
		return false // as most are, so the inputs are checked last
	}
	if broken, _, _ := scan(topic, false); broken != ruleNone {
		return false
	}
	if pattern == topic {
		return true
	}
	broken, _, _ := scan(pattern, false)
	return broken == ruleNone
}

// Covers is [Match] for a pattern and a topic, or pattern, that are known to be valid. With others it may say anything,
// but does not panic.
func Covers(pattern, topic string) bool {
	return match(pattern, "", topic) == len(topic)
}

// match lets pattern take whole segments from the beginning of topic. It returns how many bytes pattern took, always
// up to the end of a segment, or -1 if it does not match. A {user} in pattern takes the segment user, which is escaped,
// or nothing if it is empty.
func match(pattern, user, topic string) int {
	i, j := 0, 0
	for i < len(pattern) && j < len(topic) { // both at the beginning of a segment
		switch pattern[i] {
		case '>':
			return len(topic)
		case '*':
			if topic[j] == '>' {
				return -1 // it stands for longer topics too
			}
			i++
			for j < len(topic) && topic[j] != '.' {
				j++
			}
		case '{':
			if user == "" || !strings.HasPrefix(pattern[i:], userSegment) || !strings.HasPrefix(topic[j:], user) {
				return -1
			}
			i += len(userSegment)
			j += len(user)
		default:
			for i < len(pattern) && pattern[i] != '.' {
				if j == len(topic) || pattern[i] != topic[j] {
					return -1
				}
				i++
				j++
			}
		}
		switch { // both must be at the end of a segment now
		case j < len(topic) && topic[j] != '.':
			return -1
		case i == len(pattern):
			return j
		case j == len(topic) || pattern[i] != '.':
			return -1
		}
		i++
		j++
	}
	return -1
}

// Overlap reports whether some topic is matched by both a and b, which are valid patterns. It does not allocate.
func Overlap(a, b string) bool {
	i, j := 0, 0
	for i < len(a) && j < len(b) {
		x, y := segment(a, i), segment(b, j)
		if x == ">" || y == ">" {
			return true
		}
		if x != y && x != "*" && y != "*" {
			return false
		}
		i += len(x) + 1
		j += len(y) + 1
	}
	return i > len(a) && j > len(b) // past the end of both, so they have equally many segments
}
