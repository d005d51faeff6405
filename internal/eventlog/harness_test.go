package eventlog

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gohotline/hotline/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

// epoch is when the tests of this package begin.
var epoch = time.Unix(1_700_000_000, 0)

// small is a log in which little fits: some dozens of entries.
func small(change func(o *Options)) *Log {
	o := Options{
		Bytes: 64 << 10, Age: time.Minute, KeptBytes: 1 << 20, StateBytes: 1 << 20, Values: 1000,
		Tombstones: time.Minute, Shards: 2, Tag: 7,
		Row:  rowsOf(nil),
		Live: func(uint64, Live) {},
	}
	if change != nil {
		change(&o)
	}
	return New(o)
}

// rowsOf looks rows up by the first segment.
func rowsOf(rows map[string]*Row) func(string) *Row {
	return func(topic string) *Row {
		first, _, _ := strings.Cut(topic, ".")
		if row := rows[first]; row != nil {
			return row
		}
		return &Row{}
	}
}

// put appends a number of that size.
func put(t testing.TB, l *Log, topic string, n int, now time.Time) Pos {
	t.Helper()
	pos, _, err := l.Append(context.Background(), &Append{Topic: topic, Data: []byte(strconv.Itoa(n)), When: now})
	if err != nil {
		t.Fatalf("append to %s: %v", topic, err)
	}
	return pos
}

// flush evicts everything that is in the log.
func flush(l *Log, now time.Time) { l.Expire(now.Add(l.opts.Age + 1)) }

// exact is the part of a subscription to a topic, wild that of one to a pattern.
func exact(l *Log, topic string) Part { return Part{Topic: l.Subscribe(topic, 0), Pattern: topic} }

func wild(pattern string) Part { return Part{Pattern: pattern} }

func filter(parts ...Part) *Filter { return &Filter{Parts: parts} }

// all reads from a position to the head and returns what there was: payloads, and a word for each hole with the
// patterns that it concerns.
func all(t testing.TB, l *Log, f *Filter, at Pos, now time.Time) []string {
	t.Helper()
	return upTo(t, l, f, at, Pos{}, now)
}

func upTo(t testing.TB, l *Log, f *Filter, at, end Pos, now time.Time) (got []string) {
	t.Helper()
	for range 10_000 {
		res := l.Read(f, at, Limit{Entries: 2, Bytes: 1 << 20, UpTo: end, Now: now}, nil)
		for i := range res.Entries {
			got = append(got, string(res.Entries[i].Payload()))
		}
		if res.Hole != NoHole {
			word := map[Hole]string{Lapped: "lapped", Expired: "expired", Broken: "broken"}[res.Hole]
			for _, p := range f.Parts {
				if p.Lost {
					word += " " + p.Pattern
				}
			}
			got = append(got, word)
		}
		if res.Done {
			return got
		}
		if res.At == at {
			t.Fatalf("Read stays at %v", at)
		}
		at = res.At
	}
	t.Fatal("Read does not come to an end")
	return nil
}

// newest replays up to the head.
func newest(t testing.TB, l *Log, f *Filter, n int, now time.Time) []string {
	t.Helper()
	head := l.Head()
	return upTo(t, l, f, l.Newest(f, n, head, now), head, now)
}
