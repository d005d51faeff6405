package hotline

import (
	"fmt"
	"slices"

	"github.com/coder/websocket"
)

// What a test does with it.

func (c *strict) subscribe(topic, after string, replay int) *strictSub {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &strictSub{topic: topic, after: after, replay: replay, fresh: true}
	s.log = c.o.Sub(c.name, topic)
	s.log.State = !c.w.hub.rows.events(topic)
	c.subs = append(c.subs, s)
	if c.ws != nil {
		c.send("%s", c.request(s, `"op":"sub",`))
	}
	return s
}

// unsubscribe ends a subscription; if it is to be parked it is made again from where it stands now.
func (c *strict) unsubscribe(s *strictSub, park bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.ending || s.pushed || park && s.fresh {
		return
	}
	if s.joined {
		s.own = c.pos
	}
	if s.ending, s.remove = true, !park; !park {
		s.log.Finish()
	}
	if c.ws != nil && s.num != 0 {
		c.send(`{"op":"unsub","sub":%d}`, s.num)
	} else if !park {
		c.subs = slices.DeleteFunc(c.subs, func(o *strictSub) bool { return o == s })
	} else {
		s.ending = false
	}
}

func (c *strict) publish(topic, data, key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ref++
	p := &strictPub{ref: c.ref, topic: topic, data: data, key: key}
	c.waiting = append(c.waiting, p)
	c.o.Attempt(topic, data)
	c.sendPub(p)
}

func (c *strict) sendPub(p *strictPub) {
	p.refused = false
	c.send(`{"op":"pub","ref":%d,"topic":%q,"data":%s,"key":%q}`, p.ref, p.topic, p.data, p.key)
}

// closeWS closes the connection as a browser does that leaves the page.
func (c *strict) closeWS() {
	c.mu.Lock()
	ws := c.ws
	c.mu.Unlock()
	if ws != nil {
		ws.Close(websocket.StatusGoingAway, "")
	}
}

// settled reports whether all subscriptions have joined and all publishes were answered.
func (c *strict) settled() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ws == nil {
		return fmt.Errorf("%s is not connected", c.name)
	}
	for _, s := range c.subs {
		if !s.joined || s.ending {
			return fmt.Errorf("%s: %q has not joined (%+v)", c.name, s.topic, *s)
		}
	}
	if len(c.waiting) > 0 {
		return fmt.Errorf("%s: %d publishes were not answered", c.name, len(c.waiting))
	}
	return nil
}
