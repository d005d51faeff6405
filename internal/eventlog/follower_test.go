package eventlog

import (
	"context"
	"testing"
)

// TestResetWithFollowers begins a log in the middle of a broker's when its shards are there already.
func TestResetWithFollowers(t *testing.T) {
	l := small(func(o *Options) { o.Tag = 0 })
	f, g := l.Follow(0), l.Follow(1)
	if !g.Sleep() {
		t.Fatal("there is something to read in an empty log")
	}
	p := Pos{Seq: 100, Tag: 3}
	l.Reset(p)
	if f.Behind() {
		t.Error("awake: it is behind in an empty log")
	}
	if !f.Sleep() {
		t.Error("awake: it can't sleep")
	}
	for i, f := range []*Follower{f, g} {
		if at := f.Awake(); at != p {
			t.Errorf("follower %d goes on from %v, want %v", i, at, p)
		}
	}
	if !l.Knows(p) || l.Knows(Pos{}) || l.Head() != p {
		t.Errorf("the log begins at %v, want %v", l.Head(), p)
	}
	put(t, l, "chat.a", 1, epoch)
	l.Reset(Pos{Seq: 1000, Tag: 3})
	if l.Head().Seq != 101 {
		t.Errorf("a log with entries was reset: its head is %v", l.Head())
	}
}

// TestAppendDoesNotWaitForTidiness appends to a log that is full of entries that no shard has passed, but for the room
// that the last segment has: that its entries are older is no reason to wait.
func TestAppendDoesNotWaitForTidiness(t *testing.T) {
	l := small(nil)
	l.Follow(0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // an append that has to wait fails at once
	n := 0
	for {
		_, _, err := l.Append(ctx, &Append{Topic: "chat.a", Data: []byte("1"), When: epoch})
		if err != nil {
			break
		}
		n++
	}
	l = small(nil)
	l.Follow(0)
	for i := range n {
		now := epoch
		if i == n-1 {
			now = now.Add(l.opts.Age / 2)
		}
		if _, _, err := l.Append(ctx, &Append{Topic: "chat.a", Data: []byte("1"), When: now}); err != nil {
			t.Errorf("append %d of %d: %v", i+1, n, err)
		}
	}
}
