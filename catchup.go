package hotline

import (
	"slices"

	"github.com/gohotline/hotline/internal/eventlog"
	"github.com/gohotline/hotline/internal/frame"
	"github.com/gohotline/hotline/internal/wire"
)

// This file is the reader of a connection that is behind, resumes, or has a subscription that joins. It takes turns:
// in each, one joining subscription reads a chunk of its own and the rest of the connection reads a chunk of the
// stream, no more than the window together, and then the connection is written.

// turn lets p read on.
func (sh *shard) turn(p *peer) {
	if p.gone || p.busy || !p.ready || p.live {
		return
	}
	if p.remote != nil {
		sh.turnRemote(p)
		return
	}
	mark := len(sh.items)
	p.dirty = true // it is written below, and not queued for it
	if s := p.joining(); s != nil {
		sh.readOwn(p, s)
	}
	sh.joinArrived(p)
	done := sh.readStream(p)
	sh.joinArrived(p)
	if done && !slices.ContainsFunc(p.subs, func(s *sub) bool { return !s.joined }) {
		sh.goLive(p)
	}
	sh.flush(p)
	if len(p.pending) == 0 {
		sh.drop(mark)
	}
	if !p.live && !p.busy {
		sh.read(p)
	}
}

// joining returns the next subscription that has not joined, in turns. One at a time is in a replay: it holds where each of its
// topics begins.
func (p *peer) joining() *sub {
	replaying := slices.ContainsFunc(p.subs, func(s *sub) bool { return s.newest != nil })
	for range p.subs {
		p.turns++
		if s := p.subs[p.turns%len(p.subs)]; !s.joined && !(replaying && s.replay > 0) {
			return s
		}
	}
	return nil
}

// joinArrived joins those that have been sent everything up to the connection's position.
func (sh *shard) joinArrived(p *peer) {
	for _, s := range p.subs {
		if !s.joined && sh.arrived(p, s) {
			sh.join(p, s)
		}
	}
}

// arrived reports whether a subscription has been sent everything up to the connection's position.
func (sh *shard) arrived(p *peer, s *sub) bool {
	if s.cause != "" || s.replay > 0 || s.walking || s.states && s.st < p.st {
		return false
	}
	return !s.events || s.at.Seq == p.cur.Seq
}

// join makes s part of the stream.
func (sh *shard) join(p *peer, s *sub) {
	if s.states && !p.joinedStates() {
		p.st = max(p.st, s.st) // nobody else needs what it has read
	}
	s.joined, s.newest = true, nil
	sh.say(p, wire.AppendOK(nil, s.num, sh.hub.log.Public(p.cur)))
}

func (p *peer) joinedStates() bool {
	return slices.ContainsFunc(p.subs, func(s *sub) bool { return s.joined && s.states })
}

// say sends a text frame of the data lane; plain connections are told nothing.
func (sh *shard) say(p *peer, body []byte) {
	if p.enc != encodingPlain {
		sh.own(p, frame.Text, body)
	}
}

// readOwn reads a chunk for a subscription that joins: its State values, and the Events before the connection's
// position. They are tagged, so that they concern it alone.
func (sh *shard) readOwn(p *peer, s *sub) {
	sh.parts = append(sh.parts[:0], s)
	sh.setFilter(sh.parts)
	room := sh.hub.limits.WindowBytes / 2
	begins := s.replay > 0 && s.at.Seq <= p.cur.Seq
	if begins {
		s.at = p.cur // the stream may have gone past it, and what lies between is part of the history
	}
	if begins || s.replay == 0 { // a gap before a replay is told where that ends
		sh.tellCause(p, s)
	}
	if begins {
		s.at = later(sh.hub.log.Newest(&sh.filter, s.replay, p.cur, sh.now()), s.from)
		s.newest, s.replay = sh.filter.Replay, 0
	}
	if s.states {
		sh.walk(p, s, &room)
	}
	if room <= 0 || !s.events || s.at.Seq >= p.cur.Seq {
		return
	}
	sh.filter.Replay = s.newest
	res := sh.hub.log.Read(&sh.filter, s.at, eventlog.Limit{
		Entries: windowFrames, Bytes: room, UpTo: p.cur, Now: sh.now(),
	}, sh.entries[:0])
	sh.filter.Replay = nil
	sh.entries = res.Entries
	for i := range res.Entries {
		sh.tagged(p, s, &res.Entries[i])
	}
	clear(res.Entries)
	if s.at = res.At; res.Hole != eventlog.NoHole {
		sh.gap(p, wire.Gap{Sub: s.num, Subs: []int64{s.num}, At: res.At, Cause: holeCause(res.Hole, wire.CauseAway), Missed: res.Missed})
	}
}

// tellCause tells a subscription of the gap that it begins with, if it does.
func (sh *shard) tellCause(p *peer, s *sub) {
	if s.cause != "" {
		sh.gap(p, wire.Gap{Sub: s.num, Subs: []int64{s.num}, At: s.at, Cause: s.cause})
		s.cause = ""
	}
}

// walk sends State values to a subscription that joins, in the order of their last change.
func (sh *shard) walk(p *peer, s *sub, room *int) {
	log := sh.hub.log
	if !s.walking && s.st >= p.st {
		return
	}
	u := log.Changes(&sh.filter, s.st, s.began, *room, sh.values[:0])
	if u.Reset {
		sh.say(p, wire.AppendReset(nil, s.num))
		s.startWalk(log)
		return
	}
	for _, v := range u.Values {
		sh.tagged(p, s, &v.Entry)
		*room -= len(v.Frame)
	}
	clear(u.Values)
	sh.values = u.Values[:0]
	s.st, s.walking = u.UpTo, !u.Done
}

// startWalk makes s read all present values.
func (s *sub) startWalk(log *eventlog.Log) {
	s.walking, s.st, s.began = true, 0, log.Changed()
}

// tagged sends an entry to one subscription.
func (sh *shard) tagged(p *peer, s *sub, e *eventlog.Entry) {
	op := frame.Text
	if e.Binary {
		op = frame.Binary
	}
	if p.enc == encodingPlain {
		sh.items = append(sh.items, item{kind: itemOwn, entry: eventlog.Entry{Frame: plainFrame(e)}})
		sh.push(p, len(sh.items)-1, len(e.Frame))
		return
	}
	body := wire.AppendSubTag(make([]byte, 0, len(e.Frame)+24), s.num)
	sh.own(p, op, append(body, e.Body()[1:]...))
}

// readStream reads a chunk of the stream for the subscriptions that have joined. It reports whether that was all.
func (sh *shard) readStream(p *peer) (done bool) {
	sh.parts = sh.parts[:0]
	var upTo eventlog.Pos
	states := false
	for _, s := range p.subs {
		switch {
		case s.joined:
			sh.parts = append(sh.parts, s)
			states = states || s.states
		case s.num < 0 && s.events && s.at.Seq <= p.cur.Seq:
			// The client can't present a position for it: until it has joined the stream stays where it is.
			return false
		case s.events && s.at.Seq > p.cur.Seq: // it begins there: the stream stops to meet it
			if upTo.Seq == 0 || s.at.Seq < upTo.Seq {
				upTo = s.at
			}
		}
	}
	sh.setFilter(sh.parts)
	room := sh.hub.limits.WindowBytes - p.bytes
	if len(p.pending) >= windowFrames || room <= 0 {
		return false
	}
	res := sh.hub.log.Read(&sh.filter, p.cur, eventlog.Limit{
		Entries: windowFrames - len(p.pending), Bytes: room, UpTo: upTo, Now: sh.now(),
	}, sh.entries[:0])
	sh.entries = res.Entries
	before := p.cur
	for i := range res.Entries {
		e := &res.Entries[i]
		sh.items = append(sh.items, item{kind: itemEvent, entry: *e, before: before})
		sh.push(p, len(sh.items)-1, len(e.Frame))
		before = e.Pos
	}
	clear(res.Entries)
	p.cur = res.At
	if res.Hole != eventlog.NoHole {
		sh.overtake(p, p.cur) // first: the hole's place is what the client presents for all of them
		sh.hole(p, &res)
	}
	done = res.Done
	if !states {
		p.st = max(p.st, sh.st)
		return done && upTo.Seq == 0
	}
	return sh.readStates(p, max(room, 1)) && done && upTo.Seq == 0
}

// readStates sends the newest values of what changed.
func (sh *shard) readStates(p *peer, room int) (done bool) {
	log := sh.hub.log
	u := log.Changes(&sh.filter, p.st, 0, room, sh.values[:0])
	if u.Reset {
		// Something that it holds may have been cleared and forgotten: it begins again.
		for _, s := range p.subs {
			if s.joined && s.states {
				sh.say(p, wire.AppendReset(nil, s.num))
				s.startWalk(log)
				s.joined, s.at = false, p.cur
			}
		}
		p.st = log.Changed()
		return false
	}
	for _, v := range u.Values {
		sh.items = append(sh.items, item{kind: itemState, entry: v.Entry, order: v.Order})
		sh.push(p, len(sh.items)-1, len(v.Frame))
	}
	clear(u.Values)
	sh.values, p.st = u.Values[:0], u.UpTo
	return u.Done
}

// setFilter makes the filter of some subscriptions of one connection.
func (sh *shard) setFilter(subs []*sub) {
	sh.filter.Replay = nil
	sh.filter.Parts = sh.filter.Parts[:0]
	for _, s := range subs {
		sh.filter.Parts = append(sh.filter.Parts, eventlog.Part{Topic: s.topic, Pattern: s.name})
	}
}

// hole tells the subscriptions that lost something, in one frame.
func (sh *shard) hole(p *peer, res *eventlog.Result) {
	var nums []int64
	topic := ""
	for i, part := range sh.filter.Parts {
		if part.Lost {
			nums = append(nums, sh.parts[i].num)
			if topic = ""; len(nums) == 1 && part.Topic != nil {
				topic = part.Topic.Name
			}
		}
	}
	if p.enc == encodingPlain {
		p.conn.close(wire.CloseLapped, "messages were lost: this connection was too slow", errLapped)
		return
	}
	sh.gap(p, wire.Gap{Subs: nums, At: res.At, Cause: holeCause(res.Hole, p.lapped()), Missed: res.Missed, Topic: topic})
}

// overtake is for what the server subscribed that the stream should have met, and goes past: with a hole, or in the broker's store. The
// client's position is about to be behind them, up to at, and that is all it can present for them.
func (sh *shard) overtake(p *peer, at eventlog.Pos) {
	for _, s := range p.subs {
		if s.num > 0 || !s.events || s.joined || s.at.Seq >= at.Seq {
			continue
		}
		f := eventlog.Filter{Parts: []eventlog.Part{{Topic: s.topic, Pattern: s.name}}}
		res := sh.hub.log.Read(&f, s.at, eventlog.Limit{Entries: 1, Bytes: 1, UpTo: at, Now: sh.now()}, nil)
		if s.at = at; res.Done && len(res.Entries) == 0 {
			continue // there was nothing
		}
		s.at = later(s.at, res.At)
		sh.gap(p, wire.Gap{Sub: s.num, Subs: []int64{s.num}, At: s.at, Cause: holeCause(res.Hole, p.lapped()), Missed: res.Missed})
	}
}

// lapped is the cause of a gap for who was overtaken by the log.
func (p *peer) lapped() string {
	if p.been {
		return wire.CauseSlow
	}
	return wire.CauseAway
}

func holeCause(h eventlog.Hole, lapped string) string {
	switch h {
	case eventlog.Expired:
		return wire.CauseExpired
	case eventlog.Broken:
		return wire.CauseBroker
	}
	return lapped
}

// gap tells p of a loss. A subscription that has not joined is told in a frame that concerns it alone: its position
// is not the connection's.
func (sh *shard) gap(p *peer, g wire.Gap) {
	g.At = sh.hub.log.Public(g.At)
	sh.sayGap(p, g)
}

// sayGap is gap with a position as clients are told it.
func (sh *shard) sayGap(p *peer, g wire.Gap) {
	sh.say(p, wire.AppendGap(nil, g))
	sh.hub.stats.gaps.Add(1)
	sh.hub.stats.missed.Add(int64(max(g.Missed, 1)))
}
