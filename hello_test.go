package hotline

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/gohotline/hotline/internal/frame"
	"github.com/gohotline/hotline/internal/wire"
)

// TestHelloTimeout is row 16 of the failure table: connected and silent. Whoever is has not read what final means, so
// it is to come back.
func TestHelloTimeout(t *testing.T) {
	for name, send := range map[string]func(c *rawClient){
		"silent": func(*rawClient) {},
		"begins": func(c *rawClient) { c.write(clientFrame(frame.Text, true, []byte(helloFrame("")))[:20]) },
		"dribbles": func(c *rawClient) {
			for _, b := range clientFrame(frame.Text, true, []byte(helloFrame(strings.Repeat("x", 100)))) {
				if _, err := c.nc.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		},
		"pings": func(c *rawClient) {
			for range 20 {
				if _, err := c.nc.Write(clientFrame(frame.Ping, true, nil)); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				begin := time.Now()
				c := w.raw(wire.Protocol)
				done := make(chan struct{})
				go func() {
					send(c)
					close(done)
				}()
				code, reason := c.closed()
				if d := time.Since(begin); code != wire.CloseNoPong || !strings.Contains(reason, "no hello within 10s") || d != 10*time.Second {
					t.Errorf("closed with %d %s after %s", code, reason, d)
				}
				time.Sleep(2 * time.Second)
				if s := w.hub.Stats(); s.Refused != 1 || s.Conns != 0 || w.hub.conns.Load() != 0 {
					t.Errorf("%+v", s)
				}
				c.nc.Close()
				<-done
			})
		})
	}
}

// TestHelloTimeoutClose: who is silent does not hold Close up.
func TestHelloTimeoutClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Limits: Limits{HelloTimeout: -1}})
		c := w.raw(wire.Protocol)
		time.Sleep(time.Hour)
		begin := time.Now()
		w.hub.Close()
		if d := time.Since(begin); d > time.Second {
			t.Errorf("Close took %s", d)
		}
		if code, reason := c.closed(); code != wire.CloseRestart {
			t.Errorf("closed with %d %s", code, reason)
		}
	})
}

// TestFirstFrame: what is no hello is refused, and told why.
func TestFirstFrame(t *testing.T) {
	for _, tt := range []struct {
		first  string
		binary bool
		code   int
		reason string
	}{
		{first: `{"op":"sub","sub":1,"topic":"a"}`, code: 3502, reason: `the first frame is "sub" and not hello`},
		{first: `{"op":"pong"}`, code: 3502, reason: `"pong"`},
		{first: `{"op":"HELLO"}`, code: 3502, reason: `"HELLO"`},
		{first: fmt.Sprintf(`{"op":%q}`, strings.Repeat("é", 5000)), code: 3502, reason: "ééé"},
		{first: `{"token":"x"}`, code: 3502, reason: `no "op"`},
		{first: `[]`, code: 3502, reason: "not a JSON object"},
		{first: `hello`, code: 3502, reason: "not a JSON object"},
		{first: ``, code: 3502, reason: "not a JSON object"},
		{first: `{"op":"hello"} `, code: 0},
		{first: `{"op":"hello"}{}`, code: 3502},
		{first: `{"op":"hello","token":7}`, code: 3502, reason: "token"},
		{first: `{"op":"hello","subs":{}}`, code: 3502, reason: "subs"},
		{first: `{"op":"hello","subs":[{"topic":"a"}]}`, code: 3502, reason: "subs"},
		{first: `{"op":"hello","subs":[{"sub":0,"topic":"a"}]}`, code: 3502, reason: "subs"},
		{first: `{"op":"hello","subs":[{"sub":-1,"topic":"a"}]}`, code: 3502, reason: "subs"},
		{first: `{"op":"hello","subs":[1]}`, code: 3502, reason: "subs"},
		{first: `{"op":"hello","subs":null,"token":null,"later":{"version":[2]}}`, code: 0},
		{first: `{"op":"hello"}`, binary: true, code: 3502, reason: "binary"},
		{first: "{\"op\":\"hello\"}\n", binary: true, code: 3502, reason: "binary"},
		{first: "\x00\xff", binary: true, code: 3502, reason: "binary"},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			c := w.dial(nil, wire.Protocol)
			typ := websocket.MessageText
			if tt.binary {
				typ = websocket.MessageBinary
			}
			if err := c.ws.Write(t.Context(), typ, []byte(tt.first)); err != nil {
				t.Fatal(err)
			}
			if tt.code == 0 {
				c.want("welcome")
				return
			}
			code, reason, frames := c.closed()
			if code != tt.code || !strings.Contains(reason, tt.reason) || len(reason) > 123 {
				t.Errorf("%.100q: closed with %d %q", tt.first, code, reason)
			}
			if len(frames) != 1 || brief(frames[0]) != fmt.Sprint("bye ", tt.code) || frames[0].Reason != reason {
				t.Errorf("%.100q: %+v", tt.first, frames)
			}
		})
	}
}

// TestEarlyFrames: a client may send more with its hello, even in the packet of the handshake.
func TestEarlyFrames(t *testing.T) {
	for name, real := range map[string]bool{"in memory": false, "on a socket": true} {
		t.Run(name, func(t *testing.T) {
			var c *rawClient
			early := clientFrame(frame.Text, true, []byte(helloFrame("", "a")))
			for i := range 50 {
				early = append(early, clientFrame(frame.Text, true, fmt.Appendf(nil, `{"op":"pub","ref":%d,"topic":"a","data":%d}`, i, i))...)
			}
			if real {
				rw := newRealWorld(t, nil)
				c = rw.raw(wire.Protocol + "\r\nX: y\r\n\r\n" + string(early) + "\r\n") // what follows is no frame
			} else {
				w := newWorld(t, nil)
				c = w.raw(wire.Protocol + "\r\nX: y\r\n\r\n" + string(early) + "\r\n")
			}
			var got []string
			for len(got) < 52 { // welcome, ok of the subscription unless the end comes first, 50 of publishes
				op, body, err := c.read()
				if err != nil || op != frame.Text {
					t.Fatalf("%d %q %v after %q", op, body, err, got)
				}
				f, err := wire.DecodeServer(body, false)
				if err != nil {
					t.Fatal(err)
				}
				if f.Op == "bye" { // for what is no frame
					break
				}
				if f.Op != "" { // what was published before the subscription joined is not for it
					got = append(got, brief(f))
				}
			}
			if got[0] != "welcome" || !slices.Contains(got, "ok ref 49") {
				t.Errorf("got %q", got)
			}
		})
	}
}

// TestSubprotocols: browsers can't read an HTTP refusal, so a version that the hub does not speak is refused after the
// upgrade.
func TestSubprotocols(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		onMessage := HubOptions{OnMessage: func(context.Context, *Conn, []byte) {}}
		for _, tt := range []struct {
			offered  []string
			opts     HubOptions
			selected string
			code     int // of the Close frame; 0: welcome
			status   int // of HTTP
		}{
			{offered: []string{"hotline.v1", "hotline"}, selected: "hotline.v1"},
			{offered: []string{"hotline", "hotline.v1"}, selected: "hotline.v1"},
			{offered: []string{"hotline.v2", "hotline.v1", "hotline"}, selected: "hotline.v1"},
			{offered: []string{"hotline.v1"}, selected: "hotline.v1"},
			{offered: []string{"hotline"}, selected: "hotline", code: 3501},
			{offered: []string{"hotline.v2", "hotline"}, selected: "hotline", code: 3501},
			{offered: []string{"hotline.v2"}, code: 3501},
			{offered: []string{"graphql-ws"}, code: 3501},
			{offered: []string{"graphql-ws"}, opts: onMessage, code: 3501}, // it has named one
			{offered: nil, status: http.StatusBadRequest},
		} {
			w := newWorld(t, &tt.opts)
			c, resp, err := w.dialWith(&websocket.DialOptions{Subprotocols: tt.offered})
			switch {
			case tt.status != 0:
				if err == nil || resp == nil || resp.StatusCode != tt.status {
					t.Errorf("%q: %v %v", tt.offered, resp, err)
				}
				continue
			case err != nil:
				t.Errorf("%q: %v", tt.offered, err)
				continue
			case c.ws.Subprotocol() != tt.selected:
				t.Errorf("%q: selected %q", tt.offered, c.ws.Subprotocol())
			}
			if tt.code == 0 {
				c.hello()
				continue
			}
			code, reason, frames := c.closed()
			if code != tt.code || !strings.Contains(reason, "hotline.v1") || len(frames) != 1 || brief(frames[0]) != "bye 3501" {
				t.Errorf("%q: closed with %d %s after %v", tt.offered, code, reason, frames)
			}
			synctest.Wait()
			if s := w.hub.Stats(); s.Refused != 1 || w.hub.conns.Load() != 0 {
				t.Errorf("%q: %+v", tt.offered, s)
			}
		}
	})
}

// TestLeaveBeforeHello: a client that goes at once is answered, and leaves nothing.
func TestLeaveBeforeHello(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		c := w.dial(nil, wire.Protocol)
		if err := c.ws.Close(websocket.StatusNormalClosure, "changed my mind"); err != nil {
			t.Errorf("Close: %v", err)
		}
		w.dial(nil, wire.Protocol).ws.CloseNow()
		cut := w.dial(nil, wire.Protocol)
		cut.link.Cut()
		time.Sleep(2 * time.Second)
		if s := w.hub.Stats(); s.Refused != 3 || s.Opened != 0 || w.hub.conns.Load() != 0 || cut.link.Conns() > 1 {
			t.Errorf("%+v", s)
		}
	})
}

// TestTokenPlaces: where the token is looked for.
func TestTokenPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		var got string
		w := newWorld(t, &HubOptions{
			Logger: j.logger(),
			Authenticate: func(r *http.Request, token string) (Identity, error) {
				if got = token; strings.Contains(token, "bad") {
					return Identity{}, fmt.Errorf("%w: a bad one", ErrDenied)
				} else if strings.Contains(token, "down") {
					return Identity{}, errors.New("the database is down")
				}
				return Identity{User: "ada"}, nil
			},
		})
		for _, tt := range []struct{ header, hello, want string }{
			{"", "", ""},
			{"", "s3cret-hello", "s3cret-hello"},
			{"Bearer s3cret-header", "", "s3cret-header"},
			{"bearer  s3cret-header ", "", "s3cret-header"},
			{"Bearer s3cret-header", "s3cret-hello", "s3cret-hello"},
			{"Basic s3cret-basic", "", ""},
			{"Bearer", "", ""},
			{"", "s3cret-bad", "s3cret-bad"},
			{"", "s3cret-down", "s3cret-down"},
		} {
			o := &websocket.DialOptions{Subprotocols: []string{wire.Protocol}, HTTPHeader: http.Header{}}
			if tt.header != "" {
				o.HTTPHeader.Set("Authorization", tt.header)
			}
			c, _, err := w.dialWith(o)
			if err != nil {
				t.Fatal(err)
			}
			got = "unset"
			c.send(helloFrame(tt.hello, "a"))
			f, err := c.read()
			if got != tt.want {
				t.Errorf("%+v: %q", tt, got)
			}
			// Row 8 of the failure table: nothing that is sent or logged shows a token.
			if strings.Contains(fmt.Sprintf("%+v %v", f, err), "s3cret") {
				t.Errorf("%+v: sent %+v %v", tt, f, err)
			}
			c.ws.CloseNow()
		}
		synctest.Wait()
		if log := j.String(); strings.Contains(log, "s3cret") || !strings.Contains(log, "refused") || !strings.Contains(log, "ada") {
			t.Errorf("the log: %s", log)
		}
	})
}
