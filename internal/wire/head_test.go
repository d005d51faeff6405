package wire

import (
	"math"
	"testing"
)

var testHead = Head{Topic: "chat.lobby", ID: Pos{123456, math.MaxUint64 / 3}, HasID: true, From: "ada@example.com"}

// What runs for each message allocates nothing: it is encoded into memory that the log owns.
func TestNoAllocations(t *testing.T) {
	dst := make([]byte, 0, 256)
	data := sample(128)
	for name, f := range map[string]func(){
		"CheckJSON": func() {
			if err := CheckJSON(data); err != nil {
				t.Error(err)
			}
		},
		"AppendHead":   func() { dst = AppendHead(dst[:0], testHead) },
		"AppendSubTag": func() { dst = AppendSubTag(dst[:0], 12) },
		"AppendAck":    func() { dst = AppendAck(dst[:0], 4, testHead.ID, true) },
		"AppendAt":     func() { dst = AppendAt(dst[:0], testHead.ID) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkAppendHead(b *testing.B) {
	dst := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendHead(dst[:0], testHead)
	}
}
