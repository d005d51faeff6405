package eventlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// fillUp appends until an append would have to wait, and returns how many there were.
func fillUp(t testing.TB, l *Log, now time.Time) (n int) {
	t.Helper()
	for {
		_, _, err := l.Append(done, &Append{Topic: "chat.a", Data: payload128, When: now})
		switch err {
		case nil:
			n++
		case context.Canceled:
			return n
		default:
			t.Fatal(err)
		}
	}
}

// TestAppendWaits lets publishers wait for a shard that has not passed what the log is full of.
func TestAppendWaits(t *testing.T) {
	boom := errors.New("boom")
	for _, tt := range []struct {
		name string
		free func(l *Log, f *Follower, cancel context.CancelCauseFunc)
		want error
	}{
		{"until it passes", func(l *Log, f *Follower, _ context.CancelCauseFunc) {
			for e := (Entry{}); f.Next(&e); {
			}
			f.Pass()
		}, nil},
		{"until it has slept", func(l *Log, f *Follower, _ context.CancelCauseFunc) {
			for e := (Entry{}); f.Next(&e); {
			}
			f.Sleep()
		}, nil},
		{"until ctx ends", func(_ *Log, _ *Follower, cancel context.CancelCauseFunc) { cancel(boom) }, boom},
		{"until the log is closed", func(l *Log, _ *Follower, _ context.CancelCauseFunc) { l.Close() }, ErrClosed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := small(nil)
				f := l.Follow(0)
				fillUp(t, l, time.Now())
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				const publishers = 3
				results := make(chan error, publishers)
				for range publishers {
					go func() {
						_, _, err := l.Append(ctx, &Append{Topic: "chat.a", Data: payload128, When: time.Now()})
						results <- err
					}()
				}
				synctest.Wait()
				if len(results) > 0 {
					t.Fatalf("an append did not wait: %v", <-results)
				}
				// One entry less is not enough: a segment leaves as a whole.
				var e Entry
				f.Next(&e)
				f.Pass()
				synctest.Wait()
				if len(results) > 0 {
					t.Fatalf("an append did not wait for the rest of the segment: %v", <-results)
				}
				tt.free(l, f, cancel)
				for range publishers {
					if err := <-results; !errors.Is(err, tt.want) {
						t.Errorf("%v, want %v", err, tt.want)
					}
				}
			})
		})
	}
}

// TestCloseKeeps reads what is stored in a log that is closed.
func TestCloseKeeps(t *testing.T) {
	l := small(nil)
	f := filter(exact(l, "chat.a"))
	start := l.Head()
	put(t, l, "chat.a", 1, epoch)
	l.Close()
	l.Close()
	if _, _, err := l.Append(t.Context(), &Append{Topic: "chat.a", Data: []byte("2"), When: epoch}); err != ErrClosed {
		t.Errorf("append: %v, want %v", err, ErrClosed)
	}
	if got := all(t, l, f, start, epoch); len(got) != 1 {
		t.Errorf("got %q", got)
	}
}

// TestLargeFrames mixes small frames with such as have a segment of their own.
func TestLargeFrames(t *testing.T) {
	l := small(func(o *Options) { o.Bytes = 1 << 20 })
	f := filter(wild(">"))
	at := l.Head()
	var want []int
	for i := range 200 {
		size := []int{10, 10, 100 << 10, 5 << 10, ownSegmentBytes, 200 << 10}[i%6]
		data := append(bytes.Repeat([]byte("1"), size), fmt.Append(nil, i)...)
		if _, _, err := l.Append(t.Context(), &Append{Topic: fmt.Sprint("chat.", i%3), Data: data, When: epoch}); err != nil {
			t.Fatalf("%d: %v", i, err)
		}
		want = append(want, len(data))
		if z := l.Size(); z.Bytes > l.opts.Bytes {
			t.Fatalf("the log takes %d bytes", z.Bytes)
		}
		if i%3 != 0 {
			continue
		}
		for res := (Result{At: at}); !res.Done; at = res.At {
			res = l.Read(f, res.At, Limit{Entries: 10, Bytes: 1 << 20, Now: epoch}, nil)
			if res.Hole != NoHole {
				t.Fatalf("a hole at %v", res.At)
			}
			for _, e := range res.Entries {
				if len(e.Payload()) != want[0] {
					t.Fatalf("%v has %d bytes, want %d", e.Pos, len(e.Payload()), want[0])
				}
				want = want[1:]
			}
		}
	}
	if n := len(*l.segs.Load()); n > 12 {
		t.Errorf("%d segments", n)
	}
}

// TestScanGoesOn steps over more unwanted entries than one call looks at, in the log and among those that are kept.
func TestScanGoesOn(t *testing.T) {
	row := &Row{Keep: 1}
	l := small(func(o *Options) {
		o.Bytes, o.KeptBytes = 64<<20, 64<<20
		o.Row = rowsOf(map[string]*Row{"kept": row})
	})
	start := l.Head()
	for _, topic := range []string{"kept.%d", "chat.a"} {
		for i := range scanEntries + 100 {
			name := topic
			if topic == "kept.%d" {
				name = fmt.Sprintf(topic, i)
			}
			put(t, l, name, i, epoch)
		}
		if topic == "kept.%d" {
			flush(l, epoch)
		}
	}
	end := put(t, l, "game.a", 7, epoch)
	f := filter(wild("game.*"))
	calls := 0
	for at := start; ; calls++ {
		res := l.Read(f, at, Limit{Entries: 1, Bytes: 1, Now: epoch}, nil)
		if !res.Done && res.At.Seq <= at.Seq {
			t.Fatalf("Read stays at %v", at)
		}
		if at = res.At; len(res.Entries) > 0 {
			if at != end || string(res.Entries[0].Payload()) != "7" {
				t.Errorf("got %v", at)
			}
			break
		}
		if res.Done {
			t.Fatal("the entry was not found")
		}
	}
	if calls != 2 {
		t.Errorf("it was found in call %d, want 3", calls+1)
	}
	// A hole among them is found on the way.
	flush(l, epoch)
	put(t, l, "game.a", 8, epoch)
	if got := all(t, l, f, start, epoch); len(got) != 2 || got[0] != "lapped game.*" || got[1] != "8" {
		t.Errorf("got %q, want a hole and 8", got)
	}
	// As many expired entries of one topic are stepped over in pieces too.
	rows := map[string]*Row{"old": {MaxAge: time.Second}}
	l = small(func(o *Options) { o.Bytes, o.Row = 64<<20, rowsOf(rows) })
	for i := range scanEntries + 100 {
		put(t, l, "old.a", i, epoch)
	}
	ef := filter(exact(l, "old.a"))
	res := l.Read(ef, Pos{Tag: 7}, Limit{Entries: 1, Bytes: 1, Now: epoch.Add(time.Hour)}, nil)
	if res.Hole != Expired || res.Missed != scanEntries || res.At.Seq != scanEntries {
		t.Errorf("%+v", res)
	}
	res = l.Read(ef, res.At, Limit{Entries: 1, Bytes: 1, Now: epoch.Add(time.Hour)}, nil)
	if res.Hole != Expired || res.Missed != 100 {
		t.Errorf("%+v", res)
	}
}

// TestOldestOfNone looks for an entry where there is none.
func TestOldestOfNone(t *testing.T) {
	l := small(nil)
	start := l.Head()
	put(t, l, "chat.a", 1, epoch)
	flush(l, epoch)
	if got := l.Oldest(filter(exact(l, "chat.a")), start, epoch); !got.IsZero() {
		t.Errorf("got %v", got)
	}
	if got := l.Oldest(filter(exact(l, "chat.b")), start, epoch); !got.IsZero() {
		t.Errorf("got %v", got)
	}
}

// TestFirstFrameIsLarge replaces the empty segment that a log begins with, under a follower that stands in it.
func TestFirstFrameIsLarge(t *testing.T) {
	l := small(func(o *Options) { o.Bytes = 1 << 20 })
	f := l.Follow(0)
	data := bytes.Repeat([]byte("1"), 100<<10)
	for i := range 3 {
		if _, _, err := l.Append(t.Context(), &Append{Topic: "chat.a", Data: data, When: epoch}); err != nil {
			t.Fatal(err)
		}
		var e Entry
		if !f.Next(&e) || len(e.Payload()) != len(data) || f.Next(&e) {
			t.Errorf("the follower does not see entry %d", i)
		}
	}
	if n := len(*l.segs.Load()); n != 3 {
		t.Errorf("%d segments, want 3", n)
	}
}

// TestHoleAmongUnwanted finds a hole before more unwanted kept entries than one call looks at.
func TestHoleAmongUnwanted(t *testing.T) {
	row := &Row{Keep: 1}
	l := small(func(o *Options) {
		o.Bytes, o.KeptBytes = 64<<20, 64<<20
		o.Row = rowsOf(map[string]*Row{"kept": row})
	})
	start := l.Head()
	gone := put(t, l, "game.a", 1, epoch)
	flush(l, epoch)
	for i := range scanEntries + 100 {
		put(t, l, fmt.Sprint("kept.", i), i, epoch)
	}
	flush(l, epoch)
	put(t, l, "game.a", 2, epoch)
	f := filter(wild("game.*"))
	res := l.Read(f, start, Limit{Entries: 9, Bytes: 999, Now: epoch}, nil)
	if res.Hole != Lapped || res.At != gone || !f.Parts[0].Lost {
		t.Errorf("%+v", res)
	}
	if got := all(t, l, f, start, epoch); len(got) != 2 || got[1] != "2" {
		t.Errorf("got %q, want a hole and 2", got)
	}
}
