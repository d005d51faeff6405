package eventlog

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestNewestAcrossTheEdge asks for every number of newest entries, of which some are in the log and some are kept.
func TestNewestAcrossTheEdge(t *testing.T) {
	row := &Row{Keep: 6}
	l := small(func(o *Options) { o.Row = func(string) *Row { return row } })
	for n := range 4 {
		put(t, l, "chat.a", n, epoch)
	}
	flush(l, epoch)
	for n := range 2 {
		put(t, l, "chat.a", 4+n, epoch)
	}
	words := []string{"0", "1", "2", "3", "4", "5"}
	for n := 1; n <= 8; n++ {
		want := words[max(len(words)-n, 0):]
		if diff := cmp.Diff(want, newest(t, l, filter(exact(l, "chat.a")), n, epoch)); diff != "" {
			t.Errorf("newest %d: -want +got\n%s", n, diff)
		}
		if diff := cmp.Diff(want, newest(t, l, filter(wild("chat.*")), n, epoch)); diff != "" {
			t.Errorf("newest %d of a pattern: -want +got\n%s", n, diff)
		}
	}
}

// TestNewestUpTo asks for the newest entries of a time before some of the kept ones.
func TestNewestUpTo(t *testing.T) {
	row := &Row{Keep: 6}
	l := small(func(o *Options) { o.Row = func(string) *Row { return row } })
	var at []Pos
	for n := range 5 {
		at = append(at, put(t, l, "chat.a", n, epoch))
	}
	flush(l, epoch)
	f := filter(exact(l, "chat.a"))
	if diff := cmp.Diff([]string{"1", "2"}, upTo(t, l, f, l.Newest(f, 2, at[2]), at[2], epoch)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
