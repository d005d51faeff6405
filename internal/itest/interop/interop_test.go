package interop

import (
	"slices"
	"testing"
)

// A run is one feature with one client.
type run struct {
	*testing.T
	c     *client
	dial  dialer
	notes []string
	na    bool // it does not apply, for the reason in the notes
}

// lacks reports whether the client lacks something, and has the table say why.
func (r *run) lacks(what string) bool {
	why, ok := r.c.lacks[what]
	if ok && !slices.Contains(r.notes, why) {
		r.notes = append(r.notes, why)
	}
	return ok
}

// needs is lacks for what the feature is nothing without.
func (r *run) needs(what string) bool {
	r.na = r.lacks(what)
	return !r.na
}

var features = []struct {
	name string
	test func(*run)
}{
	{"hello, welcome, and a subscription", testHello},
	{"publish: the answer, and the message", testPublish},
	{"1,000 messages in order", testOrder},
	{"a message sent in fragments", testFragments},
	{"binary payloads both ways", testBinary},
	{"resume after a cut: nothing lost, nothing twice", testResume},
	{"a gap after an unknown position", testGap},
	{"the hub's pings of `hotline.v1`", testHubPings},
	{"the client's pings", testClientPings},
	{"every close code, with its reason", testCloseCodes},
	{"the client closes, and is answered", testClientCloses},
	{"refused over HTTP: 400, 403, 500, 503", testRefusals},
	{"offers a version that the hub lacks", testVersions},
	{"permessage-deflate", testDeflate},
	{"TLS with an authority of our own", testTLS},
	{"plain: messages both ways", testPlain},
	{"plain: the hub's pings, a close", testPlainPings},
}

// TestClients has every client do everything.
func TestClients(t *testing.T) {
	table := newTable()
	t.Cleanup(func() { table.write(t) })
	for _, c := range clients() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dial := c.start(t)
			column := table.column(c)
			for _, f := range features {
				r := &run{c: c, dial: dial}
				ok := t.Run(f.name, func(t *testing.T) {
					r.T = t
					f.test(r)
				})
				if r.T != nil { // Run says true of what -run leaves out
					column.add(f.name, cell{ok: ok, na: r.na, notes: r.notes})
				}
			}
		})
	}
}

func clients() []*client {
	return []*client{
		gorilla(), gobwas(), lxzan(), nbio(), coder(),
		pythonWebsockets(), pythonAiohttp(), pythonAutobahn(), pythonWsproto(),
		npmWS(), ownNode(), libwebsockets(),
	}
}
