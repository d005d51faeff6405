package pattern

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCheck(t *testing.T) {
	long := strings.Repeat("x", MaxLen)
	tests := []struct {
		in             string
		topic, pattern string // the error, or "" if valid
	}{
		{in: "a"},
		{in: "chat.lobby"},
		{in: "$presence.chat"},
		{in: "größe.日本.🎈"},
		{in: "a\u00a0b.\u0085"}, // spaces and controls beyond ASCII are text
		{in: "\ufffd"},          // the replacement character itself is valid UTF-8
		{in: "%.a.%"},
		{in: "a%2Eb.%20.%7F.%00.%25.%2A%3E%7B%7D"},
		{in: "%FF"},
		{in: "%E2%82"},       // a rune cut short
		{in: "%ED%A0%80"},    // a surrogate
		{in: "%C3x%A9.é%A9"}, // bad bytes beside text
		{in: long},
		{in: "*", topic: `topic "*" is a pattern: it has a wildcard`},
		{in: "chat.*", topic: `topic "chat.*" is a pattern: it has a wildcard`},
		{in: "*.*.>", topic: `topic "*.*.>" is a pattern: it has a wildcard`},
		{in: ">", topic: `topic ">" is a pattern: it has a wildcard`},
		{in: "", topic: `topic is empty`, pattern: `pattern is empty`},
		{in: long + "x", topic: `topic "` + long[:64] + `"… is 256 bytes long, more than 255`},
		{in: "a..b", topic: `topic "a..b" has an empty segment`},
		{in: ".a", topic: `topic ".a" has an empty segment`},
		{in: "a.", topic: `topic "a." has an empty segment`},
		{in: ".", topic: `topic "." has an empty segment`},
		{in: "a*", topic: `topic "a*" has '*' beside other characters: it must be a whole segment`},
		{in: "*a.b", topic: `topic "*a.b" has '*' beside other characters: it must be a whole segment`},
		{in: "a.**", topic: `topic "a.**" has '*' beside other characters: it must be a whole segment`},
		{in: "a.>.b", topic: `topic "a.>.b" has '>' elsewhere than as its whole last segment`},
		{in: "a>", topic: `topic "a>" has '>' elsewhere than as its whole last segment`},
		{in: ">>", topic: `topic ">>" has '>' elsewhere than as its whole last segment`},
		{in: "a b", topic: `topic "a b" has " " in a segment, which Escape writes as %20`},
		{in: "a\x00", topic: `topic "a\x00" has "\x00" in a segment, which Escape writes as %00`},
		{in: "a\x7f", topic: `topic "a\x7f" has "\x7f" in a segment, which Escape writes as %7F`},
		{in: "a.{b}", topic: `topic "a.{b}" has "{" in a segment, which Escape writes as %7B`},
		{in: "a.{user}", topic: `topic "a.{user}" has "{" in a segment, which Escape writes as %7B`},
		{in: "b}", topic: `topic "b}" has "}" in a segment, which Escape writes as %7D`},
		{in: "a\xff", topic: `topic "a\xff" is not valid UTF-8`},
		{in: "\xe2\x82.a", topic: `topic "\xe2\x82.a" is not valid UTF-8`},
		{in: "a%", topic: `topic "a%" has "%", which is not an escape as Escape writes it`},
		{in: "%%", topic: `topic "%%" has "%%", which is not an escape as Escape writes it`},
		{in: "%2", topic: `topic "%2" has "%2", which is not an escape as Escape writes it`},
		{in: "%2.5", topic: `topic "%2.5" has "%2.", which is not an escape as Escape writes it`},
		{in: "%0G", topic: `topic "%0G" has "%0G", which is not an escape as Escape writes it`},
		{in: "%G0", topic: `topic "%G0" has "%G0", which is not an escape as Escape writes it`},
		{in: "%/0", topic: `topic "%/0" has "%/0", which is not an escape as Escape writes it`},
		{in: "%0:", topic: `topic "%0:" has "%0:", which is not an escape as Escape writes it`},
		{in: "%0@", topic: `topic "%0@" has "%0@", which is not an escape as Escape writes it`},
		{in: "a.%2e", topic: `topic "a.%2e" has "%2e", which is not an escape as Escape writes it`},
		{in: "%41", topic: `topic "%41" has "%41", which is not an escape as Escape writes it`},
		{in: "x%C3%A9", topic: `topic "x%C3%A9" has "%C3", which is not an escape as Escape writes it`}, // é
		{in: "%EF%BF%BD", topic: `topic "%EF%BF%BD" has "%EF", which is not an escape as Escape writes it`},
		{in: "%FF%E2%82%AC", topic: `topic "%FF%E2%82%AC" has "%E2", which is not an escape as Escape writes it`},
	}
	for _, tt := range tests {
		if tt.topic != "" && tt.pattern == "" && !strings.HasSuffix(tt.topic, "it has a wildcard") {
			tt.pattern = "pattern" + strings.TrimPrefix(tt.topic, "topic")
		}
		if got := text(CheckTopic(tt.in)); got != tt.topic {
			t.Errorf("CheckTopic(%q)\n got %s\nwant %s", tt.in, got, tt.topic)
		}
		if got := text(CheckPattern(tt.in)); got != tt.pattern {
			t.Errorf("CheckPattern(%q)\n got %s\nwant %s", tt.in, got, tt.pattern)
		}
		if valid := naiveValid(tt.in, false); valid != (tt.topic == "") {
			t.Errorf("naiveValid(%q) = %v", tt.in, valid)
		}
		if valid := naiveValid(tt.in, true); valid != (tt.pattern == "") {
			t.Errorf("naiveValid(%q) with wildcards = %v", tt.in, valid)
		}
	}
}

// text returns err's, or "" for none.
func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestErrorIsShort: what a peer sends may be long, may be cut within a rune, and ends up in logs.
func TestErrorIsShort(t *testing.T) {
	for _, s := range []string{strings.Repeat("a", 1<<20), strings.Repeat("日", 100), strings.Repeat("\x80", 300)} {
		err := CheckTopic(s)
		if err == nil || len(err.Error()) > 400 || !utf8.ValidString(err.Error()) || strings.Contains(err.Error(), `\xe6`) {
			t.Errorf("the error for %d bytes is %v", len(s), err)
		}
	}
}

func TestHasWildcardAndReserved(t *testing.T) {
	tests := []struct {
		in             string
		wild, reserved bool
	}{
		{in: "a"}, {in: "a.b%2A"}, {in: "a.$b"}, {in: "%24"},
		{in: "*", wild: true}, {in: ">", wild: true}, {in: "a.*.b", wild: true}, {in: "a.>", wild: true},
		{in: "$", reserved: true}, {in: "$hub.x", reserved: true}, {in: "$hub.>", wild: true, reserved: true},
	}
	for _, tt := range tests {
		if got := HasWildcard(tt.in); got != tt.wild {
			t.Errorf("HasWildcard(%q) = %v", tt.in, got)
		}
		if got := Reserved(tt.in); got != tt.reserved {
			t.Errorf("Reserved(%q) = %v", tt.in, got)
		}
	}
}

func FuzzGrammar(f *testing.F) {
	for _, s := range []string{
		"", "a", "a.b", "..", "a.", "*.>", "a*", ">.a", "%", "a%", "%2E", "%2e", "%41", "%C3%A9", "%C3", "é%A9", "%F0%9F%8E%88",
		"%F0%9F%8E", "%ED%A0%80", "{user}", "a b", "\x00", "\x7f", "\xff", "\xe2\x82", "\ufffd", "%EF%BF%BD", "$x.y",
		"%C3.%A9", "%C3%2E%A9", strings.Repeat("é.", 85), strings.Repeat("%", 254),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := CheckTopic(s) == nil, naiveValid(s, false); got != want {
			t.Errorf("CheckTopic(%q) = %v, the definition says valid = %v", s, CheckTopic(s), want)
		}
		if got, want := CheckPattern(s) == nil, naiveValid(s, true); got != want {
			t.Errorf("CheckPattern(%q) = %v, the definition says valid = %v", s, CheckPattern(s), want)
		}
		e := Escape(s)
		if want := naiveEscape(s); e != want {
			t.Errorf("Escape(%q) = %q, want %q", s, e, want)
		}
		if got := Unescape(e); got != s {
			t.Errorf("Unescape(%q) = %q, want %q", e, got, s)
		}
		if got, want := Unescape(s), naiveUnescape(s); got != want {
			t.Errorf("Unescape(%q) = %q, want %q", s, got, want)
		}
		if err := CheckTopic(e); err != nil && len(e) <= MaxLen || strings.Contains(e, ".") {
			t.Errorf("Escape(%q) = %q is not a segment: %v", s, e, err)
		}
	})
}
