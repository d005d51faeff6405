package eventlog

import (
	"fmt"
	"hash/maphash"
	"testing"
)

// TestFreedMatching: a topic that was let go of lately says nothing about patterns that do not match it; what has been
// forgotten errs towards a loss.
func TestFreedMatching(t *testing.T) {
	f := &freed{seed: maphash.MakeSeed()}
	f.add("room.a", Pos{Seq: 7})
	f.add("news.x.y", Pos{Seq: 5})
	for p, want := range map[string]uint64{"*.x.*": 5, "room.*": 7, ">": 7, "*.z": 0, "room.*.b": 0} {
		if got := f.matching(p); got.Seq != want {
			t.Errorf("%s: %d, want %d", p, got.Seq, want)
		}
	}
	for i := range len(f.recent) {
		f.add(fmt.Sprint("other.", i), Pos{Seq: 3})
	}
	if got := f.matching("*.x.*"); got.Seq < 5 {
		t.Errorf("a loss was forgotten: %d", got.Seq)
	}
	if got := f.matching("chat.*"); got.Seq != 0 {
		t.Errorf("another first segment errs: %d", got.Seq)
	}
}
