package hotline

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// BenchmarkBesideStalled: how long a message takes to 99 connections that read, one message a millisecond, without and with
// others that read nothing. The two take turns, because the machine's mood changes.
//
//	go test -run - -bench BesideStalled -benchtime 10x
func BenchmarkBesideStalled(b *testing.B) {
	for _, stalled := range []int{1, 30} {
		b.Run(fmt.Sprint("stalled=", stalled), func(b *testing.B) {
			alone, beside := newDelays(b, 0), newDelays(b, stalled)
			for b.Loop() {
				alone.round()
				beside.round()
			}
			if n := beside.w.hub.Stats().Behind; n != stalled {
				b.Errorf("%d connections are behind, want %d", n, stalled)
			}
			b.ReportMetric(alone.at(0.5), "alone-p50-µs")
			b.ReportMetric(beside.at(0.5), "beside-p50-µs")
			b.ReportMetric(alone.at(0.99), "alone-p99-µs")
			b.ReportMetric(beside.at(0.99), "beside-p99-µs")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// delays is a hub with connections that measure how long messages take.
type delays struct {
	w       *realWorld
	readers int
	got     chan time.Duration
	list    []time.Duration
}

func newDelays(b *testing.B, stalled int) *delays {
	d := &delays{w: newRealWorld(b, &HubOptions{Limits: Limits{PingInterval: -1, WriteTimeout: -1}}), readers: 99, got: make(chan time.Duration, 1<<16)}
	for range stalled {
		d.w.client("bench").want("ok 1") // and reads no more
	}
	for range 1 << 14 { // they are behind
		d.w.publish("bench", strings.Repeat("x", 1000))
	}
	for range d.readers {
		c := d.w.client("bench")
		c.want("ok 1")
		go func() {
			for {
				_, p, err := c.ws.Read(context.Background())
				if err != nil {
					return
				}
				var m struct{ Data int64 }
				if json.Unmarshal(p, &m) == nil && m.Data != 0 {
					d.got <- time.Since(time.Unix(0, m.Data))
				}
			}
		}()
	}
	return d
}

// round publishes 200 messages.
func (d *delays) round() {
	const n = 200
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for range n {
		<-ticker.C
		d.w.publish("bench", time.Now().UnixNano())
	}
	for range n * d.readers {
		d.list = append(d.list, <-d.got)
	}
}

func (d *delays) at(q float64) float64 {
	slices.Sort(d.list)
	return float64(d.list[int(float64(len(d.list))*q)].Nanoseconds()) / 1e3
}
