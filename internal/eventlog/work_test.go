package eventlog

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestManyPatterns: one call compares few topics with many patterns, because others wait for it; the next one goes on.
func TestManyPatterns(t *testing.T) {
	const topics, patterns = 3000, 128
	l := New(Options{
		Bytes: 64 << 20, Age: time.Hour, KeptBytes: 64 << 20, StateBytes: 64 << 20, Values: topics, Shards: 1, Tag: 1,
		Row: func(s string) *Row { return &Row{State: strings.HasPrefix(s, "s."), Keep: 1} }, Live: func(uint64, Live) {},
	})
	for i := range topics {
		if _, _, err := l.Set(&Set{Topic: fmt.Sprint("s.a.", i), Data: []byte("1"), When: time.Now()}); err != nil {
			t.Fatal(err)
		}
		put(t, l, fmt.Sprint("e.a.", i), 1, time.Now())
	}
	var f Filter
	for i := range patterns {
		f.Parts = append(f.Parts, Part{Pattern: fmt.Sprint("*.*.z", i, ".*")})
	}
	f.Parts = append(f.Parts, Part{Pattern: fmt.Sprint("*.a.", topics-1)})
	calls, found := 0, 0
	for u := (Update{}); !u.Done; calls++ {
		from := u.UpTo
		u = l.Changes(&f, from, 0, 1<<20, nil)
		if looked := u.UpTo - from; looked > scanEntries/patterns+1 {
			t.Fatalf("one call compared %d values with %d patterns", looked, patterns)
		}
		found += len(u.Values)
	}
	if found != 1 {
		t.Errorf("%d values were found in %d calls", found, calls)
	}
	found = 0
	for res := (Result{At: Pos{Tag: 1}}); !res.Done; {
		from := res.At.Seq
		res = l.Read(&f, res.At, Limit{Entries: 10, Bytes: 1 << 20, Now: time.Now()}, nil)
		if looked := res.At.Seq - from; looked > scanEntries/patterns+1 {
			t.Fatalf("one call compared %d topics with %d patterns", looked, patterns)
		}
		found += len(res.Entries)
	}
	if found != 1 {
		t.Errorf("%d entries were found", found)
	}
}

// TestManyLosses: whoever has lost entries of very many topics is told so in one step, in which each topic is not compared with
// every pattern.
func TestManyLosses(t *testing.T) {
	const topics, patterns = 3000, 128
	l := New(Options{
		Bytes: 64 << 20, Age: time.Hour, KeptBytes: 64 << 20, StateBytes: 64 << 20, Values: topics, Shards: 1, Tag: 1,
		Row: func(string) *Row { return &Row{} }, Live: func(uint64, Live) {},
	})
	for i := range topics {
		l.Subscribe(fmt.Sprint("e.a.", i), 0)
		put(t, l, fmt.Sprint("e.a.", i), 1, time.Now())
	}
	flush(l, time.Now())
	f := Filter{Parts: []Part{exact(l, "e.a.1"), wild("e.*.2"), wild("e.a.3.>")}}
	for i := range patterns {
		f.Parts = append(f.Parts, wild(fmt.Sprint("*.*.z", i, ".*")))
	}
	f.Parts = append(f.Parts, wild("*.a.2999"), wild("e.>"))
	l.mu.Lock()
	f.reset(l)
	r := reading{l: l, f: &f, head: l.headPos, res: Result{At: Pos{Tag: 1}}}
	if hole := r.hole(l.floor.Seq); hole != 1 || f.compared > 100*patterns {
		t.Errorf("%d topics were compared with patterns %d times; the hole is at %d", topics, f.compared, hole)
	}
	l.mu.Unlock()
	res := l.Read(&f, Pos{Tag: 1}, Limit{Entries: 10, Bytes: 1 << 20, Now: time.Now()}, nil)
	var lost []string
	for _, p := range f.Parts {
		if p.Lost {
			lost = append(lost, p.Pattern)
		}
	}
	if got, want := strings.Join(lost, " "), "e.a.1 e.*.2 *.a.2999 e.>"; res.Hole != Lapped || got != want {
		t.Errorf("hole %d, lost by %s; want %s", res.Hole, got, want)
	}
}

// TestLossesOfLongTopics: long topics and patterns make the step that tells of losses no longer. What is not found out
// counts as lost, by patterns alone.
func TestLossesOfLongTopics(t *testing.T) {
	const topics, patterns, segments = 3000, 128, 120
	l := New(Options{
		Bytes: 64 << 20, Age: time.Hour, KeptBytes: 64 << 20, StateBytes: 64 << 20, Values: topics, Shards: 1, Tag: 1,
		Row: func(string) *Row { return &Row{} }, Live: func(uint64, Live) {},
	})
	for i := range topics {
		name := fmt.Sprint(strings.Repeat("a.", segments), i)
		l.Subscribe(name, 0)
		put(t, l, name, 1, time.Now())
	}
	flush(l, time.Now())
	var f Filter
	for i := range patterns {
		n := i % segments / 2
		f.Parts = append(f.Parts, wild(fmt.Sprint(strings.Repeat("a.", n), strings.Repeat("*.", segments-n), "z", i)))
	}
	f.Parts = append(f.Parts, exact(l, "b"))
	res := l.Read(&f, Pos{Tag: 1}, Limit{Entries: 10, Bytes: 1 << 20, Now: time.Now()}, nil)
	if most := lossWork + patterns*segments; f.work > most {
		t.Errorf("%d was done, at most %d may be", f.work, most)
	}
	for _, p := range f.Parts[:patterns] {
		if !p.Lost {
			t.Fatalf("%s has lost nothing", p.Pattern)
		}
	}
	if f.Parts[patterns].Lost || res.Hole != Lapped || res.At != l.floor {
		t.Errorf("b lost something: %t; hole %d up to %v, want one up to %v", f.Parts[patterns].Lost, res.Hole, res.At, l.floor)
	}
	if res = l.Read(&f, res.At, Limit{Entries: 10, Bytes: 1 << 20, Now: time.Now()}, nil); res.Hole != NoHole || !res.Done {
		t.Errorf("then %+v", res)
	}
}

// TestOvertakenByMany: what others keep is not compared with a reader's patterns once for each entry, so that it is found out
// that they have lost nothing.
func TestOvertakenByMany(t *testing.T) {
	l := New(Options{
		Bytes: 64 << 20, Age: time.Hour, KeptBytes: 64 << 20, StateBytes: 64 << 20, Values: 10, Shards: 1,
		Row: rowsOf(map[string]*Row{"k": {Keep: 20}}), Live: func(uint64, Live) {},
	})
	var at Pos
	add := func(topic string) Pos {
		at = Pos{Seq: at.Seq + 1, Tag: 1}
		if _, _, err := l.Append(t.Context(), &Append{Topic: topic, Data: []byte("1"), When: epoch, Pos: at}); err != nil {
			t.Fatal(err)
		}
		return at
	}
	start := add("y.0")
	f := filter(exact(l, "x.a"), wild("prices.*"), wild("k.7.>"), wild("*.8"))
	for i := range 70_000 {
		add(fmt.Sprint("k.", i/20))
	}
	add("x.a")
	flush(l, epoch)
	res := l.Read(f, start, Limit{Entries: 100, Bytes: 1 << 20, Now: epoch}, nil)
	var lost []string
	for _, p := range f.Parts {
		if p.Lost {
			lost = append(lost, p.Pattern)
		}
	}
	if got := strings.Join(lost, " "); res.Hole != Lapped || got != "x.a *.8" {
		t.Errorf("hole %d, lost by %s; want x.a *.8", res.Hole, got)
	}
}

// TestOvertakenWhenTired: wherever it becomes too much to find out who has lost what is kept, nobody who has is left out.
func TestOvertakenWhenTired(t *testing.T) {
	for work := -1; work < 60; work++ {
		l := small(func(o *Options) { o.Tag, o.Row = 0, rowsOf(map[string]*Row{"k": {Keep: 5}, "m": {Keep: 5}}) })
		l.lossWork = work
		f := filter(wild("a.*"), wild("k.*"), wild("m.*"), exact(l, "k.1"))
		for i, topic := range []string{"k.1", "m.1", "k.2", "m.2", "a.1"} {
			m := &Append{Topic: topic, Data: []byte("1"), When: epoch, Pos: Pos{Seq: uint64(i + 1), Tag: 1}}
			if _, _, err := l.Append(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		flush(l, epoch)
		if got := all(t, l, f, Pos{}, epoch); len(got) != 1 || got[0] != "lapped a.* k.* m.* k.1" {
			t.Errorf("work %d: %q", work, got)
		}
	}
}
