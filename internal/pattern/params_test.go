package pattern

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParams(t *testing.T) {
	tests := []struct {
		pattern, topic string
		want           []string
	}{
		{"news", "news", []string{}},
		{"news", "olds", nil},
		{"orders.*", "orders.42", []string{"42"}},
		{"orders.*", "orders.a%2Eb", []string{"a.b"}},
		{"orders.*", "orders.%", []string{""}},
		{"*.x.*", "a.x.b", []string{"a", "b"}},
		{"files.>", "files.a%2Eb", []string{"a.b"}},
		{"files.>", "files.a%2Eb.c", []string{"a%2Eb.c"}},
		{"*.>", "a.b.c.d", []string{"a", "b.c.d"}},
		{">", "a", []string{"a"}},
		// A pattern is no name: whoever compares the param with a user called "*" must not be fooled.
		{"orders.*", "orders.*", nil},
		{"orders.>", "orders.>", nil},
		{"orders.*", "orders.%2A", []string{"*"}},
		{"orders.*", "orders.a b", nil},
		{"orders.**", "orders.a", nil},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, Params(tt.pattern, tt.topic)); diff != "" {
			t.Errorf("Params(%q, %q): -want +got\n%s", tt.pattern, tt.topic, diff)
		}
	}
}

func TestFill(t *testing.T) {
	long := strings.Repeat("x", MaxLen)
	tests := []struct {
		pattern string
		params  []string
		want    string
		err     string
	}{
		{pattern: "news", want: "news"},
		{pattern: "orders.*", params: []string{"42"}, want: "orders.42"},
		{pattern: "orders.*", want: "orders.*"},
		{pattern: "orders.*.*.x", params: []string{"a.b"}, want: "orders.a%2Eb.*.x"},
		{pattern: "*.b.>", params: []string{"", "c.d"}, want: "%.b.c%2Ed"},
		{pattern: "*.b.>", params: []string{"a"}, want: "a.b.>"},
		{pattern: "*.*", params: []string{"*", ">"}, want: "%2A.%3E"},
		{pattern: "*", params: []string{"\xff"}, want: "%FF"},
		{pattern: "a.*", params: []string{long[:253]}, want: "a." + long[:253]},
		{pattern: "a.*", params: []string{long[:254]}, err: `filled pattern "a.` + long[:62] + `"… is 256 bytes long, more than 255`},
		{pattern: "orders.*", params: []string{"a", "b"}, err: `pattern "orders.*" has 1 wildcards, too few for 2 params`},
		{pattern: "news", params: []string{"a"}, err: `pattern "news" has 0 wildcards, too few for 1 params`},
		{pattern: "a..*", params: []string{"a"}, err: `pattern "a..*" has an empty segment`},
	}
	for _, tt := range tests {
		got, err := Fill(tt.pattern, tt.params...)
		if got != tt.want || (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
			t.Errorf("Fill(%q, %q)\n got %q, %v\nwant %q, %s", tt.pattern, tt.params, got, err, tt.want, tt.err)
		}
	}
}

// FuzzFill: Params is the inverse of Fill, whatever the params are.
func FuzzFill(f *testing.F) {
	f.Add("a.*.b.>", "x", "y")
	f.Add("*.*", "", "a.b.>*{}% \xff")
	f.Add("*.>", "é\xa9", "%")
	f.Add("a.*", "x", "y")
	f.Fuzz(func(t *testing.T, pattern, a, b string) {
		topic, err := Fill(pattern, a, b)
		if err != nil {
			return
		}
		if CheckPattern(topic) != nil || !Match(pattern, topic) {
			t.Errorf("Fill(%q, %q, %q) = %q: %v", pattern, a, b, topic, CheckPattern(topic))
		}
		if HasWildcard(topic) {
			return
		}
		if diff := cmp.Diff([]string{a, b}, Params(pattern, topic)); diff != "" {
			t.Errorf("Params(%q, %q): -want +got\n%s", pattern, topic, diff)
		}
	})
}
