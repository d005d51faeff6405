package hotline

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/gohotline/hotline/internal/memnet"
	"github.com/gohotline/hotline/internal/oracle"
	"github.com/gohotline/hotline/internal/pattern"
	"github.com/gohotline/hotline/internal/wire"
)

// strict is a client that keeps itself connected and follows the five rules of the protocol and nothing else: it takes
// nothing for granted that the hub has not said, and reports to the oracle whatever the rules do not allow.
type strict struct {
	// Static after construction.
	w    *world
	o    *oracle.Oracle
	name string
	link *memnet.Link
	user string        // its token
	done chan struct{} // closed when run has ended

	mu      sync.Mutex
	ws      *websocket.Conn // nil: not connected
	life    time.Duration   // it gives a connection up of which it has heard nothing for so long
	pos     string          // rule 1
	after   string          // what this connection's hello said of it
	subs    []*strictSub
	last    int64 // number of a subscription, of this connection
	waiting []*strictPub
	ref     uint64
	stopped bool

	sabotage func(f *wire.ServerFrame) []*wire.ServerFrame // what is handled in the place of a frame; nil: the frame
	dials    int
}

// strictSub is one subscription in the life of the client, whatever its numbers on the wire.
type strictSub struct {
	topic  string
	pushed bool   // by the server
	after  string // what the application asked for
	replay int

	num    int64  // on this connection; 0: none
	fresh  bool   // nothing was received yet
	own    string // rule 2
	joined bool   // it has had its ok
	ending bool   // unsub was sent: what comes is dropped
	remove bool   // and it is over then; otherwise it was parked

	log    *oracle.Sub
	early  []func() // what is to be told to log of one that the server made, once it has joined
	values map[string]oracle.Value
	shown  map[string]bool // topics that were shown since State began again
}

type strictPub struct {
	ref              uint64
	topic, data, key string
	refused          bool // for the moment: it is sent again on the next connection
}

// newStrict starts a client. It runs until stop.
func newStrict(w *world, o *oracle.Oracle, name string) *strict { return newStrictUser(w, o, name, "") }

// newStrictUser is newStrict with a token.
func newStrictUser(w *world, o *oracle.Oracle, name, user string) *strict {
	c := &strict{w: w, o: o, name: name, link: w.net.Link(), user: user, done: make(chan struct{}), life: 35 * time.Second}
	w.t.Cleanup(c.stop)
	go c.run()
	return c
}

func (c *strict) run() {
	defer close(c.done)
	rng := rand.New(rand.NewPCG(1, uint64(len(c.name))))
	for {
		c.mu.Lock()
		stopped := c.stopped
		c.mu.Unlock()
		if stopped {
			return
		}
		c.session()
		time.Sleep(time.Duration(rng.Int64N(int64(300 * time.Millisecond))))
	}
}

// stop ends run and waits for it.
func (c *strict) stop() {
	c.mu.Lock()
	c.stopped = true
	ws := c.ws
	c.mu.Unlock()
	if ws != nil {
		ws.CloseNow()
	}
	<-c.done
}

// session is one connection.
func (c *strict) session() {
	t, err := c.w.tryDial(c.link, wire.Protocol)
	if err != nil {
		return
	}
	defer t.ws.CloseNow()
	c.mu.Lock()
	c.ws, c.last = t.ws, 0
	c.dials++
	if c.stopped {
		c.mu.Unlock()
		return
	}
	c.sayHello()
	c.mu.Unlock()
	for first := true; ; first = false {
		ctx, cancel := context.WithTimeout(context.Background(), c.life)
		typ, msg, err := t.ws.Read(ctx)
		cancel()
		if err != nil {
			break
		}
		f, err := wire.DecodeServer(msg, typ == websocket.MessageBinary)
		if err != nil {
			c.o.Fail("%s: %q: %v", c.name, msg, err)
		}
		if first != (f.Op == "welcome") && f.Op != "bye" {
			c.o.Fail("%s: %q as the first frame", c.name, msg)
		}
		c.mu.Lock()
		list := []*wire.ServerFrame{&f}
		if c.sabotage != nil {
			list = c.sabotage(&f)
		}
		for _, f := range list {
			c.handle(f)
		}
		c.mu.Unlock()
	}
	c.mu.Lock()
	c.dropped()
	c.mu.Unlock()
}

// sayHello sends the hello and, first of all, the publishes that were not answered (rule 5). It needs mu, as do all
// that follow.
func (c *strict) sayHello() {
	var subs []string
	for _, s := range c.subs {
		if !s.pushed {
			subs = append(subs, c.request(s, ""))
		}
	}
	after := ""
	if c.after = c.pos; c.after != "" {
		after = fmt.Sprintf(`"after":%q,`, c.after)
	}
	c.send(`{"op":"hello","token":%q,%s"subs":[%s]}`, c.user, after, strings.Join(subs, ","))
	for _, p := range c.waiting {
		c.sendPub(p)
	}
}

// request makes what a subscription presents (rule 4).
func (c *strict) request(s *strictSub, op string) string {
	c.last++
	s.num, s.joined, s.ending = c.last, false, false
	s.shown = make(map[string]bool)
	r := fmt.Sprintf(`{%s"sub":%d,"topic":%q`, op, s.num, s.topic)
	if s.fresh {
		s.log.Begin(s.after, s.replay)
		if s.after != "" {
			r += fmt.Sprintf(`,"after":%q`, s.after)
		}
		if s.replay > 0 {
			r += fmt.Sprintf(`,"replay":%d`, s.replay)
		}
	} else {
		s.log.Resume(s.own)
		r += fmt.Sprintf(`,"after":%q`, s.own)
	}
	return r + "}"
}

func (c *strict) send(format string, args ...any) {
	if c.ws == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c.ws.Write(ctx, websocket.MessageText, fmt.Appendf(nil, format, args...))
}

// dropped notes where everything stands: the connection is gone.
func (c *strict) dropped() {
	c.ws = nil
	c.subs = slices.DeleteFunc(c.subs, func(s *strictSub) bool { return s.ending && s.remove })
	for _, s := range c.subs {
		if s.joined && !s.ending {
			s.own = c.pos
		}
		s.num, s.joined, s.ending, s.fresh = 0, false, false, s.fresh && !s.pushed
	}
}

func (c *strict) find(num int64) *strictSub {
	for _, s := range c.subs {
		if s.num == num && num != 0 {
			return s
		}
	}
	return nil
}

// handle does what the rules say.
func (c *strict) handle(f *wire.ServerFrame) {
	s := c.find(f.Sub)
	if s == nil && f.Sub != 0 && f.Op != "push" {
		c.o.Fail("%s: %s for a number that is not used", c.name, brief(*f))
		return
	}
	switch f.Op {
	case "welcome":
		if c.life = f.Ping + f.Grace; c.life == 0 {
			c.life = never
		}
	case "bye":
	case "push":
		c.push(f)
	case "ping":
		c.send(`{"op":"pong"}`)
	case "at":
		c.advance(f, nil)
	case "gap":
		c.gap(f, s)
	case "reset":
		s.joined, s.own = false, c.pos
		s.shown = make(map[string]bool)
	case "end":
		c.ended(f, s)
	case "":
		c.message(f, s)
	case "ok":
		if f.HasRef {
			c.answered(f)
			return
		}
		c.advance(f, nil)
		if s.joined {
			c.o.Fail("%s: a second ok for %d", c.name, s.num)
		}
		if s.joined = true; s.ending {
			return
		}
		if s.pushed {
			s.begin()
		}
		s.fresh, s.own = false, ""
		s.log.OK(f.At)
		s.prune()
	case "err":
		if i := slices.IndexFunc(c.waiting, func(p *strictPub) bool { return p.ref == f.Ref }); f.HasRef && f.Again && i >= 0 {
			c.waiting[i].refused = true
			return
		}
		c.o.Fail("%s: %+v", c.name, *f)
	default:
		c.o.Fail("%s: unknown op %q", c.name, f.Op)
	}
}

// advance is rule 1: the hub says that the connection has everything up to f.At. except have had a gap.
func (c *strict) advance(f *wire.ServerFrame, except []int64) {
	c.move(f.At, f)
	for _, s := range c.subs {
		if s.joined && !s.ending && !slices.Contains(except, s.num) {
			s.log.At(f.At, brief(*f))
		}
	}
}

func (c *strict) gap(f *wire.ServerFrame, s *strictSub) {
	if s != nil { // it concerns this one alone, which has not joined
		if s.joined || len(f.Subs) != 1 || f.Subs[0] != s.num {
			c.o.Fail("%s: a tagged %s", c.name, brief(*f))
		}
		if s.pushed && s.fresh {
			s.early = append(s.early, func() { s.log.Gap(f.At, f.Missed, f.Cause) })
		} else if !s.ending {
			s.own, s.fresh = f.At, false
			s.log.Gap(f.At, f.Missed, f.Cause)
		}
		return
	}
	if len(f.Subs) == 0 {
		c.o.Fail("%s: a gap for nobody", c.name)
	}
	for _, n := range f.Subs {
		switch s := c.find(n); {
		case s == nil || !s.joined:
			c.o.Fail("%s: %s, but %d has not joined", c.name, brief(*f), n)
		case !s.ending:
			s.log.Gap(f.At, f.Missed, f.Cause)
		}
	}
	c.advance(f, f.Subs)
}

func (c *strict) ended(f *wire.ServerFrame, s *strictSub) {
	switch {
	case f.Code != "" && !f.Again || f.Code == "" && !s.ending:
		c.o.Fail("%s: %s", c.name, brief(*f))
	case s.ending && s.remove:
		c.subs = slices.DeleteFunc(c.subs, func(o *strictSub) bool { return o == s })
		return
	}
	s.num, s.ending, s.joined = 0, false, false
	if f.Code == "" {
		c.send("%s", c.request(s, `"op":"sub",`))
	}
}

// message is rules 2 and 3.
func (c *strict) message(f *wire.ServerFrame, s *strictSub) {
	if s != nil {
		if s.joined {
			c.o.Fail("%s: %s, tagged, after its ok", c.name, brief(*f))
		}
		if s.ending {
			return
		}
		if f.ID != "" {
			s.own, s.fresh = f.ID, false
		}
		c.deliver(s, f)
		return
	}
	if f.ID != "" {
		c.move(f.ID, f)
	}
	found := false
	for _, s := range c.subs {
		if !s.joined || !pattern.Covers(s.topic, f.Topic) {
			continue
		}
		if found = true; !s.ending {
			c.deliver(s, f)
		}
	}
	if !found && f.ID+f.Rev != "" { // a signal may come while the subscription still joins
		c.o.Fail("%s: %s, but nobody is subscribed to that", c.name, brief(*f))
	}
}

func (c *strict) deliver(s *strictSub, f *wire.ServerFrame) {
	switch {
	case f.ID != "":
		s.log.Message(f.Topic, f.ID, string(f.Data))
	case f.Rev != "":
		s.value(c, f)
	}
}

// value takes a State value. One that it has already is dropped; one that is older must not come.
func (s *strictSub) value(c *strict, f *wire.ServerFrame) {
	v := oracle.Value{Rev: s.log.SeqOf(f.Rev), Data: string(f.Data)}
	if f.Gone {
		v.Data = ""
	}
	old, ok := s.values[f.Topic]
	s.shown[f.Topic] = true
	if ok && v.Rev < old.Rev && !c.o.Hollow { // another hub may lag behind
		c.o.Fail("%s: %s has rev %d after %d", c.name, brief(*f), v.Rev, old.Rev)
	}
	if s.values == nil {
		s.values = make(map[string]oracle.Value)
	}
	s.values[f.Topic] = v
	c.o.StateSeen(f.Topic, v)
}

// prune drops what was not among the present values, now that all have come.
func (s *strictSub) prune() {
	for topic, v := range s.values {
		if !s.shown[topic] {
			s.values[topic] = oracle.Value{Rev: v.Rev}
		}
	}
}

func (c *strict) answered(f *wire.ServerFrame) {
	i := slices.IndexFunc(c.waiting, func(p *strictPub) bool { return p.ref == f.Ref })
	first := slices.IndexFunc(c.waiting, func(p *strictPub) bool { return !p.refused })
	if i != first || i < 0 {
		c.o.Fail("%s: answer %d is for the %dth that waits", c.name, f.Ref, i)
		return
	}
	p := c.waiting[i]
	c.waiting = slices.Delete(c.waiting, i, i+1)
	c.o.Accepted(p.topic, p.data, f.ID)
}
