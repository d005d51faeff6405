package interop

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// target is what a client connects to.
type target struct {
	url       string
	protocols []string
	origin    string // empty: the client's own affair
	authority string // file with the certificate to trust; empty: whatever the client trusts
	deflate   bool   // offer permessage-deflate
}

// What a client reports of a connection.
const (
	evOpen    = "open"    // data: the subprotocol
	evText    = "text"    //
	evBinary  = "binary"  //
	evPing    = "ping"    // the hub's
	evPong    = "pong"    // the hub's
	evClose   = "close"   // a Close frame came, with code and reason
	evLost    = "lost"    // the connection ended without one
	evRefused = "refused" // the handshake was answered with a status; 0 if the client does not tell
	evFailed  = "failed"  // there was no handshake
)

type event struct {
	kind string
	code int // of evClose, evRefused
	data string
}

func (e event) String() string { return fmt.Sprintf("%s %d %.200q", e.kind, e.code, e.data) }

// socket is a connection of a client.
type socket interface {
	send(binary bool, parts ...string) error // more than one part: a fragmented message
	ping(payload string) error
	close(code int, reason string) error
	abandon() // frees what the client holds
}

// dialer makes a client connect. It reports evOpen before anything else; if there is no connection it says why, and the
// socket is nil or useless.
type dialer func(to target, report func(event)) socket

// client is a client that others wrote.
type client struct {
	name  string
	about string // language, version
	start func(*testing.T) dialer
	lacks map[string]string // what it can't do or doesn't show, and why
}

// mailbox holds events until they are asked for.
type mailbox struct {
	mu   sync.Mutex
	list []event
	more chan struct{}
}

func (m *mailbox) put(e event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.list = append(m.list, e)
	select {
	case m.more <- struct{}{}:
	default:
	}
}

func (m *mailbox) take() (event, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.list) == 0 {
		return event{}, false
	}
	e := m.list[0]
	m.list = m.list[1:]
	return e, true
}

// session is a connection as the judge sees it.
type session struct {
	r    *run
	t    *testing.T
	sock socket
	in   *mailbox
	seen []event // pings and pongs that nobody has asked for
}

// connect makes the client connect, and returns what it says first.
func (r *run) connect(to target) (*session, event) {
	r.Helper()
	s := &session{r: r, t: r.T, in: &mailbox{more: make(chan struct{}, 1)}}
	s.sock = r.dial(to, sabotaged(s.in.put))
	if s.sock != nil {
		r.Cleanup(s.sock.abandon)
	}
	return s, s.next(evOpen, evRefused, evFailed)
}

// next returns the next event, which must be of one of the kinds. Pings and pongs are kept for whoever asks for them.
func (s *session) next(kinds ...string) event {
	s.t.Helper()
	for i, e := range s.seen {
		if slices.Contains(kinds, e.kind) {
			s.seen = slices.Delete(s.seen, i, i+1)
			return e
		}
	}
	timeout := time.After(patience)
	for {
		e, ok := s.in.take()
		if !ok {
			select {
			case <-s.in.more:
			case <-timeout:
				s.t.Fatalf("waiting in vain for %v", kinds)
			}
			continue
		}
		if slices.Contains(kinds, e.kind) {
			return e
		}
		if e.kind != evPing && e.kind != evPong {
			s.t.Fatalf("the client reports %v, want %v", e, kinds)
		}
		s.seen = append(s.seen, e)
	}
}

// send sends a message.
func (s *session) send(binary bool, parts ...string) {
	s.t.Helper()
	if err := s.sock.send(binary, parts...); err != nil {
		s.t.Fatalf("sending %.100q: %v", parts, err)
	}
}

// say sends a frame of the protocol.
func (s *session) say(format string, args ...any) {
	s.t.Helper()
	s.send(false, fmt.Sprintf(format, args...))
}
