package frame

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCutReason(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"empty", "", ""},
		{"short", "server restarts", "server restarts"},
		{"longest", strings.Repeat("a", 123), strings.Repeat("a", 123)},
		{"one too long", strings.Repeat("a", 124), strings.Repeat("a", 123)},
		{"a rune that would be halved", strings.Repeat("a", 122) + "é", strings.Repeat("a", 122)},
		{"a rune that just fits", strings.Repeat("a", 121) + "é", strings.Repeat("a", 121) + "é"},
		{"runes of four bytes", strings.Repeat("😀", 40), strings.Repeat("😀", 30)},
		{"bad bytes", "a\xff\xfeb", "a\ufffd\ufffdb"},
		{"bad bytes grow beyond the limit", strings.Repeat("\xff", 123), strings.Repeat("\ufffd", 41)},
		{"a halved rune", "a\xe2\x82", "a\ufffd\ufffd"},
	} {
		if got := CutReason(tt.in); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestAppendClose(t *testing.T) {
	got := AppendClose([]byte("x"), 1012, "server restarts")
	if want := "x\x88\x11\x03\xf4server restarts"; string(got) != want {
		t.Errorf("%q, want %q", got, want)
	}
	long := AppendClose(nil, 4999, strings.Repeat("é", 1000))
	if len(long) != 2+2+122 || long[1] != 124 {
		t.Errorf("%d bytes, length %d", len(long), long[1])
	}
}

// FuzzAppendClose checks that whatever the reason is the frame is one that a peer must accept.
func FuzzAppendClose(f *testing.F) {
	f.Add(1000, "")
	f.Add(3502, strings.Repeat("é", 100))
	f.Add(4000, "a\xffb")
	f.Fuzz(func(t *testing.T, code int, reason string) {
		b := AppendClose(nil, code, reason)
		h, ok := ParseHeader(b)
		if !ok || h.Op != Close || !h.Fin || h.Len > 125 || h.Size+h.Len != len(b) {
			t.Fatalf("% x: %+v", b, h)
		}
		if got := binary.BigEndian.Uint16(b[2:]); got != uint16(code) {
			t.Fatalf("code %d, want %d", got, uint16(code))
		}
		if !utf8.Valid(b[4:]) {
			t.Fatalf("% x is not UTF-8", b[4:])
		}
		if len(reason) <= 123 && utf8.ValidString(reason) && !bytes.Equal(b[4:], []byte(reason)) {
			t.Fatalf("%q became %q", reason, b[4:])
		}
	})
}
