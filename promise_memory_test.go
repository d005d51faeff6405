package hotline

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
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

// full reports whether tests run at the length at which they are to be believed, and not in an ordinary run.
func full() bool { return os.Getenv("HOTLINE_FULL") != "" }

// P5, row 5 of the failure table: with a crowd of stalled subscribers memory is bounded by the log and the connections'
// windows, however much is published. Healthy ones beside them get all of it. Whoever reads on then has everything that
// the log still holds, after one gap that stands exactly where it doesn't.
func TestP5Memory(t *testing.T) {
	conns, total, healthy, readers := 200, 20<<20, 10, 4
	if full() {
		conns, total, healthy, readers = 1000, 100<<20, 100, 100
	}
	const logBytes, window, message = 8 << 20, 64 << 10, 4 << 10
	w := newRealWorld(t, &HubOptions{Limits: Limits{LogBytes: logBytes, LogAge: -1, WriteTimeout: -1, PingInterval: -1}})
	n := total / message
	connect := func() *rawClient {
		c := w.raw(wire.Protocol)
		c.hello("load")
		if _, body, err := c.read(); err != nil || !strings.Contains(string(body), `"ok"`) {
			t.Fatalf("got %s %v", body, err)
		}
		return c
	}
	var g sync.WaitGroup
	have := make([]atomic.Int64, healthy)
	for i := range healthy {
		c := connect()
		g.Go(func() { readToEnd(t, c, n, -1, &have[i]) })
	}
	before := heap()
	var clients []*rawClient
	for range conns {
		clients = append(clients, connect())
	}
	idle := heap()
	pad := strings.Repeat("x", message-20)
	var publishing, longest time.Duration
	for i := range n {
		at := time.Now()
		w.publish("load", fmt.Sprintf("%d %s", i, pad))
		took := time.Since(at)
		publishing += took
		longest = max(longest, took)
		for k := 0; k < healthy && i%512 == 511 && !t.Failed(); { // the machine may be too slow for them to be healthy
			if have[k].Load() >= int64(i+1-512) {
				k++
			} else {
				time.Sleep(time.Millisecond)
			}
		}
	}
	for w.hub.Stats().Behind < conns {
		time.Sleep(10 * time.Millisecond)
	}
	g.Wait()
	grown := heap() - idle
	// What is allocated beside: the last frame of each window that is being written, the shards' tables.
	limit := logBytes + conns*window + 4<<20
	t.Logf("%d connections of %d bytes, both ends; %d MB in %s, the longest publish took %s; grown by %.1f MB, limit %.1f",
		conns, (idle-before)/conns, total>>20, publishing, longest, float64(grown)/(1<<20), float64(limit)/(1<<20))
	if grown > limit && !raceEnabled {
		t.Errorf("memory has grown by %d bytes, the limit is %d", grown, limit)
	}
	oldest := n - w.hub.Stats().LogEntries
	if oldest <= 0 {
		t.Fatalf("the log holds all %d", n)
	}
	for i := range readers {
		g.Go(func() { readToEnd(t, clients[i*conns/readers], n, oldest, new(atomic.Int64)) })
	}
	g.Wait()
}

// readToEnd reads numbered messages up to n. Some may be missing, where there is a gap, but none from oldest on, which is
// the first one that the log still holds; if that is negative none at all may.
func readToEnd(t *testing.T, c *rawClient, n, oldest int, have *atomic.Int64) {
	c.nc.SetReadDeadline(time.Now().Add(5 * time.Minute))
	next, gaps, lost := 0, 0, false
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
		if f.Op == wire.OpGap {
			lost = true
			gaps++
		}
		if f.Op != "" {
			continue
		}
		var i int
		fmt.Sscanf(strings.Trim(string(f.Data), `"`), "%d", &i)
		if lost && (i <= next || i > oldest) || !lost && i != next {
			t.Errorf("got %d after %d, after a gap %t, the log begins with %d", i, next-1, lost, oldest)
			return
		}
		next, lost = i+1, false
		have.Add(1)
	}
	if oldest > 0 && gaps == 0 {
		t.Errorf("no gap, though the log begins with %d", oldest)
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
		readToEnd(t, clients[i], n, -1, new(atomic.Int64))
	}
}
