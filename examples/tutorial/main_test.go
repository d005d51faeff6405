package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/gohotline/hotline"
	"github.com/gohotline/hotline/internal/leak"
	"github.com/gohotline/hotline/internal/memnet"
)

func TestMain(m *testing.M) { leak.Main(m) }

// logged collects what the server logs.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// server is the tutorial's server on a network in memory.
type server struct {
	t   *testing.T
	net *memnet.Network
	log logged
}

// inBubble runs a test of a server with these options.
func inBubble(t *testing.T, o *hotline.HubOptions, test func(t *testing.T, s *server)) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{t: t, net: memnet.New(nil)}
		log.SetOutput(&s.log)
		defer log.SetOutput(io.Discard)
		hub := hotline.NewHub(o)
		srv := &http.Server{Handler: newHandler(hub)}
		ln := s.net.Listen()
		served := make(chan struct{})
		go func() {
			defer close(served)
			srv.Serve(ln)
		}()
		defer func() {
			srv.Close()
			hub.Close()
			<-served
		}()
		test(t, s)
	})
}

func (s *server) client() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: s.net.Link().DialContext, DisableKeepAlives: true}}
}

// socket is what new WebSocket(url) makes in a page, once it is greeted.
func (s *server) socket() *websocket.Conn {
	s.t.Helper()
	ws, _, err := websocket.Dial(s.t.Context(), "ws://localhost:8080/ws", &websocket.DialOptions{
		HTTPClient: s.client(), HTTPHeader: http.Header{"Origin": {"http://localhost:8080"}},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { ws.CloseNow() })
	s.reads(ws, "Welcome to the WebSocket server!")
	return ws
}

func (s *server) send(ws *websocket.Conn, text string) {
	s.t.Helper()
	if err := ws.Write(s.t.Context(), websocket.MessageText, []byte(text)); err != nil {
		s.t.Fatal(err)
	}
}

// reads wants these messages. Between an answer and what is published there is no order.
func (s *server) reads(ws *websocket.Conn, want ...string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	var got []string
	for range want {
		typ, text, err := ws.Read(ctx)
		if err != nil || typ != websocket.MessageText {
			s.t.Fatalf("received %q, %v, after %q, want %q", text, err, got, want)
		}
		got = append(got, string(text))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		s.t.Errorf("received %q, want %q", got, want)
	}
}

// TestTutorial: who comes is greeted, answered, and reads what the others send; the server logs what happens.
func TestTutorial(t *testing.T) {
	inBubble(t, options(), func(t *testing.T, s *server) {
		ada, bob := s.socket(), s.socket()
		s.send(ada, "Hello from the browser!")
		s.reads(ada, "You said: Hello from the browser!", "Hello from the browser!")
		s.reads(bob, "Hello from the browser!")
		s.send(bob, `{"é": "<b>"}`) // is text, whatever it looks like
		s.reads(bob, `You said: {"é": "<b>"}`, `{"é": "<b>"}`)
		s.reads(ada, `{"é": "<b>"}`)
		ada.Close(websocket.StatusNormalClosure, "")
		synctest.Wait()
		s.send(bob, "alone")
		s.reads(bob, "You said: alone", "alone")

		s.log.mu.Lock()
		defer s.log.mu.Unlock()
		for text, n := range map[string]int{"client connected": 2, "received: Hello from the browser!": 1, "client disconnected": 1} {
			if got := strings.Count(s.log.text.String(), text); got != n {
				t.Errorf("it logged %q %d times, want %d:\n%s", text, got, n, &s.log.text)
			}
		}
	})
}

// TestPage: the page connects to where the server is.
func TestPage(t *testing.T) {
	inBubble(t, options(), func(t *testing.T, s *server) {
		resp, err := s.client().Get("http://localhost:8080/")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || !strings.Contains(string(body), `new WebSocket("ws://localhost:8080/ws")`) {
			t.Errorf("%s, %v", body, err)
		}
	})
}

// TestNextStep is what the README says of it: with one more option pages with hotline.js are on the same topics as those
// without, and what they miss while they are away arrives.
func TestNextStep(t *testing.T) {
	o := options()
	o.AuthorizePublish = hotline.Allow("news")
	inBubble(t, o, func(t *testing.T, s *server) {
		plain := s.socket()
		link := s.net.Link()
		c, err := hotline.Dial(t.Context(), "ws://localhost:8080/ws", &hotline.DialOptions{
			HTTPClient: &http.Client{Transport: &http.Transport{DialContext: link.DialContext, DisableKeepAlives: true}},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		sub, err := c.Subscribe(t.Context(), "news", nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Publish(t.Context(), "news", "Hello from the browser!"); err != nil {
			t.Error(err)
		}
		s.reads(plain, "Hello from the browser!")
		link.Cut()
		const n = 20
		for i := range n {
			text := fmt.Sprint("line ", i)
			s.send(plain, text)
			s.reads(plain, "You said: "+text, text)
		}
		want := []string{`"Hello from the browser!"`}
		for i := range n {
			want = append(want, fmt.Sprintf(`"line %d"`, i))
		}
		for _, want := range want {
			if msg, err := sub.Next(t.Context()); err != nil || string(msg.Data) != want || msg.Missed > 0 {
				t.Errorf("%s, %d missed, %v, want %s", msg.Data, msg.Missed, err, want)
			}
		}
	})
}
