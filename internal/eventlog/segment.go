package eventlog

import (
	"sync/atomic"
)

const (
	maxSegmentBytes   = 256 << 10
	minSegmentBytes   = 16 << 10
	maxSegmentRecords = 1024
	minSegmentRecords = 64
	ownSegmentBytes   = 64 << 10 // a larger frame gets a segment of its own, so that it wastes nobody else's

	recordSize  = 40
	entryShare  = recordSize + 4 + 8 // with its topic's column and its place in the topic's list
	topicCost   = 448                // a Topic, its name, its places in the tables
	expectFrame = 192                // bytes, until there is an average
)

// record is one entry without its topic. It has no pointers, so that the garbage collector has nothing to look for in
// a full log.
type record struct {
	seq, tag uint64
	when     int64 // Unix nanoseconds
	off      uint32
	size     uint32
	data     uint32 // where the payload's data begins in the frame
	flags    uint32
}

const (
	flagBinary = 1 << iota
	flagLoss   // a loss that the broker could not repair; data is the pattern
)

// segment is a piece of the log. The first n records, their frames and their column are immutable.
type segment struct {
	// Static after construction.
	buf    []byte
	recs   []record
	topics []uint32 // the topics' ids in a column of their own: a scan touches nothing else

	used int // bytes of buf; guarded by Log.mu

	n    atomic.Int32            // records that readers may see
	next atomic.Pointer[segment] // set once, when this segment is full
}

func newSegment(bytes, records int) *segment {
	return &segment{buf: make([]byte, bytes), recs: make([]record, records), topics: make([]uint32, records)}
}

func (s *segment) cost() int { return len(s.buf) + len(s.recs)*entryShare }

func (s *segment) frame(r *record) []byte {
	return s.buf[r.off : r.off+r.size : r.off+r.size]
}

// find returns the index of the first of n records whose seq is greater than v.
func (s *segment) find(v uint64, n int) int {
	if n == 0 || s.recs[0].seq > v {
		return 0
	}
	// In one process the numbers have no holes, and this is a hit.
	if i := v - s.recs[0].seq; i < uint64(n) && s.recs[i].seq == v {
		return int(i) + 1
	}
	lo, hi := 0, n
	for lo < hi {
		if mid := (lo + hi) / 2; s.recs[mid].seq > v {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}

// begins reports whether the segment begins at seq or before.
func (s *segment) begins(seq uint64) bool { return s.n.Load() > 0 && s.recs[0].seq <= seq }

// before is the position of the record before the i-th, or that of whatever comes before the segment.
func (s *segment) before(i int, first Pos) Pos {
	if i == 0 {
		return first
	}
	return Pos{Seq: s.recs[i-1].seq, Tag: s.recs[i-1].tag}
}

// size chooses the next segment after last: as many records and bytes as make both run out at the same time, growing
// with the traffic.
func (l *Log) size(last *segment, frame int) (bytes, records int) {
	if frame > ownSegmentBytes {
		return frame, 1
	}
	n, avg := int(last.n.Load()), expectFrame
	if len(last.recs) == 1 { // one large frame says nothing about the rest
		n = minSegmentRecords
	} else if n > 0 {
		avg = last.used / n
	}
	records = min(max(2*n, minSegmentRecords), maxSegmentRecords)
	limit := max(min(l.opts.Bytes/16, maxSegmentBytes), 4<<10)
	bytes = min(max(avg*records*9/8, minSegmentBytes), limit)
	if records*entryShare > limit {
		records = max(limit/entryShare, 1)
	}
	return max(bytes, frame), records
}
