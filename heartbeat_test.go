package hotline

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
)

// TestPingInterval: the hub pings at the interval that welcome promises, whether that is longer than the grace or
// shorter.
func TestPingInterval(t *testing.T) {
	for _, interval := range []time.Duration{time.Second, 10 * time.Second, 25 * time.Second, time.Minute} {
		t.Run(interval.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, &HubOptions{Limits: Limits{PingInterval: interval}})
				c := w.client()
				c.auto = false
				start := time.Now()
				for i := range 10 {
					if f := c.next(); f.Op != "ping" {
						t.Fatalf("got %q", brief(f))
					}
					if got, want := time.Since(start), time.Duration(i+1)*interval; got != want {
						t.Fatalf("ping %d came after %s, want %s", i+1, got, want)
					}
					c.send(`{"op":"pong"}`)
				}
			})
		})
	}
}

// TestPingWhateverItDoes: the hub is never silent for longer than it has promised, whether the pongs are late, or it does not
// read them since a hook runs: the client would give it up, though both live.
func TestPingWhateverItDoes(t *testing.T) {
	for _, test := range []struct{ interval, late, sends time.Duration }{
		{interval: time.Second},
		{interval: time.Second, late: 1100 * time.Millisecond},
		{interval: time.Second, late: 3 * time.Second},
		{interval: 25 * time.Second, late: 9 * time.Second},
		{interval: 25 * time.Second, late: 12 * time.Second, sends: 25*time.Second - time.Millisecond},
	} {
		t.Run(fmt.Sprintf("each %s, answered after %s", test.interval, test.late), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				busy := func(context.Context, *Conn, *Message) error {
					time.Sleep(9 * time.Second)
					return nil
				}
				w := newWorld(t, &HubOptions{
					Limits: Limits{PingInterval: test.interval}, Topics: map[string]TopicOptions{"busy": {Handle: busy}},
				})
				c := w.client()
				c.auto = false
				later := func(after time.Duration, frame string) {
					time.AfterFunc(after, func() {
						_ = c.ws.Write(context.Background(), websocket.MessageText, []byte(frame)) // the test may be over
					})
				}
				later(10*test.interval+time.Millisecond, `{"op":"pub","topic":"busy"}`)
				if test.sends > 0 { // so that a pong has time
					later(test.sends, `{"op":"pub","topic":"nobody"}`)
				}
				last := time.Now()
				for range 30 {
					f := c.next()
					if silent := time.Since(last); silent > test.interval {
						t.Errorf("nothing came for %s", silent)
					}
					last = time.Now()
					if f.Op != "ping" {
						continue
					}
					later(test.late, `{"op":"pong"}`)
					if test.sends > 0 {
						later(test.sends, `{"op":"pub","topic":"nobody"}`)
					}
				}
			})
		})
	}
}

// TestPingsDoNotPile: what does not get out is one ping, however long that takes.
func TestPingsDoNotPile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Limits: Limits{PingInterval: 100 * time.Millisecond, WriteTimeout: time.Hour}})
		c := w.client("a")
		c.want("ok 1")
		c.link.Stall()
		for range 1000 {
			w.publish("a", strings.Repeat("x", 1000))
		}
		time.Sleep(9 * time.Second)
		conns := w.hub.snapshot()
		if len(conns) != 1 {
			t.Fatalf("%d connections", len(conns))
		}
		conns[0].mu.Lock()
		n := conns[0].ctlN
		conns[0].mu.Unlock()
		if n > 1 {
			t.Errorf("%d frames wait in the control lane", n)
		}
		c.link.Heal()
	})
}

// TestClockIsSet: what a connection's life hangs on is measured by a clock that nobody sets. No test can set the other
// one, so this looks for what would read it: a time that is kept as a number has lost the monotonic reading.
func TestClockIsSet(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, call := range []string{".UnixNano()", ".UnixMilli()", "time.Unix(0,"} {
			if bytes.Contains(text, []byte(call)) {
				t.Errorf("%s uses %s", file, call)
			}
		}
	}
}
