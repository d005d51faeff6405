package hotline

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// Stats counts since NewHub (first group) and as of now (second group). It is of this process, and marshals to JSON.
type Stats struct {
	Opened, Refused, Closed int64            // connections
	MessagesIn, BytesIn     int64            // from clients
	MessagesOut, BytesOut   int64            // to clients
	Published               int64            // messages accepted, of every Delivery
	Gaps, Missed            int64            // notices sent, messages they cover: at least one each
	Dropped                 map[string]int64 // by reason: behind, overflow (Signals), send, and state (values of other hubs)

	Conns, Subscriptions, Behind int           // Behind: connections that are not live
	StateTopics                  int           // with a value
	LogEntries, LogBytes         int           // bytes with overhead
	LogAge                       time.Duration // of the oldest entry
	PingP50, PingP99             time.Duration // round trips of the last minute or two
	Broker                       string        // why the broker's server is away; empty: it is there, or there is no broker
}

// Stats returns counters since NewHub and present values, of this process.
func (h *Hub) Stats() Stats {
	c, size := &h.stats, h.log.Size()
	s := Stats{
		Opened: c.opened.Load(), Refused: c.refused.Load(), Closed: c.closed.Load(),
		MessagesIn: c.messagesIn.Load(), BytesIn: c.bytesIn.Load(),
		MessagesOut: c.messagesOut.Load(), BytesOut: c.bytesOut.Load(),
		Published: c.published.Load(), Gaps: c.gaps.Load(), Missed: c.missed.Load(),
		Dropped: map[string]int64{
			"behind": c.droppedBehind.Load(), "overflow": c.droppedOverflow.Load(), "send": c.droppedSend.Load(),
		},
		Broker:        h.feed.status(),
		Subscriptions: int(c.subscriptions.Load()),
		StateTopics:   size.Values, LogEntries: size.Entries, LogBytes: size.Bytes,
	}
	if n := c.droppedState.Load(); n > 0 {
		s.Dropped["state"] = n
	}
	if !size.Oldest.IsZero() {
		s.LogAge = time.Since(size.Oldest)
	}
	h.mu.Lock()
	s.Conns = len(h.all)
	h.mu.Unlock()
	for _, sh := range h.shards {
		s.Behind += int(sh.behind.Load())
	}
	s.PingP50, s.PingP99 = c.pings.quantiles(time.Now())
	return s
}

// counters are what Stats reads.
type counters struct {
	opened, refused, closed                     atomic.Int64
	messagesIn, bytesIn, messagesOut, bytesOut  atomic.Int64
	published, gaps, missed, subscriptions      atomic.Int64
	droppedBehind, droppedOverflow, droppedSend atomic.Int64
	droppedState                                atomic.Int64 // values of other hubs that there was no room for
	pings                                       histogram
}

func (c *counters) ping(d time.Duration) { c.pings.add(time.Now(), d) }

// histogram counts durations of the present and the last minute, in buckets of a quarter octave.
type histogram struct {
	mu     sync.Mutex
	minute [2]int64
	counts [2][128]uint32
}

func (h *histogram) slot(now time.Time) *[128]uint32 {
	m := now.Unix() / 60
	if i := m % 2; h.minute[i] != m {
		h.minute[i] = m
		h.counts[i] = [128]uint32{}
	}
	return &h.counts[m%2]
}

func (h *histogram) add(now time.Time, d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	us := max(uint64(d.Microseconds()), 1)
	octave := bits.Len64(us) - 1
	quarter := us << 2 >> octave & 3
	h.slot(now)[min(octave*4+int(quarter), 127)]++
}

// quantiles returns the upper ends of the buckets of p50 and p99.
func (h *histogram) quantiles(now time.Time) (p50, p99 time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.slot(now)
	m := now.Unix() / 60
	var sum [128]uint32
	total := uint32(0)
	for i := range h.counts {
		if h.minute[i] < m-1 {
			continue
		}
		for b, n := range h.counts[i] {
			sum[b] += n
			total += n
		}
	}
	at := func(q uint32) time.Duration {
		seen, want := uint32(0), (total*q+99)/100
		for b, n := range sum {
			if seen += n; n > 0 && seen >= want {
				return time.Duration(uint64(5+b%4)<<(b/4)/4) * time.Microsecond
			}
		}
		return 0
	}
	return at(50), at(99)
}
