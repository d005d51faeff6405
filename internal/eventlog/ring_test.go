package eventlog

import (
	"math/rand/v2"
	"slices"
	"sort"
	"testing"
)

// TestRing pushes and pops at random, beside a slice.
func TestRing(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var r ring
	var want []uint64
	next, grow := uint64(0), true
	for range 50_000 {
		if rng.IntN(200) == 0 {
			grow = !grow
		}
		if len(want) == 0 || rng.IntN(3) == 0 != grow {
			next += 1 + uint64(rng.IntN(3))
			r.push(next)
			want = append(want, next)
		} else {
			r.pop()
			want = want[1:]
		}
		if r.n != len(want) {
			t.Fatalf("%d numbers, want %d", r.n, len(want))
		}
		if len(want) == 0 {
			if r.buf != nil {
				t.Fatalf("an empty ring holds %d numbers", len(r.buf))
			}
			continue
		}
		if i := rng.IntN(len(want)); r.at(i) != want[i] {
			t.Fatalf("the %d-th is %d, want %d", i, r.at(i), want[i])
		}
		v := want[0] + uint64(rng.Int64N(int64(next-want[0]+3))) - 1
		if got, want := r.after(v), sort.Search(len(want), func(i int) bool { return want[i] > v }); got != want {
			t.Fatalf("after(%d) is %d, want %d", v, got, want)
		}
		if len(r.buf) > max(16, 8*len(want)) {
			t.Fatalf("%d places for %d numbers", len(r.buf), len(want))
		}
	}
}

// TestList moves topics about at random, beside a slice.
func TestList(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	topics := make([]Topic, 8)
	var l list
	var want []*Topic
	for range 10_000 {
		x := &topics[rng.IntN(len(topics))]
		want = slices.DeleteFunc(want, func(y *Topic) bool { return x == y })
		if rng.IntN(3) == 0 {
			l.remove(&x.keptAt)
		} else {
			l.moveToBack(&x.keptAt, x)
			want = append(want, x)
		}
		var got []*Topic
		for e := l.first; e != nil; e = e.next {
			got = append(got, e.topic)
		}
		var back []*Topic
		for e := l.last; e != nil; e = e.prev {
			back = append(back, e.topic)
		}
		slices.Reverse(back)
		if !slices.Equal(got, want) || !slices.Equal(back, want) {
			t.Fatalf("forwards %p, backwards %p, want %p", got, back, want)
		}
	}
}
