package interop

import (
	"fmt"
	"strings"
	"time"

	"github.com/gohotline/hotline"
)

// openPlain connects the client without a subprotocol.
func (r *run) openPlain(hub *service) *session {
	r.Helper()
	s, e := r.connect(target{url: hub.url})
	if e.kind != evOpen || e.data != "" {
		r.Fatalf("connecting without a subprotocol: %v", e)
	}
	return s
}

func testPlain(r *run) {
	hub := serve(r.T, (*service).plain)
	s := r.openPlain(hub)
	for _, sent := range []string{"hello", "", `{"json":true}`, "žluťoučký 🐎", long} {
		s.send(false, sent)
		if got := hub.hears(r.T); got != sent {
			r.Errorf("the client sent %.100q, OnMessage got %.100q", sent, got)
		}
	}
	bytes := "\x00\xff\n" + long
	s.send(true, bytes)
	if got := hub.hears(r.T); got != bytes {
		r.Errorf("the client sent %.100q, OnMessage got %.100q", bytes, got)
	}
	expect := func(kind, data string) {
		r.Helper()
		if e := s.next(evText, evBinary); e.kind != kind || e.data != data {
			r.Errorf("the client received %v, want %s %.100q", e, kind, data)
		}
	}
	hub.publish(r.T, "test.news", "a text")
	expect(evText, "a text")
	hub.publish(r.T, "test.other", "not subscribed")
	hub.publish(r.T, "test.news", map[string]any{"n": 1})
	expect(evText, `{"n":1}`)
	hub.publish(r.T, "test.news", hotline.Binary(bytes))
	expect(evBinary, bytes)
	for i := range 1000 {
		hub.publish(r.T, "test.news", i)
	}
	for i := range 1000 {
		expect(evText, fmt.Sprint(i))
	}
}

// testPlainPings has the hub ping with frames of RFC 6455, which the client answers by itself.
func testPlainPings(r *run) {
	hub := serve(r.T, func(s *service, o *hotline.HubOptions) {
		s.plain(o)
		o.Limits.PingInterval = 50 * time.Millisecond
	})
	s := r.openPlain(hub)
	link := hub.tap.last()
	pings := link.down.wait(r.T, "the hub's ping", 3, isOp(opPing))
	pongs := link.up.wait(r.T, "the client's pong", 3, isOp(opPong))
	for i := range 3 {
		if pings[i].control != pongs[i].control {
			r.Errorf("the answer to ping %q is %q", pings[i].control, pongs[i].control)
		}
		if r.lacks("shows pings") {
			continue
		}
		if e := s.next(evPing); e.data != pings[i].control {
			r.Errorf("the client reports %v, the hub sent %q", e, pings[i].control)
		}
	}
	hub.publish(r.T, "test.news", "alive")
	if e := s.next(evText); e.data != "alive" {
		r.Errorf("the client received %v", e)
	}
	reason := "lost " + strings.Repeat("é", 50)
	hub.conn(r.T).Close(3003, reason)
	s.closed(3003, reason)

	s = r.openPlain(hub)
	s.send(false, `{"op":"hello"}`)
	if e := s.next(evClose); e.code != 3502 {
		r.Errorf("a hello on a plain connection: %v", e)
	}
}
