package hotline

import (
	"bytes"
	"crypto/rand"
	"errors"
	"slices"
)

// This file is about Presence values: they belong to a connection, so that a client has to publish again on each what
// it held on the one before. All of it needs mu.

// holds is a Presence value that the client holds.
type holds struct {
	topic  string
	data   payload
	ref    uint64   // of its publish
	on     *session // that it was last published on
	closes int      // of connections by the hub, while it was being published again
}

func (c *Client) holding(topic string) *holds {
	if i := slices.IndexFunc(c.held, func(h *holds) bool { return h.topic == topic }); i >= 0 {
		return c.held[i]
	}
	return nil
}

// hold notes that what p has published is the client's.
func (c *Client) hold(p *publishing) {
	data := p.data
	if !p.again {
		data.data = bytes.Clone(data.data) // it is the caller's again from now on
	}
	c.held = append(c.held, &holds{topic: p.topic, data: data, ref: p.ref, on: c.session})
}

func (c *Client) letGo(topic string) {
	c.held = slices.DeleteFunc(c.held, func(h *holds) bool { return h.topic == topic })
}

// giveUp is letGo where nobody can be told but the log.
func (c *Client) giveUp(s *session, topic string, why error) {
	c.letGo(topic)
	s.notes = append(s.notes, func() {
		c.log().Warn("hotline: a Presence value is not published again", "topic", topic, "error", why)
	})
}

// repeat publishes a value again.
func (c *Client) repeat(s *session, h *holds) {
	p, err := c.enqueue(h.topic, h.data, rand.Text(), true)
	if err != nil {
		c.giveUp(s, h.topic, err)
		return
	}
	p.closes = h.closes
}

// stillHeld is for a publish that has failed, to a topic of which the client may hold a value. If it was stored perhaps, it
// is what the application wanted last, and must not be overwritten by what was there before. And the value was not
// published on this connection yet if this publish was to take its place.
func (c *Client) stillHeld(p *publishing) {
	h := c.holding(p.topic)
	if h == nil {
		return
	}
	if errors.Is(p.err, ErrUncertain) && p.ref > h.ref {
		if p.data.null() {
			c.letGo(p.topic)
			return
		}
		h.data, h.ref = payload{bytes.Clone(p.data.data), p.data.binary}, p.ref
	}
	s := c.session
	if s == nil || !s.up || h.on == s {
		return
	}
	for _, o := range c.waiting {
		if o.topic == h.topic {
			return
		}
	}
	c.repeat(s, h)
}
