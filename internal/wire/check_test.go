package wire

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCheckJSON(t *testing.T) {
	nested := func(n int) string { return strings.Repeat(`{"a":[`, n/2) + "1" + strings.Repeat("]}", n/2) }
	for _, tt := range []struct {
		in   string
		want error
	}{
		{`{"a":[1,-2.5e+10,"x\u00e9\n",true,false,null,{}],"b":[]}`, nil},
		{" \t\r\n0 ", nil},
		{`"` + strings.Repeat("é", 100) + `"`, nil},
		{`[{"a":1},[1,2],{"b":[{}]}]`, nil},
		{nested(1000), nil},
		{nested(1002), ErrDepth},
		{strings.Repeat("[", 1001) + strings.Repeat("]", 1001), ErrDepth},
		{strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000), ErrDepth},
		{strings.Repeat("[],", 2000), ErrSyntax},
		{"[" + strings.Repeat("[],", 2000) + "[]]", nil},
		{strings.Repeat("[", 100_000), ErrSyntax},
		{strings.Repeat("[", 2000) + "}" + strings.Repeat("]", 1999), ErrSyntax},
		{"\"\xff\"", ErrUTF8},
		{"\xff", ErrUTF8},
		{"", ErrSyntax}, {" ", ErrSyntax}, {"nul", ErrSyntax}, {"nulll", ErrSyntax}, {"01", ErrSyntax}, {"1 2", ErrSyntax},
		{"-", ErrSyntax}, {"1.", ErrSyntax}, {"1e", ErrSyntax}, {".5", ErrSyntax}, {"+1", ErrSyntax}, {"NaN", ErrSyntax},
		{`{"a"}`, ErrSyntax}, {`{"a":}`, ErrSyntax}, {`{,}`, ErrSyntax}, {`[1,]`, ErrSyntax}, {`[,1]`, ErrSyntax},
		{`{"a":1]`, ErrSyntax}, {`[1}`, ErrSyntax}, {`{1:2}`, ErrSyntax}, {`"\x"`, ErrSyntax}, {`"\u12g4"`, ErrSyntax}, {`"\u123g"`, ErrSyntax},
		{`"\u123`, ErrSyntax}, {`"abc`, ErrSyntax}, {"\"a\nb\"", ErrSyntax}, {"\"a\x00b\"", ErrSyntax}, {"1\x00", ErrSyntax},
	} {
		if err := CheckJSON([]byte(tt.in)); !errors.Is(err, tt.want) {
			t.Errorf("%.60q: %v, want %v", tt.in, err, tt.want)
		}
	}
	if err := CheckJSON([]byte(`{"a":tru}`)); err == nil || !strings.Contains(err.Error(), "invalid character '}'") {
		t.Errorf("the error does not say what is wrong: %v", err)
	}
}

// The scanner looks at eight bytes of a string at a time: each byte is tried in each place, and after a backslash.
func TestCheckJSONBytes(t *testing.T) {
	for _, before := range []string{"", `\`} {
		for i := range 18 {
			for c := range 256 {
				s := `"` + strings.Repeat("x", i) + before + string([]byte{byte(c)}) + strings.Repeat("y", 17-i) + `"`
				want := json.Valid([]byte(s)) && utf8.ValidString(s)
				if err := CheckJSON([]byte(s)); (err == nil) != want {
					t.Errorf("%q: %v", s, err)
				}
			}
		}
	}
}

// depthOf counts how deep valid JSON nests, in the plainest way.
func depthOf(data []byte) int {
	depth, most, quoted := 0, 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
			most = max(most, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return most
}

// FuzzCheckJSON holds the scanner against encoding/json, which gives up at a depth of 10,000.
func FuzzCheckJSON(f *testing.F) {
	for _, s := range []string{
		`{"a":[1,-2.5e+10,"x\u00e9\n",true,false,null,{}],"b":[]}`, ` [ 1 , { } ] `, `"abcdefgh\"ijklmnop\\"`, "\"12345678\x1f\"",
		"\"\xff\"", "-0.0E-0", `{"a":{"b":{"c":[[[]]]}}}`, `[1}`, strings.Repeat("[", 1001) + strings.Repeat("]", 1001),
		strings.Repeat(`{"":`, 70) + "0" + strings.Repeat("}", 70), "\"\u2028\x7f\"", `["a" "b"]`, "",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		err := CheckJSON(data)
		isUTF8, isJSON := utf8.Valid(data), json.Valid(data)
		switch {
		case !isUTF8:
			if !errors.Is(err, ErrUTF8) {
				t.Fatalf("%q: %v", data, err)
			}
		case isJSON:
			if deep := depthOf(data) > MaxDepth; deep != errors.Is(err, ErrDepth) || !deep && err != nil {
				t.Fatalf("%q, of depth %d: %v", data, depthOf(data), err)
			}
		case !errors.Is(err, ErrSyntax) && !(errors.Is(err, ErrDepth) && depthOf(data) > 9_000):
			t.Fatalf("%q: %v", data, err)
		}
	})
}

// sample is JSON of n bytes or a few more, of the kind that services publish.
func sample(n int) []byte {
	var b strings.Builder
	b.WriteString(`{"text":"Grüße aus der Lobby, and a few words in plain ASCII","items":[`)
	for b.Len() < n-20 {
		b.WriteString(`{"id":18446744,"name":"Ada Lovelace","tags":["a","b\n"],"price":19.01,"ok":true},`)
	}
	b.WriteString(`null],"x":1}`)
	return []byte(b.String())
}

func BenchmarkCheckJSON(b *testing.B) {
	for _, bb := range []struct {
		name string
		size int
	}{{"128B", 128}, {"1KB", 1 << 10}, {"64KB", 64 << 10}} {
		data := sample(bb.size)
		b.Run(bb.name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if err := CheckJSON(data); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(bb.name+"/encoding-json", func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if !json.Valid(data) || !utf8.Valid(data) {
					b.Fatal()
				}
			}
		})
	}
}
