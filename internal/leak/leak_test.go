package leak

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) { Main(m) }

const short = 50 * time.Millisecond

// block is what the tests leak, and look for in reports.
func block(release chan struct{}) { <-release }

// blockSeen is a block that has begun when it returns.
func blockSeen(release chan struct{}) {
	begun := make(chan struct{})
	go blocked(begun, release)
	<-begun
}

func blocked(begun, release chan struct{}) {
	close(begun)
	<-release
}

func TestRunReportsLeak(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	var out strings.Builder
	code := run(func() int { blockSeen(release); return 0 }, short, &out)
	if code != 1 || !strings.Contains(out.String(), "1 goroutine(s) left") || !strings.Contains(out.String(), "leak.blocked(") {
		t.Fatalf("code %d, report %q", code, out.String())
	}
}

func TestRunWaits(t *testing.T) {
	release := make(chan struct{})
	var out strings.Builder
	code := run(func() int {
		go block(release)
		time.AfterFunc(short, func() { close(release) })
		return 0
	}, patience, &out)
	if code != 0 || out.Len() != 0 {
		t.Fatalf("a goroutine that ended after %v: code %d, report %q", short, code, out.String())
	}
}

func TestRunKeepsFailure(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	var out strings.Builder
	code := run(func() int { go block(release); return 3 }, short, &out)
	if code != 3 || out.Len() != 0 {
		t.Fatalf("code %d, report %q", code, out.String())
	}
}

func TestRunIgnoresOlder(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	go block(release)
	var out strings.Builder
	if code := run(func() int { return 0 }, short, &out); code != 0 {
		t.Fatalf("a goroutine from before was reported: %s", out.String())
	}
}

func TestManyGoroutines(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	var out strings.Builder
	const n = 500 // more stacks than fit the first buffer
	run(func() int {
		for range n {
			go block(release)
		}
		return 0
	}, short, &out)
	if !strings.Contains(out.String(), fmt.Sprint(n, " goroutine(s) left")) {
		t.Fatalf("%.200s", out.String())
	}
}

// recorder is a testing.TB that keeps its cleanups and errors.
type recorder struct {
	testing.TB
	cleanups []func()
	errors   []string
	failed   bool
}

func (r *recorder) Helper()           {}
func (r *recorder) Cleanup(f func())  { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Error(args ...any) { r.errors = append(r.errors, fmt.Sprint(args...)) }
func (r *recorder) Failed() bool      { return r.failed }

func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		name          string
		leaks, failed bool
		want          int
	}{
		{"clean", false, false, 0},
		{"leaks", true, false, 1},
		{"leaks after a failure", true, true, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			release := make(chan struct{})
			defer close(release)
			r := &recorder{TB: t, failed: tt.failed}
			check(r, short)
			if tt.leaks {
				blockSeen(release)
			}
			for _, f := range r.cleanups {
				f()
			}
			if len(r.errors) != tt.want {
				t.Fatalf("got %q", r.errors)
			}
			if tt.want > 0 && !strings.Contains(r.errors[0], "leak.blocked(") {
				t.Fatalf("no stack in %q", r.errors[0])
			}
		})
	}
}

// A test that uses Check and its own goroutines properly, with subtests, passes.
func TestCheckClean(t *testing.T) {
	Check(t)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	go block(release)
	t.Run("subtest", func(t *testing.T) { Check(t) })
}

// Of others' goroutines nothing is reported.
func TestRunOf(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	for creator, want := range map[string]int{"github.com/gohotline/hotline/internal/leak.": 1, "github.com/gohotline/hotline.": 0} {
		var out strings.Builder
		if code := run(func() int { blockSeen(release); return 0 }, short, &out, creator); code != want {
			t.Errorf("%s: code %d, report %q", creator, code, out.String())
		}
	}
}
