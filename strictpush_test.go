package hotline

import (
	"slices"

	"github.com/gohotline/hotline/internal/wire"
)

// This file is how the strict client handles what the server subscribes.

// move is the connection's position. What the server has subscribed and has yet to join would go on from there on the next
// connection.
func (c *strict) move(pos string, f *wire.ServerFrame) {
	for _, s := range c.subs {
		if s.pushed && s.fresh && s.num != f.Sub && pos != c.pos && c.after != "" {
			s.early = append(s.early, func() { s.log.Due(pos) })
		}
	}
	c.pos = pos
}

// push is a subscription that the server has made. It goes on from the position of the hello.
func (c *strict) push(f *wire.ServerFrame) {
	i := slices.IndexFunc(c.subs, func(s *strictSub) bool { return s.pushed && s.topic == f.Topic })
	if i < 0 {
		s := &strictSub{topic: f.Topic, pushed: true}
		s.log = c.o.Sub(c.name+", by the server", f.Topic)
		s.log.State = !c.w.hub.rows.events(f.Topic)
		c.subs = append(c.subs, s)
		i = len(c.subs) - 1
	}
	s := c.subs[i]
	if f.Sub >= 0 || s.num != 0 {
		c.o.Fail("%s: %s, which is %d", c.name, brief(*f), s.num)
	}
	s.num, s.own, s.fresh, s.early, s.shown = f.Sub, c.after, true, nil, make(map[string]bool)
}

// begin tells the oracle of one that the server has made, now that it has joined. Before that nothing counts: the
// client would come back with the position that it had.
func (s *strictSub) begin() {
	if s.own == "" {
		s.log.Begin("", 0)
	} else {
		s.log.Resume(s.own)
	}
	for _, tell := range s.early {
		tell()
	}
}
