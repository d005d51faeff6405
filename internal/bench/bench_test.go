//go:build linux

package main

import (
	"bytes"
	"compress/flate"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMain lets the test binary be the server and the load, as the command is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "serve" || os.Args[1] == "load") {
		main()
	}
	os.Exit(m.Run())
}

// TestAll: every peer does one workload, and a few do all, at a fiftieth of their size; nothing is lost, and the counts add
// up. No figure of it means anything.
func TestAll(t *testing.T) {
	names := peerNames()
	if _, err := os.Stat("node/node_modules/ws"); err != nil && os.Getenv("CI") == "" {
		t.Log("without the peers in Node: npm ci in node/ installs them")
		names = slices.DeleteFunc(names, func(name string) bool { return peers[name].script != "" })
	}
	few := []string{"hotline", "centrifuge", "write(2)", "HTTP polling"}
	all := &runner{rounds: 1, scale: 0.02, peers: names, works: []string{"burst"}}
	results, err := all.run()
	if err != nil {
		t.Fatal(err)
	}
	some := &runner{rounds: 1, scale: 0.02, peers: few, works: workNames()[1:]}
	more, err := some.run()
	if err != nil {
		t.Fatal(err)
	}
	results = append(results, more...)
	for i, res := range results {
		for _, name := range names {
			if !res.work.fits(peers[name]) || i > 0 && !slices.Contains(few, name) {
				continue
			}
			if len(res.samples[name]) != 1 {
				t.Errorf("%s, %s: %d samples", res.work.name, name, len(res.samples[name]))
			}
			for _, column := range []string{"not delivered", "missed for good"} {
				if v, ok := res.figure(name, column); ok && v != 0 {
					t.Errorf("%s, %s: %s is %v", res.work.name, name, column, v)
				}
			}
		}
		for _, c := range res.work.columns {
			if _, ok := res.figure("hotline", c.name); !ok {
				t.Errorf("%s: hotline has no %q", res.work.name, c.name)
			}
		}
	}
	if md := markdown(results); strings.Count(md, "\n### ") != len(works) {
		t.Errorf("the report:\n%s", md)
	}
	if svg := chart(results); strings.Count(svg, "<rect") != len(names)-1 { // without polling
		t.Errorf("the chart:\n%s", svg)
	}
}

// TestParser: messages come out as they went in, however they are framed and cut.
func TestParser(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		var want, got []string
		var wire []byte
		for range 20 {
			msg := string(payload(32 + rnd.IntN(70_000)))
			want = append(want, msg)
			b := []byte(msg)
			first := byte(1)
			if rnd.IntN(2) == 0 {
				var z bytes.Buffer
				w, _ := flate.NewWriter(&z, 1)
				_, _ = w.Write(b)
				_ = w.Flush()
				b, first = bytes.TrimSuffix(z.Bytes(), []byte{0, 0, 0xff, 0xff}), 0x41
			}
			for n := rnd.IntN(3); n > 0; n-- {
				cut := rnd.IntN(len(b))
				wire = append(wire, framed(first, b[:cut])...)
				wire = append(wire, framed(0x89, []byte("ping"))...)
				b, first = b[cut:], 0
			}
			wire = append(wire, framed(0x80|first, b)...)
		}
		var p parser
		for len(wire) > 0 {
			n := min(len(wire), 1+rnd.IntN(100_000))
			p.feed(wire[:n], func(msg []byte) { got = append(got, string(msg)) })
			wire = wire[n:]
		}
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: %d messages, want %d", seed, len(got), len(want))
		}
	}
}

func framed(first byte, b []byte) []byte {
	f := appendText(nil, b)
	f[0] = first
	return f
}

// TestDisconnectedOverTLS: a server that ends a connection in order has ended it too.
func TestDisconnectedOverTLS(t *testing.T) {
	client, server := net.Pipe()
	l := &load{tls: true, conns: []*loadConn{{nc: client}}}
	l.read()
	server.Close() // as close_notify does, Read says io.EOF
	for deadline := time.Now().Add(10 * time.Second); l.closed.Load() == 0; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("it does not count")
		}
	}
	close(l.stop)
	<-l.idle
}

// TestStamps: messages are found in what a protocol makes of them.
func TestStamps(t *testing.T) {
	a, b := string(payload(32)), string(payload(500))
	for _, text := range []string{a + "\n" + b, `{"push":{"pub":{"data":` + a + `}}}{"pub":` + b + "}", "42[" + a + "," + b + "]"} {
		n := 0
		stamps([]byte(text), func(sent int64) {
			if n++; sent < 1e18 {
				t.Errorf("%d in %q", sent, text)
			}
		})
		if n != 2 {
			t.Errorf("%d in %q", n, text)
		}
	}
	for size := range 1000 {
		if p := payload(size); len(p) != max(size, 32) {
			t.Fatalf("payload(%d) has %d bytes", size, len(p))
		}
	}
}

// TestFigure: a table shows the median of the rounds, and what was lost in any of them.
func TestFigure(t *testing.T) {
	r := result{samples: map[string][]sample{"hotline": {
		{"seconds": 1, "not delivered": 0}, {"seconds": 2, "not delivered": 7}, {"seconds": 3, "not delivered": 0},
	}}}
	for column, want := range map[string]float64{"seconds": 2, "not delivered": 7} {
		if v, ok := r.figure("hotline", column); v != want || !ok {
			t.Errorf("%s: %v, %t", column, v, ok)
		}
	}
}

func TestMedian(t *testing.T) {
	for want, values := range map[string][]float64{"NaN": nil, "2": {3, 1, 2}, "2.5": {4, 1, 2, 3}} {
		if got := fmt.Sprint(median(values)); got != want {
			t.Errorf("median(%v) is %s, want %s", values, got, want)
		}
	}
}
