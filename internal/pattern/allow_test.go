package pattern

import (
	"strings"
	"testing"
)

func TestNewAllow(t *testing.T) {
	tests := []struct {
		in, err string
	}{
		{in: "chat.*"},
		{in: "{user}"},
		{in: "user.{user}.>"},
		{in: "{user}.{user}"},
		{in: "user.{name}", err: `pattern "user.{name}" has "{": in braces it may have only {user}, as a whole segment`},
		{in: "user-{user}", err: `pattern "user-{user}" has "{": in braces it may have only {user}, as a whole segment`},
		{in: "{user}s.a", err: `pattern "{user}s.a" has "{": in braces it may have only {user}, as a whole segment`},
		{in: "{User}", err: `pattern "{User}" has "{": in braces it may have only {user}, as a whole segment`},
		{in: "user}", err: `pattern "user}" has "}": in braces it may have only {user}, as a whole segment`},
		{in: "a..b", err: `pattern "a..b" has an empty segment`},
		{in: "a b", err: `pattern "a b" has " " in a segment, which Escape writes as %20`},
		{in: "", err: `pattern is empty`},
	}
	for _, tt := range tests {
		_, err := NewAllow("ok.*", tt.in)
		if (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
			t.Errorf("NewAllow(%q)\n got %v\nwant %s", tt.in, err, tt.err)
		}
	}
}

func TestAllow(t *testing.T) {
	a, err := NewAllow("chat.*", "user.{user}.>", "{user}.{user}", "news")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		user, topic string
		want        bool
	}{
		{"ada", "news", true},
		{"", "news", true},
		{"", "chat.lobby", true},
		{"", "chat.*", true},
		{"", "chat.>", false},
		{"", ">", false},
		{"ada", "user.ada.notes", true},
		{"ada", "user.ada.>", true},
		{"ada", "user.ada.*", true},
		{"ada", "user.ada", false},
		{"ada", "user.bob.notes", false},
		{"ada", "user.adam.notes", false},
		{"adam", "user.ada.notes", false},
		{"ada", "user.*.notes", false},
		{"ada", "user.>", false},
		{"ada", "ada.ada", true},
		{"ada", "ada.bob", false},
		// A user whose name is grammar gets that name, and no more.
		{"*", "user.*.notes", false},
		{"*", "user.bob.notes", false},
		{"*", "user.%2A.notes", true},
		{">", "user.>", false},
		{"bob.notes", "user.bob.notes", false},
		{"ada.x", "user.ada%2Ex.y", true},
		{"a%2Eb", "user.a%2Eb.y", false}, // that is the user "a.b"
		{"a%2Eb", "user.a%252Eb.y", true},
		{"{user}", "user.{user}.x", false},
		{"\xff", "user.%FF.x", true},
		{"%", "user.%.x", false}, // that is the user whose name is empty
		// Nobody in particular.
		{"", "user.%.notes", false},
		{"", "user..notes", false},
		{"", "user.{user}.notes", false},
		{"", "%.%", false},
		// Malformed.
		{"ada", "user.ada.a b", false},
		{"ada", "user.ada.", false},
		{"ada", "user.ada.*x", false},
		{"ada", "chat.%41", false},
		{"ada", "", false},
	}
	for _, tt := range tests {
		if got := a.Covers(tt.user, tt.topic); got != tt.want {
			t.Errorf("Covers(%q, %q) = %v, want %v", tt.user, tt.topic, got, tt.want)
		}
	}
	if none, err := NewAllow(); err != nil || none.Covers("ada", "news") {
		t.Errorf("no patterns: %v, or they cover something", err)
	}
	if n := testing.AllocsPerRun(100, func() { a.Covers("ada", "user.ada.notes.x") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzAllow: {user} covers exactly what the pattern does in which the escaped user stands instead.
func FuzzAllow(f *testing.F) {
	f.Add("user.{user}.>", "ada", "user.ada.x")
	f.Add("user.{user}.>", "", "user.%.x")
	f.Add("{user}.*.{user}", "a.b", "a%2Eb.x.a%2Eb")
	f.Add("{user}", "*", "*")
	f.Add("{user}x.}", "*", "*")
	f.Fuzz(func(t *testing.T, pattern, user, topic string) {
		a, err := NewAllow(pattern)
		if err != nil {
			return
		}
		segments, named := strings.Split(pattern, "."), false
		for i, seg := range segments {
			if seg == "{user}" {
				segments[i], named = naiveEscape(user), true
			}
		}
		want := naiveValid(topic, true) && !(named && user == "") && naiveCovers(strings.Join(segments, "."), topic)
		if got := a.Covers(user, topic); got != want {
			t.Errorf("%q covers (%q, %q) = %v, want %v", pattern, user, topic, got, want)
		}
	})
}

func BenchmarkAllow(b *testing.B) {
	a, err := NewAllow("chat.*", "news", "user.{user}.>")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		a.Covers("1234567890", "user.1234567890.notes")
	}
}
