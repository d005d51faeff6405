package model

const (
	logLength    = 2 // entries that the log keeps
	windowLength = 1 // frames that wait for the client before the connection is behind
	frameSlots   = 8 // a command or a catching-up step may add some more
)

type frameKind uint8

const (
	message frameKind = iota + 1
	ok
	gap
	at
)

type frame struct {
	kind  frameKind
	topic uint8 // of a message; of a gap the subscriptions it names, as bits
	seq   uint8 // the position it states
	sub   uint8 // of an ok or a message that is alone
	alone bool  // it concerns one subscription, which has not joined the connection's stream
	life  uint8 // the number that the client gave subscription 2: 0, or 1 if it was made again
}

// A hubSub is the hub's knowledge of a subscription.
type hubSub struct {
	on      bool
	joining bool  // it reads on its own, from its own cursor, until it meets the connection's
	cursor  uint8 // while joining
	life    uint8
}

// hubState is all that there is: log, shard, connection, what travels, client. Positions are sequence numbers; where there
// may be none, they are held plus one.
type hubState struct {
	// The log and the shard, which outlive the connection.
	published uint8
	topics    uint8 // bit i: entry i+1 is on topic B
	shard     uint8 // the last entry that the shard has passed
	drops     uint8
	stated    bool // a position, while idle

	// The connection.
	up          bool
	greeted     bool // its hello was handled
	live        bool
	cursor      uint8
	subs        [2]hubSub
	windowUsed  uint8
	controlUsed uint8
	window      [frameSlots]frame // the data lane
	control     [2]frame          // the control lane, which overtakes it

	// What the client has sent.
	helloSent bool
	subSent   bool
	presented [2]uint8 // by the hello
	continued uint8    // by the sub command

	// The client.
	position uint8 // of the connection
	asked    bool
	parked   bool
	life     uint8 // of subscription 2
	client   [2]clientSub
}

// What a client presents for a subscription, beside a position plus one.
const (
	brandNew      = 0
	notSubscribed = 255
)

// first is the number of the oldest entry that the log still has.
func (s *hubState) first() uint8 {
	if s.published > logLength {
		return s.published - logLength + 1
	}
	return 1
}

func (s *hubState) topic(seq uint8) uint8 { return s.topics >> (seq - 1) & 1 }

func (r *hubRules) matches(sub int, topic uint8) bool {
	if sub == 0 {
		return r.overlap || topic == 0
	}
	return topic == 1
}

// missing says whether an entry after a, up to and with b, is one of the subscription's.
func (r *hubRules) missing(s *hubState, sub int, a, b uint8) bool {
	for e := a + 1; e <= min(b, s.published); e++ {
		if r.matches(sub, s.topic(e)) {
			return true
		}
	}
	return false
}

// publish is refused while it would evict what the shard has not passed (F4).
func (r *hubRules) publish(s *hubState, topic uint8) bool {
	if s.published == r.publishes || s.published+1 > s.shard+logLength {
		return false
	}
	s.topics |= topic << s.published
	s.published++
	return true
}

// shardTakes is the dispatch of one entry to the connection.
func (r *hubRules) shardTakes(s *hubState) bool {
	if s.shard == s.published {
		return false
	}
	s.shard++
	e := s.shard
	if !s.up || !s.greeted || !s.live || e <= s.cursor && !r.is(offerDelivered) {
		return true
	}
	switch {
	case !r.wanted(s, e):
		if !r.is(cursorDelivered) {
			s.cursor = e
		}
	case s.windowUsed < windowLength:
		s.send(frame{kind: message, topic: s.topic(e), seq: e})
		s.cursor = e
	default: // behind from here on
		s.live = false
		if r.is(cursorRefused) {
			s.cursor = e
		} else if !r.is(cursorDelivered) {
			s.cursor = e - 1
		}
	}
	return true
}

// wanted says whether a subscription that has joined matches the entry.
func (r *hubRules) wanted(s *hubState, seq uint8) bool {
	for i := range s.subs {
		if s.subs[i].on && !s.subs[i].joining && r.matches(i, s.topic(seq)) {
			return true
		}
	}
	return false
}

func (s *hubState) send(f frame) {
	f.life = s.subs[1].life
	s.window[s.windowUsed] = f
	s.windowUsed++
}

func (s *hubState) sendControl(f frame) {
	s.control[s.controlUsed] = f
	s.controlUsed++
}

func (r *hubRules) shardHandlesHello(s *hubState) bool {
	if !s.up || !s.helloSent {
		return false
	}
	s.helloSent, s.greeted, s.live = false, true, true
	presented := s.presented
	s.presented = [2]uint8{} // read once
	switch {
	case presented[0] != brandNew:
		s.cursor = presented[0] - 1
	case r.is(oneAfter) && presented[1] != brandNew && presented[1] != notSubscribed:
		s.cursor = presented[1] - 1
	default: // a new subscription starts here
		s.cursor = s.shard
	}
	for i, p := range presented {
		switch {
		case p == notSubscribed:
		case p != brandNew:
			r.begin(s, i, p-1)
		case i == 1:
			r.begin(s, i, r.before(s, s.shard))
		default:
			r.begin(s, i, s.shard)
		}
	}
	if s.cursor != s.shard {
		s.live = false
	}
	return true
}

func (r *hubRules) shardHandlesSub(s *hubState) bool {
	if !s.up || !s.greeted || !s.subSent {
		return false
	}
	s.subSent = false
	if s.continued != 0 {
		from := s.continued - 1
		s.continued, s.subs[1] = 0, hubSub{}
		r.begin(s, 1, from)
		return true
	}
	if r.is(startAtShard) {
		s.subs[1] = hubSub{on: true, life: s.life}
		s.send(frame{kind: ok, sub: 1, seq: s.shard})
		return true
	}
	r.begin(s, 1, r.before(s, max(s.shard, s.cursor)))
	return true
}

// before returns the position from which subscription 2 gets the replay that it asked for, and then what follows base.
func (r *hubRules) before(s *hubState, base uint8) uint8 {
	from, left := base, r.replay
	for e := base; e >= s.first() && left > 0; e-- {
		if s.topic(e) == 1 {
			from, left = e-1, left-1
		}
	}
	return from
}

// begin starts subscription i at a position: it has joined if that is where the connection is, else it reads on its own.
func (r *hubRules) begin(s *hubState, i int, from uint8) {
	sub := &s.subs[i]
	sub.on = true
	if i == 1 {
		sub.life = s.life
	}
	if from != s.cursor {
		sub.joining, sub.cursor = true, from
		s.live = false
		return
	}
	joined := frame{kind: ok, sub: uint8(i), seq: from, life: s.subs[1].life}
	if r.is(okOvertakes) {
		s.sendControl(joined)
	} else {
		s.send(joined)
	}
}

// connReadsOn is one step of a connection that is behind, while its window has room: of the subscription that is joining,
// as far as the rest has come, else of the rest.
func (r *hubRules) connReadsOn(s *hubState) bool {
	if !s.up || !s.greeted || s.live || s.windowUsed >= windowLength {
		return false
	}
	if sub := &s.subs[1]; sub.on && sub.joining && sub.cursor < s.cursor {
		r.readAlone(s)
	} else {
		r.readShared(s)
	}
	r.settle(s)
	return true
}

// connReadsRest takes a step of the rest although a subscription that is joining has more to read.
func (r *hubRules) connReadsRest(s *hubState) bool {
	sub := &s.subs[1]
	if !r.inTurn || !s.up || !s.greeted || s.live || s.windowUsed >= windowLength ||
		!sub.joining || sub.cursor >= s.cursor || s.cursor == s.published {
		return false
	}
	r.readShared(s)
	r.settle(s)
	return true
}

// readAlone reads one entry, or steps over a hole, for subscription 2.
func (r *hubRules) readAlone(s *hubState) {
	sub := &s.subs[1]
	if lost := min(s.first()-1, s.cursor); sub.cursor < lost && r.missing(s, 1, sub.cursor, lost) {
		s.send(frame{kind: gap, topic: 1 << 1, seq: lost, alone: true})
		sub.cursor = lost
		return
	}
	sub.cursor++
	if e := sub.cursor; e >= s.first() && s.topic(e) == 1 {
		s.send(frame{kind: message, topic: 1, seq: e, sub: 1, alone: true})
	}
}

// readShared reads one entry, or steps over a hole, for the subscriptions that have joined.
func (r *hubRules) readShared(s *hubState) {
	if s.cursor == s.published {
		return
	}
	if s.cursor+1 >= s.first() {
		s.cursor++
		if r.wanted(s, s.cursor) {
			s.send(frame{kind: message, topic: s.topic(s.cursor), seq: s.cursor})
		}
		return
	}
	lost := s.first() - 1
	if sub := &s.subs[1]; sub.joining && sub.cursor > s.cursor {
		lost = min(lost, sub.cursor) // it joins on the way
	}
	var losers uint8
	for i := range s.subs {
		if sub := &s.subs[i]; sub.on && !sub.joining && (r.is(cutIsGap) || r.missing(s, i, s.cursor, lost)) {
			losers |= 1 << i
		}
	}
	r.sendGap(s, losers, lost)
	s.cursor = lost
}

func (r *hubRules) sendGap(s *hubState, losers, lost uint8) {
	if r.is(gapEach) {
		for i := range s.subs {
			if losers&(1<<i) != 0 {
				s.send(frame{kind: gap, topic: 1 << i, seq: lost})
			}
		}
	} else if losers != 0 {
		s.send(frame{kind: gap, topic: losers, seq: lost})
	}
}

// settle lets subscription 2 join where it meets the rest, and makes the connection live where it has read everything.
func (r *hubRules) settle(s *hubState) {
	sub := &s.subs[1]
	if sub.joining && sub.cursor == s.cursor {
		sub.joining, sub.cursor = false, 0
		s.send(frame{kind: ok, sub: 1, seq: s.cursor})
	}
	s.live = s.cursor == s.published && !sub.joining
}

// hubStatesPosition is what an idle connection is told before a ping.
func (r *hubRules) hubStatesPosition(s *hubState) bool {
	if s.stated || !s.up || !s.greeted || !s.live {
		return false
	}
	f := frame{kind: at, seq: max(s.cursor, s.shard)}
	switch {
	case r.is(atOvertakes):
		s.sendControl(f)
	case s.windowUsed == 0 && s.controlUsed == 0:
		s.send(f)
	default:
		return false
	}
	s.stated = true
	return true
}

func (r *hubRules) drop(s *hubState) bool {
	if !s.up || s.drops == r.drops {
		return false
	}
	s.drops++
	s.up, s.greeted, s.live, s.cursor, s.subs = false, false, false, 0, [2]hubSub{}
	s.window, s.windowUsed, s.control, s.controlUsed = [frameSlots]frame{}, 0, [2]frame{}, 0
	s.helloSent, s.subSent, s.presented, s.continued = false, false, [2]uint8{}, 0
	return true
}
