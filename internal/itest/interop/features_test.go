package interop

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/gohotline/hotline"
)

var protocols = []string{"hotline.v1", "hotline"}

// open connects the client with hotline.v1.
func (r *run) open(to target) *session {
	r.Helper()
	if to.protocols == nil {
		to.protocols = protocols
	}
	s, e := r.connect(to)
	if e.kind != evOpen || e.data != to.protocols[0] {
		r.Fatalf("connecting with %v: %v", to.protocols, e)
	}
	return s
}

func testHello(r *run) {
	hub := serve(r.T, nil)
	s := r.open(target{url: hub.url})
	welcome := s.hello("test.*")
	if id := hub.conn(r.T).ID(); welcome.Conn != id || welcome.Ping != 25000 {
		r.Errorf("the welcome is %q, the connection %s", welcome.raw, id)
	}
	s.say(`{"op":"sub","sub":2,"topic":"test.a.b"}`)
	if f := s.op("ok"); f.Sub != 2 {
		r.Errorf("got %q, want ok of subscription 2", f.raw)
	}
	s.say(`{"op":"sub","sub":3,"topic":"secret"}`)
	if f := s.op("end"); f.Sub != 3 || string(f.Code) != `"denied"` {
		r.Errorf("got %q, want the end of subscription 3: denied", f.raw)
	}
	s.say(`{"op":"unsub","sub":1}`)
	if f := s.op("end"); f.Sub != 1 || f.Code != nil {
		r.Errorf("got %q, want the end of subscription 1", f.raw)
	}
	hub.publish(r.T, "test.one", "for nobody")
	hub.publish(r.T, "test.a.b", "for somebody")
	s.message("test.a.b", `"for somebody"`)
}

func testPublish(r *run) {
	hub := serve(r.T, nil)
	s := r.open(target{url: hub.url})
	s.hello("test.*")
	for i, data := range []string{`"hi"`, `{"n":[1,2.5,null,true]}`, `"žluťoučký 🐎"`, fmt.Sprintf("%q", long)} {
		s.say(`{"op":"pub","ref":%d,"topic":"test.one","data":%s}`, i, data)
		s.published(i, func(f frame) { s.isMessage(f, "test.one", data) })
	}
	s.say(`{"op":"pub","ref":9,"topic":"secret","data":1}`)
	if f := s.op("err"); f.Ref != 9 || string(f.Code) != `"denied"` {
		r.Errorf("got %q, want publish 9 denied", f.raw)
	}
}

func testOrder(r *run) {
	const n = 1000
	hub := serve(r.T, nil)
	s := r.open(target{url: hub.url})
	s.hello("test.*")
	for i := range n {
		hub.publish(r.T, fmt.Sprintf("test.%d", i%7), i)
	}
	for i := range n {
		s.message(fmt.Sprintf("test.%d", i%7), fmt.Sprint(i))
	}
}

func testFragments(r *run) {
	if !r.needs("fragments") {
		return
	}
	hub := serve(r.T, nil)
	s := r.open(target{url: hub.url})
	s.hello("test.*")
	up := &hub.tap.last().up
	unfinished := func(f wireFrame) bool { return !f.fin }
	// Long parts: some clients gather short ones. The cuts are inside of a character, where text is bytes.
	data := fmt.Sprintf("%q", strings.Repeat("ž", 8000))
	text := `{"op":"pub","ref":1,"topic":"test.one","data":` + data + `}`
	first, second := strings.Index(text, "ž")+6001, strings.Index(text, "ž")+12001
	if _, strict := r.c.lacks["raw text"]; strict {
		first, second = first-1, second-1
	}
	s.send(false, text[:first], text[first:second], text[second:])
	s.published(1, func(f frame) { s.isMessage(f, "test.one", data) })
	if frames, _ := up.find(unfinished); len(frames) < 2 {
		r.Errorf("the client sent %d frames that are not the last of their message, want 2: %v", len(frames), up.frames)
	}
	bytes := strings.Repeat("\x00\xff\n", 4000)
	message := `{"op":"pub","ref":2,"topic":"test.two"}` + "\n" + bytes
	s.send(true, message[:20], message[20:6000], message[6000:])
	s.published(2, func(f frame) { s.isBinary(f, "test.two", bytes) })
	if frames, _ := up.find(unfinished); len(frames) < 4 {
		r.Errorf("the client sent %d frames that are not the last of their message, want 4: %v", len(frames), up.frames)
	}
}

func (s *session) isBinary(f frame, topic, bytes string) {
	s.t.Helper()
	if f.Op != "" || f.Topic != topic || f.Data != nil || f.bytes != bytes {
		s.t.Fatalf("the client received %.100q, want %d bytes of %s", f.raw, len(bytes), topic)
	}
}

func testBinary(r *run) {
	hub := serve(r.T, nil)
	s := r.open(target{url: hub.url})
	s.hello("test.*")
	var all strings.Builder
	for i := range 256 {
		all.WriteByte(byte(i))
	}
	for i, bytes := range []string{all.String(), "", "\n", strings.Repeat(all.String(), 200)} {
		s.send(true, fmt.Sprintf(`{"op":"pub","ref":%d,"topic":"test.one"}`, i)+"\n"+bytes)
		s.published(i, func(f frame) { s.isBinary(f, "test.one", bytes) })
		hub.publish(r.T, "test.two", hotline.Binary(bytes))
		s.isBinary(s.frame(), "test.two", bytes)
	}
}

// testResume cuts a connection in the middle of a stream, three times.
func testResume(r *run) {
	hub := serve(r.T, nil)
	s := r.open(target{url: hub.url})
	at := ""
	s.say(`{"op":"hello","subs":[{"sub":1,"topic":"test.*"}]}`)
	s.op("welcome")
	at = s.op("ok").At
	published, received := 0, 0
	publish := func(n int) {
		for range n {
			hub.publish(r.T, fmt.Sprintf("test.%d", published%3), published)
			published++
		}
	}
	take := func(f frame) {
		s.isMessage(f, fmt.Sprintf("test.%d", received%3), fmt.Sprint(received))
		received++
		at = f.ID
	}
	for range 3 {
		publish(300)
		for range 100 {
			take(s.frame())
		}
		hub.tap.last().cut()
		for { // what had arrived counts
			e := s.next(evText, evLost, evClose)
			if e.kind == evText {
				take(s.parse(e))
				continue
			}
			if e.kind == evClose && e.code != 0 && e.code != 1006 {
				r.Fatalf("after a cut the client reports %v", e)
			}
			break
		}
		publish(50) // while it is away
		s = r.open(target{url: hub.url})
		s.say(`{"op":"hello","after":%q,"subs":[{"sub":1,"topic":"test.*","after":%q}]}`, at, at)
		s.op("welcome")
		for joined := false; !joined || received < published; {
			if f := s.frame(); f.Op == "ok" && f.Sub == 1 {
				joined, at = true, f.At
			} else {
				take(f)
			}
		}
	}
	hub.publish(r.T, "test.end", "the end")
	s.message("test.end", `"the end"`)
}

func testGap(r *run) {
	hub := serve(r.T, nil)
	hub.publish(r.T, "test.one", "before")
	s := r.open(target{url: hub.url})
	s.say(`{"op":"hello","subs":[{"sub":1,"topic":"test.*","after":"99.nobody"}]}`)
	s.op("welcome")
	var gap, ok frame
	for range 2 {
		switch f := s.frame(); f.Op {
		case "gap":
			gap = f
		case "ok":
			ok = f
		default:
			r.Fatalf("the client received %q", f.raw)
		}
	}
	if len(gap.Subs) != 1 || gap.Subs[0] != 1 || gap.At == "" || gap.Cause != "restart" || ok.Sub != 1 {
		r.Errorf("the client received %q and %q", gap.raw, ok.raw)
	}
	hub.publish(r.T, "test.one", "after")
	s.message("test.one", `"after"`)
}

func testHubPings(r *run) {
	hub := serve(r.T, func(_ *service, o *hotline.HubOptions) { o.Limits.PingInterval = 50 * time.Millisecond })
	s := r.open(target{url: hub.url})
	if w := s.hello("test.*"); w.Ping != 50 {
		r.Errorf("the welcome is %q", w.raw)
	}
	for range 3 {
		s.pinged()
	}
	hub.publish(r.T, "test.one", "alive")
	s.message("test.one", `"alive"`)
}

// pinged waits for a ping of hotline.v1 and answers it. The connection's position may come before it.
func (s *session) pinged() {
	s.t.Helper()
	f := s.parse(s.next(evText))
	if f.Op == "at" {
		f = s.parse(s.next(evText))
	}
	if f.Op != "ping" {
		s.t.Fatalf("the client received %q, want a ping", f.raw)
	}
	s.say(`{"op":"pong"}`)
}

func testClientPings(r *run) {
	if !r.needs("ping") {
		return
	}
	hub := serve(r.T, nil)
	s := r.open(target{url: hub.url})
	s.hello("test.*")
	link := hub.tap.last()
	for i := range 3 {
		if err := s.sock.ping(fmt.Sprintf("ping %d", i)); err != nil {
			r.Fatal(err)
		}
		sent := link.up.wait(r.T, "the client's ping", i+1, isOp(opPing))[i]
		answer := link.down.wait(r.T, "the hub's pong", i+1, isOp(opPong))[i]
		if sent.control != answer.control {
			r.Errorf("the answer to ping %q is %q", sent.control, answer.control)
		}
		if r.lacks("shows pongs") {
			continue
		}
		if e := s.next(evPong); e.data != sent.control {
			r.Errorf("the client reports %v, the hub answered %q", e, answer.control)
		}
	}
}

func testDeflate(r *run) {
	if !r.needs("deflate") {
		return
	}
	hub := serve(r.T, func(_ *service, o *hotline.HubOptions) { o.Compression = true })
	s := r.open(target{url: hub.url, deflate: true})
	link := hub.tap.last()
	if got := link.down.header("Sec-WebSocket-Extensions"); !strings.HasPrefix(got, "permessage-deflate") {
		r.Fatalf("the hub agreed to %q; the client had offered %q", got, link.up.header("Sec-WebSocket-Extensions"))
	}
	s.hello("test.*")
	deflated := func(f wireFrame) bool { return f.rsv1 && f.op <= opBinary }
	for i := range 3 {
		hub.publish(r.T, "test.one", long)
		s.message("test.one", fmt.Sprintf("%q", long))
		hub.publish(r.T, "test.one", hotline.Binary(long))
		s.isBinary(s.frame(), "test.one", long)
		s.say(`{"op":"pub","ref":%d,"topic":"test.one","data":%q}`, i, long)
		s.published(i, func(f frame) { s.isMessage(f, "test.one", fmt.Sprintf("%q", long)) })
	}
	for _, f := range link.down.wait(r.T, "deflated by the hub", 9, deflated) {
		if f.size > len(long)/10 {
			r.Errorf("a frame of the hub has %d bytes, for a message of more than %d", f.size, len(long))
		}
	}
	if sent, _ := link.up.find(deflated); len(sent) < 3 && !r.lacks("deflates") {
		r.Errorf("the client deflated %d messages, want 3", len(sent))
	}
}

func testTLS(r *run) {
	cert, file := authority(r.T)
	hub := serveWith(r.T, nil, func(h http.Handler) *httptest.Server {
		srv := httptest.NewUnstartedServer(h)
		srv.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
		return srv
	})
	if _, e := r.connect(target{url: hub.url, protocols: protocols}); e.kind == evOpen {
		r.Errorf("the client trusts an authority that it does not know")
	}
	s := r.open(target{url: hub.url, authority: file})
	s.hello("test.*")
	s.say(`{"op":"pub","ref":1,"topic":"test.one","data":%q}`, long)
	s.published(1, func(f frame) { s.isMessage(f, "test.one", fmt.Sprintf("%q", long)) })
	for i := range 100 {
		hub.publish(r.T, "test.one", i)
	}
	for i := range 100 {
		s.message("test.one", fmt.Sprint(i))
	}
	hub.conn(r.T).Close(hotline.CloseReconnect, "as asked")
	s.closes(hotline.CloseReconnect, "as asked")
}
