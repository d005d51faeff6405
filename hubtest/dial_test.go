package hubtest

import (
	"context"
	"errors"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gohotline/hotline"
)

// The client's link outlives its connections, and deploys.
func TestDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, next := open(t), open(t)
		mux := http.NewServeMux()
		mux.Handle("/ws", hub)
		s := Serve(t, mux)
		c, link := s.Dial("/ws", nil)
		sub, err := c.Subscribe(t.Context(), "a", nil)
		if err != nil {
			t.Fatal(err)
		}
		want := func(data string, missed bool) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if m, err := sub.Next(ctx); err != nil || string(m.Data) != data || (m.Missed > 0) != missed {
				t.Fatalf("got %+v, %v; want %s", m, err, data)
			}
		}
		publish(t, hub, "a", 1)
		want("1", false)
		link.Stall()
		publish(t, hub, "a", 2)
		link.Cut()
		link.Heal()
		want("2", false)
		if n := link.net.Conns(); n == 0 {
			t.Errorf("the client has come back over another link: %d connections", n)
		}
		s.Restart(http.NotFoundHandler())
		time.Sleep(5 * time.Second)
		s.Restart(muxOf("/ws", next))
		time.Sleep(time.Minute) // more than the longest pause between two attempts
		publish(t, next, "a", 3)
		want("3", true)
	})
}

// Outside of a bubble it works too.
func TestDialReal(t *testing.T) {
	hub := open(t)
	c, _ := Serve(t, hub).Dial("/", nil)
	sub, err := c.Subscribe(t.Context(), "a", nil)
	if err != nil {
		t.Fatal(err)
	}
	publish(t, hub, "a", 1)
	if m, err := sub.Next(t.Context()); err != nil || string(m.Data) != "1" || m.Missed > 0 {
		t.Fatalf("got %+v, %v", m, err)
	}
}

func muxOf(path string, h http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(path, h)
	return mux
}

// A tunnel for the application's user, from program to program.
func TestTunnel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := open(t)
		c, link := Serve(t, hub).Dial("/", nil)
		sub, err := c.Subscribe(t.Context(), "a", nil)
		if err != nil {
			t.Fatal(err)
		}
		link.Blackhole()
		time.Sleep(2 * time.Minute)
		publish(t, hub, "a", "shipped")
		link.Heal()
		if m, err := sub.Next(t.Context()); err != nil || m.Missed != 0 || string(m.Data) != `"shipped"` {
			t.Fatalf("got %+v, %v", m, err)
		}
	})
}

// A client that isn't closed is, with the test, whatever its link does.
func TestDialEnds(t *testing.T) {
	for name, fault := range map[string]func(l *Link){
		"healthy": func(*Link) {}, "Cut": (*Link).Cut, "Stall": (*Link).Stall, "Blackhole": (*Link).Blackhole,
		"Throttle": func(l *Link) { l.Throttle(1) },
	} {
		bubble(t, name, func(t *testing.T) {
			r := &recorder{TB: t}
			hub := newHub()
			c, link := Serve(r, hub).Dial("/", nil)
			if _, err := c.Subscribe(t.Context(), "a", nil); err != nil {
				t.Fatal(err)
			}
			fault(link)
			publish(t, hub, "a", strings.Repeat("x", 200_000))
			synctest.Wait()
			r.end()
			if !errors.Is(context.Cause(c.Context()), hotline.ErrClosed) {
				t.Errorf("the client ended with %v", context.Cause(c.Context()))
			}
			if len(r.errors) > 0 || r.output.Len() > 0 {
				t.Errorf("failed with %q, logged %q", r.errors, r.output.String())
			}
			hub.Close()
		})
	}
}

func TestDialBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		connected := make(chan time.Time, 100)
		start := time.Now()
		_, link := Serve(t, open(t)).Dial("/", &hotline.DialOptions{Background: true, OnState: func(err error) {
			if err == nil {
				connected <- time.Now()
			}
		}})
		link.Blackhole() // before anything else runs, or the connection is cut
		link.Cut()
		time.Sleep(time.Minute)
		link.Heal()
		for at := range connected {
			if at.Sub(start) >= time.Minute {
				break
			}
		}
	})
}

type tripper struct{ http.RoundTripper }

func TestDialFails(t *testing.T) {
	for _, tt := range []struct {
		name, path string
		handler    http.Handler
		opts       *hotline.DialOptions
		want       []string
	}{
		{"a path that is none", "ws", nil, nil, []string{`Dial "ws": neither a URL nor a path`}},
		{"no path", "", nil, nil, []string{`Dial "": neither a URL nor a path`}},
		{
			"a transport of another kind", "/", nil,
			&hotline.DialOptions{HTTPClient: &http.Client{Transport: tripper{}}},
			[]string{`Dial "/": DialOptions.HTTPClient.Transport is a hubtest.tripper`, "*http.Transport"},
		},
		{"nobody answers as a hub", "/", http.NotFoundHandler(), nil, []string{`Dial "/": `}},
		{"away", "/", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }), nil, []string{"not connected after 1m0s"}},
	} {
		bubble(t, tt.name, func(t *testing.T) {
			failure(t, func(r *recorder) { Serve(r, tt.handler).Dial(tt.path, tt.opts) }, tt.want...)
		})
	}
	bubble(t, "refused", func(t *testing.T) {
		hub := hotline.NewHub(&hotline.HubOptions{Authenticate: func(*http.Request, string) (hotline.Identity, error) {
			return hotline.Identity{}, hotline.ErrDenied
		}})
		defer hub.Close()
		failure(t, func(r *recorder) { Serve(r, hub).Dial("/", nil) }, `Dial "/": `, "denied")
	})
	bubble(t, "after the end", func(t *testing.T) {
		r := &recorder{TB: t}
		s := Serve(r, nil)
		r.end()
		failure(t, func(r2 *recorder) { s.t = r2; s.Dial("/", nil) }, errEnded.Error())
	})
}

// What the user's http.Client is made for stays, and it is not changed.
func TestDialHTTPClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		requests := make(chan *http.Request, 10)
		hub := open(t)
		s := Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests <- r
			hub.ServeHTTP(w, r)
		}))
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		site, err := url.Parse("https://tenant.example.com/")
		if err != nil {
			t.Fatal(err)
		}
		jar.SetCookies(site, []*http.Cookie{{Name: "session", Value: "ada", Secure: true}})
		proxy := func(*http.Request) (*url.URL, error) { return nil, errors.New("there is no proxy") }
		transport := &http.Transport{Proxy: proxy, ResponseHeaderTimeout: time.Minute}
		own := &http.Client{Jar: jar, Transport: transport, Timeout: time.Hour}
		opts := &hotline.DialOptions{HTTPClient: own, Header: http.Header{"X-Tenant": {"1"}}}
		for _, tt := range []struct{ url, host, cookie string }{
			{"wss://tenant.example.com/ws?a=b", "tenant.example.com", "ada"},
			{"ws://tenant.example.com/ws?a=b", "tenant.example.com", ""},
			{"/ws?a=b", "example.com", ""},
		} {
			s.Dial(tt.url, opts)
			r := <-requests
			cookie := ""
			if c, err := r.Cookie("session"); err == nil {
				cookie = c.Value
			}
			if r.Host != tt.host || r.URL.String() != "/ws?a=b" || cookie != tt.cookie || r.Header.Get("X-Tenant") != "1" || r.TLS != nil {
				t.Errorf("%s: host %s, %s, cookie %q, %v", tt.url, r.Host, r.URL, cookie, r.Header)
			}
		}
		if own.Transport != transport || transport.DialContext != nil || transport.Proxy == nil || opts.HTTPClient != own {
			t.Error("the options were changed")
		}
		link := s.newLink("copy")
		c, err := link.httpClient(own)
		if err != nil {
			t.Fatal(err)
		}
		if tr := c.Transport.(*http.Transport); c.Jar != jar || c.Timeout != time.Hour || tr.ResponseHeaderTimeout != time.Minute {
			t.Errorf("the copy lacks something: %+v", c)
		}
	})
}
