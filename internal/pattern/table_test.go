package pattern

import (
	"fmt"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// rowsOf makes rows whose values are their patterns.
func rowsOf(patterns ...string) map[string]string {
	rows := map[string]string{}
	for _, p := range patterns {
		rows[p] = p
	}
	return rows
}

func TestTableErrors(t *testing.T) {
	tests := []struct {
		rows []string
		err  string
	}{
		{rows: nil},
		{rows: []string{">", "*", "*.>", "a.>", "a.*", "a.b", "b.*.>", "b.*.c"}},
		{rows: []string{"a.*", "*.b.c", "b.>"}, err: `patterns "*.b.c" and "b.>" overlap (both match "b.b.c") and neither is more specific`},
		{rows: []string{"a.*", "*.b", "a.b"}, err: `patterns "*.b" and "a.*" overlap (both match "a.b") and neither is more specific`},
		{rows: []string{"a.*.c", "a.b.>"}, err: `patterns "a.*.c" and "a.b.>" overlap (both match "a.b.c") and neither is more specific`},
		{rows: []string{"*.b.*", "a.>"}, err: `patterns "*.b.*" and "a.>" overlap (both match "a.b.*") and neither is more specific`},
		{rows: []string{"*.*", "a.>", "c"}, err: `patterns "*.*" and "a.>" overlap (both match "a.*") and neither is more specific`},
		{rows: []string{"z..z", "b..b", "a.*", "*.b"}, err: `pattern "b..b" has an empty segment`}, // the first of two
		{rows: []string{"z.>", "*.z", "*.a", "a.*"}, err: `patterns "*.a" and "a.*" overlap (both match "a.a") and neither is more specific`},
		{rows: []string{"user.{user}"}, err: `pattern "user.{user}" has "{" in a segment, which Escape writes as %7B`},
		{rows: []string{""}, err: `pattern is empty`},
	}
	for _, tt := range tests {
		for range 5 { // maps have a random order
			_, err := NewTable(rowsOf(tt.rows...))
			if (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
				t.Errorf("NewTable(%q)\n got %v\nwant %s", tt.rows, err, tt.err)
			}
		}
	}
}

func TestTableLookup(t *testing.T) {
	table, err := NewTable(rowsOf(">", "*", "*.>", "a.>", "a.*", "a.b", "b.*.>", "b.*.c", "$presence.>", "solo"))
	if err != nil {
		t.Fatal(err)
	}
	for topic, want := range map[string]string{
		"a": "*", "solo": "solo", "c.d": "*.>", "a.b": "a.b", "a.c": "a.*", "a.b.c": "a.>", "b.x": "*.>", "b.x.y": "b.*.>",
		"b.x.c": "b.*.c", "b.x.c.d": "b.*.>", "$presence.chat": "$presence.>",
	} {
		if got, ok := table.Lookup(topic); !ok || got != want {
			t.Errorf("Lookup(%q) = %q, %v, want %q", topic, got, ok, want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { table.Lookup("b.x.c") }); n != 0 {
		t.Errorf("%v allocations", n)
	}

	table, err = NewTable(rowsOf("a.*"))
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := table.Lookup("b.c"); ok || got != "" {
		t.Errorf("Lookup of a topic that nothing matches = %q, %v", got, ok)
	}
	if got, ok := new(Table[int]).Lookup("a"); ok {
		t.Errorf("the zero table has %v", got)
	}
}

// TestTableAgainstEnumeration takes all triples of small patterns: whether they are refused, and what Lookup finds, is
// compared with sets of topics, of which the most specific is the smallest.
func TestTableAgainstEnumeration(t *testing.T) {
	patterns := append(words(2, "a", "b", "*"), ">", "a.>", "*.>", "a.*.>", "*.b.>", "a.*.b", "*.*.*")
	topics := words(4, "a", "b", "c")
	matched := sets(patterns, topics)
	size := func(i int) (n int) {
		for _, in := range matched[i] {
			if in {
				n++
			}
		}
		return n
	}
	conflict := func(i, j int) bool {
		var both, onlyI, onlyJ bool
		for k := range topics {
			both = both || matched[i][k] && matched[j][k]
			onlyI = onlyI || matched[i][k] && !matched[j][k]
			onlyJ = onlyJ || matched[j][k] && !matched[i][k]
		}
		return both && onlyI && onlyJ
	}
	for i := range patterns {
		for j := range i {
			for l := range j {
				rows := map[string]int{patterns[i]: i, patterns[j]: j, patterns[l]: l}
				table, err := NewTable(rows)
				if refuse := conflict(i, j) || conflict(i, l) || conflict(j, l); refuse != (err != nil) {
					t.Fatalf("NewTable(%v): %v, want an error: %v", rows, err, refuse)
				}
				if err != nil {
					continue
				}
				for k, topic := range topics {
					best := -1
					for _, row := range []int{i, j, l} {
						if matched[row][k] && (best < 0 || size(row) < size(best)) {
							best = row
						}
					}
					got, ok := table.Lookup(topic)
					if ok != (best >= 0) || ok && got != best {
						t.Fatalf("Lookup(%q) in %v = %v, %v, want %v", topic, rows, got, ok, best)
					}
				}
			}
		}
	}
}

func TestTableAll(t *testing.T) {
	rows := rowsOf(">", "*", "a.>", "a.*", "a.b", "b.*.>")
	table, err := NewTable(rows)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(rows, maps.Collect(table.All())); diff != "" {
		t.Errorf("All: -want +got\n%s", diff)
	}
	var order []string
	for p := range table.All() {
		order = append(order, p)
	}
	if diff := cmp.Diff([]string{"a.b", "a.*", "a.>", "b.*.>", "*", ">"}, order); diff != "" {
		t.Errorf("order: -want +got\n%s", diff)
	}
	for range table.All() {
		break // must not yield again
	}
	delete(rows, "a.b")
	if _, ok := table.Lookup("a.b"); !ok || len(maps.Collect(table.All())) != 6 {
		t.Error("the table shares the map that it was made of")
	}
}

func BenchmarkTableLookup(b *testing.B) {
	for _, n := range []int{10, 1000} {
		rows := rowsOf(">", "chat.>", "chat.*.typing", "prices.*", "online.*")
		for i := range n - len(rows) {
			rows[fmt.Sprintf("app%d.*", i)] = ""
		}
		table, err := NewTable(rows)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				table.Lookup("other.topic") // the last row, after all others
			}
		})
	}
}
