// Package hubtest serves a hub, or a whole application that mounts one, to clients on a network in memory: for tests.
//
// In a testing/synctest bubble time is fake. Sleep an hour to see what an hour does, and a goroutine that is left over
// fails the test:
//
//	synctest.Test(t, func(t *testing.T) {
//		hub := hotline.NewHub(&hotline.HubOptions{AuthorizeSubscribe: hotline.Allow("news")})
//		defer hub.Close()
//		srv := hubtest.Serve(t, hub)
//		client, link := srv.Dial("/", nil)
//		sub, err := client.Subscribe(t.Context(), "news", nil)
//		…
//		link.Blackhole() // a tunnel
//		time.Sleep(2 * time.Minute)
//		link.Heal()
//		…
//	})
//
// Each client has a [Link] of its own, which can be cut, stalled, throttled and blackholed. [Server.Restart] is a deploy: a
// new hub does not know the positions of the one before, so its clients are told of a gap.
//
// Outside of a bubble everything works as well, in real time. All methods are safe for concurrent use, but call those
// that can fail the test from its goroutine, like [testing.T.FailNow].
package hubtest

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/gohotline/hotline/internal/memnet"
)

const (
	dialTimeout   = time.Minute      // until Dial gives up
	endTimeout    = 10 * time.Second // for handlers, once they have lost their connections
	headerTimeout = 10 * time.Second // of the server, for a request's header
)

var errEnded = errors.New("hubtest: the test that the server is for has ended")

// Server serves a handler in memory.
type Server struct {
	// Static after construction.
	t         testing.TB
	net       *memnet.Network
	srv       *http.Server
	log       *testLog
	transport *http.Transport // of HTTPClient
	ctx       context.Context // of its requests; done when t ends
	cancel    context.CancelCauseFunc
	served    chan struct{} // closed when srv.Serve has returned

	mu      sync.Mutex
	handler http.Handler
	links   []*Link
	serving map[*http.Request]struct{}
	ended   bool
	idle    chan struct{} // closed when ended and nothing is being served
}

// Serve serves h, a Hub or whatever mounts one, until t ends; nil is [http.DefaultServeMux]. When t ends, after the
// cleanups that were registered later, the clients of Dial are closed, then the server; a request that is still served
// 10 s after it has lost its connection fails t. The hubs in h are yours to close, before or after that.
//
// What net/http logs, such as a panic of h, is in the log of t.
func Serve(t testing.TB, h http.Handler) *Server {
	t.Helper()
	s := &Server{
		t: t, net: memnet.New(nil), log: &testLog{t: t}, served: make(chan struct{}),
		handler: orDefault(h), serving: make(map[*http.Request]struct{}), idle: make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	s.transport = s.newLink("HTTPClient").transport(nil)
	s.srv = &http.Server{
		Handler:           http.HandlerFunc(s.serveHTTP),
		ReadHeaderTimeout: headerTimeout,
		ErrorLog:          log.New(s.log, "", 0), //nolint:forbidigo // the only kind that http.Server takes
	}
	ln := s.net.Listen()
	go func() {
		defer close(s.served)
		if err := s.srv.Serve(ln); err != http.ErrServerClosed {
			t.Errorf("hubtest: %v", err)
		}
	}()
	t.Cleanup(s.end)
	return s
}

func orDefault(h http.Handler) http.Handler {
	if h == nil {
		return http.DefaultServeMux
	}
	return h
}

// Restart cuts every link, that of HTTPClient too, and serves h from then on: a new process. No request that comes later
// meets the old handler. What that is still serving has lost its connection, and is waited for when t ends. A hub in it
// lives on until it is closed: close it first to see a shutdown, afterwards to see a crash.
func (s *Server) Restart(h http.Handler) {
	s.mu.Lock()
	s.handler = orDefault(h) // before the links are cut: what survives that has met nobody else
	links := s.links
	s.mu.Unlock()
	for _, l := range links {
		l.net.Cut()
	}
	// So that the next request doesn't find out by itself that its connection is gone.
	s.transport.CloseIdleConnections()
}

// HTTPClient makes requests to the handler, whatever the URL's host: http and https (see [Server.Dial]). Its connections
// have a link of their own, without faults but for Restart. Each call returns another client, for a cookie jar or timeout
// of its own. A response whose body is not closed does no harm here.
func (s *Server) HTTPClient() *http.Client { return &http.Client{Transport: (*caller)(s)} }

// caller ends the requests of HTTPClient when the server ends, which else might wait for somebody to close a body.
type caller Server

// RoundTrip makes one request.
func (c *caller) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	context.AfterFunc(c.ctx, func() { cancel(context.Cause(c.ctx)) })
	return c.transport.RoundTrip(r.WithContext(ctx))
}

// CloseIdleConnections is for the method of http.Client.
func (c *caller) CloseIdleConnections() { c.transport.CloseIdleConnections() }

func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	h := s.handler
	s.serving[r] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.serving, r)
		s.checkIdle()
	}()
	h.ServeHTTP(w, r)
}

// checkIdle tells end that nothing is being served. The caller holds mu.
func (s *Server) checkIdle() {
	if s.ended && len(s.serving) == 0 {
		select {
		case <-s.idle:
		default:
			close(s.idle)
		}
	}
}

// end stops the server and waits for everything that it started.
func (s *Server) end() {
	s.t.Helper()
	defer s.log.end()
	s.mu.Lock()
	s.ended = true
	s.checkIdle()
	links := s.links
	s.mu.Unlock()
	s.cancel(errEnded)
	s.transport.CloseIdleConnections()
	s.srv.Close()
	<-s.served
	for _, l := range links {
		l.net.Cut() // net/http forgets what was hijacked
		l.net.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	select {
	case <-s.idle:
	case <-ctx.Done():
		s.mu.Lock()
		for r := range s.serving {
			s.t.Errorf("hubtest: %s %s is still being served %v after its connection was cut", r.Method, r.URL, endTimeout)
		}
		s.mu.Unlock()
		return
	}
	for _, l := range links {
		if l.net.Wait(ctx) != nil {
			s.t.Errorf("hubtest: the handler keeps %d connections of %s open, %v after they were cut", l.net.Conns(), l.name, endTimeout)
		}
	}
}

// newLink makes the link of one client.
func (s *Server) newLink(name string) *Link {
	l := &Link{name: name, net: s.net.Link()}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.links = append(s.links, l)
	return l
}

// testLog is where the server logs to: the output of a test, as long as there is one.
type testLog struct {
	t testing.TB

	mu   sync.Mutex
	over bool
}

// Write writes whole lines.
func (l *testLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return len(p), nil
	}
	return fmt.Fprintf(l.t.Output(), "hubtest: %s", p)
}

func (l *testLog) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
}
