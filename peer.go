package hotline

import (
	"slices"

	"github.com/gohotline/hotline/internal/eventlog"
	"github.com/gohotline/hotline/internal/pattern"
)

// peer is what a shard holds of one reader: a connection or an in-process subscription. All of it is owned by the
// shard, but for touched.
//
// A connection is live while its socket takes what it is sent: then it is at the shard's position, and gets each entry
// in the turn in which the shard meets it. Otherwise it is behind: it holds a cursor and nothing is queued. Pending
// frames live for one turn; what the socket did not take is forgotten and read again from the log.
type peer struct {
	// Static after construction.
	conn  *Conn         // nil: in process
	local *Subscription // nil: a connection
	slot  uint32
	enc   encoding

	touched bool // it is in inbox.touched; guarded by inbox.mu

	ready   bool // its hello was handled
	live    bool
	busy    bool // a goroutine writes, or waits until it can
	stalled bool // and the socket is full
	gone    bool
	dirty   bool // it is in shard.dirty
	reading bool // it is in shard.readers
	been    bool // it was live once: what it loses now it loses for being slow

	cur    eventlog.Pos // the stream is sent up to here; while live at least to the shard's position
	st     uint64       // State changes likewise
	told   eventlog.Pos // the last position of an at frame
	pinged int64        // Hub.age when the last ping was sent; 0: none was
	subs   []*sub
	remote *continued  // what the server's subscriptions continue from, before cur; nil: they are past that
	resume []*resuming // subscriptions that are read from the broker before they begin, one after the other
	turns  int         // whose turn it is among the subscriptions that join

	pending []uint32 // items of this turn
	bytes   int      // of pending
	out     []byte   // whole frames that go before everything else in the data lane
	end     []byte   // the last frames of a connection that is being closed, once the write under way is over
	ending  bool
	broken  bool // a frame was cut for good: whatever followed would be taken for the rest of it

	await eventlog.Pos  // the connection is to end once it has been sent up to here
	there chan struct{} // closed then
}

// encoding is the form in which a connection gets messages.
type encoding uint8

const (
	encodingShared   encoding = iota // the frame as it is in the log
	encodingDeflated                 // permessage-deflate
	encodingPlain                    // the payload alone
)

// sub is one subscription of a connection.
type sub struct {
	// Static after construction.
	num    int64
	name   string
	topic  *eventlog.Topic // nil: name has wildcards
	events bool            // there may be Events
	states bool            // there may be State values

	joined bool // it is part of the connection's stream

	// While it is not.
	at      eventlog.Pos     // Events are sent up to here
	from    eventlog.Pos     // the log is complete from here on
	replay  int              // the newest n are to be sent, after the gap if there is one
	newest  *eventlog.Replay // and are being sent
	cause   string           // of the gap that it begins with; empty: none
	walking bool             // State values are being sent
	st      uint64           // up to this change
	began   uint64           // the last change when the walk began
}

// full reports whether a frame does not fit any more. A window always takes one.
func (p *peer) full(size, window int) bool {
	return len(p.pending) > 0 && (p.bytes+size > window || len(p.pending) >= windowFrames)
}

// push adds an item to what p is sent in this turn.
func (sh *shard) push(p *peer, i, size int) {
	if p.pending == nil {
		if n := len(sh.spare); n > 0 {
			p.pending, sh.spare = sh.spare[n-1], sh.spare[:n-1]
		}
	}
	p.pending = append(p.pending, uint32(i))
	p.bytes += size
	sh.markDirty(p)
}

// own sends p a frame that is made for it alone.
func (sh *shard) own(p *peer, op byte, body []byte) {
	b := appendFrame(make([]byte, 0, len(body)+10), op, body)
	sh.items = append(sh.items, item{kind: itemOwn, entry: eventlog.Entry{Frame: b}})
	sh.push(p, len(sh.items)-1, len(b))
}

// window gives the pending list back once it is empty.
func (sh *shard) window(p *peer) {
	if cap(p.pending) > 4 && len(sh.spare) < 1024 {
		sh.spare = append(sh.spare, p.pending[:0])
		p.pending = nil
	}
	p.pending, p.bytes = p.pending[:0], 0
}

func (sh *shard) markDirty(p *peer) {
	if !p.dirty && !p.gone {
		p.dirty = true
		sh.dirty = append(sh.dirty, p)
	}
}

// goBehind makes a live connection one that reads: on from cur, and from State change st.
func (sh *shard) goBehind(p *peer, cur eventlog.Pos, st uint64) {
	if !p.live {
		return
	}
	p.live = false
	sh.behind.Add(1)
	if cur.Seq > p.cur.Seq {
		p.cur = cur
	}
	p.st = max(p.st, st)
	sh.read(p)
}

// goLive makes a connection that has read everything live.
func (sh *shard) goLive(p *peer) {
	if p.live {
		return
	}
	p.live, p.been = true, true
	sh.behind.Add(-1)
}

// read queues p for a turn of reading.
func (sh *shard) read(p *peer) {
	if !p.reading && !p.gone && !p.busy {
		p.reading = true
		sh.readers = append(sh.readers, p)
	}
}

// subscribe makes p a member of the topic or pattern of s. It gets nothing of it before it has joined.
func (sh *shard) subscribe(p *peer, s *sub) {
	if pattern.HasWildcard(s.name) {
		sh.trie.Add(s.name, p.slot)
		sh.gen++
		sh.hub.log.SubscribeAll(sh.n, 1)
	} else {
		s.topic = sh.hub.log.Subscribe(s.name, sh.n)
		if !slices.ContainsFunc(p.subs, func(o *sub) bool { return o.topic == s.topic }) {
			m := s.topic.At(sh.n)
			m.Exact = append(m.Exact, p.slot)
			m.Gen = 0
		}
	}
	p.subs = append(p.subs, s)
	sh.hub.stats.subscriptions.Add(1)
}

// unsubscribe undoes subscribe.
func (sh *shard) unsubscribe(p *peer, s *sub) {
	i := slices.Index(p.subs, s)
	p.subs = slices.Delete(p.subs, i, i+1)
	sh.hub.feed.unfollow(s.name)
	sh.hub.stats.subscriptions.Add(-1)
	if s.topic == nil {
		sh.trie.Remove(s.name, p.slot)
		sh.gen++
		sh.hub.log.SubscribeAll(sh.n, -1)
		return
	}
	if !slices.ContainsFunc(p.subs, func(o *sub) bool { return o.topic == s.topic }) {
		m := s.topic.At(sh.n)
		if i := slices.Index(m.Exact, p.slot); i >= 0 {
			last := len(m.Exact) - 1
			m.Exact[i] = m.Exact[last]
			m.Exact = m.Exact[:last]
			if m.Gen = 0; last == 0 {
				m.Exact = nil
			}
		}
	}
	sh.hub.log.Unsubscribe(s.topic, sh.n)
}

// find returns the subscription of that number, or nil.
func (p *peer) find(num int64) *sub {
	for _, s := range p.subs {
		if s.num == num {
			return s
		}
	}
	return nil
}

// listed bounds the lists of members by wildcards: each topic has one, and clients make topics. When they are too long
// together they are forgotten, and made again for the topics that something is published to.
type listed struct {
	topics []*eventlog.Members
	n      int // members on the lists
}

const maxListed = 1 << 20 // 4 MiB

func (l *listed) add(m *eventlog.Members) {
	if l.n += len(m.All) + 8; l.n > maxListed { // a short list has its cost too
		for _, old := range l.topics {
			old.All, old.Gen = nil, 0
		}
		clear(l.topics)
		l.topics, l.n = l.topics[:0], len(m.All)+8
	}
	l.topics = append(l.topics, m)
}
