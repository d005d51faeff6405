//go:build linux

package main

import (
	"bytes"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// A peer is one way to send messages to many connections: a library, used as its own documentation does, or a floor. Its
// methods may be called concurrently.
type peer interface {
	// serve accepts connections until the process ends.
	serve(l net.Listener) error
	// publish sends a payload to the subscribers of a topic, and returns when the code that calls it would go on.
	publish(topic string, payload []byte)
}

// A burster is a floor that sends a whole burst as one write a connection.
type burster interface {
	burst(payloads [][]byte)
}

type options struct {
	tls, deflate bool
	history      bool // what was published can be resumed from
}

// A dialect is how a client of a peer speaks.
type dialect struct {
	path     string
	protocol string // the subprotocol it asks for
	hello    func(topics []string) []string
	greeting string // it is awaited before the second message; "": nothing is
	ready    string // what a server sends once a subscription; "": the handshake is all
	once     bool   // it sends that for all of a connection's together

	// place notes in was, which begins as "", where a connection stands, of what it has received; again is the hello of
	// one that comes back there. nil: resuming is not measured, most know none.
	place func(was string, msg []byte) string
	again func(topics []string, place string) []string
	whole bool // a place is one in all topics
}

// A candidate is a peer that can be chosen.
type candidate struct {
	make    func(options) (peer, error) // nil: a program of its own
	script  string                      // of Node
	dialect dialect
	topics  bool // it has any; else everybody gets everything
	tls     bool
	deflate bool
	floor   bool // nothing but system calls
	joins   bool // only bursts
	polls   bool // takes part in the work of that name alone
}

// peers in the order of the tables; hotline is what the ratios are to.
var peers = map[string]candidate{
	"hotline":           {make: newHotline, dialect: hotlineDialect, topics: true, tls: true, deflate: true},
	"centrifuge":        {make: newCentrifuge, dialect: centrifugeDialect, topics: true, tls: true, deflate: true},
	"gorilla chat":      {make: newGorilla, tls: true, deflate: true},
	"gorilla prepared":  {make: newGorillaPrepared, tls: true, deflate: true},
	"melody":            {make: newMelody, tls: true, deflate: true},
	"gws":               {make: newGws, tls: true, deflate: true},
	"nbio":              {make: newNbio},
	"coder":             {make: newCoder, tls: true, deflate: true},
	"ws (Node)":         {script: "ws.mjs"},
	"socket.io (Node)":  {script: "socketio.mjs", dialect: socketioDialect, topics: true},
	"write(2)":          {make: newFloor, floor: true},
	"HTTP polling":      {make: newPolling, floor: true, polls: true},
	"one write, no hub": {make: newJoined, floor: true, joins: true},
}

func peerNames() []string {
	names := slices.Sorted(maps.Keys(peers))
	rank := func(name string) int {
		switch {
		case name == "hotline":
			return 0
		case peers[name].floor:
			return 2
		}
		return 1
	}
	slices.SortStableFunc(names, func(a, b string) int { return rank(a) - rank(b) })
	return names
}

var hotlineDialect = dialect{
	protocol: "hotline.v1",
	whole:    true,
	ready:    `"op":"ok"`,
	hello: func(topics []string) []string {
		var subs []string
		for i, t := range topics {
			subs = append(subs, `{"sub":`+strconv.Itoa(i+1)+`,"topic":"`+t+`"}`)
		}
		return []string{`{"op":"hello","subs":[` + strings.Join(subs, ",") + `]}`}
	},
	place: func(was string, msg []byte) string {
		if id, ok := between(msg, `"id":"`, `"`); ok {
			return id
		}
		return was
	},
	again: func(topics []string, place string) []string {
		var subs []string
		for i, t := range topics {
			subs = append(subs, `{"sub":`+strconv.Itoa(i+1)+`,"topic":"`+t+`","after":"`+place+`"}`)
		}
		return []string{`{"op":"hello","subs":[` + strings.Join(subs, ",") + `]}`}
	},
}

// between returns what stands between two strings, the last time that it does.
func between(b []byte, from, to string) (string, bool) {
	i := bytes.LastIndex(b, []byte(from))
	if i < 0 {
		return "", false
	}
	b = b[i+len(from):]
	j := bytes.Index(b, []byte(to))
	if j < 0 {
		return "", false
	}
	return string(b[:j]), true
}

var centrifugeDialect = dialect{
	ready: `"subscribe":{`,
	hello: func(topics []string) []string {
		list := []string{`{"id":1,"connect":{}}`}
		for i, t := range topics {
			list = append(list, `{"id":`+strconv.Itoa(i+2)+`,"subscribe":{"channel":"`+t+`"}}`)
		}
		return list
	},
	place: func(was string, msg []byte) string { // epoch and offset
		epoch, offset, _ := strings.Cut(was, " ")
		if e, ok := between(msg, `"epoch":"`, `"`); ok {
			epoch = e
		}
		if o, ok := between(msg, `"offset":`, `}`); ok {
			offset = o
		}
		return epoch + " " + offset
	},
	again: func(topics []string, place string) []string { // a place is of one channel
		epoch, offset, _ := strings.Cut(place, " ")
		return []string{`{"id":1,"connect":{}}`,
			`{"id":2,"subscribe":{"channel":"` + topics[0] + `","recover":true,"epoch":"` + epoch + `","offset":` + offset + `}}`}
	},
}

// socketioDialect is Engine.IO 4 over WebSocket: 40 connects, 42 is an event.
var socketioDialect = dialect{
	path:     "/socket.io/?EIO=4&transport=websocket",
	greeting: "40{",
	ready:    `42["ok"`,
	once:     true,
	hello: func(topics []string) []string {
		return []string{"40", `42["sub","` + strings.Join(topics, `","`) + `"]`}
	},
}

// httpPeer is what most have in common.
type httpPeer struct{ handler http.Handler }

func (p httpPeer) serve(l net.Listener) error { return http.Serve(l, p.handler) }

// set holds the connections of peers that leave them to the application.
type set[C comparable] struct {
	mu  sync.RWMutex
	all map[C]struct{}
}

func (s *set[C]) add(c C) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = make(map[C]struct{})
	}
	s.all[c] = struct{}{}
}

func (s *set[C]) remove(c C) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, c)
}

func (s *set[C]) each(f func(C)) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for c := range s.all {
		f(c)
	}
}
