package eventlog

import (
	"testing"
	"time"

	"github.com/gohotline/hotline/internal/wire"
)

// TestEntry takes frames apart: of the log, of values, and of signals.
func TestEntry(t *testing.T) {
	const from = `ada ","from":"eve`
	l := small(nil)
	var entries []*Entry
	for _, binary := range []bool{false, true} {
		for _, from := range []string{"", from} {
			m := Append{Topic: "chat.a", From: from, Data: []byte(`{"from":"mallory"}`), Binary: binary, When: epoch}
			if _, _, err := l.Append(t.Context(), &m); err != nil {
				t.Fatal(err)
			}
			v, _, err := l.Set(&Set{Topic: "price.a", From: from, Data: m.Data, Binary: binary, When: epoch})
			if err != nil {
				t.Fatal(err)
			}
			s := Signal(l.Passing("typing.a"), wire.Head{Topic: "typing.a", From: from, Binary: binary}, m.Data, epoch)
			entries = append(entries, &v.Entry, &s)
		}
	}
	res := l.Read(filter(exact(l, "chat.a")), Pos{Tag: 7}, Limit{Entries: 9, Bytes: 9999, Now: epoch}, nil)
	for i := range res.Entries {
		entries = append(entries, &res.Entries[i])
	}
	n := 0
	for _, e := range entries {
		if got := string(e.Payload()); got != `{"from":"mallory"}` {
			t.Errorf("%s: the payload is %s", e.Frame, got)
		}
		if e.From() == from {
			n++
		} else if e.From() != "" {
			t.Errorf("%s: from %q", e.Frame, e.From())
		}
		if b := e.Body(); len(b) == 0 || b[0] != '{' || len(b) >= len(e.Frame) {
			t.Errorf("%s: the body is %s", e.Frame, b)
		}
		if !time.Unix(0, e.When).Equal(epoch) {
			t.Errorf("%s: it is of %v", e.Frame, time.Unix(0, e.When))
		}
	}
	if len(entries) != 12 || n != 6 {
		t.Errorf("%d entries, %d with a sender", len(entries), n)
	}
	gone, _, err := l.Set(&Set{Topic: "price.a", From: "ada", Gone: true, When: epoch})
	if err != nil || gone.Payload() != nil || gone.From() != "ada" || !gone.Gone {
		t.Errorf("cleared: %+v, %v", gone, err)
	}
}

// TestMembers looks up who is subscribed in a shard.
func TestMembers(t *testing.T) {
	l := small(nil)
	topic := l.Subscribe("chat.a", 1)
	if m := topic.At(1); m == nil || topic.At(1) != m || topic.Local[0] != nil {
		t.Error("a shard's members are not its own")
	}
	l.SubscribeAll(0, 1)
	if got, shards := l.Interest("chat.b"); got != nil || shards != 1 {
		t.Errorf("%v, %b", got, shards)
	}
	if got, shards := l.Interest("chat.a"); got != topic || shards != 3 {
		t.Errorf("%v, %b", got, shards)
	}
}
