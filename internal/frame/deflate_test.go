package frame

import (
	"bytes"
	"compress/flate"
	"encoding/hex"
	"io"
	"strings"
	"sync"
	"testing"
)

// inflate reads a permessage-deflate message as its receiver does: with the tail put back (RFC 7692 §7.2.2), and a final
// empty block after it, so that the reader ends.
func inflate(b []byte) ([]byte, error) {
	return io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(b), strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff"))))
}

func TestDeflater(t *testing.T) {
	d := NewDeflater()
	for _, payload := range []string{
		"",
		"Hello",
		strings.Repeat(`{"topic":"prices.AAPL","data":{"cents":19001}}`, 20),
		strings.Repeat("0123456789abcdef", 1<<16), // far more than the window of 32 KiB
		"\x00\x00\xff\xff", // what is cut off, as data
	} {
		got := d.Append([]byte("head"), []byte(payload))
		if string(got[:4]) != "head" {
			t.Fatalf("dst became %q", got[:4])
		}
		if back, err := inflate(got[4:]); err != nil || string(back) != payload {
			t.Errorf("%.40q: %d bytes, %v", payload, len(back), err)
		}
	}
	if got := hex.EncodeToString(d.Append(nil, nil)); got != "00" { // RFC 7692 §7.2.3.6
		t.Errorf("an empty message is %s, want 00", got)
	}
}

// A message must not refer to the one before it, which other connections may not have had.
func TestDeflaterHasNoContext(t *testing.T) {
	d := NewDeflater()
	payload := []byte(strings.Repeat("no context takeover ", 10))
	first := d.Append(nil, payload)
	for range 10 {
		if again := d.Append(nil, payload); !bytes.Equal(again, first) {
			t.Fatalf("% x, the first time % x", again, first)
		}
	}
}

func TestDeflaterConcurrently(t *testing.T) {
	d := NewDeflater()
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			payload := []byte(strings.Repeat(string(rune('a'+g)), 500))
			for range 50 {
				if back, err := inflate(d.Append(nil, payload)); err != nil || !bytes.Equal(back, payload) {
					t.Errorf("%q, %v", back, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func FuzzDeflater(f *testing.F) {
	f.Add([]byte(nil))
	f.Add([]byte("Hello"))
	f.Add([]byte(strings.Repeat("\x00\x00\xff\xff", 100)))
	d := NewDeflater()
	f.Fuzz(func(t *testing.T, payload []byte) {
		if back, err := inflate(d.Append(nil, payload)); err != nil || !bytes.Equal(back, payload) {
			t.Fatalf("%q became %q, %v", payload, back, err)
		}
	})
}

// prices is a message of n bytes or a few more, as a hub sends it.
func prices(n int) []byte {
	b := []byte(`{"topic":"prices.all","id":"2s.1y2p0ij32e8e7","data":[`)
	for i := 0; len(b) < n; i++ {
		b = append(b, `{"sym":"S`+string(rune('A'+i%26))+`","cents":`+strings.Repeat(string(rune('1'+i%9)), 4)+`},`...)
	}
	return append(b[:len(b)-1], "]}"...)
}

func BenchmarkDeflater(b *testing.B) {
	d := NewDeflater()
	for _, bb := range []struct {
		name string
		size int
	}{{"256B", 256}, {"1KB", 1 << 10}, {"8KB", 8 << 10}} {
		b.Run(bb.name, func(b *testing.B) {
			payload := prices(bb.size)
			var dst []byte
			b.SetBytes(int64(len(payload)))
			b.ReportAllocs()
			for b.Loop() {
				dst = d.Append(dst[:0], payload)
			}
			b.ReportMetric(float64(len(dst))/float64(len(payload)), "ratio")
		})
	}
}

func BenchmarkAppendHeader(b *testing.B) {
	dst := make([]byte, 0, MaxHeader)
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendHeader(dst[:0], Text, 300, false)
	}
}
