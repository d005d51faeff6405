package eventlog

import (
	"runtime"
	"strconv"
	"testing"
)

// heap is what is allocated after a collection.
func heap() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // the first one may have begun earlier
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// TestMemory fills logs in the ways in which they grow most, and compares what they say that they take with what they do.
func TestMemory(t *testing.T) {
	const n = 200_000
	name := func(i int) string { return "chat." + strconv.Itoa(i) }
	for _, tt := range []struct {
		name  string
		limit func(o *Options) int
		fill  func(t *testing.T, l *Log)
		says  func(s Size) int
	}{
		{"one topic", func(o *Options) int { o.Bytes = 8 << 20; return o.Bytes },
			func(t *testing.T, l *Log) {
				for i := range n {
					put(t, l, "chat.a", i, epoch)
				}
			}, func(s Size) int { return s.Bytes }},
		{"a topic each", func(o *Options) int { o.Bytes = 8 << 20; return o.Bytes },
			func(t *testing.T, l *Log) {
				for i := range n {
					put(t, l, name(i), i, epoch)
				}
			}, func(s Size) int { return s.Bytes }},
		{"tails of one", func(o *Options) int { o.KeptBytes = 8 << 20; return o.KeptBytes + o.Bytes },
			func(t *testing.T, l *Log) {
				for i := range n {
					put(t, l, "kept."+name(i), i, epoch)
				}
			}, func(s Size) int { return s.KeptBytes + s.Bytes }},
		{"values", func(o *Options) int { o.StateBytes = 16 << 20; o.Values = n; return o.StateBytes + o.Bytes },
			func(t *testing.T, l *Log) {
				for i := range n {
					if _, _, err := l.Set(&Set{Topic: name(i), Data: []byte("1"), When: epoch}); err != nil {
						break
					}
				}
			}, func(s Size) int { return s.StateBytes + s.Bytes }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			limit := 0
			before := heap()
			l := small(func(o *Options) {
				o.Row = rowsOf(map[string]*Row{"kept": {Keep: 10}})
				limit = tt.limit(o)
			})
			tt.fill(t, l)
			took := heap() - before
			says := tt.says(l.Size())
			const fixed = 4 << 20 // what it remembers of freed topics
			if says > limit || took > limit+limit/10+fixed {
				t.Errorf("the limit is %d KiB, it says %d, it takes %d; %d topics", limit>>10, says>>10, took>>10, l.Topics())
			}
			runtime.KeepAlive(l)
		})
	}
}
