package frame

import (
	"bytes"
	"encoding/hex"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAppendHeader(t *testing.T) {
	for _, tt := range []struct {
		op         byte
		n          int
		compressed bool
		want       string
	}{
		{Text, 0, false, "8100"},
		{Text, 5, false, "8105"}, // RFC 6455 §5.7, the unmasked "Hello"
		{Text, 7, true, "c107"},  // RFC 7692 §7.2.3.1
		{Binary, 125, false, "827d"},
		{Binary, 126, false, "827e007e"},
		{Binary, 256, false, "827e0100"}, // RFC 6455 §5.7
		{Text, 65535, true, "c17effff"},
		{Binary, 65536, false, "827f0000000000010000"}, // RFC 6455 §5.7
		{Ping, 5, false, "8905"},
		{Pong, 0, false, "8a00"},
		{Close, 2, false, "8802"},
	} {
		got := AppendHeader([]byte("x"), tt.op, tt.n, tt.compressed)
		if got[0] != 'x' || hex.EncodeToString(got[1:]) != tt.want {
			t.Errorf("AppendHeader(%d, %d, %v) = %x, want %s", tt.op, tt.n, tt.compressed, got[1:], tt.want)
		}
		if size := HeaderSize(tt.n); size != len(got)-1 {
			t.Errorf("HeaderSize(%d) = %d, want %d", tt.n, size, len(got)-1)
		}
		want := Header{Op: tt.op, Fin: true, RSV1: tt.compressed, Size: len(got) - 1, Len: tt.n}
		h, ok := ParseHeader(got[1:])
		if diff := cmp.Diff(want, h); diff != "" || !ok {
			t.Errorf("ParseHeader(%x): ok %v, %s", got[1:], ok, diff)
		}
		for i := range len(got) - 1 {
			if h, ok := ParseHeader(got[1 : 1+i]); ok {
				t.Errorf("ParseHeader(%x) = %+v of a header cut short", got[1:1+i], h)
			}
		}
	}
}

func TestParseHeader(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want Header
		ok   bool
	}{
		{"818537fa213d7f9f4d5158", Header{Op: Text, Fin: true, Masked: true, Size: 6, Len: 5}, true}, // RFC 6455 §5.7
		{"0103", Header{Op: Text, Size: 2, Len: 3}, true},
		{"818537fa21", Header{}, false},
		{"82fe007e01020304", Header{Op: Binary, Fin: true, Masked: true, Size: 8, Len: 126}, true},
		{"827f7fffffffffffffff", Header{Op: Binary, Fin: true, Size: 10, Len: math.MaxInt}, math.MaxInt == math.MaxInt64},
		{"827f8000000000000000", Header{}, false},
		{"82ff800000000000000001020304", Header{}, false},
	} {
		b, err := hex.DecodeString(tt.in)
		if err != nil {
			t.Fatal(err)
		}
		h, ok := ParseHeader(b)
		if diff := cmp.Diff(tt.want, h); ok != tt.ok || ok && diff != "" {
			t.Errorf("ParseHeader(%s): ok %v, %s", tt.in, ok, diff)
		}
	}
}

// FuzzParseHeader checks that a header says what it is parsed as, when it is put together again.
func FuzzParseHeader(f *testing.F) {
	for _, s := range []string{"", "81", "8105", "827e0100", "827f0000000000010000", "827fffffffffffffffff", "818537fa213d", "c10700"} {
		b, err := hex.DecodeString(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, ok := ParseHeader(b)
		if !ok {
			if diff := cmp.Diff(Header{}, h); diff != "" {
				t.Fatal(diff)
			}
			if len(b) >= maxHeaderIn && (b[1]|maskBit != 0xff || b[2] < 0x80 && math.MaxInt == math.MaxInt64) {
				t.Fatalf("% x refused", b)
			}
			return
		}
		if h.Size < 2 || h.Size > len(b) || h.Size > maxHeaderIn || h.Len < 0 {
			t.Fatalf("% x: %+v", b, h)
		}
		again := AppendHeader(nil, h.Op, h.Len, h.RSV1)
		if !h.Masked && h.Size == len(again) { // else the length is not in its shortest form
			again[0] &^= finBit &^ (b[0] & finBit)
			again[0] |= b[0] & 0x30 // RSV2 and RSV3 are not reported
			if !bytes.Equal(again, b[:h.Size]) {
				t.Fatalf("% x parsed as %+v, which is % x", b[:h.Size], h, again)
			}
		}
	})
}
