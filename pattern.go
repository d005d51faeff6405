package hotline

import "github.com/gohotline/hotline/internal/pattern"

// Match reports whether pattern covers topic. topic may be a pattern too: "chat.>" covers "chat.*", not the reverse.
// In a pattern a segment * stands for any one segment, and a final > for one or more. Malformed input matches nothing.
// It allocates nothing.
func Match(pat, topic string) bool { return pattern.Match(pat, topic) }

// Escape makes any string one segment of a topic: it writes '.', '*', '>', '%', '{', '}', spaces, control characters and
// bytes that are not UTF-8 as %XX, and the empty string as "%". Different strings stay different. Use it for whatever
// you do not choose yourself, such as user names.
func Escape(s string) string { return pattern.Escape(s) }
