package pattern

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
)

// Table finds for a topic the row whose pattern is the most specific that matches it. It does not change once it is
// made, and is safe for concurrent use.
type Table[V any] struct {
	rows  []row[V]       // the more specific before those that cover them
	exact map[string]int // the index in rows of each pattern without wildcards
	wild  []int          // the indexes of the others
}

type row[V any] struct {
	pattern string
	value   V
}

// NewTable returns the table of rows, which it copies. It is an error if a pattern is malformed, and if two patterns
// overlap without one covering the other: then neither is the most specific for the topics in both, and which one
// applied would be a guess. The error is the first by the order of the patterns, so the same rows give the same one.
func NewTable[V any](rows map[string]V) (*Table[V], error) {
	patterns := slices.Sorted(maps.Keys(rows))
	if err := checkRows(patterns); err != nil {
		return nil, err
	}
	slices.SortFunc(patterns, bySpecificity)
	t := &Table[V]{exact: make(map[string]int)}
	for i, p := range patterns {
		t.rows = append(t.rows, row[V]{p, rows[p]})
		if HasWildcard(p) {
			t.wild = append(t.wild, i)
		} else {
			t.exact[p] = i
		}
	}
	return t, nil
}

// checkRows returns the error of NewTable for patterns, which are sorted.
func checkRows(patterns []string) error {
	var wild []string // a topic overlaps only with what covers it, so only these can be in conflict
	for _, p := range patterns {
		if err := CheckPattern(p); err != nil {
			return err
		}
		if HasWildcard(p) {
			wild = append(wild, p)
		}
	}
	for i, p := range wild {
		for _, q := range wild[i+1:] {
			if Overlap(p, q) && !Covers(p, q) && !Covers(q, p) {
				return fmt.Errorf("patterns %q and %q overlap (both match %q) and neither is more specific", p, q, meet(p, q))
			}
		}
	}
	return nil
}

// bySpecificity puts a pattern before all others that cover it. What covers it has the same literals or fewer. With the
// same ones, it has '>' where the two first differ and the covered one '*', which is the smaller byte.
func bySpecificity(a, b string) int {
	literals := func(p string) int { return strings.Count(p, ".") + 1 - wildcards(p) }
	return cmp.Or(cmp.Compare(literals(b), literals(a)), strings.Compare(a, b))
}

// meet returns the pattern of the topics in both a and b, which overlap.
func meet(a, b string) string {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	if len(x) > len(y) {
		x, y = y, x
	}
	for i, seg := range x {
		switch {
		case seg == ">":
			return strings.Join(append(x[:i], y[i:]...), ".")
		case seg == "*" && y[i] != ">":
			x[i] = y[i]
		}
	}
	return strings.Join(x, ".")
}

// Lookup returns the value of the most specific row that matches topic, a valid topic, and whether there is one. It does
// not allocate. It compares topic with the rows that have wildcards one by one: options have tens of them, not thousands.
func (t *Table[V]) Lookup(topic string) (v V, ok bool) {
	if i, ok := t.exact[topic]; ok {
		return t.rows[i].value, true
	}
	for _, i := range t.wild {
		// Of all that match, the first: they overlap in topic, so by NewTable each covers or is covered by it, and those
		// that it covers would stand before it.
		if Covers(t.rows[i].pattern, topic) {
			return t.rows[i].value, true
		}
	}
	return v, false
}

// All returns the rows, those that are more specific before those that cover them, always in the same order.
func (t *Table[V]) All() iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for _, r := range t.rows {
			if !yield(r.pattern, r.value) {
				return
			}
		}
	}
}
