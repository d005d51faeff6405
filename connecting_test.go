package hotline

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
)

func TestDialURL(t *testing.T) {
	for _, u := range []string{
		"", "hub", "/path", "ftp://hub/", "file:///etc/passwd", "ws:", "ws://", "ws:///path", "ws://:80/", "wss:hub", "://hub",
		"ws://hub:port/", "ws://hub/#frag", "ws://hub /", "ws://[::1", "ws://%zz/", "javascript:alert(1)", "ws://hub/\x00",
		"ada:s3cret@hub", "ws://ada:s3cret@hub:port/", "ftp://ada:s3cret@hub/", "ws://ada:s3cret@hub/#x", "ws://s3cret@/",
		"ws://ada:s3%zzcret@hub/", "ws://hub:port/?token=s3cret", "ws://hub/?token=s3cret#x",
	} {
		c, err := Dial(context.Background(), u, nil)
		if c != nil || !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", u, err)
			continue
		}
		if strings.Contains(err.Error(), "s3cret") || !strings.HasPrefix(err.Error(), "hotline: invalid") {
			t.Errorf("%q: the error is %q", u, err)
		}
	}
}

// Row 8: neither errors nor the log show what is secret in the URL or in hello, and the token is never in the URL.
func TestSecretsAreNotShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		var uris []string
		hub := newTestHub(&HubOptions{Logger: j.logger(), Authenticate: func(_ *http.Request, token string) (Identity, error) {
			if token == "s3cret-bad" {
				return Identity{}, fmt.Errorf("%w: a bad one", ErrDenied)
			}
			return Identity{User: "ada"}, nil
		}})
		t.Cleanup(func() { hub.Close() })
		f := newFake(t, 100, func(i int, w http.ResponseWriter, r *http.Request) {
			uris = append(uris, r.RequestURI+r.Referer())
			if i == 0 {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			hub.ServeHTTP(w, r)
		})
		var token atomic.Value
		token.Store("s3cret-good")
		var mu sync.Mutex
		var told []string
		tell := func(s string) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, s)
		}
		link := f.net.Link()
		opts := f.options(link)
		opts.Logger = j.logger()
		opts.Token = func(context.Context) (string, error) { return token.Load().(string), nil }
		opts.OnState = func(err error) { tell(fmt.Sprint(err)) }
		c, err := Dial(context.Background(), "ws://ada:s3cret-user@hub/x?q=s3cret-query", opts)
		if err != nil {
			t.Fatal(err)
		}
		f.follow(c, "chat.*", nil)
		f.srv.Close() // connections are the hub's, but there are no new ones
		link.Cut()
		time.Sleep(time.Minute)
		f.srv = &http.Server{Handler: hub}
		l := f.net.Listen()
		go f.srv.Serve(l)
		defer f.srv.Close()
		token.Store("s3cret-bad")
		<-c.Context().Done()
		tell(context.Cause(c.Context()).Error())
		link.Blackhole()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_, err = Dial(ctx, "ws://ada:s3cret-user@hub/x?q=s3cret-query", opts)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		tell(err.Error())
		link.Heal() // net/http goes on dialling
		synctest.Wait()
		for _, s := range append(told, j.String()) {
			if strings.Contains(s, "s3cret") {
				t.Errorf("it shows %s", s)
			}
		}
		if len(told) < 6 || !strings.Contains(j.String(), "not connected") {
			t.Errorf("told %q, logged %s", told, &j)
		}
		for _, u := range uris {
			if u != "/x?q=s3cret-query" {
				t.Errorf("asked for %q", u)
			}
		}
	})
}

// What an answer to the handshake means at first, when it may be a mistake in how the client was set up, and later.
func TestHandshakeAnswers(t *testing.T) {
	status := func(code int, body string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = io.WriteString(w, body)
		}
	}
	for _, tt := range []struct {
		name   string
		answer func(http.ResponseWriter, *http.Request)
		first  bool // final at first
		later  bool // and later
		denied bool
	}{
		{"foreign origin", status(403, "request Origin is not allowed"), true, true, true},
		{"401", status(401, ""), true, true, true},
		{"400", status(400, "no subprotocol"), true, true, false},
		{"404", status(404, "<html>"), true, false, false},
		{"200 with a page", status(200, "<html>"), true, false, false},
		{"405", status(405, ""), true, false, false},
		{"426", status(426, ""), true, false, false},
		{"no subprotocol", func(w http.ResponseWriter, r *http.Request) {
			if ws, err := websocket.Accept(w, r, nil); err == nil {
				serveUntilEnd(ws)
			}
		}, true, false, false},
		{"redirects without end", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/again", http.StatusFound)
		}, true, false, false},
		{"408", status(408, ""), false, false, false},
		{"429", status(429, ""), false, false, false},
		{"500", status(500, ""), false, false, false},
		{"502", status(502, "<html>"), false, false, false},
		{"503", status(503, ""), false, false, false},
		{"hangs up", func(w http.ResponseWriter, _ *http.Request) {
			if nc, _, err := http.NewResponseController(w).Hijack(); err == nil {
				nc.Close()
			}
		}, false, false, false},
		{"no answer", func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
		}, false, false, false},
		{"no HTTP", func(w http.ResponseWriter, _ *http.Request) {
			if nc, _, err := http.NewResponseController(w).Hijack(); err == nil {
				_, _ = io.WriteString(nc, "SSH-2.0-OpenSSH_9.7\r\n")
				nc.Close()
			}
		}, false, false, false},
	} {
		for _, first := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/first=%t", tt.name, first), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, nil)
					hub := w.srv.Handler
					var asked atomic.Int64
					var answers atomic.Bool
					f := newFake(t, 1000, func(_ int, rw http.ResponseWriter, r *http.Request) {
						if asked.Add(1); answers.Load() {
							tt.answer(rw, r)
							return
						}
						hub.ServeHTTP(rw, r)
					})
					link := f.net.Link()
					opts := f.options(link)
					opts.HTTPClient.Transport.(*http.Transport).DisableKeepAlives = false
					defer opts.HTTPClient.CloseIdleConnections()
					ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
					defer cancel()
					if first {
						answers.Store(true)
						_, err := Dial(ctx, "ws://hub/", opts)
						if errors.Is(err, context.DeadlineExceeded) == tt.first || errors.Is(err, ErrDenied) != tt.denied {
							t.Errorf("Dial: %v", err)
						}
						if !tt.first && !strings.Contains(err.Error(), "the last attempt: ") {
							t.Errorf("Dial does not say why: %v", err)
						}
						if asked.Load() > 60 {
							t.Errorf("asked %d times", asked.Load())
						}
						return
					}
					c, err := Dial(ctx, "ws://hub/", opts)
					if err != nil {
						t.Fatal(err)
					}
					defer c.Close()
					answers.Store(true)
					link.Cut()
					select {
					case <-c.Context().Done():
						why := context.Cause(c.Context())
						if !tt.later || errors.Is(why, ErrDenied) != tt.denied {
							t.Errorf("it ended: %v", why)
						}
					case <-ctx.Done():
						if tt.later {
							t.Error("it goes on")
						}
						if asked.Load() > 60*(maxRedirects+1) { // about 16 attempts, by chance more; redirects count each
							t.Errorf("asked %d times", asked.Load())
						}
						answers.Store(false)
						time.Sleep(time.Minute)
						if err := c.Publish(context.Background(), "chat.a", 1); err != nil {
							t.Errorf("it is not back: %v", err)
						}
					}
				})
			})
		}
	}
}

// The options of the HTTP client count, and the header is sent each time, as it was when Dial was called.
func TestDialOptionsAreUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var headers []http.Header
		hub := newTestHub(nil)
		t.Cleanup(func() { hub.Close() })
		f := newFake(t, 100, func(_ int, w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/moved" {
				http.Redirect(w, r, "ws://hub/", http.StatusTemporaryRedirect)
				return
			}
			headers = append(headers, r.Header)
			http.SetCookie(w, &http.Cookie{Name: "seen", Value: fmt.Sprint(len(headers))})
			hub.ServeHTTP(w, r)
		})
		link := f.net.Link()
		opts := f.options(link)
		jar, _ := cookiejar.New(nil)
		redirects := 0
		opts.HTTPClient.Jar = jar
		opts.HTTPClient.Timeout = 5 * time.Second
		opts.HTTPClient.CheckRedirect = func(*http.Request, []*http.Request) error { redirects++; return nil }
		opts.Header = http.Header{"X-Tenant": {"a"}}
		before := *opts.HTTPClient
		c, err := Dial(context.Background(), "ws://hub/moved", opts)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		opts.Header["X-Tenant"][0] = "b"
		opts.Header.Set("X-Other", "c")
		if opts.HTTPClient.Transport != before.Transport || opts.HTTPClient.Timeout != before.Timeout || len(opts.Header) != 2 {
			t.Error("Dial has changed what it was given")
		}
		*opts.HTTPClient = http.Client{Transport: refusing{}} // it was copied
		for range 3 {
			time.Sleep(10 * time.Second) // Timeout is that of the handshake
			link.Cut()
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if len(headers) != 4 || redirects != 4 {
			t.Errorf("%d handshakes, %d redirects", len(headers), redirects)
		}
		for i, h := range headers {
			cookie := fmt.Sprint("seen=", i)
			if i == 0 {
				cookie = ""
			}
			if h.Get("X-Tenant") != "a" || h.Get("X-Other") != "" || h.Get("Cookie") != cookie {
				t.Errorf("handshake %d: %v", i, h)
			}
		}
		link.Blackhole()
		link.Cut()
		time.Sleep(time.Minute)
		c.mu.Lock()
		last := c.last
		c.mu.Unlock()
		if !errors.Is(last, context.DeadlineExceeded) {
			t.Errorf("Timeout did not end an attempt: %v", last)
		}
		c.Close()
		link.Heal() // net/http goes on dialling
	})
}

type refusing struct{}

func (refusing) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("refused") }

// Compressed in both directions, and the hub's limit on what is inflated holds for the client, too.
func TestClientCompression(t *testing.T) {
	for _, hubs := range []bool{true, false} {
		for _, clients := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, &HubOptions{Compression: hubs})
				c, link := w.connect(func(o *DialOptions) { o.Compression = clients })
				s := w.follow(c, "chat.*", nil)
				text := strings.Repeat("to be compressed ", 3000)
				for range 3 {
					if err := c.Publish(context.Background(), "chat.a", text); err != nil {
						t.Fatal(err)
					}
					wantNext(t, s, fmt.Sprintf("chat.a %q", text))
					if err := c.Publish(context.Background(), "chat.b", Binary(text)); err != nil {
						t.Fatal(err)
					}
					wantNext(t, s, "chat.b "+text)
					link.Cut()
				}
				if st := w.hub.Stats(); (st.BytesOut < int64(len(text))) != (hubs && clients) {
					t.Errorf("hub %t, client %t: sent %d bytes", hubs, clients, st.BytesOut)
				}
			})
		}
	}
}

// newTLS serves a hub over TLS with a certificate that nobody trusts by default.
func newTLS(t *testing.T) (wss string, roots *x509.CertPool) {
	hub := newTestHub(nil)
	srv := httptest.NewUnstartedServer(hub)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	t.Cleanup(func() {
		hub.Close()
		srv.Close()
	})
	roots = x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	return "wss" + strings.TrimPrefix(srv.URL, "https"), roots
}

func TestDialTLS(t *testing.T) {
	wss, roots := newTLS(t)
	for _, tt := range []struct {
		name, url string
		roots     *x509.CertPool
		ok        bool
	}{
		{"trusted", wss, roots, true},
		{"https", "https" + strings.TrimPrefix(wss, "wss"), roots, true},
		{"untrusted", wss, x509.NewCertPool(), false},
		{"another name", strings.Replace(wss, "127.0.0.1", "localhost", 1), roots, false},
		{"TLS where there is none", "wss" + strings.TrimPrefix(newRealWorld(t, nil).url, "ws"), roots, false},
		{"no TLS where there is some", "ws" + strings.TrimPrefix(wss, "wss"), roots, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: tt.roots}}
			defer tr.CloseIdleConnections()
			c, err := Dial(context.Background(), tt.url, &DialOptions{HTTPClient: &http.Client{Transport: tr}})
			if (err == nil) != tt.ok {
				t.Errorf("Dial: %v", err)
			}
			if c != nil {
				if err := c.Publish(context.Background(), "chat.a", 1); err != nil {
					t.Error(err)
				}
				c.Close()
			}
		})
	}
}
