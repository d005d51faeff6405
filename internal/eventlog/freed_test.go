package eventlog

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestFreedTopics resumes quiet topics while many others come and go: a hub of 50,000 chats that the log does not
// remember for long.
func TestFreedTopics(t *testing.T) {
	l := small(nil)
	now := epoch
	const chats = 20_000
	for i := range chats {
		put(t, l, fmt.Sprintf("chat.%d.messages", i), i, now)
	}
	away := l.Head() // everybody has read everything, and goes away
	for i := range chats / 10 {
		put(t, l, fmt.Sprintf("chat.%d.messages", i*10), i, now)
	}
	flush(l, now)
	if n := l.Topics(); n != 0 {
		t.Fatalf("%d topics are left", n)
	}
	missed, told, extra := 0, 0, 0
	for i := range chats {
		topic := fmt.Sprintf("chat.%d.messages", i)
		p := exact(l, topic)
		got := all(t, l, filter(p), away, now)
		l.Unsubscribe(p.Topic, 0)
		if i%10 == 0 {
			missed++
		}
		switch {
		case len(got) == 0 && i%10 == 0:
			t.Fatalf("%s lost a message in silence", topic)
		case len(got) > 0 && i%10 == 0:
			told++
		case len(got) > 0:
			extra++
		}
	}
	if told != missed || extra > 0 {
		t.Errorf("%d of %d topics that lost something were told, and %d that did not", told, missed, extra)
	}
	for _, tt := range []struct {
		pattern string
		want    []string
	}{
		{"chat.20.>", []string{"lapped chat.20.>"}}, {"chat.21.*", nil},
		{"chat.20.messages.>", nil}, {"chat.*.messages", []string{"lapped chat.*.messages"}},
		{">", []string{"lapped >"}}, {"*.21.messages", []string{"lapped *.21.messages"}}, {"game.>", nil},
	} {
		if diff := cmp.Diff(tt.want, all(t, l, filter(wild(tt.pattern)), away, now)); diff != "" {
			t.Errorf("%s: -want +got\n%s", tt.pattern, diff)
		}
	}
}

// TestFreedMatching: a topic that was let go of lately says nothing about patterns that do not match it; what has been
// forgotten errs towards a loss.
func TestFreedMatching(t *testing.T) {
	f := newFreed()
	f.add("room.a", Pos{Seq: 7})
	f.add("news.x.y", Pos{Seq: 5})
	for p, want := range map[string]uint64{"*.x.*": 5, "room.*": 7, ">": 7, "*.z": 0, "room.*.b": 0} {
		if got := f.matching(p, true); got.Seq != want {
			t.Errorf("%s: %d, want %d", p, got.Seq, want)
		}
	}
	for i := range freedLast {
		f.add(fmt.Sprint("other.", i), Pos{Seq: 3})
	}
	if got := f.matching("*.x.*", true); got.Seq < 5 {
		t.Errorf("a loss was forgotten: %d", got.Seq)
	}
	if got := f.matching("chat.*", true); got.Seq != 0 {
		t.Errorf("another first segment errs: %d", got.Seq)
	}
}

// TestFreedForgets loses something of so many topics that some are forgotten: then everybody who is old enough is told.
func TestFreedForgets(t *testing.T) {
	l := small(nil)
	now := epoch
	first := put(t, l, "first.topic", 0, now)
	for i := range 3 * freedNames {
		put(t, l, fmt.Sprintf("chat.%d", i), i, now)
	}
	late := l.Head()
	flush(l, now)
	if got := all(t, l, filter(exact(l, "first.topic")), Pos{Tag: 7}, now); len(got) != 1 {
		t.Errorf("a topic that is forgotten: %q, want a gap", got)
	}
	if got := all(t, l, filter(exact(l, "first.quiet")), first, now); len(got) != 1 {
		t.Errorf("a topic that may be forgotten: %q, want a gap", got)
	}
	if got := all(t, l, filter(exact(l, "chat.quiet")), late, now); len(got) != 0 {
		t.Errorf("a topic that is read up to the end: %q, want nothing", got)
	}
	if n := len(l.freed.young) + len(l.freed.old); n > 2*freedNames+8 {
		t.Errorf("%d names are remembered", n)
	}
}

// TestFreedKeepsTheLater frees a topic that lost something long ago after one that did so lately.
func TestFreedKeepsTheLater(t *testing.T) {
	row := &Row{Keep: 1}
	l := small(func(o *Options) {
		o.Row = rowsOf(map[string]*Row{"kept": row})
		o.KeptBytes = 300
	})
	now := epoch
	start := l.Head()
	old := put(t, l, "kept.old", 1, now)
	flush(l, now)
	young := put(t, l, "chat.young", 2, now.Add(time.Second))
	flush(l, now)
	for i := range 5 { // drives out the tail of the old one, which is freed now
		put(t, l, fmt.Sprintf("kept.%d", i), 3, now)
		flush(l, now)
	}
	for _, tt := range []struct {
		topic string
		at    Pos
		want  []string
	}{
		{"kept.old", start, []string{"lapped kept.old"}}, {"kept.old", old, nil},
		{"chat.young", old, []string{"lapped chat.young"}}, {"chat.young", young, nil},
	} {
		if diff := cmp.Diff(tt.want, all(t, l, filter(exact(l, tt.topic)), tt.at, now)); diff != "" {
			t.Errorf("%s from %v: -want +got\n%s", tt.topic, tt.at, diff)
		}
	}
}

// A topic that is let go of again and again takes one place among those of which a pattern says exactly what it matches.
func TestFreedAgainAndAgain(t *testing.T) {
	f := newFreed()
	f.add("a.x.b", Pos{Seq: 1})
	for i := range uint64(3 * freedLast) {
		f.add("chat", Pos{Seq: 2 + i})
	}
	if got := f.matching("*.x.*", true); got.Seq != 1 {
		t.Errorf("a pattern lost something at %d, want 1", got.Seq)
	}
	for i := range uint64(freedLast) {
		f.add(fmt.Sprint("t.", i), Pos{Seq: 1e6 + i})
	}
	if got := f.matching("*.x.*", true); got.Seq < 1 || got.Seq >= 1e6 {
		t.Errorf("it lost something at %d, want the last of those that are forgotten", got.Seq)
	}
}

// A reader of a topic that nothing holds is told of the topic's own losses, however many others have been let go of.
func TestFreedTopicOfAPart(t *testing.T) {
	f := newFreed()
	f.add("rare", Pos{Seq: 1})
	for i := range uint64(2 * freedLast) {
		f.add(fmt.Sprint("t.", i), Pos{Seq: 100 + i})
	}
	for p, want := range map[string]uint64{"rare": 1, "never": 0} {
		if got := f.part(p, true); got.Seq != want {
			t.Errorf("%s lost something at %d, want %d", p, got.Seq, want)
		}
	}
}
