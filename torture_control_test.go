package hotline

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Without faults nobody is told of a gap, however small the log is.
func TestTortureWithoutFaults(t *testing.T) {
	for seed := range uint64(3) {
		synctest.Test(t, func(t *testing.T) {
			p := planOf(seed)
			p.whole, p.lenient, p.faults, p.restarts = false, false, false, false
			p.limits = Limits{LogBytes: 256 << 10, LogAge: time.Minute}
			p.length, p.pause, p.burst, p.sizes = 20*time.Second, 300*time.Millisecond, 20, 400
			tt := newTorture(t, p)
			for _, f := range tt.run(seed) {
				t.Error(f)
			}
			if n := tt.o.Counts(); n.Gaps > 0 || n.Delivered == 0 {
				t.Error(n)
			}
		})
	}
}

// One message that one subject loses is found, whatever else was going on, and whichever kind it is.
func TestTortureSabotage(t *testing.T) {
	for _, subjects := range []int{3, 4} { // the last is of either kind
		t.Run(fmt.Sprint(subjects), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := planOf(3)
				p.length, p.pause, p.subjects, p.sabotage = 20*time.Second, 300*time.Millisecond, subjects, true
				tt := newTorture(t, p)
				found := tt.run(3)
				want := fmt.Sprintf("%s: ", tt.subjects[subjects-1])
				for _, f := range found {
					if !strings.HasPrefix(f, want) || !strings.Contains(f, "lost: 1 ") {
						t.Error(f)
					}
				}
				if len(found) == 0 {
					t.Error("the oracle has found nothing")
				}
			})
		})
	}
}
