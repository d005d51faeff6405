package eventlog

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestKeptOrderIsBounded keeps and drops all the time: what is dropped is forgotten now and then.
func TestKeptOrderIsBounded(t *testing.T) {
	row := &Row{Keep: 3}
	l := small(func(o *Options) { o.Row = func(string) *Row { return row } })
	for i := range 1000 {
		put(t, l, fmt.Sprint("chat.", i%10), i, epoch)
		if i%10 == 9 {
			flush(l, epoch)
		}
		if n := len(l.keptOrder); n > 30*2+65 {
			t.Fatalf("after %d: %d places for %d kept entries", i, n, 30)
		}
	}
	got := all(t, l, filter(wild("chat.*")), Pos{Seq: 970, Tag: 7}, epoch)
	if len(got) != 30 || got[0] != "970" || got[29] != "999" {
		t.Errorf("got %q", got)
	}
}

// TestKeptGoes drops tails when they take too much: first that of the topic to which nothing was published for longest.
func TestKeptGoes(t *testing.T) {
	row := &Row{Keep: 2}
	l := small(func(o *Options) {
		o.Row = func(string) *Row { return row }
		o.KeptBytes = 3*topicCost + 6*(keptOverhead+80)
	})
	names := []string{"chat.a", "chat.b", "chat.c"}
	for i := range 6 {
		put(t, l, names[i/2], i, epoch)
	}
	flush(l, epoch)
	put(t, l, "chat.a", 6, epoch) // the tail of a is kept, without the oldest entry of it
	put(t, l, "chat.d", 7, epoch) // and that of b goes, entry by entry
	flush(l, epoch)
	if diff := cmp.Diff([]string{"lapped chat.*", "1", "lapped chat.*", "4", "5", "6", "7"}, all(t, l, filter(wild("chat.*")), Pos{Tag: 7}, epoch)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if z := l.Size(); z.KeptBytes > l.opts.KeptBytes || l.Topics() != 3 {
		t.Errorf("%d bytes, %d topics", z.KeptBytes, l.Topics())
	}
}

// TestKeptOfAnotherTopic gives the id of a topic that had kept entries to one that has entries of about the same time.
func TestKeptOfAnotherTopic(t *testing.T) {
	row := &Row{Keep: 3}
	l := small(func(o *Options) {
		o.Row = rowsOf(map[string]*Row{"kept": row})
		o.KeptBytes = topicCost + 3*(keptOverhead+80)
	})
	put(t, l, "kept.a", 1, epoch)
	put(t, l, "kept.a", 2, epoch)
	put(t, l, "kept.a", 3, epoch)
	old := l.topics["kept.a"]
	flush(l, epoch)
	put(t, l, "kept.b", 4, epoch)
	flush(l, epoch) // drives a out
	b := l.topics["kept.b"]
	if l.topics["kept.a"] != nil || len(b.kept) != 1 || l.keptStale != 3 {
		t.Fatalf("a: %v, b has %d, %d stale", l.topics["kept.a"], len(b.kept), l.keptStale)
	}
	// As though b had been given the number of a.
	l.pages.set(old.ID, b)
	for i := range l.keptOrder {
		if o := &l.keptOrder[i]; o.pos.Seq < 4 {
			if _, _, ok := l.kept(o); ok {
				t.Errorf("%v is found among the entries of another topic", o.pos)
			}
		}
	}
	b.kept[0].rec.seq = 2 // an entry on either side
	b.kept = append(b.kept, b.kept[0])
	b.kept[1].rec.seq = 9
	if _, _, ok := l.kept(&keptRef{Pos{Seq: 3}, old.ID}); ok {
		t.Error("3 is found between the 2 and 9 of another topic")
	}
}

// TestKeptTooLarge keeps nothing of an entry that is larger than all tails may be.
func TestKeptTooLarge(t *testing.T) {
	row := &Row{Keep: 3}
	l := small(func(o *Options) {
		o.Row = func(string) *Row { return row }
		o.KeptBytes = topicCost
	})
	put(t, l, "chat.a", 1, epoch)
	flush(l, epoch)
	if z := l.Size(); z.KeptBytes != 0 || l.Topics() != 0 {
		t.Errorf("%+v, %d topics", z, l.Topics())
	}
	if got := all(t, l, filter(exact(l, "chat.a")), Pos{Tag: 7}, epoch); len(got) != 1 {
		t.Errorf("got %q, want a hole", got)
	}
}
