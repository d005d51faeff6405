package hotline

import (
	"bytes"
	"compress/flate"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/gohotline/hotline/internal/frame"
	"github.com/gohotline/hotline/internal/wire"
)

// pubOfSize is a publish that is a message of n bytes.
func pubOfSize(n int) string {
	const head, tail = `{"op":"pub","ref":1,"topic":"a","data":"`, `"}`
	return head + strings.Repeat("x", n-len(head)-len(tail)) + tail
}

// TestMessageLimit is row 13 of the failure table, on real sockets: whoever sends too much is told so, whatever it was
// still sending then.
func TestMessageLimit(t *testing.T) {
	const limit = 64 << 10
	w := newRealWorld(t, nil)
	for _, n := range []int{limit - 1, limit} {
		a := w.client()
		a.send(pubOfSize(n))
		a.want("ok ref 1")
		a.close()
	}
	for _, n := range []int{limit + 1, 2 * limit, 8 << 20} {
		a := w.client()
		go a.ws.Write(t.Context(), websocket.MessageText, []byte(pubOfSize(n))) // fails once the hub has closed
		if code, reason, _ := a.closed(); code != wire.CloseTooBig || !strings.Contains(reason, fmt.Sprint(limit)) {
			t.Errorf("%d bytes: closed with %d %q", n, code, reason)
		}
	}
}

// TestMessageLimitSlowSender: the answer is not lost to a reset, because the hub reads on for a moment before it
// closes the socket.
func TestMessageLimitSlowSender(t *testing.T) {
	w := newRealWorld(t, nil)
	c := w.raw(wire.Protocol)
	c.hello()
	b := clientFrame(frame.Text, true, []byte(pubOfSize(1<<20)))
	for i := 0; len(b) > 0; i++ {
		n := min(len(b), 16<<10)
		if _, err := c.nc.Write(b[:n]); err != nil {
			t.Fatalf("after %d KiB: %v", i*16, err)
		}
		b = b[n:]
		time.Sleep(2 * time.Millisecond)
	}
	if code, reason := c.closed(); code != wire.CloseTooBig {
		t.Fatalf("closed with %d %s", code, reason)
	}
}

// TestHelloLimit: the first message is no exception.
func TestHelloLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Limits: Limits{MessageBytes: 1000}})
		for n, want := range map[int]int{1000: 0, 1001: wire.CloseTooBig, 100_000: wire.CloseTooBig} {
			hello := helloFrame(strings.Repeat("x", n-len(helloFrame(""))))
			c := w.raw(wire.Protocol)
			c.write(clientFrame(frame.Text, true, []byte(hello)))
			if want == 0 {
				if op, body, err := c.read(); err != nil || op != frame.Text || !bytes.Contains(body, []byte("welcome")) {
					t.Errorf("%d bytes: %d %q %v", n, op, body, err)
				}
			} else if code, reason := c.closed(); code != want {
				t.Errorf("%d bytes: closed with %d %s", n, code, reason)
			}
		}
	})
}

// TestFragments: a message in 10,000 empty pieces is a message; its pieces cost nothing that stays.
func TestFragments(t *testing.T) {
	w := newRealWorld(t, nil)
	c := w.raw(wire.Protocol)
	c.hello()
	pub := []byte(pubOfSize(100))
	b := clientFrame(frame.Text, false, pub[:50])
	for range 10_000 {
		b = append(b, clientFrame(0, false, nil)...)
	}
	c.write(append(b, clientFrame(0, true, pub[50:])...))
	if op, body, err := c.read(); err != nil || op != frame.Text || !bytes.HasPrefix(body, []byte(`{"op":"ok","ref":1`)) {
		t.Fatalf("%d %s %v", op, body, err)
	}
}

// TestFragmentsTooLarge: the limit is of the message, not of its pieces.
func TestFragmentsTooLarge(t *testing.T) {
	w := newRealWorld(t, nil)
	c := w.raw(wire.Protocol)
	c.hello()
	piece := bytes.Repeat([]byte("x"), 1000)
	b := clientFrame(frame.Text, false, []byte(`{"op":"pub","ref":1,"topic":"a","data":"`))
	for range 66 {
		b = append(b, clientFrame(0, false, piece)...)
	}
	c.write(b)
	if code, reason := c.closed(); code != wire.CloseTooBig {
		t.Fatalf("closed with %d %s", code, reason)
	}
}

// TestDribble: a message at a byte a second is no sign of life. The pong wait ends it.
func TestDribble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		c := w.raw(wire.Protocol)
		c.hello()
		begin := time.Now()
		b := clientFrame(frame.Text, true, []byte(pubOfSize(1000)))
		stop := make(chan struct{})
		go func() {
			defer close(stop)
			for _, x := range b {
				if _, err := c.nc.Write([]byte{x}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		code, reason := c.closed()
		if d := time.Since(begin); code != wire.CloseNoPong || d != 35*time.Second {
			t.Errorf("closed with %d %s after %s", code, reason, d)
		}
		<-stop
		if d := time.Since(begin); d > 40*time.Second {
			t.Errorf("the socket lived for %s", d)
		}
	})
}

// TestBadFrames: what is no WebSocket frame is closed with 1002, at whatever point it comes.
func TestBadFrames(t *testing.T) {
	for name, b := range map[string][]byte{
		"reserved bit":             {0x91, 0x80, 0, 0, 0, 0},
		"compressed, not agreed":   {0xc1, 0x80, 0, 0, 0, 0},
		"reserved opcode":          {0x83, 0x80, 0, 0, 0, 0},
		"continuation of nothing":  {0x80, 0x80, 0, 0, 0, 0},
		"fragmented ping":          {0x09, 0x80, 0, 0, 0, 0},
		"long ping":                clientFrame(frame.Ping, true, make([]byte, 126)),
		"message inside a message": append(clientFrame(frame.Text, false, nil), clientFrame(frame.Text, true, nil)...),
		"close of one byte":        clientFrame(frame.Close, true, []byte{3}),
		"close code 1005":          clientFrame(frame.Close, true, []byte{0x03, 0xed}),
		"not masked":               {0x81, 0x01, 'x'},
		"length of 1 in two bytes": {0x81, 0xfe, 0, 1, 0, 0, 0, 0, 'x'},
		"length of 9 in eight":     {0x82, 0xff, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0},
		"ping in its longest form": {0x89, 0xfe, 0, 0, 0, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				a := w.client("a")
				a.want("ok 1")
				for _, hello := range []bool{true, false} {
					c := w.raw(wire.Protocol)
					if hello {
						c.hello("a")
					}
					c.write(b)
					if code, reason := c.closed(); code != wire.CloseFrameError {
						t.Errorf("hello %v: closed with %d %s", hello, code, reason)
					}
				}
				w.publish("a", 1)
				a.want("a 1")
			})
		})
	}
}

// TestBadCloseReason: the reason of a Close frame is UTF-8, or it is not sent back.
func TestBadCloseReason(t *testing.T) {
	w := newRealWorld(t, nil)
	for _, hello := range []bool{true, false} {
		c := w.raw(wire.Protocol)
		if hello {
			c.hello()
		}
		c.write(clientFrame(frame.Close, true, []byte("\x03\xe8because\xff")))
		if code, reason := c.closed(); code != wire.CloseNotUTF8 {
			t.Errorf("hello %v: closed with %d %q", hello, code, reason)
		}
	}
}

// TestScraps: pieces of a message that bring nothing are no way around the rate. They are life as little as a message
// that dribbles is.
func TestScraps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		c := w.raw(wire.Protocol)
		c.hello()
		begin := time.Now()
		pub := []byte(pubOfSize(100))
		b := clientFrame(frame.Text, false, pub[:50])
		for range 64_000 { // as much as 1000 messages, of which 200 are at once
			b = append(b, clientFrame(0, false, nil)...)
		}
		go c.nc.Write(append(b, clientFrame(0, true, pub[50:])...))
		if op, body, err := c.read(); err != nil || op != frame.Text || !bytes.HasPrefix(body, []byte(`{"op":"ok","ref":1`)) {
			t.Fatalf("%d %s %v", op, body, err)
		}
		if d := time.Since(begin); d < 7*time.Second || d > 9*time.Second {
			t.Errorf("they were read in %s", d)
		}
	})
}

// TestBadText is row 14: bad UTF-8 that is relayed makes browsers drop the connection, and a log would repeat it for
// ever. The sender is closed with 1007, and nobody else sees it.
func TestBadText(t *testing.T) {
	w := newRealWorld(t, nil)
	strict := w.client("a") // DecodeServer checks UTF-8
	strict.want("ok 1")
	for _, bad := range []string{
		"{\"op\":\"pub\",\"ref\":1,\"topic\":\"a\",\"data\":\"\xff\"}",
		"{\"op\":\"pub\",\"ref\":1,\"topic\":\"a\",\"data\":\"\xed\xa0\x80\"}", // a surrogate
		"{\"op\":\"pub\",\"ref\":1,\"topic\":\"a\",\"x\":\"\xc0\xaf\",\"data\":1}",
		"{\"op\":\"pub\",\"ref\":1,\"topic\":\"\xff\",\"data\":1}",
		"{\"op\":\"nothing\",\"\xff\":1}",
		"\xff",
	} {
		c := w.client()
		c.send(bad)
		if code, reason, frames := c.closed(); code != wire.CloseNotUTF8 || len(frames) != 1 || brief(frames[0]) != "bye 1007" {
			t.Errorf("%q: closed with %d %q after %v", bad, code, reason, frames)
		}
	}
	for _, bad := range []any{[]byte("\"\xff\""), []byte("{\"\xff\":1}"), []byte("not JSON"), []byte("")} {
		if err := w.hub.Publish(t.Context(), "a", bad); !isErr(err, ErrInvalid) {
			t.Errorf("Publish(%q): %v", bad, err)
		}
	}
	w.publish("a", "\xff") // encoding/json makes it U+FFFD
	w.publish("a", Binary("\xff"))
	strict.want(`a "\ufffd"`, "a \xff")
	late := w.client("a replay=10")
	late.want(`1: a "\ufffd"`, "1: a \xff", "ok 1")
}

// TestBadTextFirst: the first message is no exception.
func TestBadTextFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		c := w.dial(nil, wire.Protocol)
		c.send("{\"op\":\"hello\",\"token\":\"\xff\"}")
		if code, reason, _ := c.closed(); code != wire.CloseNotUTF8 {
			t.Fatalf("closed with %d %s", code, reason)
		}
	})
}

// TestDeflateBomb is row 15: what inflates beyond the limit is refused there, and not in memory.
func TestDeflateBomb(t *testing.T) {
	w := newRealWorld(t, &HubOptions{Compression: true})
	bomb := frame.NewDeflater().Append(nil, make([]byte, 64<<20))
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	var during uint64
	for range 20 {
		c := w.rawDeflate()
		c.hello()
		b := clientFrame(frame.Text, true, bomb)
		b[0] |= 0x40
		go c.nc.Write(b)
		if code, reason := c.closed(); code != wire.CloseTooBig {
			t.Fatalf("closed with %d %s", code, reason)
		}
		during = max(during, heap())
	}
	if grown := int64(during) - int64(before); grown > 8<<20 {
		t.Errorf("the heap has grown by %d KiB", grown>>10)
	}
}

// TestDeflatedLimit: the limit is that of the message, also of one that takes more bytes deflated.
func TestDeflatedLimit(t *testing.T) {
	const limit = 64 << 10
	w := newRealWorld(t, &HubOptions{Compression: true})
	head := []byte(`{"op":"pub","ref":1,"topic":"a"}` + "\n")
	noise := make([]byte, limit-len(head)+1)
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise)
	for _, n := range []int{limit, limit + 1} {
		msg := append(head, noise[:n-len(head)]...)
		for _, deflated := range []bool{false, true} {
			b := clientFrame(frame.Binary, true, msg)
			if deflated {
				z := frame.NewDeflater().Append(nil, msg)
				if len(z) <= limit {
					t.Fatal("it deflates")
				}
				b = clientFrame(frame.Binary, true, z)
				b[0] |= 0x40
			}
			c := w.rawDeflate()
			c.hello()
			c.write(b)
			if n > limit {
				if code, reason := c.closed(); code != wire.CloseTooBig {
					t.Errorf("%d bytes, deflated: %t: closed with %d %s", n, deflated, code, reason)
				}
			} else if _, body, err := c.read(); err != nil || !bytes.Contains(body, []byte(`"ok"`)) {
				t.Errorf("%d bytes, deflated: %t: %q, %v", n, deflated, body, err)
			}
		}
	}
}

// TestLastBlocks: a message may have last blocks before its end (RFC 7692 §7.2.3.4), and its frames end anywhere. It
// counts once it is whole, and what is left of it is not in front of the next one.
func TestLastBlocks(t *testing.T) {
	w := newRealWorld(t, &HubOptions{Compression: true})
	a := w.client("a")
	a.want("ok 1")
	last := func(s string) []byte {
		var b bytes.Buffer
		fw, err := flate.NewWriter(&b, 1)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = fw.Write([]byte(s))
		_ = fw.Close()
		return b.Bytes()
	}
	c := w.rawDeflate()
	c.hello()
	for i := range 20 {
		first := last(fmt.Sprintf(`{"op":"pub","ref":%d,"topic":"a","data":"%d`, 2*i+1, i))
		first = clientFrame(frame.Text, false, first)
		first[0] |= 0x40
		c.write(first)
		c.write(clientFrame(0, true, append(last(strings.Repeat("x", i*500)+`"}`), 0)))
		whole := clientFrame(frame.Text, true, frame.NewDeflater().Append(nil, []byte(fmt.Sprintf(`{"op":"pub","ref":%d,"topic":"a","data":%d}`, 2*i+2, i))))
		whole[0] |= 0x40
		c.write(whole)
		a.want(fmt.Sprintf(`a "%d%s"`, i, strings.Repeat("x", i*500)), fmt.Sprintf("a %d", i))
	}
}

// TestDeflateGarbage: what does not inflate ends its connection and nothing else.
func TestDeflateGarbage(t *testing.T) {
	w := newRealWorld(t, &HubOptions{Compression: true})
	a := w.client("a")
	a.want("ok 1")
	c := w.rawDeflate()
	c.hello()
	b := clientFrame(frame.Text, true, []byte("\xff\xff\xff\xff garbage"))
	b[0] |= 0x40
	c.write(b)
	if code, reason := c.closed(); code != wire.CloseFrameError {
		t.Errorf("closed with %d %s", code, reason)
	}
	w.publish("a", 1)
	a.want("a 1")
}

// TestCutMessage: a message that the end of the connection cuts short is none. Bytes have no form of their own that
// would show it, so they would be stored as if they were all.
func TestCutMessage(t *testing.T) {
	w := newRealWorld(t, &HubOptions{Compression: true})
	whole := []byte("{\"op\":\"pub\",\"ref\":1,\"topic\":\"a\",\"key\":\"k\"}\n" + strings.Repeat("bytes", 1000))
	one := clientFrame(frame.Binary, true, whole)
	pieces := append(clientFrame(frame.Binary, false, whole[:2000]), clientFrame(0, true, whole[2000:])...)
	noise := make([]byte, 2000) // it does not deflate
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise)
	deflated := clientFrame(frame.Binary, true, frame.NewDeflater().Append(nil, append(whole, noise...)))
	deflated[0] |= 0x40
	for name, b := range map[string][]byte{
		"in a frame":             one[:len(one)-500],
		"without a byte":         one[:len(one)-1],
		"between two pieces":     pieces[:2008],
		"in the second piece":    pieces[:3000],
		"in a header":            pieces[:2010],
		"deflated":               deflated[:len(deflated)-500],
		"deflated, all but one":  deflated[:len(deflated)-1],
		"deflated, in the first": deflated[:200],
		"deflated, and masked":   lastMasked(deflated)[:200],
	} {
		t.Run(name, func(t *testing.T) {
			before := w.hub.Stats().Published
			c := w.rawDeflate()
			c.hello()
			c.write(b)
			if err := c.nc.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if code, reason := c.closed(); code != -1 {
				t.Errorf("closed with %d %s", code, reason)
			}
			if n := w.hub.Stats().Published - before; n != 0 {
				t.Errorf("%d messages are stored", n)
			}
		})
	}
}
