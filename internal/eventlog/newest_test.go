package eventlog

import (
	"testing"
	"time"

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
	if diff := cmp.Diff([]string{"1", "2"}, upTo(t, l, f, l.Newest(f, 2, at[2], epoch), at[2], epoch)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestNewestOfSeveral begins at a place of its own in each topic.
func TestNewestOfSeveral(t *testing.T) {
	l := small(nil)
	for _, w := range []struct {
		topic string
		n     int
	}{{"chat.a", 1}, {"chat.b", 2}, {"chat.a", 3}, {"chat.a", 4}, {"chat.a", 5}} {
		put(t, l, w.topic, w.n, epoch)
	}
	want := []string{"2", "4", "5"}
	if diff := cmp.Diff(want, newest(t, l, filter(exact(l, "chat.a"), exact(l, "chat.b")), 2, epoch)); diff != "" {
		t.Errorf("topics: -want +got\n%s", diff)
	}
	if diff := cmp.Diff(want, newest(t, l, filter(wild("chat.*")), 2, epoch)); diff != "" {
		t.Errorf("a pattern: -want +got\n%s", diff)
	}
}

// TestReplayEnds reads on behind a replay: what it does not find any more is no loss, what is lost after it is.
func TestReplayEnds(t *testing.T) {
	rows := map[string]*Row{"chat": {MaxAge: 10 * time.Second}}
	l := small(func(o *Options) { o.Row = rowsOf(rows) })
	for _, f := range []*Filter{filter(exact(l, "chat.a")), filter(wild("chat.*"))} {
		now := epoch
		head := l.Head()
		put(t, l, "chat.a", 1, now)
		put(t, l, "chat.a", 2, now.Add(9*time.Second))
		begin := l.Newest(f, 2, l.Head(), now.Add(9*time.Second))
		end := l.Head()
		now = now.Add(12 * time.Second)
		put(t, l, "chat.a", 3, now)
		now = now.Add(11 * time.Second)
		put(t, l, "chat.a", 4, now)
		pattern := f.Parts[0].Pattern
		if diff := cmp.Diff([]string{"expired " + pattern, "4"}, all(t, l, f, begin, now)); diff != "" {
			t.Errorf("%s expired: -want +got\n%s", pattern, diff)
		}
		flush(l, now)
		put(t, l, "chat.a", 5, now)
		if diff := cmp.Diff([]string{"lapped " + pattern, "5"}, all(t, l, f, begin, now)); diff != "" {
			t.Errorf("%s lapped: -want +got\n%s", pattern, diff)
		}
		if diff := cmp.Diff([]string(nil), upTo(t, l, f, begin, end, now)); diff != "" {
			t.Errorf("%s, the replay alone: -want +got\n%s", pattern, diff)
		}
		f.Replay = nil
		if diff := cmp.Diff([]string{"lapped " + pattern, "5"}, all(t, l, f, head, now)); diff != "" {
			t.Errorf("%s, no replay: -want +got\n%s", pattern, diff)
		}
	}
}
