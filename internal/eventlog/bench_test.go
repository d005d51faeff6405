package eventlog

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"
)

// benchLog is a log as a hub makes it, with the rows of a pattern table.
func benchLog(o Options) *Log {
	def := Options{
		Bytes: 64 << 20, Age: 5 * time.Minute, KeptBytes: 64 << 20, StateBytes: 256 << 20, Values: 200_000,
		Tombstones: 5 * time.Minute, Shards: 2, Tag: 0x9e3779b97f4a7c15, Live: func(uint64, Live) {},
		Row: func(string) *Row { return &Row{} },
	}
	if o.Bytes > 0 {
		def.Bytes = o.Bytes
	}
	if o.Row != nil {
		def.Row = o.Row
	}
	return New(def)
}

var payload128 = []byte(`"` + string(make128()) + `"`)

func make128() []byte {
	b := make([]byte, 126)
	for i := range b {
		b[i] = 'a' + byte(i%26)
	}
	return b
}

// benchTopics returns n names, as chats have them.
func benchTopics(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("chat.%d", i)
	}
	return names
}

func mustAppend(tb testing.TB, l *Log, topic string, data []byte, now time.Time) {
	tb.Helper()
	if _, _, err := l.Append(context.Background(), &Append{Topic: topic, Data: data, When: now}); err != nil {
		tb.Fatal(err)
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, topics := range []int{1, 1000, 100_000} {
		b.Run(fmt.Sprintf("topics=%d", topics), func(b *testing.B) {
			l := benchLog(Options{})
			names := benchTopics(topics)
			now := time.Now()
			m := Append{Data: payload128, When: now}
			for i := range 100_000 { // a full log evicts as it appends
				mustAppend(b, l, names[i%topics], payload128, now)
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				m.Topic = names[i%topics]
				i++
				if _, _, err := l.Append(context.Background(), &m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkChurn publishes each message to a topic that nobody has ever seen.
func BenchmarkChurn(b *testing.B) {
	l := benchLog(Options{Bytes: 1 << 20})
	names := benchTopics(200_000)
	now := time.Now()
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		mustAppend(b, l, names[i%len(names)], payload128, now)
		i++
	}
}

// BenchmarkIntern subscribes to a topic that nothing holds, and lets go of it.
func BenchmarkIntern(b *testing.B) {
	l := benchLog(Options{})
	names := benchTopics(1000)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		l.Unsubscribe(l.Subscribe(names[i%1000], 0), 0)
		i++
	}
}

func BenchmarkFollow(b *testing.B) {
	l := benchLog(Options{})
	now := time.Now()
	f := l.Follow(0)
	var e Entry
	b.ReportAllocs()
	left := 0
	for b.Loop() {
		if left == 0 {
			b.StopTimer()
			for left < 100_000 {
				mustAppend(b, l, "chat.1", payload128, now)
				left++
				if left%1000 == 0 {
					f.Pass()
				}
			}
			b.StartTimer()
		}
		if !f.Next(&e) {
			b.Fatal("no entry")
		}
		if left--; left%1000 == 0 {
			f.Pass()
		}
	}
}

// BenchmarkRead reads a full log of 100,000 entries on 1,000 topics to its end, a window at a time.
func BenchmarkRead(b *testing.B) {
	const entries, topics = 100_000, 1000
	l := benchLog(Options{})
	names := benchTopics(topics)
	now := time.Now()
	for i := range entries {
		mustAppend(b, l, names[i%topics], payload128, now)
	}
	exact := func(n int) (parts []Part) {
		for i := range n {
			parts = append(parts, Part{Topic: l.Subscribe(names[i], 0), Pattern: names[i]})
		}
		return parts
	}
	for _, tt := range []struct {
		name  string
		parts []Part
		got   int
	}{
		{"exact=1", exact(1), entries / topics},
		{"exact=8", exact(8), 8 * entries / topics},
		{"exact=16", exact(16), 16 * entries / topics},
		{"exact=32", exact(32), 32 * entries / topics},
		{"exact=128", exact(128), 128 * entries / topics},
		{"wild=all", []Part{{Pattern: "chat.*"}}, entries},
		{"wild=none", []Part{{Pattern: "game.*"}}, 0},
	} {
		b.Run(tt.name, func(b *testing.B) {
			f := Filter{Parts: tt.parts}
			dst := make([]Entry, 0, 256)
			b.ReportAllocs()
			for b.Loop() {
				if got := drain(l, &f, Pos{}, dst, now); got != tt.got {
					b.Fatalf("got %d, want %d", got, tt.got)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(max(tt.got, 1)), "ns/delivered")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/entries, "ns/entry")
		})
	}
}

// drain reads from at to the end and returns how many entries there were.
func drain(l *Log, f *Filter, at Pos, dst []Entry, now time.Time) (n int) {
	for {
		res := l.Read(f, at, Limit{Entries: 256, Bytes: 64 << 10, Now: now}, dst[:0])
		n += len(res.Entries)
		if at = res.At; res.Done {
			return n
		}
	}
}

// BenchmarkReadOne reads as a subscription in process does: one entry a call.
func BenchmarkReadOne(b *testing.B) {
	for _, topics := range []int{1000, 100_000} {
		b.Run(fmt.Sprintf("topics=%d", topics), func(b *testing.B) {
			l := benchLog(Options{})
			names := benchTopics(topics)
			now := time.Now()
			for i := range 100_000 {
				mustAppend(b, l, names[i%topics], payload128, now)
			}
			f := Filter{Parts: []Part{{Pattern: "chat.*"}}}
			dst := make([]Entry, 0, 1)
			at := Pos{}
			b.ReportAllocs()
			for b.Loop() {
				res := l.Read(&f, at, Limit{Entries: 1, Bytes: 1, Now: now}, dst[:0])
				if at = res.At; res.Done {
					at = Pos{}
				}
			}
		})
	}
}

// BenchmarkHerd is 1,000 readers that are behind by 100,000 entries, each with its own topic and one that is quiet.
func BenchmarkHerd(b *testing.B) {
	const entries, topics = 100_000, 1000
	l := benchLog(Options{})
	names := benchTopics(topics)
	now := time.Now()
	for i := range entries {
		mustAppend(b, l, names[i%topics], payload128, now)
	}
	for _, wild := range []bool{false, true} {
		b.Run(fmt.Sprintf("wild=%t", wild), func(b *testing.B) {
			filters := make([]Filter, 1000)
			for i := range filters {
				filters[i].Parts = []Part{{Topic: l.Subscribe(names[i], 0), Pattern: names[i]}}
				if wild {
					filters[i].Parts = append(filters[i].Parts, Part{Pattern: "game.*"})
				}
			}
			dst := make([]Entry, 0, 256)
			b.ReportAllocs()
			for b.Loop() {
				for i := range filters {
					drain(l, &filters[i], Pos{}, dst, now)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/herd")
		})
	}
}

// BenchmarkKept reads the kept tails of 10,000 topics with a wildcard.
func BenchmarkKept(b *testing.B) {
	const topics, keep = 10_000, 10
	row := &Row{Keep: keep}
	l := benchLog(Options{Bytes: 1 << 20, Row: func(string) *Row { return row }})
	names := benchTopics(topics)
	now := time.Now()
	for i := range topics * (keep + 2) {
		mustAppend(b, l, names[i%topics], payload128, now)
	}
	for _, tt := range []struct {
		name  string
		parts []Part
	}{
		{"exact=1", []Part{{Topic: l.Subscribe(names[0], 0), Pattern: names[0]}}},
		{"wild", []Part{{Pattern: "chat.*"}}},
	} {
		b.Run(tt.name, func(b *testing.B) {
			dst := make([]Entry, 0, 256)
			b.ReportAllocs()
			n, slowest := 0, time.Duration(0)
			for b.Loop() {
				f := Filter{Parts: tt.parts}
				start := time.Now()
				at := l.Newest(&f, keep, l.Head(), now)
				slowest = max(slowest, time.Since(start))
				for n = 0; ; {
					start = time.Now()
					res := l.Read(&f, at, Limit{Entries: 256, Bytes: 64 << 10, Now: now}, dst[:0])
					slowest = max(slowest, time.Since(start))
					n += len(res.Entries)
					if at = res.At; res.Done {
						break
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/delivered")
			b.ReportMetric(float64(slowest.Microseconds()), "µs/slowest-call")
		})
	}
}

// BenchmarkEvict is the append that evicts the oldest segment.
func BenchmarkEvict(b *testing.B) {
	for _, topics := range []int{1, 100_000} {
		b.Run(fmt.Sprintf("topics=%d", topics), func(b *testing.B) {
			l := benchLog(Options{Bytes: 16 << 20})
			names := benchTopics(topics)
			now := time.Now()
			i := 0
			fill := func() {
				mustAppend(b, l, names[i%topics], payload128, now)
				i++
			}
			for range 100_000 {
				fill()
			}
			n := 0
			for b.Loop() {
				b.StopTimer()
				for { // up to the append that needs a new segment
					segs := *l.segs.Load()
					if last := segs[len(segs)-1]; int(last.n.Load()) == len(last.recs) || last.used+300 > len(last.buf) {
						n += int(segs[0].n.Load())
						break
					}
					fill()
				}
				b.StartTimer()
				fill()
			}
			b.ReportMetric(float64(n)/float64(b.N), "entries/op")
		})
	}
}

// BenchmarkGC is a full collection with a full log.
func BenchmarkGC(b *testing.B) {
	for _, topics := range []int{1000, 100_000} {
		b.Run(fmt.Sprintf("topics=%d", topics), func(b *testing.B) {
			l := benchLog(Options{})
			names := benchTopics(topics)
			now := time.Now()
			for i := range 300_000 {
				mustAppend(b, l, names[i%topics], payload128, now)
			}
			for b.Loop() {
				runtime.GC()
			}
			runtime.KeepAlive(l)
		})
	}
}

func fillState(tb testing.TB, l *Log, names []string, now time.Time) {
	for _, name := range names {
		if _, _, err := l.Set(&Set{Topic: name, Data: payload128, When: now}); err != nil {
			tb.Fatal(err)
		}
	}
}

func BenchmarkSet(b *testing.B) {
	l := benchLog(Options{})
	names := benchTopics(100_000)
	now := time.Now()
	fillState(b, l, names, now)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, _, err := l.Set(&Set{Topic: names[i%len(names)], Data: payload128, When: now}); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

// BenchmarkChanges walks 100,000 values, with an exact topic and with a wildcard.
func BenchmarkChanges(b *testing.B) {
	l := benchLog(Options{})
	names := benchTopics(100_000)
	fillState(b, l, names, time.Now())
	for _, tt := range []struct {
		name string
		part Part
	}{
		{"exact", Part{Topic: l.Subscribe(names[5], 0), Pattern: names[5]}},
		{"wild", Part{Pattern: "chat.*"}},
	} {
		b.Run(tt.name, func(b *testing.B) {
			f := Filter{Parts: []Part{tt.part}}
			dst := make([]*Value, 0, 1024)
			b.ReportAllocs()
			for b.Loop() {
				for at, done := uint64(0), false; !done; {
					u := l.Changes(&f, at, 0, 32<<10, dst[:0])
					at, done = u.UpTo, u.Done
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100_000, "ns/value")
		})
	}
}

// BenchmarkExpire is what happens once a second with 100,000 values of which none is too old.
func BenchmarkExpire(b *testing.B) {
	l := benchLog(Options{})
	now := time.Now()
	fillState(b, l, benchTopics(100_000), now)
	b.ReportAllocs()
	for b.Loop() {
		l.Expire(now)
	}
}
