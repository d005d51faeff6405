package eventlog

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// brokered is a log whose entries have the broker's positions.
func brokered() *Log { return small(func(o *Options) { o.Tag = 0 }) }

func pos(seq, tag uint64) Pos { return Pos{Seq: seq, Tag: tag} }

func deliver(t testing.TB, l *Log, topic string, p Pos) {
	t.Helper()
	if _, _, err := l.Append(t.Context(), &Append{Topic: topic, Data: []byte("1"), When: epoch, Pos: p}); err != nil {
		t.Fatal(err)
	}
}

// TestPlaces goes through a loss and another life of the store, and asks where positions lie.
func TestPlaces(t *testing.T) {
	l := brokered()
	from := l.Advance(pos(100, 1))
	deliver(t, l, "chat.a", pos(105, 2))
	lose(t, l, "chat.a", epoch)
	loss := l.Head()
	deliver(t, l, "chat.a", pos(106, 3))
	deliver(t, l, "chat.a", pos(110, 4))
	if _, _, err := l.Append(t.Context(), &Append{Topic: "chat.a", Data: []byte("1"), When: epoch, Pos: pos(106, 9)}); err != ErrOrder {
		t.Errorf("an entry that is not after the head: %v", err)
	}
	if at, upTo := l.Takeover(from); at != from || upTo != 100 {
		t.Errorf("Takeover is %v, %d", at, upTo)
	}
	lose(t, l, ">", epoch)
	reborn := l.Head()
	l.Renumber(106)
	deliver(t, l, "chat.a", pos(106, 9))
	for _, tt := range []struct {
		named Pos
		at    Pos // zero: unknown
	}{
		{pos(100, 1), pos(100, 1)}, {pos(105, 2), pos(105, 2)}, {pos(105, 2+lossStep), loss}, {pos(106, 3), pos(107, 3)},
		{pos(110, 4), pos(111, 4)}, {pos(110, 4+lossStep), reborn}, {pos(106, 9), pos(113, 9)},
		{pos(106, 2), Pos{}}, {pos(105, 3), Pos{}}, {pos(107, 9), Pos{}}, {Pos{}, Pos{}},
		{pos(106, 9+lossStep), pos(113, 9)}, // a loss of another node's
	} {
		at, known := l.Resolve(tt.named)
		if at != tt.at || known != (tt.at != Pos{}) {
			t.Errorf("Resolve(%v) is %v, %t, want %v", tt.named, at, known, tt.at)
		}
	}
	for at, want := range map[Pos]Pos{
		pos(105, 2): pos(105, 2), loss: pos(105, 2+lossStep), pos(107, 3): pos(106, 3), reborn: pos(110, 4+lossStep),
		pos(113, 9): pos(106, 9),
	} {
		if got := l.Public(at); got != want {
			t.Errorf("Public(%v) is %v, want %v", at, got, want)
		}
	}
	// Nobody can read the store up to a number of its former life.
	if at, upTo := l.Takeover(from); at != reborn || upTo != 105 {
		t.Errorf("Takeover is %v, %d, want %v, 105", at, upTo, reborn)
	}
	if got, want := l.Place(pos(106, 9)), (pos(113, 9)); got != want {
		t.Errorf("Place is %v, want %v", got, want)
	}
	if got, want := l.Real(200), (pos(106, 9)); got != want {
		t.Errorf("Real(200) is %v, want %v", got, want)
	}
	if got := l.Real(105); got != (Pos{}) {
		t.Errorf("Real(105) is %v, of the former life", got)
	}
	want := []string{"1", "broken chat.a", "1", "1", "broken chat.a", "1"}
	if diff := cmp.Diff(want, all(t, l, filter(exact(l, "chat.a")), from, epoch)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestPlaceBeforeLosses finds the place of an entry that others have met, where this log has losses.
func TestPlaceBeforeLosses(t *testing.T) {
	l := brokered()
	for seq := uint64(10); seq < 60; seq += 10 {
		deliver(t, l, "chat.a", pos(seq, seq))
		lose(t, l, "chat.b", epoch)
	}
	for seq := uint64(10); seq < 60; seq += 10 {
		at, known := l.Resolve(pos(seq, seq))
		if place := l.Place(pos(seq, seq)); !known || place != at {
			t.Errorf("Place of %d is %v, want %v, %t", seq, place, at, known)
		}
		if p := l.Real(seq + 5); p != (pos(seq, seq)) {
			t.Errorf("Real(%d) is %v", seq+5, p)
		}
		if p := l.Public(l.Place(pos(seq+3, 1))); p.Seq != seq+3 {
			t.Errorf("Public of the place of %d is %v", seq+3, p)
		}
	}
}
