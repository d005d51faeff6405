package wire

import (
	"math"
	"strconv"
	"strings"
	"testing"
)

func TestPos(t *testing.T) {
	var v struct {
		Valid []struct {
			Text     string
			Seq, Tag uint64 `json:",string"`
		}
		Invalid []string
	}
	load(t, "positions.json", &v)
	for _, tt := range v.Valid {
		want := Pos{tt.Seq, tt.Tag}
		if p, err := ParsePos(tt.Text); p != want || err != nil {
			t.Errorf("ParsePos(%q) = %v, %v", tt.Text, p, err)
		}
		if s := want.String(); s != tt.Text {
			t.Errorf("%+v is %q, want %q", want, s, tt.Text)
		}
	}
	for _, s := range v.Invalid {
		if p, err := ParsePos(s); err == nil {
			t.Errorf("ParsePos(%q) = %+v", s, p)
		}
	}
	if len(v.Valid) == 0 || len(v.Invalid) == 0 {
		t.Error("no vectors")
	}
	if n := len(Pos{math.MaxUint64, math.MaxUint64}.String()); n != maxPosText {
		t.Errorf("the longest text has %d bytes, not %d", n, maxPosText)
	}
}

// FuzzPos checks that exactly those texts are positions which a position is written as.
func FuzzPos(f *testing.F) {
	for _, s := range []string{"", "0.0", "1.a", "01.a", "+1.a", "3w5e11264sgsf.3w5e11264sgsf", "3w5e11264sgsg.0", "a.b.c"} {
		f.Add(s, uint64(1), uint64(math.MaxUint64))
	}
	f.Fuzz(func(t *testing.T, s string, seq, tag uint64) {
		want := Pos{seq, tag}
		if p, err := ParsePos(want.String()); p != want || err != nil {
			t.Fatalf("%+v is %q, which is %+v, %v", want, want, p, err)
		}
		p, err := ParsePos(s)
		if err == nil {
			if got := p.String(); got != s {
				t.Fatalf("%q is %+v, which is %q", s, p, got)
			}
			return
		}
		if a, b, ok := strings.Cut(s, "."); ok { // strconv takes more than is canonical, but nothing else
			seq, err1 := strconv.ParseUint(a, 36, 64)
			tag, err2 := strconv.ParseUint(b, 36, 64)
			if err1 == nil && err2 == nil && (Pos{seq, tag}).String() == s {
				t.Fatalf("%q is refused", s)
			}
		}
	})
}

func BenchmarkParsePos(b *testing.B) {
	s := Pos{100, math.MaxInt64}.String()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParsePos(s); err != nil {
			b.Fatal(err)
		}
	}
}
