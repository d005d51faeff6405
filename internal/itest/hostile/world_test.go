package hostile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gohotline/hotline"
	"github.com/gohotline/hotline/internal/memnet"
)

const limit = 8 << 10 // of a message from a client: small, so that it is met

// world is a hub, on real sockets and on a network in memory, and those who watch what it passes on.
type world struct {
	hub       *hotline.Hub
	tcp       net.Listener
	mem       *memnet.Network
	plain     atomic.Int64 // what OnMessage got
	witnesses []*witness
	marks     int
}

func newWorld(t testing.TB) *world {
	w := &world{mem: memnet.New(nil)}
	anybody := hotline.Allow("h.>", "state.>", "presence.>", "signal.>")
	w.hub = hotline.NewHub(&hotline.HubOptions{
		AuthorizeSubscribe: anybody, AuthorizePublish: anybody,
		OnMessage: func(_ context.Context, _ *hotline.Conn, _ []byte) { w.plain.Add(1) },
		Topics: map[string]hotline.TopicOptions{
			"state.>":    {Delivery: hotline.State},
			"presence.>": {Delivery: hotline.Presence, Linger: -1},
			"signal.>":   {Delivery: hotline.Signals},
		},
		Compression: true,
		Limits:      hotline.Limits{MessageBytes: limit, PublishRate: -1, LogBytes: 1 << 20},
		Logger:      slog.New(slog.DiscardHandler),
	})
	var err error
	if w.tcp, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: w.hub, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	done := make(chan struct{}, 2)
	for _, ln := range []net.Listener{w.tcp, w.mem.Listen()} {
		go func() {
			_ = srv.Serve(ln)
			done <- struct{}{}
		}()
	}
	t.Cleanup(func() {
		srv.Close()
		<-done
		<-done
		w.hub.Close()
		for _, x := range w.witnesses {
			<-x.done
		}
	})
	for _, deflate := range []bool{false, true} {
		w.witnesses = append(w.witnesses, newWitness(t, w, deflate))
	}
	return w
}

func (w *world) connect(real bool) (net.Conn, error) {
	if real {
		return net.Dial("tcp", w.tcp.Addr().String())
	}
	return w.mem.Link().DialContext(context.Background(), "tcp", "hub")
}

// run plays a session, and reports what was wrong with it.
func (w *world) run(x *session, real bool) (v verdict, err error) {
	v = rule(x.stream, x.deflate, x.plain, limit)
	before := w.plain.Load()
	nc, err := w.connect(real)
	if err != nil {
		return v, err
	}
	defer nc.Close()
	s, err := dial(nc, x.deflate, x.plain)
	if err != nil {
		return v, err
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		defer closeWrite(nc)
		at := 0
		for _, end := range append(slices.Clone(x.writes), len(x.stream)) {
			if _, err := nc.Write(x.stream[at:max(at, end)]); err != nil {
				return // the hub has closed
			}
			at = max(at, end)
		}
	}()
	answers, err := s.rest()
	nc.Close()
	<-sent
	seen, failed := w.published() // also after a failure: it is not the next session's
	switch {
	case !errors.Is(err, errOver):
		return v, fmt.Errorf("the hub broke the protocol: %w", err)
	case failed != nil:
		return v, failed
	case !slices.Equal(seen, v.pubs):
		return v, fmt.Errorf("others saw %s, want %s", brief(seen), brief(v.pubs))
	case s.torn && !slices.Contains(v.codes, cut):
		return v, errors.New("a frame was cut short")
	case !slices.Contains(v.codes, s.closed):
		return v, fmt.Errorf("closed with %d %q, want %d", s.closed, s.reason, v.codes)
	case s.closed != cut && !x.plain && !slices.Equal(answers, v.answers):
		return v, fmt.Errorf("answered %q, want %q", answers, v.answers)
	case s.closed != cut && !v.early && !v.ponged(s.pongs): // RFC 6455 §5.5.3
		return v, fmt.Errorf("pings were answered with %.500q, want %.500q", s.pongs, v.pongs)
	case int(w.plain.Load()-before) != v.plain:
		return v, fmt.Errorf("OnMessage got %d messages, want %d", w.plain.Load()-before, v.plain)
	}
	return v, nil
}

// ponged reports whether each ping was answered. Those that came late may have been.
func (v *verdict) ponged(got []string) bool {
	all := slices.Concat(v.pongs, v.later)
	return len(got) >= len(v.pongs) && len(got) <= len(all) && slices.Equal(got, all[:len(got)])
}

func brief(list []pub) string {
	s := fmt.Sprintf("%+v", list)
	return s[:min(len(s), 500)]
}

// rest reads to the end what the hub sends, and returns the answers among it.
func (s *strict) rest() (answers []string, err error) {
	for {
		m, err := s.read()
		if err != nil {
			return answers, err
		}
		if s.plain {
			return answers, fmt.Errorf("a plain connection was sent %q", m.data)
		}
		f, err := m.frame()
		if err != nil {
			return answers, err
		}
		if f.Op == "err" || f.Op == "ok" && f.Ref != nil {
			a := f.Op
			if f.Ref != nil {
				a += fmt.Sprint(" ", *f.Ref)
			}
			answers = append(answers, strings.TrimSuffix(a+" "+f.Code, " "))
		}
	}
}

// served is what a message of the hub says.
type served struct {
	Op, Topic, ID, From, Rev string
	Ref                      *int64
	Code                     string

	data   string
	binary bool
}

func (m message) frame() (f served, err error) {
	head := m.data
	if m.binary {
		var ok bool
		var tail string
		var h string
		if h, tail, ok = strings.Cut(string(m.data), "\n"); !ok {
			return f, fmt.Errorf("a binary message without a header line: %q", m.data)
		}
		head, f.data, f.binary = []byte(h), tail, true
	}
	v, ok := parse(head)
	if !ok || v.raw[0] != '{' {
		return f, fmt.Errorf("a message that is no JSON object: %q", m.data)
	}
	flat := make(map[string]json.RawMessage)
	for _, x := range v.members {
		if flat[x.key] != nil {
			return f, fmt.Errorf("two members %q: %q", x.key, m.data)
		}
		flat[x.key] = x.val.raw
		if x.key == "data" && !m.binary {
			f.data = string(x.val.raw)
		}
	}
	for key, dst := range map[string]any{"op": &f.Op, "topic": &f.Topic, "id": &f.ID, "rev": &f.Rev, "from": &f.From, "ref": &f.Ref} {
		if raw := flat[key]; raw != nil {
			if err := json.Unmarshal(raw, dst); err != nil {
				return f, fmt.Errorf("%q: %w", m.data, err)
			}
		}
	}
	if f.Op == "err" {
		err = json.Unmarshal(flat["code"], &f.Code)
	}
	return f, err
}

// published returns what the session has published, as all who watch saw it.
func (w *world) published() (seen []pub, err error) {
	w.marks++
	mark := fmt.Sprint(w.marks)
	if err := w.hub.Publish(context.Background(), "h.mark", w.marks); err != nil {
		return nil, err
	}
	for i, x := range w.witnesses {
		got, err := x.until(mark)
		if err != nil {
			return nil, err
		}
		if i > 0 && !slices.Equal(got, seen) {
			return nil, fmt.Errorf("one who watches saw %s, another %s", brief(seen), brief(got))
		}
		seen = got
	}
	return seen, nil
}

// witness is a healthy subscriber of everything.
type witness struct {
	s    *strict
	got  chan served
	done chan struct{} // closed when it has ended
	err  error         // static once done
}

func newWitness(t testing.TB, w *world, deflate bool) *witness {
	nc, err := w.connect(true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	s, err := dial(nc, deflate, false)
	if err != nil {
		t.Fatal(err)
	}
	hello := rawFrame{fin: true, op: opText, payload: []byte(`{"op":"hello","subs":[{"sub":1,"topic":"h.>"},{"sub":2,"topic":"state.>"},` +
		`{"sub":3,"topic":"presence.>"},{"sub":4,"topic":"signal.>"}]}`)}
	if _, err := nc.Write(hello.append(nil)); err != nil {
		t.Fatal(err)
	}
	x := &witness{s: s, got: make(chan served, 1<<16), done: make(chan struct{})}
	go x.watch()
	for joined := 0; joined < 4; { // then its subscriptions carry all that is published
		f, ok := <-x.got
		if !ok {
			t.Fatal(x.err)
		}
		if f.Op == "ok" {
			joined++
		}
	}
	return x
}

func (x *witness) watch() {
	defer close(x.done)
	defer close(x.got)
	for {
		x.s.nc.SetDeadline(noDeadline)
		m, err := x.s.read()
		if err != nil {
			x.err = err
			return
		}
		f, err := m.frame()
		if err != nil {
			x.err = err
			return
		}
		switch f.Op {
		case "ping":
			pong := rawFrame{fin: true, op: opText, payload: []byte(`{"op":"pong"}`)}
			_, _ = x.s.nc.Write(pong.append(nil))
		case "", "ok", "gap", "end", "bye":
			x.got <- f
		}
	}
}

// until returns the Events up to a mark.
func (x *witness) until(mark string) (seen []pub, err error) {
	for f := range x.got {
		switch {
		case f.Op != "":
			return nil, fmt.Errorf("one who watches was told %+v", f)
		case f.From != "":
			return nil, fmt.Errorf("from %q: nobody has a name here", f.From)
		case f.Topic == "h.mark" && f.data == mark:
			return seen, nil
		case f.ID != "":
			seen = append(seen, pub{f.Topic, f.binary, f.data})
		}
	}
	if x.err == nil {
		return nil, io.ErrUnexpectedEOF
	}
	return nil, fmt.Errorf("one who watches: %w", x.err)
}
