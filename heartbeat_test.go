package hotline

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
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

// TestPingAfterLateAnswer: an answer that takes longer than the interval puts off the next ping by no more than another
// interval. A proxy in between may end what is silent for a few intervals, long before grace is over.
func TestPingAfterLateAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const interval, late = time.Second, 1500 * time.Millisecond
		w := newWorld(t, &HubOptions{Limits: Limits{PingInterval: interval}})
		c := w.client()
		c.auto = false
		for i, last := 0, time.Now(); i < 10; i++ {
			if f := c.next(); f.Op != "ping" {
				t.Fatalf("got %q", brief(f))
			}
			if silence := time.Since(last); silence > interval {
				t.Fatalf("ping %d came %s after the last was answered", i+1, silence)
			}
			time.Sleep(late)
			c.send(`{"op":"pong"}`)
			last = time.Now()
		}
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
