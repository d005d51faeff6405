package hotline

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gohotline/hotline/internal/wire"
)

// heap is what is in use after a collection, goroutine stacks included.
func heap() int {
	runtime.GC()
	runtime.GC() // what pools held goes with the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse)
}

// P5: with every subscriber stalled, memory is bounded by the log and the connections' windows, however much is
// published; and whoever reads on then has everything, or a gap.
func TestP5Memory(t *testing.T) {
	conns, total := 1000, 100<<20
	if testing.Short() || raceEnabled {
		conns, total = 200, 20<<20
	}
	const logBytes, window, message = 8 << 20, 64 << 10, 4 << 10
	w := newRealWorld(t, &HubOptions{Limits: Limits{LogBytes: logBytes, WriteTimeout: -1, PingInterval: -1}})
	before := heap()
	var clients []*rawClient
	for range conns {
		c := w.raw(wire.Protocol)
		c.hello("load")
		clients = append(clients, c)
	}
	idle := heap()
	pad := strings.Repeat("x", message-20)
	start := time.Now()
	var longest time.Duration
	n := total / message
	for i := range n {
		at := time.Now()
		w.publish("load", fmt.Sprintf("%d %s", i, pad))
		longest = max(longest, time.Since(at))
	}
	took := time.Since(start)
	for w.hub.Stats().Behind < conns {
		time.Sleep(10 * time.Millisecond)
	}
	grown := heap() - idle
	// What is allocated beside: the last frame of each window that is being written, the shards' tables.
	limit := logBytes + conns*window + 4<<20
	t.Logf("%d connections of %d bytes, both ends; %d MB in %s, the longest publish took %s; grown by %.1f MB, limit %.1f",
		conns, (idle-before)/conns, total>>20, took, longest, float64(grown)/(1<<20), float64(limit)/(1<<20))
	if grown > limit {
		t.Errorf("memory has grown by %d bytes, the limit is %d", grown, limit)
	}
	var wg sync.WaitGroup
	for i := 0; i < conns; i += conns / 4 {
		wg.Go(func() { readToEnd(t, clients[i], n) })
	}
	wg.Wait()
}

// readToEnd reads numbered messages up to n. What is missing must be covered by a gap.
func readToEnd(t *testing.T, c *rawClient, n int) {
	c.nc.SetReadDeadline(time.Now().Add(time.Minute))
	next, gap := 0, false
	for next < n {
		_, body, err := c.read()
		if err != nil {
			t.Errorf("after %d: %v", next, err)
			return
		}
		f, err := wire.DecodeServer(body, false)
		if err != nil {
			t.Error(err)
			return
		}
		if f.Op == "gap" {
			gap = true
		}
		if f.Topic != "load" || f.Op != "" {
			continue
		}
		var i int
		fmt.Sscanf(strings.Trim(string(f.Data), `"`), "%d", &i)
		if i < next || i > next && !gap {
			t.Errorf("got %d, want %d, gap %t", i, next, gap)
			return
		}
		next, gap = i+1, false
	}
}

// Under a load that the shard can't flush to the end what was sent is forgotten all the same, and what is pending stays
// what it is.
func TestSaturatedShardForgets(t *testing.T) {
	const conns, each = 200, 5 * trimItems
	w := newRealWorld(t, &HubOptions{Limits: Limits{WriteTimeout: -1, PingInterval: -1}})
	var clients []*rawClient
	for range conns {
		c := w.raw(wire.Protocol)
		c.hello("load")
		clients = append(clients, c)
	}
	n := each * len(w.hub.shards)
	most := make(chan int, len(w.hub.shards))
	for _, sh := range w.hub.shards {
		sh.do(func() {
			m := 0
			for i := range each {
				// The turns of a shard for which there is always one more message.
				w.publish("load", sh.n*each+i)
				sh.dispatch()
				sh.turnReaders()
				sh.flushSome()
				if i >= each/2 { // what it had to do before is done
					m = max(m, len(sh.items), len(sh.dirty))
				}
			}
			most <- m
		})
		if m := <-most; m > 2*trimItems+conns {
			t.Errorf("%d items", m)
		}
	}
	for i := 0; i < conns; i += 20 {
		readToEnd(t, clients[i], n)
	}
}
