// Package leak fails tests that leave goroutines behind.
//
// Goroutines that are about to end get two seconds of real time for it, so it belongs outside testing/synctest
// bubbles, which find their own leaks.
package leak

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

const patience = 2 * time.Second

// Main runs the tests, for a TestMain. If they pass but have left goroutines, it prints their stacks and fails. It
// does not return.
func Main(m *testing.M) {
	os.Exit(run(m.Run, patience, os.Stderr))
}

// MainOf is Main for tests that run others' code, which leaves goroutines of its own: only those count that were started in
// a package whose path and dot, or longer, one of creators is.
func MainOf(m *testing.M, creators ...string) {
	os.Exit(run(m.Run, patience, os.Stderr, creators...))
}

// run does the work of Main, and returns the exit code.
func run(tests func() int, patience time.Duration, w io.Writer, creators ...string) int {
	before := goroutines()
	code := tests()
	if code != 0 {
		return code // a test that fails often leaves goroutines: the failure is the news
	}
	if left := wait(before, patience, creators...); len(left) > 0 {
		fmt.Fprintln(w, report(left))
		return 1
	}
	return 0
}

// Check makes t fail if, after the cleanups that are registered later, there are goroutines which were not there now.
// It can't tell the goroutines of tests in parallel apart, so t must not be one.
func Check(t testing.TB) {
	t.Helper()
	check(t, patience)
}

func check(t testing.TB, patience time.Duration) {
	t.Helper()
	before := goroutines()
	t.Cleanup(func() {
		t.Helper()
		if t.Failed() {
			return
		}
		if left := wait(before, patience); len(left) > 0 {
			t.Error(report(left))
		}
	})
}

// wait returns the stacks of the goroutines that are not in before, once there are none or patience is over.
func wait(before map[string]string, patience time.Duration, creators ...string) []string {
	deadline := time.Now().Add(patience)
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		var left []string
		for id, stack := range goroutines() {
			if _, ok := before[id]; !ok && startedIn(stack, creators) {
				left = append(left, stack)
			}
		}
		if len(left) == 0 || !time.Now().Before(deadline) {
			return left
		}
		time.Sleep(pause)
	}
}

func report(left []string) string {
	return fmt.Sprintf("leak: %d goroutine(s) left:\n\n%s\n", len(left), strings.Join(left, "\n\n"))
}

// goroutines returns the stacks by the goroutines' ids, without the caller's and those that are none of the tests'.
func goroutines() map[string]string {
	all := make(map[string]string)
	buf := make([]byte, 64<<10)
	n := runtime.Stack(buf, true)
	for n == len(buf) { // it was cut off
		buf = make([]byte, 2*len(buf))
		n = runtime.Stack(buf, true)
	}
	stacks := bytes.Split(bytes.TrimSpace(buf[:n]), []byte("\n\n"))
	for _, stack := range stacks[1:] { // the first is the caller's
		s := string(stack)
		if !foreign(s) {
			id, _, _ := strings.Cut(strings.TrimPrefix(s, "goroutine "), " ")
			all[id] = s
		}
	}
	return all
}

// startedIn reports whether one of creators started the goroutine, or anybody if there are none.
func startedIn(stack string, creators []string) bool {
	for _, c := range creators {
		if strings.Contains(stack, "\ncreated by "+c) {
			return true
		}
	}
	return len(creators) == 0
}

// foreign reports whether the goroutine belongs to the runtime or to package testing. The creator tells: the
// functions on the stack may be anybody's.
func foreign(stack string) bool {
	i := strings.LastIndex(stack, "\ncreated by ")
	if i < 0 {
		return true // the main goroutine, or one that the runtime started for C
	}
	creator := stack[i+len("\ncreated by "):]
	for _, pkg := range []string{
		"runtime.",       // finalizers and cleanups, while they run
		"unique.",        // its cleanup, in Go 1.25
		"testing.",       // the tests themselves
		"internal/fuzz.", // a fuzzing worker that is ending
		"os/signal.",     // its loop never ends once somebody asked for a signal, as fuzzing does
	} {
		if strings.HasPrefix(creator, pkg) {
			return true
		}
	}
	return false
}
