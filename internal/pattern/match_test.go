package pattern

import (
	"testing"
)

func TestMatch(t *testing.T) {
	tests := []struct {
		pattern, topic string
		want           bool
	}{
		{"a", "a", true},
		{"a", "b", false},
		{"a", "a.b", false},
		{"a.b", "a", false},
		{"ab", "a", false},
		{"a", "ab", false},
		{"chat.*", "chat.lobby", true},
		{"chat.*", "chat", false},
		{"chat.*", "chat.a.b", false},
		{"chat.*", "chats.a", false},
		{"*.lobby", "chat.lobby", true},
		{"*", "chat", true},
		{"*", "chat.lobby", false},
		{"chat.>", "chat.a", true},
		{"chat.>", "chat.a.b.c", true},
		{"chat.>", "chat", false},
		{">", "a", true},
		{">", "a.b", true},
		{"a.*.c.>", "a.b.c.d.e", true},
		{"a.*.c.>", "a.b.x.d.e", false},
		{"*", "$hub", true}, // the grammar treats a reserved topic like any other
		// Patterns that are covered.
		{"chat.>", "chat.*", true},
		{"chat.*", "chat.>", false},
		{"chat.>", "chat.>", true},
		{"chat.*", "chat.*", true},
		{">", "*.>", true},
		{"*.>", ">", false},
		{"*.>", "a.*", true},
		{"a.*", "*.a", false},
		{"a", "*", false},
		{"*", ">", false},
		{"*.*", "*.>", false},
		// Malformed, on either side.
		{"", "", false},
		{">", "", false},
		{"", "a", false},
		{">", "a.", false},
		{">", ".a", false},
		{">", "a..b", false},
		{">", "a b", false},
		{">", "a.*b", false},
		{">", "%41", false},
		{">", "\xff", false},
		{"a.", "a.", false},
		{"a.>.b", "a.c", false},
		{"a.>b", "a.c", false},
		{"*a", "a", false},
		{"{user}", "{user}", false},
		{"\xff", "\xff", false},
	}
	for _, tt := range tests {
		if got := Match(tt.pattern, tt.topic); got != tt.want {
			t.Errorf("Match(%q, %q) = %v, want %v", tt.pattern, tt.topic, got, tt.want)
		}
	}
}

// TestMatchAgainstEnumeration compares, for all pairs of small patterns, the sets of topics that they match.
func TestMatchAgainstEnumeration(t *testing.T) {
	patterns, topics := tinyPatterns(), tinyTopics()
	matched := sets(patterns, topics)
	for i, p := range patterns {
		for k, topic := range topics {
			if got := Match(p, topic); got != matched[i][k] {
				t.Errorf("Match(%q, %q) = %v", p, topic, got)
			}
		}
		for j, q := range patterns {
			covers, overlap := true, false
			for k := range topics {
				covers = covers && (matched[i][k] || !matched[j][k])
				overlap = overlap || matched[i][k] && matched[j][k]
			}
			if got := Match(p, q); got != covers {
				t.Errorf("Match(%q, %q) = %v, enumeration says %v", p, q, got, covers)
			}
			if got := Covers(p, q); got != covers {
				t.Errorf("Covers(%q, %q) = %v, enumeration says %v", p, q, got, covers)
			}
			if got := Overlap(p, q); got != overlap {
				t.Errorf("Overlap(%q, %q) = %v, enumeration says %v", p, q, got, overlap)
			}
			if overlap {
				checkMeet(t, topics, matched[i], matched[j], p, q)
			}
		}
	}
}

// checkMeet checks that meet(p, q) matches exactly the topics that both match.
func checkMeet(t *testing.T, topics []string, inP, inQ []bool, p, q string) {
	t.Helper()
	m := meet(p, q)
	if err := CheckPattern(m); err != nil {
		t.Errorf("meet(%q, %q): %v", p, q, err)
	}
	for k, topic := range topics {
		if Covers(m, topic) != (inP[k] && inQ[k]) {
			t.Errorf("meet(%q, %q) = %q is wrong about %q", p, q, m, topic)
			return
		}
	}
}

func TestMatchDoesNotAllocate(t *testing.T) {
	allocs := testing.AllocsPerRun(100, func() {
		Match("chat.*.>", "chat.größe%2E.%C3.x")
		Match(">", "a..b")
		Covers("chat.*", "chat.lobby")
		Overlap("a.*", "*.b")
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func FuzzMatch(f *testing.F) {
	for _, p := range [][2]string{
		{"a.b", "a.b"}, {"a.*", "a.b"}, {"a.>", "a.b.c"}, {">", "*"}, {"*", ">"}, {"*.>", "a"}, {"a.*.>", "a.>"}, {"a..b", "a..b"},
		{"a.>.b", "a.x"}, {"*a", "*a"}, {"", ""}, {">", ""}, {"a.", "a."}, {"%C3.*", "%C3.é"}, {"{user}.a", "x.a"}, {"*", "\n"},
	} {
		f.Add(p[0], p[1])
	}
	f.Fuzz(func(t *testing.T, p, q string) {
		valid := naiveValid(p, true) && naiveValid(q, true)
		Covers(p, q) // must not panic
		Overlap(p, q)
		if got, want := Match(p, q), valid && naiveCovers(p, q); got != want {
			t.Errorf("Match(%q, %q) = %v, want %v", p, q, got, want)
		}
		if !valid {
			return
		}
		if Covers(p, q) != Match(p, q) {
			t.Errorf("Covers(%q, %q) = %v, not as Match", p, q, Covers(p, q))
		}
		overlap := Overlap(p, q)
		if overlap != Overlap(q, p) {
			t.Errorf("Overlap(%q, %q) = %v, not so the other way round", p, q, overlap)
		}
		if overlap {
			// What both match is covered by each, and is all of the one that the other covers.
			m := meet(p, q)
			if !naiveCovers(p, m) || !naiveCovers(q, m) {
				t.Errorf("%q and %q overlap, but not in %q", p, q, m)
			}
		} else if naiveCovers(p, q) || naiveCovers(q, p) {
			t.Errorf("Overlap(%q, %q) = false, but one covers the other", p, q)
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	for _, c := range []struct{ name, pattern, topic string }{
		{"topic", "orders.eu.1234567890.status", "orders.eu.1234567890.status"},
		{"star", "orders.*.1234567890.status", "orders.eu.1234567890.status"},
		{"rest", "orders.>", "orders.eu.1234567890.status"},
		{"no", "orders.us.>", "orders.eu.1234567890.status"},
		{"escaped", "user.*.>", "user.ada@example%2Ecom.größe"},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Match(c.pattern, c.topic)
			}
		})
		b.Run(c.name+"/covers", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Covers(c.pattern, c.topic)
			}
		})
	}
}
