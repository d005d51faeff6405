package eventlog

import (
	"context"
	"runtime"
	"testing"
	"weak"
)

// TestAdvanceWithFollowers begins a log in the middle of a broker's when its shards are there already.
func TestAdvanceWithFollowers(t *testing.T) {
	l := small(func(o *Options) { o.Tag = 0 })
	f, g := l.Follow(0), l.Follow(1)
	if !g.Sleep() {
		t.Fatal("there is something to read in an empty log")
	}
	p := Pos{Seq: 100, Tag: 3}
	l.Advance(p)
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
	_, known := l.Resolve(p)
	if _, zero := l.Resolve(Pos{}); !known || zero || l.Head() != p {
		t.Errorf("the log begins at %v, want %v", l.Head(), p)
	}
	if _, _, err := l.Append(t.Context(), &Append{Topic: "chat.a", Data: []byte("1"), When: epoch, Pos: Pos{Seq: 101, Tag: 4}}); err != nil {
		t.Fatal(err)
	}
	l.Advance(Pos{Seq: 50, Tag: 3})
	if l.Head().Seq != 101 {
		t.Errorf("a log with entries went back: its head is %v", l.Head())
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

// TestSleepingFollowerPinsNothing collects the segments that a sleeping follower has not read.
func TestSleepingFollowerPinsNothing(t *testing.T) {
	l := small(nil)
	asleep, awake := l.Follow(0), l.Follow(1)
	put(t, l, "chat.a", 1, epoch)
	var e Entry
	asleep.Next(&e)
	if !asleep.Sleep() {
		t.Fatal("it is behind")
	}
	var segments []weak.Pointer[segment]
	seen := make(map[*segment]bool)
	for range 3000 {
		put(t, l, "chat.a", 1, epoch)
		for awake.Next(&e) {
		}
		awake.Pass()
		segs := *l.segs.Load()
		if s := segs[len(segs)-1]; !seen[s] {
			seen[s] = true
			segments = append(segments, weak.Make(s))
		}
	}
	clear(seen)
	runtime.GC()
	gone := 0
	for _, s := range segments {
		if s.Value() == nil {
			gone++
		}
	}
	if left := len(*l.segs.Load()); gone != len(segments)-left || gone < 20 {
		t.Errorf("%d of %d segments are gone, the log has %d", gone, len(segments), left)
	}
	runtime.KeepAlive(asleep)
	runtime.KeepAlive(l)
}

// TestFollowerIsWoken sleeps through what it has no subscriber for, and is at once awake for what it has.
func TestFollowerIsWoken(t *testing.T) {
	l := small(nil)
	f := l.Follow(1)
	topic := l.Subscribe("chat.a", 1)
	if !f.Sleep() {
		t.Fatal("it is behind")
	}
	wake := func(name string) uint64 {
		_, wake, err := l.Append(done, &Append{Topic: name, Data: payload128, When: epoch})
		if err != nil {
			t.Fatal(err)
		}
		return wake.Shards
	}
	for range 1000 { // the log is lapped, and nobody waits
		if mask := wake("chat.b"); mask != 0 {
			t.Fatalf("it is woken for nothing: %b", mask)
		}
	}
	before := l.Head()
	if mask := wake("chat.a"); mask != 2 {
		t.Fatalf("it is not woken: %b", mask)
	}
	if mask := wake("chat.a"); mask != 0 {
		t.Errorf("it is woken again: %b", mask)
	}
	n := fillUp(t, l, epoch) // all of which is kept for it
	if at := f.Awake(); at != before {
		t.Errorf("it goes on from %v, want %v", at, before)
	}
	var e Entry
	for f.Next(&e) {
		n--
	}
	if n != -2 {
		t.Errorf("it has read %d entries fewer than there were", n+2)
	}
	l.Unsubscribe(topic, 1)
	f.Pass()
	if !f.Sleep() || wake("chat.a") != 0 {
		t.Error("it is woken for a topic that it has left")
	}
	f.Awake()
	l.SubscribeAll(1, 1)
	if !f.Sleep() || wake("chat.a") != 2 {
		t.Error("it is not woken for a pattern")
	}
}
