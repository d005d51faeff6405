package hotline

import (
	"slices"
	"time"

	"github.com/gohotline/hotline/internal/eventlog"
	"github.com/gohotline/hotline/internal/frame"
	"github.com/gohotline/hotline/internal/wire"
)

// joiner joins the pending frames of a connection into one buffer. Connections with equal lists, which after a burst
// on one topic are all, share the result.
type joiner struct {
	list []uint32
	enc  encoding
	buf  []byte
}

// joined returns the frames of p.pending in one piece. It is valid until the next call.
func (sh *shard) joined(p *peer) []byte {
	if len(p.pending) == 1 {
		return sh.frame(p, int(p.pending[0]))
	}
	j := &sh.joiner
	if j.enc == p.enc && slices.Equal(j.list, p.pending) {
		return j.buf
	}
	j.enc = p.enc
	j.list = append(j.list[:0], p.pending...)
	j.buf = j.buf[:0]
	for _, i := range p.pending {
		j.buf = append(j.buf, sh.frame(p, int(i))...)
	}
	return j.buf
}

// drop forgets the items from the n-th on.
func (sh *shard) drop(n int) {
	clear(sh.items[n:])
	sh.items = sh.items[:n]
	sh.joiner.list = sh.joiner.list[:0] // its numbers may mean other items from now on
}

// frame returns an item in the form that p gets.
func (sh *shard) frame(p *peer, i int) []byte {
	it := &sh.items[i]
	if p.enc == encodingShared || it.kind == itemOwn {
		return it.entry.Frame
	}
	if p.enc == encodingPlain {
		if it.plain == nil {
			it.plain = plainFrame(&it.entry)
		}
		return it.plain
	}
	if it.deflated == nil {
		it.deflated = sh.hub.deflated(&it.entry)
	}
	return it.deflated
}

// flush writes p once: its control lane, then what waits, then this turn's frames.
func (sh *shard) flush(p *peer) {
	p.dirty = false
	switch {
	case p.gone || p.conn == nil:
		return
	case p.busy:
		sh.rewind(p, 0)
		return
	}
	ctl, closed := p.conn.takeControl()
	if closed { // the peer has been answered its Close frame: no data after that (RFC 6455 §5.5.1)
		sh.window(p)
		p.out = nil
	}
	if len(ctl)+len(p.out)+len(p.pending) == 0 {
		return
	}
	var b []byte
	head := len(ctl) + len(p.out) // frames that can't be made again
	switch {
	case head == 0:
		b = sh.joined(p)
	default:
		b = append(append(sh.scratch[:0], ctl...), p.out...)
		if len(p.pending) > 0 {
			b = append(b, sh.joined(p)...)
		}
		sh.scratch = b[:0]
		p.out = nil
		p.conn.owed.Store(0)
	}
	sh.sent.messages += int64(len(p.pending))
	if p.conn.sock.raw == nil {
		sh.sent.bytes += int64(len(b))
		sh.window(p)
		sh.drain(p, append(sh.hub.buffer(), b...), false)
		return
	}
	n, err := sh.out.writeNow(p.conn.sock, b)
	sh.sent.bytes += int64(n)
	switch {
	case err != nil:
		sh.window(p)
		p.broken = true
		p.conn.fail(err)
	case n == len(b):
		sh.window(p)
	default:
		sh.partial(p, b, n, head)
	}
	if cap(sh.scratch) > 1<<20 {
		sh.scratch = nil
	}
}

// partial is for a socket that took n bytes of b and is full: the rest of the frame that was cut, and what can't be
// made again, waits; the others are read again when the socket has drained. If no frame was cut the next one waits:
// that the socket has room again is found by writing to it. To wait for the poller's word alone would be to miss the
// word that came before.
func (sh *shard) partial(p *peer, b []byte, n, head int) {
	keep := head // up to here b has to be sent
	first := len(p.pending)
	at := head
	for k, i := range p.pending {
		if n <= at { // this item and what follows was not begun
			first = k
			break
		}
		at += len(sh.frame(p, int(i)))
		keep = at
	}
	if keep <= n {
		keep = n + len(sh.frame(p, int(p.pending[first])))
		first++
	}
	rest := append([]byte(nil), b[n:keep]...)
	sh.sent.messages -= int64(len(p.pending) - first)
	p.stalled = true // signals that were not begun are dropped
	sh.rewind(p, first)
	sh.drain(p, rest, true)
}

// rewind takes back what p has pending from the k-th item on, so that it is behind from there. Frames that can't be
// made again move to out, with those before them.
func (sh *shard) rewind(p *peer, k int) {
	defer sh.window(p)
	items := p.pending[k:]
	if len(items) == 0 {
		return
	}
	own := -1
	for j, i := range items {
		if sh.items[i].kind == itemOwn {
			own = j
		}
	}
	for _, i := range items[:own+1] {
		p.out = append(p.out, sh.frame(p, int(i))...)
	}
	if own >= 0 {
		p.conn.owed.Store(int64(len(p.out)))
	}
	items = items[own+1:]
	var cur eventlog.Pos // of the first event and the first value: zero may be a place, too
	var st uint64
	events, states := false, false
	for j := len(items) - 1; j >= 0; j-- {
		switch it := &sh.items[items[j]]; it.kind {
		case itemEvent:
			cur, events = it.before, true
		case itemState:
			st, states = it.order-1, true
		case itemSignal:
			if p.stalled || len(p.out)+len(it.entry.Frame) > sh.hub.limits.WindowBytes/2 {
				sh.hub.stats.droppedBehind.Add(1)
			} else {
				p.out = append(p.out, sh.frame(p, int(items[j]))...)
			}
		}
	}
	if !events && !states {
		return
	}
	if p.live {
		sh.goBehind(p, sh.cur, sh.st)
	}
	if events {
		p.cur = cur
	}
	if states {
		p.st = st
	}
}

// slowWrite is how long a write takes that had to wait for the peer. A shorter one shows no more than that there was
// room for it in the kernel's buffer, also of a peer that is gone.
const slowWrite = 100 * time.Millisecond

// drain has a goroutine write b, or wait until the socket takes more.
func (sh *shard) drain(p *peer, b []byte, stalled bool) {
	p.busy, p.stalled = true, stalled
	c := p.conn
	c.blocked.Store(stalled)
	c.hub.group.Go(func() {
		begin := time.Now()
		err := c.sock.writeAll(b, sh.hub.limits.WriteTimeout, c.progressed)
		if stalled || time.Since(begin) >= slowWrite {
			c.progressed()
		}
		sh.do(func() { sh.drained(p, b, stalled, err) })
	})
}

func (sh *shard) drained(p *peer, b []byte, stalled bool, err error) {
	if !stalled {
		sh.hub.putBuffer(b)
	}
	p.busy, p.stalled = false, false
	p.conn.blocked.Store(false)
	p.broken = err != nil
	switch {
	case p.ending:
		p.conn.linger(p.end, err)
	case err == errNoProgress:
		p.conn.close(wire.CloseStalled, "no progress", errNoProgress)
	case err != nil:
		p.conn.fail(err)
	default:
		p.conn.roomy()
		sh.markDirty(p)
		if !p.live && p.ready {
			sh.read(p)
		}
	}
}

// appendFrame appends body as one WebSocket frame.
func appendFrame(dst []byte, op byte, body []byte) []byte {
	return append(frame.AppendHeader(dst, op, len(body), false), body...)
}
