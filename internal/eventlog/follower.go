package eventlog

import "sync/atomic"

// Follower walks the log in order for one shard. Its methods are for that shard's goroutine; nothing is evicted that
// an awake follower has not passed.
type Follower struct {
	l     *Log
	shard int

	seg *segment
	i   int // the next record of seg
	at  Pos // of the last entry that Next returned

	passed atomic.Uint64
	asleep bool // guarded by Log.mu
	resume Pos  // guarded by Log.mu: the entry before the one that ended its sleep
}

// Follow returns the follower of a shard, which begins at the head.
func (l *Log) Follow(shard int) *Follower {
	l.mu.Lock()
	defer l.mu.Unlock()
	segs := *l.segs.Load()
	s := segs[len(segs)-1]
	f := &Follower{l: l, shard: shard, seg: s, i: int(s.n.Load()), at: l.headPos}
	f.passed.Store(f.at.Seq)
	l.followers = append(l.followers, f)
	return f
}

// Next reads the next entry into e.
func (f *Follower) Next(e *Entry) bool {
	for f.i == int(f.seg.n.Load()) {
		// next is set after the last record was published: look at both again in that order.
		next := f.seg.next.Load()
		if next == nil {
			return false
		}
		if f.i == int(f.seg.n.Load()) {
			f.seg, f.i = next, 0
		}
	}
	f.seg.entry(f.l, f.i, e)
	f.at = e.Pos
	f.i++
	return true
}

// seek finds the place after at.
func (f *Follower) seek() {
	for _, s := range *f.l.segs.Load() {
		n := int(s.n.Load())
		f.seg, f.i = s, n
		if n > 0 && s.recs[n-1].seq > f.at.Seq {
			f.i = s.find(f.at.Seq, n)
			return
		}
	}
}

// At is the position of the last entry that Next returned.
func (f *Follower) At() Pos { return f.at }

// Behind reports whether Next has something to return.
func (f *Follower) Behind() bool { return f.l.head.Load() > f.at.Seq }

// Pass lets go of what Next has returned: it may be evicted from now on.
func (f *Follower) Pass() {
	f.passed.Store(f.at.Seq)
	if f.l.waiting.Load() {
		f.l.mu.Lock()
		f.l.makeRoom()
		f.l.mu.Unlock()
	}
}

// Sleep says that the shard is about to wait; false: there is something to read, it must not. While it sleeps, what no
// subscription of the shard matches is passed over, and may be evicted.
func (f *Follower) Sleep() bool {
	f.l.mu.Lock()
	defer f.l.mu.Unlock()
	if f.Behind() {
		return false
	}
	f.seg = nil // and with it the segments that follow
	f.asleep = true
	f.l.makeRoom()
	return true
}

// Awake ends a sleep and returns the position at which reading goes on: nothing before it concerned this shard.
func (f *Follower) Awake() Pos {
	f.l.mu.Lock()
	defer f.l.mu.Unlock()
	if f.at = f.resume; f.asleep {
		f.asleep = false
		f.at = f.l.headPos
	}
	f.passed.Store(f.at.Seq)
	f.seek()
	return f.at
}
