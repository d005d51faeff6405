package hotline

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestBuffer runs the buffer beside a model of what its reader is to see: events in order, each once, or refused; of
// State the last value and no older one after it; nothing of a value that came and went unseen.
func TestBuffer(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 0))
		b := newBuffer("start")
		var events []string           // to be read
		newest := map[string]string{} // of each State topic; "": gone
		shown := map[string]string{}  // to the reader
		room := func() {}
		pos := "start"
		for i := range 3000 {
			switch topic := fmt.Sprint("s", rng.IntN(5)); rng.IntN(6) {
			case 0, 1:
				m := Message{Topic: "e", ID: fmt.Sprint(i), Data: make([]byte, rng.IntN(16<<10))}
				if ok, _ := b.event(&m, m.ID); ok {
					events = append(events, m.ID)
				} else if len(events) < bufferMessages && b.bytes+len(m.Data) <= bufferBytes {
					t.Fatal("refused")
				}
			case 2:
				b.value(&Message{Topic: topic, Data: fmt.Append(nil, i)}, fmt.Sprint(i))
				newest[topic] = fmt.Sprint(i)
			case 3:
				b.value(&Message{Topic: topic}, fmt.Sprint(i))
				newest[topic] = ""
			default:
				ctx, cancel := context.WithCancel(context.Background())
				cancel()
				m, err := b.next(ctx, room)
				switch {
				case err != nil && len(events) > 0:
					t.Fatalf("%v, but %d events wait", err, len(events))
				case err != nil:
				case m.ID != "":
					if m.ID != events[0] {
						t.Fatalf("got event %s, want %s", m.ID, events[0])
					}
					events, pos = events[1:], m.ID
				case string(m.Data) != newest[m.Topic] || (m.Data == nil) != (newest[m.Topic] == ""):
					t.Fatalf("got %q of %s, want %q", m.Data, m.Topic, newest[m.Topic])
				case m.Data == nil && shown[m.Topic] == "":
					t.Fatalf("%s is gone, but was never shown", m.Topic)
				default:
					shown[m.Topic] = newest[m.Topic]
				}
			}
			if got := b.position(""); got != pos {
				t.Fatalf("position %s, want %s", got, pos)
			}
			if b.changes.len() > 2*5+65 {
				t.Fatalf("%d changes are kept of 5 topics", b.changes.len())
			}
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		for {
			m, err := b.next(ctx, room)
			if errors.Is(err, context.Canceled) {
				break
			}
			if m.ID == "" {
				shown[m.Topic] = string(m.Data)
			}
		}
		for topic, want := range newest {
			if shown[topic] != want {
				t.Fatalf("%s ends as %q, want %q", topic, shown[topic], want)
			}
		}
	}
}

// A second snapshot tells what is gone, and repeats nothing.
func TestBufferSnapshots(t *testing.T) {
	b := newBuffer("")
	read := func() (got []string) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		for {
			m, err := b.next(ctx, func() {})
			if err != nil {
				slices.Sort(got)
				return got
			}
			got = append(got, short(&m))
		}
	}
	snapshot := func(values ...string) {
		b.begin("")
		for _, v := range values {
			b.value(&Message{Topic: v[:1], Data: []byte(v[1:])}, v)
		}
		b.complete("1")
	}
	for _, step := range []struct{ snapshot, want []string }{
		{[]string{"a1", "b1"}, []string{"a 1", "b 1"}},
		{[]string{"a1", "b1"}, nil},
		{[]string{"a2"}, []string{"a 2", "b gone"}},
		{nil, []string{"a gone"}},
		{[]string{"a2"}, []string{"a 2"}},
	} {
		snapshot(step.snapshot...)
		if got := read(); !slices.Equal(got, step.want) {
			t.Errorf("after %v: %v, want %v", step.snapshot, got, step.want)
		}
	}
	snapshot("a3")
	snapshot() // it was not read in between
	snapshot()
	if got := read(); !slices.Equal(got, []string{"a gone"}) {
		t.Errorf("%v", got)
	}
	snapshot("c1")
	snapshot()
	if got := read(); got != nil || len(b.values) != 0 {
		t.Errorf("%v of a value that came and went unseen; %d are kept", got, len(b.values))
	}
}

// A full buffer is waited for once until it has room again, however many messages it still takes: those of 4 KiB fill it
// by their bytes long before their number does.
func TestBufferGraceOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		c, _ := w.connect(nil)
		w.follow(c, "slow", nil) // and nobody reads it
		quick := w.follow(c, "quick", nil)
		data := strings.Repeat("x", 4000)
		for range bufferMessages + 10 {
			w.publish("slow", data)
		}
		begin := time.Now()
		w.publish("quick", 1)
		wantNext(t, quick, "quick 1")
		if d := time.Since(begin); d > bufferGrace {
			t.Errorf("the other subscription was held up for %s", d)
		}
	})
}
