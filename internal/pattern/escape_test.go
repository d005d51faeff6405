package pattern

import (
	"strings"
	"testing"
)

func TestEscape(t *testing.T) {
	tests := []struct{ in, want string }{
		{"ada", "ada"},
		{"", "%"},
		{"%", "%25"},
		{"a.b", "a%2Eb"},
		{"*", "%2A"},
		{">", "%3E"},
		{"{user}", "%7Buser%7D"},
		{"a b\tc\n", "a%20b%09c%0A"},
		{"\x00\x1f\x7f", "%00%1F%7F"},
		{"ada@example.com", "ada@example%2Ecom"},
		{"größe", "größe"},
		{"a\u00a0b", "a\u00a0b"},
		{"\ufffd", "\ufffd"},
		{"\xff", "%FF"},
		{"\xe2\x82", "%E2%82"},
		{"é\xa9.", "é%A9%2E"},
		{"\xed\xa0\x80", "%ED%A0%80"},
		{"$hub", "$hub"},
		{"a,\"'\\/?#:<+&=~`|[]()", "a,\"'\\/?#:<+&=~`|[]()"},
	}
	for _, tt := range tests {
		if got := Escape(tt.in); got != tt.want {
			t.Errorf("Escape(%q) = %q, want %q", tt.in, got, tt.want)
		}
		if got := Unescape(tt.want); got != tt.in {
			t.Errorf("Unescape(%q) = %q, want %q", tt.want, got, tt.in)
		}
		if err := CheckTopic(tt.want); err != nil {
			t.Error(err)
		}
	}
}

// TestEscapeEveryByte: no byte is forgotten by one of the three that must agree on it.
func TestEscapeEveryByte(t *testing.T) {
	for c := range 256 {
		s := string([]byte{'x', byte(c), 'y'})
		e := Escape(s)
		if err := CheckTopic(e); err != nil || strings.Contains(e, ".") {
			t.Errorf("Escape(%q) = %q: %v", s, e, err)
		}
		if got := Unescape(e); got != s {
			t.Errorf("Unescape(%q) = %q, want %q", e, got, s)
		}
		if raw := CheckTopic(s) == nil; c != '.' && raw != (e == s) {
			t.Errorf("%q is valid as it is: %v, but Escape writes %q", s, raw, e)
		}
	}
}

// TestUnescapeLeavesTheRest: Unescape of what is no valid segment does not fail, and changes no more than it must.
func TestUnescapeLeavesTheRest(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", ""}, {"%%", "%%"}, {"a%", "a%"}, {"%2", "%2"}, {"%2e", "%2e"}, {"%zz%2E", "%zz."}, {"%41", "A"}, {"%%20", "% "},
	}
	for _, tt := range tests {
		if got := Unescape(tt.in); got != tt.want {
			t.Errorf("Unescape(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func BenchmarkEscape(b *testing.B) {
	for name, s := range map[string]string{
		"ascii": "user-1234567890", "unicode": "größe-日本", "escaped": "ada@example.com",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Escape(s)
			}
		})
	}
}
