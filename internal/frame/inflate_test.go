package frame

import (
	"bytes"
	"compress/flate"
	"encoding/hex"
	"errors"
	"math"
	"strings"
	"testing"
)

// lasting is text as a whole stream, which ends with a last block.
func lasting(t testing.TB, text string) string {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestInflate(t *testing.T) {
	const pad = "\x00" // which turns the tail into an empty block
	long := strings.Repeat("0123456789abcdef", 1<<16)
	back := "\x4b\x04\x13\x00" // "a" and ten more of it: what a block may do that refers to its window
	for name, tt := range map[string]struct{ in, want string }{
		"one block":                   {unhex("f248cdc9c90700"), "Hello"}, // RFC 7692 §7.2.3.1
		"not compressed":              {unhex("000500faff48656c6c6f00"), "Hello"},
		"a last block":                {unhex("f348cdc9c9070000"), "Hello"}, // §7.2.3.4
		"two blocks":                  {unhex("f248050000 00ffffcac9c90700"), "Hello"},
		"a last block without pad":    {unhex("f348cdc9c90700"), "Hello"},
		"a last block, and another":   {lasting(t, "Hello, ") + string(NewDeflater().Append(nil, []byte("world"))), "Hello, world"},
		"two last blocks":             {lasting(t, "Hello, ") + lasting(t, "world") + pad, "Hello, world"},
		"two last blocks without pad": {lasting(t, "Hello, ") + lasting(t, "world"), "Hello, world"},
		"nothing":                     {pad, ""},
		"long":                        {string(NewDeflater().Append(nil, []byte(long))), long},
		"what it is given":            {lasting(t, back) + pad, back},
		"sixteen streams":             {strings.Repeat(lasting(t, "x"), 15) + pad, strings.Repeat("x", 15)},
	} {
		got, err := Inflate([]byte(tt.in), 1<<20)
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: %.40q, %v, want %.40q", name, got, err, tt.want)
		}
	}
}

func unhex(s string) string {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return string(b)
}

// A block after a last one may refer to what came before that.
func TestInflateWindow(t *testing.T) {
	first := strings.Repeat("window", 10_000)
	var b bytes.Buffer
	w, err := flate.NewWriterDict(&b, flate.BestCompression, []byte(first)[len(first)-window:])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(first)); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	second := bytes.TrimSuffix(b.Bytes(), []byte(tail[:tailSize]))
	got, err := Inflate(append([]byte(lasting(t, first)), second...), 1<<20)
	if err != nil || string(got) != first+first {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestInflateErrors(t *testing.T) {
	hello := string(NewDeflater().Append(nil, []byte("Hello, world, hello, world")))
	for name, tt := range map[string]struct {
		in    string
		limit int
		want  error
	}{
		"nothing at all":         {"", 1000, ErrDeflate}, // not even the empty block of an empty message
		"cut in a block":         {hello[:len(hello)/2], 1000, ErrDeflate},
		"cut in a stored block":  {unhex("000500faff4865"), 1000, ErrDeflate},
		"garbage":                {"\xff\xff\xff\xff garbage", 1000, ErrDeflate},
		"a last block, then not": {lasting(t, "Hello") + "\xff\xff", 1000, ErrDeflate},
		"one stream too many":    {strings.Repeat(lasting(t, "x"), 16) + "\x00", 1000, ErrDeflate},
		"too many streams":       {strings.Repeat("\x03\x00", 1000), 1000, ErrDeflate},
		"no limit":               {hello, math.MaxInt, nil},
		"at the limit":           {string(NewDeflater().Append(nil, make([]byte, 1000))), 1000, nil},
		"above the limit":        {string(NewDeflater().Append(nil, make([]byte, 1001))), 1000, ErrTooBig},
		"far above it":           {string(NewDeflater().Append(nil, make([]byte, 10<<20))), 1000, ErrTooBig},
		"above it in two":        {lasting(t, strings.Repeat("x", 600)) + lasting(t, strings.Repeat("x", 600)), 1000, ErrTooBig},
	} {
		if msg, err := Inflate([]byte(tt.in), tt.limit); !errors.Is(err, tt.want) || err != nil && msg != nil {
			t.Errorf("%s: %d bytes, %v, want %v", name, len(msg), err, tt.want)
		}
	}
}

// A message is held while hooks look at it, so it takes no more than it may be large, and what allocation rounds up to.
func TestInflateRoom(t *testing.T) {
	for _, limit := range []int{256, 1000, 64 << 10, 100_000} {
		msg, err := Inflate(NewDeflater().Append(nil, make([]byte, limit)), limit)
		if err != nil || len(msg) != limit || cap(msg) > limit+limit/4+1 {
			t.Errorf("%d bytes in %d, %v, want %d", len(msg), cap(msg), err, limit)
		}
	}
}

// What the reader of one message left does not come into the next.
func TestInflateAgain(t *testing.T) {
	d := NewDeflater()
	for i := range 200 {
		if _, err := Inflate([]byte(lasting(t, "Hello")+"\xff\x12\x34"), 1000); !errors.Is(err, ErrDeflate) {
			t.Fatal(err)
		}
		if msg, err := Inflate(d.Append(nil, []byte("good")), 1000); err != nil || string(msg) != "good" {
			t.Fatalf("%d: %q, %v", i, msg, err)
		}
	}
}

func FuzzInflate(f *testing.F) {
	f.Add([]byte("\x03\x00\x00"))
	f.Add([]byte(unhex("f248050000 00ffffcac9c90700")))
	f.Add([]byte(lasting(f, "Hello, ") + lasting(f, "world")))
	f.Fuzz(func(t *testing.T, in []byte) {
		const limit = 4096
		msg, err := Inflate(bytes.Clone(in), limit)
		want, plain := inflate(in)
		switch {
		case err != nil && !errors.Is(err, ErrTooBig) && !errors.Is(err, ErrDeflate) || err == nil && len(msg) > limit:
			t.Errorf("%d bytes, %v", len(msg), err)
		case err == nil && plain == nil && !bytes.HasPrefix(msg, want): // which ends at the first last block
			t.Errorf("%q, want %q", msg, want)
		}
	})
}

func BenchmarkInflate(b *testing.B) {
	in := NewDeflater().Append(nil, []byte(strings.Repeat(`{"topic":"prices.AAPL","data":{"cents":19001}}`, 10)))
	buf := make([]byte, 0, len(in)+len(tail))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Inflate(append(buf, in...), 1<<16); err != nil {
			b.Fatal(err)
		}
	}
}
