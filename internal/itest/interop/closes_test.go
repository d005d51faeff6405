package interop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/gohotline/hotline"
)

// closes waits for bye, and for the close that it announces.
func (s *session) closes(code int, reason string) {
	s.t.Helper()
	f := s.op("bye")
	if string(f.Code) != fmt.Sprint(code) || f.Reason != reason {
		s.t.Errorf("the client received %q, want code %d and reason %q", f.raw, code, reason)
	}
	s.closed(code, reason)
}

// closed waits for a close.
func (s *session) closed(code int, reason string) {
	s.t.Helper()
	if s.r.lacks(fmt.Sprint("close ", code)) {
		if e := s.next(evLost, evClose); e.code == code {
			s.t.Errorf("the client reports %v", e)
		}
		return
	}
	if e := s.next(evClose); e.code != code || e.data != reason {
		s.t.Errorf("the client reports %v, want code %d and reason %q", e, code, reason)
	}
}

// provocation makes a hub close a connection with a code by itself.
type provocation struct {
	options func(*hotline.HubOptions)
	offer   []string
	do      func(*session, *service)
	reason  string
	needs   string // what a client must be able to do; else the application closes
}

func greets(s *session, _ *service) { s.say(`{"op":"hello","token":"t"}`) }

func authenticates(f func() (hotline.Identity, error)) func(*hotline.HubOptions) {
	return func(o *hotline.HubOptions) {
		o.Authenticate = func(*http.Request, string) (hotline.Identity, error) { return f() }
	}
}

// provocations are the codes that a hub closes with by itself, as far as a client can be brought to it that sends sound frames
// and reads.
var provocations = map[int]provocation{
	1007: {needs: "raw text", reason: "not UTF-8", do: func(s *session, _ *service) {
		s.hello()
		s.send(false, "{\"op\":\"\xff\"}")
	}},
	1009: {reason: "a message larger than 65536 bytes", do: func(s *session, _ *service) {
		s.hello()
		s.say(`{"op":"pub","topic":"test.one","data":%q}`, strings.Repeat("x", 64<<10))
	}},
	1011: {
		reason:  "internal error",
		options: func(o *hotline.HubOptions) { o.OnConnect = func(context.Context, *hotline.Conn) { panic("provoked") } },
		do:      greets,
	},
	1012: {reason: "the server is restarting", do: func(s *session, hub *service) {
		s.hello()
		go hub.hub.Shutdown(context.Background())
	}},
	1013: {reason: "internal error", do: greets, options: authenticates(func() (hotline.Identity, error) {
		return hotline.Identity{}, errors.New("the database is down")
	})},
	3000: {
		reason: "identity expired",
		do:     greets,
		options: authenticates(func() (hotline.Identity, error) {
			return hotline.Identity{User: "ada", Expires: time.Now().Add(50 * time.Millisecond)}, nil
		}),
	},
	3002: {
		reason:  "no hello within 50ms",
		options: func(o *hotline.HubOptions) { o.Limits.HelloTimeout = 50 * time.Millisecond },
		do:      func(*session, *service) {},
	},
	3500: {reason: "hotline: denied", do: greets, options: authenticates(func() (hotline.Identity, error) {
		return hotline.Identity{}, hotline.ErrDenied
	})},
	3501: {reason: "this hub speaks hotline.v1", offer: []string{"hotline"}, do: func(*session, *service) {}},
	3502: {reason: "", do: func(s *session, _ *service) {
		s.hello()
		s.say(`{"op":"hello"}`)
	}},
	4500: {
		reason:  "banned",
		options: authenticates(func() (hotline.Identity, error) { return hotline.Identity{User: "ada"}, nil }),
		do: func(s *session, hub *service) {
			s.hello()
			hub.hub.Kick(s.t.Context(), "ada", 4500, "banned")
		},
	},
}

// neverSent are codes of the table that no hub sends.
var neverSent = map[int]string{
	1005: "stands for a Close frame without a code", 1006: "stands for no Close frame", 1010: "is a client's",
	1014: "is a proxy's", 1015: "stands for no TLS",
}

func testCloseCodes(r *run) {
	text, err := os.ReadFile("../../../testdata/protocol/closecodes.json")
	if err != nil {
		r.Fatal(err)
	}
	var table []struct{ Code, From, To int }
	if err := json.Unmarshal(text, &table); err != nil {
		r.Fatal(err)
	}
	told := serve(r.T, nil)
	for _, row := range table {
		codes := []int{row.From, row.To}
		if row.Code != 0 {
			codes = []int{row.Code}
		}
		for _, code := range codes {
			p, provoked := provocations[code]
			switch {
			case neverSent[code] != "":
			case provoked && (p.needs == "" || !r.lacks(p.needs)):
				r.provoke(code, p)
			default:
				s := r.open(target{url: told.url})
				s.hello()
				// 123 bytes, the most that fit: RFC 6455 §5.5.
				reason := fmt.Sprintf("%d: %s", code, strings.Repeat("é", 58)+"!")
				told.conn(r.T).Close(code, reason+"cut off")
				s.closes(code, reason)
				told.ended(r.T)
			}
			if r.Failed() {
				r.Fatalf("code %d", code)
			}
		}
	}
}

func (r *run) provoke(code int, p provocation) {
	r.Helper()
	hub := serve(r.T, func(_ *service, o *hotline.HubOptions) {
		if p.options != nil {
			p.options(o)
		}
	})
	s := r.open(target{url: hub.url, protocols: p.offer})
	p.do(s, hub)
	reason := p.reason
	f := s.frame()
	if f.Op == "welcome" { // it may have come to that
		f = s.frame()
	}
	if reason == "" {
		reason = f.Reason
	}
	if f.Op != "bye" || string(f.Code) != fmt.Sprint(code) || f.Reason != reason || reason == "" {
		r.Errorf("the client received %q, want code %d and reason %q", f.raw, code, reason)
	}
	s.closed(code, reason)
}

func testClientCloses(r *run) {
	hub := serve(r.T, nil)
	for _, want := range []hotline.CloseError{{Code: 1000, Reason: "done"}, {Code: 4321, Reason: "žluťoučký"}} {
		s := r.open(target{url: hub.url})
		s.hello("test.*")
		link := hub.tap.last()
		if err := s.sock.close(want.Code, want.Reason); err != nil {
			r.Fatal(err)
		}
		var got *hotline.CloseError
		if err := hub.ended(r.T); !errors.As(err, &got) || got.Code != want.Code || got.Reason != want.Reason {
			r.Errorf("OnDisconnect is told %v, want code %d and reason %q", err, want.Code, want.Reason)
		}
		sent := link.up.wait(r.T, "the client's Close", 1, isOp(opClose))[0]
		answer := link.down.wait(r.T, "the hub's Close", 1, isOp(opClose))[0]
		if sent.control != answer.control {
			r.Errorf("the answer to Close %q is %q", sent.control, answer.control)
		}
		if !r.lacks("shows the answer to its Close") {
			s.closed(want.Code, want.Reason)
		}
	}
}

func testRefusals(r *run) {
	through := func(wrap func(http.Handler) http.Handler) func(http.Handler) *httptest.Server {
		return func(h http.Handler) *httptest.Server { return httptest.NewUnstartedServer(wrap(h)) }
	}
	refused := func(status int, hub *service, to target) {
		r.Helper()
		to.url = hub.url
		s, e := r.connect(to)
		_ = s
		want := status
		if r.lacks("shows the status") {
			want = 0
		}
		if e.kind == evOpen || e.code != want {
			r.Errorf("the client reports %v, want status %d", e, want)
		}
		if got := hub.tap.last().down.status(); got != status {
			r.Errorf("the hub answered %d, want %d", got, status)
		}
	}
	if !r.lacks("origin") {
		refused(http.StatusForbidden, serve(r.T, nil), target{protocols: protocols, origin: "https://elsewhere.example"})
	}
	refused(http.StatusBadRequest, serve(r.T, nil), target{})
	refused(http.StatusInternalServerError, serveWith(r.T, nil, through(func(h http.Handler) http.Handler {
		return http.TimeoutHandler(h, time.Hour, "")
	})), target{protocols: protocols})
	over := serve(r.T, nil)
	if err := over.hub.Shutdown(r.Context()); err != nil {
		r.Fatal(err)
	}
	refused(http.StatusServiceUnavailable, over, target{protocols: protocols})
	if got := over.tap.last().down.header("Retry-After"); got == "" {
		r.Error("no Retry-After")
	}
}

// testVersions offers what the hub doesn't speak. That of which it knows nothing it can't select, so what the client makes
// of it is the client's affair; it gets no further.
func testVersions(r *run) {
	hub := serve(r.T, nil)
	s := r.open(target{url: hub.url, protocols: []string{"hotline", "hotline.v9"}})
	s.closes(3501, "this hub speaks hotline.v1")
	s, e := r.connect(target{url: hub.url, protocols: []string{"chat.v9"}})
	if e.kind != evOpen {
		return
	}
	s.closes(3501, "this hub speaks hotline.v1")
}
