package model

import "fmt"

const (
	asked  = 1 // for by the client, or presented in a hello
	joined = 2 // it has had its ok
)

// A clientSub is the client's knowledge of a subscription, and what the check knows of it.
type clientSub struct {
	state uint8
	own   uint8 // its position plus one, while it has not joined
	last  uint8 // the entry up to which it has everything or was told of the loss; this the check knows alone
}

func (r *hubRules) clientAsks(s *hubState) bool {
	if !s.up || s.asked {
		return false
	}
	s.asked, s.subSent, s.client[1].state = true, true, asked
	return true
}

// clientParks ends subscription 2, whose buffer is full, and asks for it again from where it is.
func (r *hubRules) clientParks(s *hubState) bool {
	if !r.parks || s.parked || !s.up || !s.greeted || s.subSent || s.client[1].state != joined {
		return false
	}
	s.parked, s.subSent = true, true
	s.client[1].state, s.client[1].own, s.continued = asked, s.position, s.position
	if !r.is(sameNumber) {
		s.life = 1
	}
	return true
}

func (r *hubRules) clientReconnects(s *hubState) bool {
	if s.up {
		return false
	}
	s.up, s.helloSent = true, true
	for i := range s.client {
		c := &s.client[i]
		if c.state == 0 {
			s.presented[i] = notSubscribed
			continue
		}
		p := c.own
		if c.state == joined || r.is(oneAfter) && (c.own != 0 || r.is(oneAfterForAll)) {
			p = s.position
		}
		s.presented[i] = p
		c.state, c.own = asked, p
	}
	return true
}

// clientGets receives what overtakes first, else the next frame of the window.
func (r *hubRules) clientGets(s *hubState) (bool, error) {
	var f frame
	switch {
	case !s.up:
		return false, nil
	case s.controlUsed > 0:
		f = s.control[0]
		s.controlUsed--
		copy(s.control[:], s.control[1:])
		s.control[s.controlUsed] = frame{}
	case s.windowUsed > 0:
		f = s.window[0]
		s.windowUsed--
		copy(s.window[:], s.window[1:])
		s.window[s.windowUsed] = frame{}
	default:
		return false, nil
	}
	ended := f.life != s.life // the hub had not yet heard that the client ended subscription 2 when it sent this
	switch f.kind {
	case ok:
		if ended && f.sub == 1 {
			return true, nil
		}
		return true, r.clientGetsOK(s, f)
	case at:
		s.position = f.seq + 1
	case gap:
		return true, r.clientGetsGap(s, f, ended)
	case message:
		if ended && f.alone {
			return true, nil
		}
		return true, r.clientGetsMessage(s, f)
	}
	return true, nil
}

func (r *hubRules) clientGetsOK(s *hubState, f frame) error {
	c := &s.client[f.sub]
	if c.own == 0 && c.state != joined { // nothing received and no position: it begins here
		c.last = f.seq
	} else if f.seq > c.last && r.missing(s, int(f.sub), c.last, f.seq) {
		return fmt.Errorf("P2: subscription %d had up to %d, is continued at %d without a gap", f.sub+1, c.last, f.seq)
	}
	c.state = joined
	if !r.is(positionUnsaid) {
		s.position = f.seq + 1
	}
	return nil
}

func (r *hubRules) clientGetsGap(s *hubState, f frame, ended bool) error {
	for i := range s.client {
		if f.topic&(1<<i) == 0 || i == 1 && ended {
			continue
		}
		c := &s.client[i]
		if !r.missing(s, i, c.last, f.seq) {
			return fmt.Errorf("false gap: subscription %d has everything up to %d, is told of a loss up to %d", i+1, c.last, f.seq)
		}
		c.last, c.own = f.seq, f.seq+1
	}
	if (!f.alone || r.is(gapMovesAll)) && !r.is(gapUnplaced) {
		s.position = f.seq + 1
	}
	return nil
}

func (r *hubRules) clientGetsMessage(s *hubState, f frame) error {
	if f.alone && !r.is(replayUntagged) {
		c := &s.client[f.sub]
		if c.own == 0 {
			c.last = f.seq - 1 // the first of a replay: nothing before it was asked for
		}
		c.own = f.seq + 1
		return r.deliver(s, int(f.sub), f.seq)
	}
	s.position = f.seq + 1
	for i := range s.client {
		c := &s.client[i]
		listens := c.state == joined || r.is(replayUntagged) && c.state == asked && c.own != 0
		if !listens || !r.matches(i, f.topic) {
			continue
		}
		if err := r.deliver(s, i, f.seq); err != nil {
			return err
		}
	}
	return nil
}

// deliver hands a message to the application: here the promises are kept or broken.
func (r *hubRules) deliver(s *hubState, sub int, seq uint8) error {
	c := &s.client[sub]
	if seq <= c.last {
		return fmt.Errorf("P1/P3: subscription %d gets %d after %d, a duplicate or out of order", sub+1, seq, c.last)
	}
	if r.missing(s, sub, c.last, seq-1) {
		return fmt.Errorf("P2: subscription %d gets %d after %d, one between them silently lost", sub+1, seq, c.last)
	}
	c.last = seq
	return nil
}

// atRest checks the states in which nothing more will come by itself.
func (r *hubRules) atRest(s *hubState) error {
	if s.published < r.publishes || s.shard < s.published || !s.greeted || !s.live ||
		s.helloSent || s.subSent || s.windowUsed > 0 || s.controlUsed > 0 {
		return nil
	}
	for i := range s.client {
		c := &s.client[i]
		if c.state == joined && r.missing(s, i, c.last, s.published) {
			return fmt.Errorf("P2: at rest subscription %d has up to %d of %d, the rest silently lost", i+1, c.last, s.published)
		}
		if s.subs[i].on && c.state != joined {
			return fmt.Errorf("at rest subscription %d has not joined", i+1)
		}
	}
	return nil
}

func showNext(s *hubState) string {
	f := s.window[0]
	if s.controlUsed > 0 {
		f = s.control[0]
	}
	switch f.kind {
	case message:
		text := fmt.Sprintf("message %d on %c", f.seq, 'A'+f.topic)
		if f.alone {
			text += fmt.Sprintf(", tagged %d", f.sub+1)
		}
		return text
	case ok:
		return fmt.Sprintf("ok of %d at %d", f.sub+1, f.seq)
	case gap:
		return fmt.Sprintf("gap of subscriptions %02b at %d", f.topic, f.seq)
	default:
		return fmt.Sprintf("at %d", f.seq)
	}
}
