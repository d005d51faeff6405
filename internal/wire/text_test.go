package wire

import (
	"encoding/json"
	"testing"
	"unicode/utf8"
)

func TestAppendString(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", `""`},
		{"chat.lobby", `"chat.lobby"`},
		{"a\"b\\c/d", `"a\"b\\c/d"`},
		{"\b\f\n\r\t\x00\x1f\x7f", `"\b\f\n\r\t\u0000\u001f` + "\x7f\""},
		{"<script>&'", `"<script>&'"`},
		{"é\u2028\U0001f600", "\"é\u2028\U0001f600\""},
		{"a\xffb\xe2\x82", "\"a\ufffdb\ufffd\ufffd\""},
		{"\xed\xa0\x80", "\"\ufffd\ufffd\ufffd\""}, // a surrogate
		{"\ufffd", "\"\ufffd\""},
	} {
		if got := appendString([]byte("x"), tt.in); string(got) != "x"+tt.want {
			t.Errorf("%q: %s, want %s", tt.in, got[1:], tt.want)
		}
	}
}

func FuzzAppendString(f *testing.F) {
	f.Add("")
	f.Add("a\"b\\c\x00\u2028\xff")
	f.Fuzz(func(t *testing.T, s string) {
		b := appendString(nil, s)
		var back string
		if err := json.Unmarshal(b, &back); err != nil || !utf8.Valid(b) {
			t.Fatalf("%q: %q: %v", s, b, err)
		}
		if utf8.ValidString(s) && back != s {
			t.Fatalf("%q: %q: %q", s, b, back)
		}
		want, err := json.Marshal(s) // what becomes of bad bytes is the same, too
		var wanted string
		if err != nil || json.Unmarshal(want, &wanted) != nil || back != wanted {
			t.Fatalf("%q: %q, encoding/json %q", s, back, wanted)
		}
	})
}
