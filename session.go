package hotline

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/coder/websocket"

	"github.com/gohotline/hotline/internal/frame"
	"github.com/gohotline/hotline/internal/wire"
)

// session is one connection of a Client. One goroutine reads, that of Client.run, and one writes; what the client does
// in between is under its lock.
type session struct {
	// Static after construction.
	c    *Client
	ws   *websocket.Conn
	link *link
	wake chan struct{} // buffered, 1; never closed

	// Guarded by Client.mu.
	up       bool // there was a welcome: publishes go out
	since    time.Time
	nums     map[int64]*remoteReader
	last     int64 // the number that was given last
	pong     bool  // one is due
	out      queue[outgoing]
	outBytes int // of out and of what is being written
	patience time.Duration
	clock    *time.Timer // looks whether anything was received for so long
	dead     bool        // and nothing was
	notes    []func()    // for the log, once mu is free: a handler may use the client

	// What the hub said before it closed.
	bye      int
	reason   string
	retry    time.Duration
	hasRetry bool
}

// outgoing is a frame on its way to the hub.
type outgoing struct {
	frame  []byte
	binary bool
	pub    *publishing // nil: it is none that is answered
}

const (
	handshakeTimeout = 15 * time.Second // and that of Token
	firstPatience    = 35 * time.Second // until welcome says otherwise
	leaveTimeout     = time.Second
	usualMaxIn       = 64 << 10 // bytes of a message that a hub takes, as long as it has not said so
)

// greet makes s the client's session: the hello, with all subscriptions, is the first thing to be sent. Those that would make
// it too large for the hub follow one by one.
func (c *Client) greet(s *session, hello wire.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session = s
	hello.After = c.pos
	limit := c.maxIn
	if limit == 0 {
		limit = usualMaxIn
	}
	size := len(wire.AppendRequest(nil, hello))
	var rest [][]byte
	for _, r := range c.subs {
		if r.parked || r.ended {
			continue
		}
		req := c.number(s, r)
		frame := appendSub(req)
		if size += len(frame); size <= limit {
			hello.Subs = append(hello.Subs, req)
		} else {
			rest = append(rest, frame)
		}
	}
	s.push(outgoing{frame: wire.AppendRequest(nil, hello)})
	for _, frame := range rest {
		s.push(outgoing{frame: frame})
	}
}

func appendSub(req wire.SubRequest) []byte {
	return wire.AppendRequest(nil, wire.Request{
		Op: wire.OpSub, Sub: req.Sub, Topic: req.Topic, After: req.After, Replay: req.Replay,
	})
}

// push queues a frame. It needs mu.
func (s *session) push(o outgoing) {
	s.out.push(o)
	s.outBytes += len(o.frame)
	s.poke()
}

func (s *session) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// talk is the life of a connection. It returns why it has ended.
func (s *session) talk() error {
	c := s.c
	ctx, cancel := context.WithCancel(context.Background())
	written := make(chan struct{})
	go func() {
		defer close(written)
		s.write(ctx)
	}()
	left := make(chan struct{})
	stop := context.AfterFunc(c.ctx, func() {
		defer close(left)
		s.leave()
	})
	c.mu.Lock()
	s.clock = time.AfterFunc(s.patience, s.check)
	c.mu.Unlock()
	err := s.read()
	s.clock.Stop()
	if !stop() {
		<-left
	}
	s.link.Close()
	cancel()
	s.ws.CloseNow()
	<-written
	err = s.over(err)
	say(s.notes)
	return err
}

// read handles what the hub sends until nothing more comes.
func (s *session) read() error {
	c := s.c
	var buf []byte
	var decoder wire.Decoder
	grace := time.NewTimer(time.Hour)
	defer grace.Stop()
	for {
		typ, r, err := s.ws.Reader(context.Background())
		if err != nil {
			return err
		}
		if buf, err = frame.ReadAll(r, buf[:0], math.MaxInt); err != nil {
			return err
		}
		f, err := decoder.Decode(buf, typ == websocket.MessageBinary)
		if err != nil {
			return fmt.Errorf("%w: %w", errHub, err)
		}
		c.mu.Lock()
		c.handle(s, &f)
		full := c.crowded
		c.crowded = nil
		notes := s.notes
		s.notes = nil
		c.mu.Unlock()
		say(notes)
		if full != nil {
			grace.Reset(bufferGrace)
			full.await(grace.C)
		}
		if cap(buf) > 256<<10 {
			buf = nil
		}
	}
}

func say(notes []func()) {
	for _, note := range notes {
		note()
	}
}

// write sends what is queued, a pong before anything else, until ctx is done or the connection fails.
func (s *session) write(ctx context.Context) {
	for {
		o, ok := s.pull()
		if !ok {
			select {
			case <-s.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		typ := websocket.MessageText
		if o.binary {
			typ = websocket.MessageBinary
		}
		if err := s.ws.Write(ctx, typ, o.frame); err != nil {
			s.link.Close() // whoever reads finds out
			return
		}
		s.c.mu.Lock()
		s.outBytes -= len(o.frame)
		s.c.mu.Unlock()
	}
}

var pong = []byte(`{"op":"pong"}`)

// errHub is final: the same would come again.
var errHub = errors.New("hotline: the hub breaks the protocol")

// pull takes the next frame from the queue.
func (s *session) pull() (o outgoing, ok bool) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.pong {
		s.pong = false
		s.outBytes += len(pong)
		return outgoing{frame: pong}, true
	}
	for {
		if o, ok = s.out.pop(); !ok || o.pub == nil {
			return o, ok
		}
		if s.c.waiting[o.pub.ref] == o.pub { // it was not given up meanwhile
			o.pub.begin(s)
			return o, true
		}
		s.outBytes -= len(o.frame)
	}
}

// leave ends the connection at the client's wish, after a moment in any case.
func (s *session) leave() {
	t := time.AfterFunc(leaveTimeout, func() { s.link.Close() })
	defer t.Stop()
	s.ws.Close(websocket.StatusNormalClosure, "")
}

// check ends a connection over which nothing has come for too long.
func (s *session) check() {
	s.c.mu.Lock()
	silent := s.link.silent()
	if s.patience > silent {
		s.clock.Reset(s.patience - silent)
	} else if s.patience > 0 { // otherwise the hub sends no pings
		s.dead = true
	}
	dead := s.dead
	s.c.mu.Unlock()
	if dead {
		s.link.Close()
	}
}

// over forgets the session, and says why it has ended.
func (s *session) over(err error) error {
	c := s.c
	var closed websocket.CloseError
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case errors.As(err, &closed):
		err = &CloseError{Code: int(closed.Code), Reason: closed.Reason}
	case s.bye != 0: // the Close frame has been lost
		err = &CloseError{Code: s.bye, Reason: s.reason}
	case errors.Is(err, websocket.ErrMessageTooBig):
		err = fmt.Errorf("%w: it sent more than the %d bytes that it promised", errHub, c.maxOut)
	case s.dead:
		err = fmt.Errorf("%w: nothing was received for %s", errNoPong, s.patience)
	}
	c.session, c.last = nil, err
	for _, r := range c.subs {
		c.unnumber(s, r)
	}
	clear(c.exact)
	c.wild = nil
	c.unsent(s, closed.Code != 0 || s.bye != 0)
	return err
}

// welcome is the hub's first word.
func (c *Client) welcome(s *session, f *wire.ServerFrame) {
	if s.up {
		return
	}
	s.up, s.since = true, time.Now()
	s.patience = 0
	if f.Ping > 0 {
		s.patience = f.Ping + f.Grace
		s.clock.Reset(s.patience)
	}
	if c.maxOut = f.MaxOut; c.maxOut == 0 {
		s.ws.SetReadLimit(-1)
	} else {
		s.ws.SetReadLimit(int64(c.maxOut))
	}
	c.maxIn, c.last = f.MaxIn, nil
	c.resend(s)
	select {
	case <-c.ready:
	default:
		close(c.ready)
	}
	c.state.put(nil)
	conn := f.Conn
	s.notes = append(s.notes, func() { c.log().Debug("hotline: connected", "url", c.shown, "conn", conn) })
}
