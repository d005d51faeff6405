package hostile

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/gohotline/hotline/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

var noDeadline time.Time

// TestHostile plays sessions, each from a seed of its own, for HOTLINE_HOSTILE (3s), from HOTLINE_SEED on. A session that
// fails is played again alone with its seed.
func TestHostile(t *testing.T) {
	length := 3 * time.Second
	if s := os.Getenv("HOTLINE_HOSTILE"); s != "" {
		var err error
		if length, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	first := uint64(time.Now().UnixNano())
	if s := os.Getenv("HOTLINE_SEED"); s != "" {
		var err error
		if first, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("from HOTLINE_SEED=%d on", first)
	w := newWorld(t)
	var warm usage
	n, failed := 0, 0
	ends := map[string]int{}
	for begin := time.Now(); time.Since(begin) < length || n < 300; n++ {
		seed := first + uint64(n)
		v, err := w.run(write(seeded(seed), fmt.Sprint("s", seed)), seed%2 == 0)
		if err != nil {
			t.Errorf("HOTLINE_SEED=%d: %v (%s)", seed, err, v.why)
			if failed++; failed == 10 {
				t.FailNow()
			}
		}
		ends[v.why]++
		if n == 200 {
			warm = used(t)
		}
	}
	end := used(t)
	t.Logf("%d sessions; heap %d KiB, then %d KiB; descriptors %d, then %d; goroutines %d, then %d", n, warm.heap>>10, end.heap>>10,
		warm.files, end.files, warm.goroutines, end.goroutines)
	for why, n := range ends {
		t.Logf("%6d %s", n, why)
	}
	// The log has 1 MiB, and what is remembered of keys, topics and tombstones is bounded by the sessions' few.
	if grown := int64(end.heap) - int64(warm.heap); grown > 16<<20 {
		t.Errorf("the heap has grown by %d KiB", grown>>10)
	}
	if end.files > warm.files+4 || end.goroutines > warm.goroutines+8 {
		t.Errorf("descriptors: %d, then %d; goroutines: %d, then %d", warm.files, end.files, warm.goroutines, end.goroutines)
	}
}

type usage struct {
	heap              uint64
	files, goroutines int
}

// used waits for what the last sessions have left behind, which for a second may be sockets, and counts.
func used(t *testing.T) (u usage) {
	var m runtime.MemStats
	for range 100 {
		runtime.GC()
		runtime.ReadMemStats(&m)
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil && runtime.GOOS == "linux" {
			t.Fatal(err)
		}
		u = usage{m.HeapAlloc, len(list), runtime.NumGoroutine()}
		if u.goroutines < 40 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return u
}

// FuzzSession is TestHostile with sessions that a fuzzer makes.
func FuzzSession(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seeded(seed).bytes(100))
	}
	w := newWorld(f)
	n := 0
	f.Fuzz(func(t *testing.T, data []byte) {
		n++
		x := write(fuzzed(data), fmt.Sprint("f", n))
		if v, err := w.run(x, n%2 == 0); err != nil {
			t.Errorf("%v (%s) of %.2000q", err, v.why, x.stream)
		}
	})
}
