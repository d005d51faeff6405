package frame

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
)

// header makes the header of a masked frame whose length has so many bytes.
func header(op byte, form int, n uint64) []byte {
	b := []byte{op}
	switch form {
	case 0:
		b = append(b, maskBit|byte(n))
	case 2:
		b = binary.BigEndian.AppendUint16(append(b, maskBit|126), uint16(n))
	case 8:
		b = binary.BigEndian.AppendUint64(append(b, maskBit|127), n)
	}
	return append(b, 1, 2, 3, 4)
}

// feed hands b over in pieces of n bytes.
func feed(b []byte, n int) (s Incoming, good int) {
	for len(b) > 0 {
		k := min(n, len(b))
		good += s.Feed(b[:k])
		b = b[k:]
	}
	return s, good
}

func TestIncoming(t *testing.T) {
	frame := func(op byte, form, n int) []byte { return append(header(op, form, uint64(n)), make([]byte, n)...) }
	for name, tt := range map[string]struct {
		b      []byte
		want   error
		scraps int
		good   int // bytes before the bad frame
	}{
		"shortest forms": {bytes.Join([][]byte{frame(0x81, 0, 0), frame(0x81, 0, 125), frame(0x81, 2, 126), frame(0x82, 2, 65535),
			frame(0x82, 8, 65536)}, nil), nil, 0, 0},
		"125 in two bytes":         {frame(0x81, 2, 125), ErrLength, 0, 0},
		"0 in two bytes":           {frame(0x81, 2, 0), ErrLength, 0, 0},
		"0 in eight bytes":         {frame(0x81, 8, 0), ErrLength, 0, 0},
		"65535 in eight bytes":     {frame(0x81, 8, 65535), ErrLength, 0, 0},
		"a ping of 5 in two bytes": {append(frame(0x81, 0, 7), frame(0x89, 2, 5)...), ErrLength, 0, 13},
		"deflated":                 {append(frame(0x81, 0, 7), frame(0xc1, 0, 5)...), ErrDeflated, 0, 13},
		"the highest bit":          {append(header(0x81, 8, 1<<63), make([]byte, 100)...), nil, 0, 0},
		"scraps":                   {bytes.Join([][]byte{frame(0x01, 0, 1), frame(0, 0, 0), frame(0, 0, 63), frame(0, 0, 64), frame(0x80, 0, 1)}, nil), nil, 3, 0},
	} {
		for _, n := range []int{1, 2, 3, 7, 16, 1 << 20} {
			s, good := feed(tt.b, n)
			if s.Err() != tt.want || s.Scraps != tt.scraps {
				t.Errorf("%s, by %d bytes: %v, %d scraps; want %v, %d", name, n, s.Err(), s.Scraps, tt.want, tt.scraps)
			}
			most := tt.good + maxHeaderIn - 1 // what came of the bad header before it was bad
			if n > 100 {
				most = tt.good
			}
			if tt.want == nil && good != len(tt.b) || tt.want != nil && (good < tt.good || good > most) {
				t.Errorf("%s, by %d bytes: %d are good, want %d", name, n, good, tt.good)
			}
			if good := s.Feed(make([]byte, 5)); tt.want != nil && good != 0 {
				t.Errorf("%s, by %d bytes: then %d are good", name, n, good)
			}
		}
	}
}

// Payloads are not taken for headers, wherever they are cut.
func TestIncomingCuts(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var b []byte
	scraps := 0
	for range 2000 {
		n := rnd.IntN(300)
		form := 0
		if n > 125 {
			form = 2
		}
		op := byte(rnd.IntN(2) * 0x81)
		if op == 0 && n < scrap {
			scraps++
		}
		b = append(b, header(op, form, uint64(n))...)
		for range n {
			b = append(b, byte(rnd.Uint32()))
		}
	}
	var s Incoming
	for len(b) > 0 {
		n := min(1+rnd.IntN(400), len(b))
		if s.Feed(b[:n]) != n || s.Err() != nil {
			t.Fatal(s.Err())
		}
		b = b[n:]
	}
	if s.Scraps != scraps || s.left != 0 || s.n != 0 {
		t.Errorf("%d scraps, want %d; %d and %d bytes are left", s.Scraps, scraps, s.left, s.n)
	}
}

// Which messages are deflated is told of each in turn, however far ahead they are read, and their frames do not say so.
func TestIncomingDeflated(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for _, deflated := range []int{2, 0} {
		var b []byte
		var want []bool
		rsv := 0
		for range 300 {
			is := rnd.IntN(4) < deflated
			op := byte(1 + rnd.IntN(2))
			if is {
				op |= rsv1Bit
				rsv++
			}
			want = append(want, is)
			pieces := rnd.IntN(3)
			for range pieces {
				b = append(append(b, header(op, 0, 2)...), 0xc1, 0x81)
				b = append(append(b, header(0x89, 0, 1)...), 0x41) // a ping within
				op = 0
			}
			b = append(append(b, header(0x80|op, 0, 1)...), 0xc1)
		}
		for _, n := range []int{1, 2, 5, 16} { // coder/websocket reads no more than 16 bytes ahead
			s := Incoming{Deflates: deflated > 0}
			got, in := []bool(nil), bytes.Clone(b)
			for at := 0; at < len(in); at += n {
				p := in[at:min(at+n, len(in))]
				if good := s.Feed(p); good != len(p) {
					t.Fatalf("%d of %d bytes are good", good, len(p))
				}
				for s.begun > 4 { // the reader is behind
					got = append(got, s.Deflated())
				}
			}
			for s.begun > 0 {
				got = append(got, s.Deflated())
			}
			if !slices.Equal(got, want) {
				t.Errorf("by %d bytes: %v, want %v", n, got, want)
			}
			changed := 0
			for i := range in {
				if in[i] != b[i] {
					changed++
				}
			}
			if changed != rsv {
				t.Errorf("by %d bytes: %d bits are taken away, of %d", n, changed, rsv)
			}
		}
	}
}
