package pattern

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func matches[V ~int | ~uint32](t *Trie[V], topic string) []V {
	got := t.Append(nil, topic)
	slices.Sort(got)
	return got
}

func TestTrie(t *testing.T) {
	var trie Trie[int]
	if got := trie.Append(nil, "a"); got != nil || trie.Len() != 0 || trie.Remove("a", 1) {
		t.Error("an empty trie has something")
	}
	patterns := []string{"a", "a.*", "a.b", "a.>", ">", "*", "*.b", "a.*.c", "a.b.c.d", "ab", "*.*.>"}
	for i, p := range patterns {
		trie.Add(p, i)
		checkTrie(t, &trie)
	}
	for topic, want := range map[string][]int{
		"a":       {0, 4, 5},
		"ab":      {4, 5, 9},
		"a.b":     {1, 2, 3, 4, 6},
		"a.x":     {1, 3, 4},
		"x.b":     {4, 6},
		"a.b.c":   {3, 4, 7, 10},
		"a.b.c.d": {3, 4, 8, 10},
		"x.y":     {4},
		"":        nil,
	} {
		if diff := cmp.Diff(want, matches(&trie, topic)); diff != "" {
			t.Errorf("Append(%q): -want +got\n%s", topic, diff)
		}
	}
	for _, p := range []string{"b", "a.b.c", "a.b.c.d.e", "a.*.*", "", "a.", "ab.>"} {
		if trie.Remove(p, 1) {
			t.Errorf("Remove(%q) of what was never added", p)
		}
	}
	if trie.Remove("a", 1) {
		t.Error("Remove of a value that is under another pattern")
	}
	for i, p := range patterns {
		if trie.Len() != len(patterns)-i {
			t.Errorf("Len() = %d", trie.Len())
		}
		if !trie.Remove(p, i) || trie.Remove(p, i) {
			t.Errorf("Remove(%q) is not true once", p)
		}
		checkTrie(t, &trie)
	}
	if trie.root.kids != nil {
		t.Error("nodes are left")
	}
}

// TestTrieAppends: what dst has stays, duplicates count, and a dst with room is enough.
func TestTrieAppends(t *testing.T) {
	var trie Trie[int]
	for _, p := range []string{"a.*", "a.>", "*.b", "a.b", "a.b"} {
		trie.Add(p, 7)
	}
	dst := make([]int, 1, 10)
	if got := trie.Append(dst, "a.b"); !slices.Equal(got, []int{0, 7, 7, 7, 7, 7}) || &got[0] != &dst[0] {
		t.Errorf("Append = %v", got)
	}
	trie.Remove("a.b", 7)
	if got := trie.Append(dst, "a.b"); len(got) != 5 {
		t.Errorf("one of two equal values removed: Append = %v", got)
	}
	if n := testing.AllocsPerRun(100, func() { trie.Append(dst, "a.b") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestTrieLongPatterns: a client must not make the hub hold more than it sent by sending patterns of many segments.
func TestTrieLongPatterns(t *testing.T) {
	var trie Trie[int]
	const n = 100
	for i := range n {
		trie.Add(fmt.Sprintf("user.%d", i)+strings.Repeat(".*", 120), i)
	}
	if got := countNodes(&trie.root); got > 2*n {
		t.Errorf("%d nodes for %d patterns", got, n)
	}
	// Beginnings that come and go must leave nothing behind.
	for i := range 120 {
		p := "user.7" + strings.Repeat(".*", i)
		trie.Add(p, -1)
		checkTrie(t, &trie)
		trie.Remove(p, -1)
	}
	if got := countNodes(&trie.root); got > 2*n {
		t.Errorf("%d nodes for %d patterns", got, n)
	}
}

// TestTrieGivesMemoryBack: many kids, and many values of one pattern, end in nothing.
func TestTrieGivesMemoryBack(t *testing.T) {
	var trie Trie[int]
	const n = 2000
	for i := range n {
		trie.Add(fmt.Sprintf("user.%d.*", i), i)
		trie.Add("all.>", i)
	}
	checkTrie(t, &trie)
	for i := range n - 1 {
		trie.Remove(fmt.Sprintf("user.%d.*", i), i)
		trie.Remove("all.>", i)
		if n-i < 2*fewKids {
			checkTrie(t, &trie)
		}
	}
	if got := countNodes(&trie.root); got != 3 { // with the root
		t.Errorf("%d nodes for two patterns", got)
	}
	if got := trie.root.kids.get("all", 0); cap(got.values) > 64 {
		t.Errorf("one value of %d is left, in an array of %d", n, cap(got.values))
	}
	if got := matches(&trie, "user.1999.x"); !slices.Equal(got, []int{n - 1}) {
		t.Errorf("Append = %v", got)
	}
}

// TestTrieForgets: a value that was removed is not kept from the garbage collector.
func TestTrieForgets(t *testing.T) {
	var trie Trie[*int]
	gone, stays := new(int), new(int)
	trie.Add("a.*", stays)
	trie.Add("a.*", gone)
	trie.Remove("a.*", gone)
	for _, v := range trie.root.kids.get("a", 0).values[:2] {
		if v == gone {
			t.Error("a removed value is still in the array")
		}
	}
}

// checkTrie checks that every node is needed and stands where it belongs, and that Len is right.
func checkTrie[V comparable](t *testing.T, trie *Trie[V]) {
	t.Helper()
	values := 0
	var check func(n *node[V], from int)
	check = func(n *node[V], from int) {
		values += len(n.values)
		if n.kids != nil && n.kids.size() == 0 {
			t.Errorf("node %q has empty kids", n.path)
		}
		if n != &trie.root && len(n.values) == 0 && n.kids.size() < 2 {
			t.Errorf("node %q is not needed", n.path)
		}
		if n.kids != nil && n.kids.many != nil && (n.kids.few != nil || len(n.kids.many) <= fewKids/2) {
			t.Errorf("node %q has %d kids in a map, and %d not", n.path, len(n.kids.many), len(n.kids.few))
		}
		for _, kid := range allKids(n) {
			if !strings.HasPrefix(kid.path, n.path) || n.kids.get(segment(kid.path, from), from) != kid {
				t.Errorf("node %q has kid %q, and does not find it", n.path, kid.path)
			}
			check(kid, len(kid.path)+1)
		}
	}
	check(&trie.root, 0)
	if values != trie.Len() {
		t.Errorf("Len() = %d, but there are %d values", trie.Len(), values)
	}
}

func allKids[V comparable](n *node[V]) []*node[V] {
	if n.kids == nil {
		return nil
	}
	all := slices.Clone(n.kids.few)
	for _, kid := range n.kids.many {
		all = append(all, kid)
	}
	for _, kid := range []*node[V]{n.kids.star, n.kids.rest} {
		if kid != nil {
			all = append(all, kid)
		}
	}
	return all
}

func countNodes[V comparable](n *node[V]) int {
	count := 1
	for _, kid := range allKids(n) {
		count += countNodes(kid)
	}
	return count
}

// FuzzTrie does what its input says, byte by byte, to a trie and to a slice, and compares them. Two bytes are a step:
// add, remove something that is there, or remove something that may not be. So there are few values at most times, and
// nodes come and go.
func FuzzTrie(f *testing.F) {
	f.Add([]byte{0, 0, 1, 0, 2, 0, 0, 1, 1, 1})
	f.Add([]byte("\x10\x00\x20\x02\x30\x04\x10\x01\x20\x03\x30\x05"))
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{20, 200, 4000} {
		steps := make([]byte, n)
		for i := range steps {
			steps[i] = byte(rnd.Uint32())
		}
		f.Add(steps)
	}
	// More kids of one node than fewKids, and patterns that share two segments, or differ in the middle of one.
	universe := append(tinyPatterns(), words(2, "a", "aa", "c", "d", "e", "f", "g", "h", "i", "j", "*")...)
	universe = append(universe, "a.b.c.d.e", "a.b.c.d.f", "a.b.c.d.>", "a.b.c", "aa.a.b.*.>", "b.aa.b")
	slices.Sort(universe)
	universe = slices.Compact(universe)
	topics := append(words(3, "a", "b", "c"), "aa", "aa.a", "j.j", "x", "a.b.c.d.e", "a.b.c.d.e.f", "aa.a.b.c.d", "b.aa.b")
	matched := sets(universe, topics)
	f.Fuzz(func(t *testing.T, steps []byte) {
		type entry struct{ pattern, value int }
		var trie Trie[int]
		var oracle []entry
		steps = steps[:min(len(steps), 4096)]
		for len(steps) >= 2 {
			e := entry{int(steps[0]) % len(universe), int(steps[1] >> 2 & 1)}
			if steps[1]&3 == 3 && len(oracle) > 0 {
				e = oracle[int(steps[0])%len(oracle)]
			}
			if steps[1]&1 == 0 {
				trie.Add(universe[e.pattern], e.value)
				oracle = append(oracle, e)
			} else {
				i := slices.Index(oracle, e)
				if got := trie.Remove(universe[e.pattern], e.value); got != (i >= 0) {
					t.Fatalf("Remove(%q, %d) = %v", universe[e.pattern], e.value, got)
				}
				if i >= 0 {
					oracle = slices.Delete(oracle, i, i+1)
				}
			}
			steps = steps[2:]
			if len(steps) > 8 && len(steps)%16 > 1 {
				continue // comparing after each of many steps finds no more, but takes long
			}
			checkTrie(t, &trie)
			for k, topic := range topics {
				var want []int
				for _, e := range oracle {
					if matched[e.pattern][k] {
						want = append(want, e.value)
					}
				}
				slices.Sort(want)
				if got := matches(&trie, topic); !slices.Equal(got, want) {
					t.Fatalf("Append(%q) = %v, want %v", topic, got, want)
				}
			}
		}
	})
}

// BenchmarkTrie matches a topic against 100,000 patterns of five kinds. B/pattern is what the trie holds beside
// the strings themselves, which belong to the subscriptions.
func BenchmarkTrie(b *testing.B) {
	const n = 100_000
	for _, c := range []struct {
		name    string
		pattern func(i int) string
		topic   func(i int) string
	}{
		{"user.N.*", func(i int) string { return fmt.Sprintf("user.%d.*", i) }, func(i int) string { return fmt.Sprintf("user.%d.notes", i) }},
		{"t.N.chat.*+user.>", func(i int) string { return fmt.Sprintf("t.%d.%s", i/2, [2]string{"chat.*", "user.>"}[i%2]) },
			func(i int) string { return fmt.Sprintf("t.%d.chat.lobby", i/2) }},
		{"*.M.*.N.>", func(i int) string { return fmt.Sprintf("*.room%d.*.%d.>", i%300, i/300) },
			func(i int) string { return fmt.Sprintf("app.room%d.x.%d.y.z", i%300, i/300) }},
		{"random", randomPattern, randomTopic},
		{"worst", binaryPattern, binaryPattern}, // each pattern has a node at which it parts from another
	} {
		b.Run(c.name, func(b *testing.B) {
			patterns, topics := make([]string, n), make([]string, 1024)
			for i := range patterns {
				patterns[i] = c.pattern(i)
			}
			for i := range topics {
				topics[i] = c.topic(i * (n / len(topics)))
			}
			trie := new(Trie[uint32])
			before := heapBytes()
			for i, p := range patterns {
				trie.Add(p, uint32(i))
			}
			held := heapBytes() - before
			var dst []uint32
			found, i := 0, 0
			b.ReportAllocs()
			for b.Loop() {
				dst = trie.Append(dst[:0], topics[i%len(topics)])
				found += len(dst)
				i++
			}
			b.ReportMetric(float64(held)/n, "B/pattern")
			b.ReportMetric(float64(found)/float64(i), "matches/op")
			runtime.KeepAlive(trie)
			runtime.KeepAlive(patterns)
		})
	}
}

// BenchmarkTrieChurn adds and removes a pattern beside 100,000 others.
func BenchmarkTrieChurn(b *testing.B) {
	trie := new(Trie[uint32])
	patterns := make([]string, 100_000)
	for i := range patterns {
		patterns[i] = randomPattern(i)
		trie.Add(patterns[i], uint32(i))
	}
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		p := patterns[i*7919%len(patterns)]
		trie.Add(p, 1<<20)
		trie.Remove(p, 1<<20)
		i++
	}
}

// randomPattern returns the i-th of a fixed sequence of patterns of 4 or 5 segments, with one wildcard or two.
func randomPattern(i int) string {
	rnd := rand.New(rand.NewPCG(uint64(i), 1))
	segments := []string{fmt.Sprintf("app%d", rnd.IntN(20))}
	for range 3 + rnd.IntN(2) {
		segments = append(segments, fmt.Sprintf("seg%d", rnd.IntN(200)))
	}
	segments[2+rnd.IntN(len(segments)-2)] = "*"
	if rnd.IntN(2) == 0 {
		segments[len(segments)-1] = ">"
	}
	return strings.Join(segments, ".")
}

// randomTopic returns a topic that randomPattern(i) matches.
func randomTopic(i int) string {
	return strings.NewReplacer("*", "seg7", ">", "seg8.x").Replace(randomPattern(i))
}

// binaryPattern returns i in binary, one segment a digit.
func binaryPattern(i int) string {
	return strings.Join(strings.Split(fmt.Sprintf("%017b", i), ""), ".")
}

func heapBytes() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
