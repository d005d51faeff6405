package eventlog

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// lose appends that the broker lost what a pattern matches.
func lose(t testing.TB, l *Log, pattern string, now time.Time) Pos {
	t.Helper()
	pos, _, err := l.Append(context.Background(), &Append{Data: []byte(pattern), Loss: true, When: now})
	if err != nil {
		t.Fatal(err)
	}
	return pos
}

func TestLoss(t *testing.T) {
	l := small(nil)
	start := l.Head()
	put(t, l, "chat.a", 1, epoch)
	lose(t, l, "chat.*", epoch)
	put(t, l, "chat.a", 2, epoch)
	lose(t, l, "game.a", epoch)
	put(t, l, "game.b", 3, epoch)
	for _, tt := range []struct {
		name string
		f    *Filter
		want []string
	}{
		{"topic", filter(exact(l, "chat.a")), []string{"1", "broken chat.a", "2"}},
		{"quiet topic", filter(exact(l, "chat.b")), []string{"broken chat.b"}},
		{"other topic", filter(exact(l, "game.b")), []string{"3"}},
		{"pattern", filter(wild("chat.>")), []string{"1", "broken chat.>", "2"}},
		{"other pattern", filter(wild("*.b.c"), wild("*.b")), []string{"broken *.b", "3"}},
		{"mixed", filter(wild("chat.>"), exact(l, "game.a"), exact(l, "game.b")),
			[]string{"1", "broken chat.>", "2", "broken game.a", "3"}},
		{"everything", filter(wild(">")), []string{"1", "broken >", "2", "broken >", "3"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, all(t, l, tt.f, start, epoch)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// TestLossIsEvicted reads on from before a loss that has left the log: it is one like any other then.
func TestLossIsEvicted(t *testing.T) {
	l := small(func(o *Options) { o.Row = rowsOf(map[string]*Row{"kept": {Keep: 10}}) })
	filters := []*Filter{
		filter(exact(l, "chat.a")), filter(exact(l, "game.a")), filter(wild("chat.>")), filter(wild("game.>")),
		filter(exact(l, "kept.a")), filter(wild(">")),
	}
	start := put(t, l, "elsewhere", 0, epoch)
	put(t, l, "kept.a", 1, epoch)
	lose(t, l, "chat.*", epoch)
	lose(t, l, "kept.*", epoch)
	put(t, l, "kept.a", 2, epoch)
	flush(l, epoch)
	lose(t, l, "chat.a", epoch) // is still in the log
	for i, want := range [][]string{
		{"lapped chat.a", "broken chat.a"}, nil, {"lapped chat.>", "broken chat.>"}, nil,
		{"lapped kept.a", "2"}, {"lapped >", "2", "broken >"},
	} {
		f := filters[i]
		if diff := cmp.Diff(want, all(t, l, f, start, epoch)); diff != "" {
			t.Errorf("%s: -want +got\n%s", f.Parts[0].Pattern, diff)
		}
	}
	// A topic that nobody held was lost just as well.
	if diff := cmp.Diff([]string{"lapped chat.z"}, all(t, l, filter(exact(l, "chat.z")), start, epoch)); diff != "" {
		t.Errorf("chat.z: -want +got\n%s", diff)
	}
	if diff := cmp.Diff([]string(nil), all(t, l, filter(exact(l, "game.z")), start, epoch)); diff != "" {
		t.Errorf("game.z: -want +got\n%s", diff)
	}
	// However many there were, none is forgotten.
	for range 100 {
		lose(t, l, "elsewhere.*", epoch)
	}
	flush(l, epoch)
	if diff := cmp.Diff([]string{"lapped chat.y"}, all(t, l, filter(exact(l, "chat.y")), start, epoch)); diff != "" {
		t.Errorf("chat.y: -want +got\n%s", diff)
	}
}

// TestLossInReplay replays the newest entries when the broker has lost some between them: before the first of them that is
// no hole, between them it is.
func TestLossInReplay(t *testing.T) {
	l := small(nil)
	lose(t, l, "chat.a", epoch)
	put(t, l, "chat.a", 1, epoch)
	lose(t, l, "chat.*", epoch)
	put(t, l, "chat.a", 2, epoch)
	for _, p := range []Part{exact(l, "chat.a"), wild("chat.>")} {
		f := filter(p)
		begin := l.Newest(f, 10, l.Head(), epoch)
		want := []string{"1", "broken " + p.Pattern, "2"}
		if diff := cmp.Diff(want, all(t, l, f, begin, epoch)); diff != "" {
			t.Errorf("%s: -want +got\n%s", p.Pattern, diff)
		}
	}
}
