package eventlog

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// TestReplayLosesMidway: a replay that has returned something has a reader with a position, and what is dropped behind
// that before it was read is a hole. What is dropped before it returned anything is not.
func TestReplayLosesMidway(t *testing.T) {
	for name, begun := range map[string]bool{"begun": true, "not begun": false} {
		t.Run(name, func(t *testing.T) {
			row := &Row{Keep: 4}
			l := New(Options{
				Bytes: 1 << 20, Age: time.Minute, KeptBytes: 1 << 20, StateBytes: 1 << 20, Values: 10, Tombstones: time.Minute,
				Shards: 1, Tag: 1, Row: func(string) *Row { return row }, Live: func(uint64, Live) {},
			})
			now := time.Now()
			publish := func(n int) {
				for i := range n {
					if _, _, err := l.Append(context.Background(), &Append{Topic: "kept.k", Data: fmt.Append(nil, i), When: now}); err != nil {
						t.Fatal(err)
					}
				}
			}
			publish(4)
			now = now.Add(2 * time.Minute)
			l.Expire(now) // now they are kept beyond the log
			f := &Filter{Parts: []Part{{Pattern: "kept.*"}}}
			at := l.Newest(f, 4, l.Head(), now)
			one := Limit{Entries: 1, Bytes: 1, Now: now}
			if begun {
				res := l.Read(f, at, one, nil)
				if at = res.At; len(res.Entries) != 1 || at.Seq != 1 {
					t.Fatalf("%+v", res)
				}
			}
			publish(2) // the oldest two are dropped
			res := l.Read(f, at, one, nil)
			if begun && (res.Hole != Lapped || !f.Parts[0].Lost || res.At.Seq != 2) {
				t.Errorf("no hole where the replay lost something: %+v", res)
			}
			if !begun && (res.Hole != NoHole || len(res.Entries) != 1 || res.Entries[0].Pos.Seq != 3) {
				t.Errorf("a replay reaches as far as it reaches: %+v", res)
			}
		})
	}
}

// TestReplayExpiresMidway: likewise what was young enough when the replay began.
func TestReplayExpiresMidway(t *testing.T) {
	l := small(func(o *Options) { o.Row = rowsOf(map[string]*Row{"chat": {MaxAge: 10 * time.Second}}) })
	for i := range 4 {
		put(t, l, "chat.a", i, epoch.Add(time.Duration(i)*time.Second))
	}
	f := filter(exact(l, "chat.a"))
	at := l.Newest(f, 4, l.Head(), epoch.Add(10*time.Second+time.Millisecond)) // the first one is too old
	now := epoch.Add(10*time.Second + time.Millisecond)
	if got := upTo(t, l, f, at, Pos{}, now); len(got) != 3 || got[0] != "1" {
		t.Errorf("at once: %q, want 1, 2, 3", got)
	}
	f.Replay.begun = false
	res := l.Read(f, at, Limit{Entries: 1, Bytes: 1, Now: now}, nil)
	if len(res.Entries) != 1 || string(res.Entries[0].Payload()) != "1" {
		t.Fatalf("%+v", res)
	}
	now = epoch.Add(12*time.Second + time.Millisecond) // all but the last one are
	if res = l.Read(f, res.At, Limit{Entries: 9, Bytes: 1, Now: now}, nil); res.Hole != Expired || res.Missed != 1 {
		t.Errorf("no hole where the replay lost something: %+v", res)
	}
	f.Replay.begun = false
	if got := upTo(t, l, f, at, Pos{}, now); len(got) != 1 || got[0] != "3" {
		t.Errorf("later: %q, want 3", got)
	}
}

// TestReplayEndsInAHole: with a broker, a hole that reaches beyond the end of a replay tells of all that the reader was to be sent
// behind that too: what else was lost there, and what is kept and passed over.
func TestReplayEndsInAHole(t *testing.T) {
	l := small(func(o *Options) { o.Tag, o.Row = 0, rowsOf(map[string]*Row{"k": {Keep: 5}}) })
	seq := uint64(0)
	add := func(topics ...string) {
		for _, topic := range topics {
			seq++
			m := &Append{Topic: topic, Data: []byte("1"), When: epoch, Pos: Pos{Seq: seq, Tag: 1}}
			if _, _, err := l.Append(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
	}
	l.Subscribe("b.1", 0) // somebody holds it
	f := filter(wild("a.*"), wild("b.*"), exact(l, "c.1"), wild("k.*"), exact(l, "k.9"), wild("z.*"))
	lists := filter(exact(l, "a.1"), exact(l, "c.1"), exact(l, "k.9"), exact(l, "z.1"))
	add("k.9", "a.1", "a.1")
	begin, beginLists := l.Newest(f, 2, l.Head(), epoch), l.Newest(lists, 2, l.Head(), epoch)
	add("b.1", "c.1", "k.1", "k.9", "a.1")
	for f, at := range map[*Filter]Pos{f: begin, lists: beginLists} {
		if res := l.Read(f, at, Limit{Entries: 2, Bytes: 1 << 10, UpTo: Pos{Seq: 2, Tag: 1}, Now: epoch}, nil); len(res.Entries) != 2 {
			t.Fatalf("it has not begun: %+v", res)
		}
	}
	flush(l, epoch)
	for _, x := range []struct {
		f    *Filter
		want string
	}{{f, "[lapped a.* b.* c.1 k.* k.9]"}, {lists, "[lapped a.1 c.1 k.9]"}} {
		if got := fmt.Sprint(all(t, l, x.f, Pos{Seq: 2, Tag: 1}, epoch)); got != x.want {
			t.Errorf("%s, want %s", got, x.want)
		}
	}
}
