package site

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gohotline/hotline"
	"github.com/gohotline/hotline/examples/secure/selfsigned"
	"github.com/gohotline/hotline/internal/memnet"
)

// open is an app that lets everybody do everything with its topics.
func open(name string) *App {
	return &App{Name: name, Handler: page, Options: hotline.HubOptions{
		AuthorizeSubscribe: hotline.Allow(name + ".>"), AuthorizePublish: hotline.Allow(name + ".>"),
	}}
}

// TestPaths: each app is under its name, alone too, and what they share beside them.
func TestPaths(t *testing.T) {
	hub := hotline.NewHub(nil)
	defer hub.Close()
	for _, apps := range [][]*App{{open("one")}, {open("one"), open("two")}} {
		h := handler(hub, apps)
		get := func(path string) *http.Response {
			return answer(h, path)
		}
		for path, to := range map[string]string{"/": "/one/", "/one": "/one/", "/site": "/site/"} {
			if r := get(path); r.StatusCode/100 != 3 || r.Header.Get("Location") != to {
				t.Errorf("%s: %d, %q", path, r.StatusCode, r.Header.Get("Location"))
			}
		}
		for _, path := range []string{"/site/site.css", "/site/icon.svg", "/hotline.js", "/one/site.css"} {
			r := get(path)
			if r.StatusCode != http.StatusOK || r.Header.Get("X-Content-Type-Options") != "nosniff" || r.Header.Get("Cache-Control") != "no-cache" {
				t.Errorf("%s: %d, %v", path, r.StatusCode, r.Header)
			}
			if csp := r.Header.Get("Content-Security-Policy"); path != "/hotline.js" && !strings.HasPrefix(csp, "default-src 'self';") {
				t.Errorf("%s: its policy is %q", path, csp)
			}
		}
		for _, path := range []string{"/nowhere", "/ws", "/site/ws", "/one/nowhere"} {
			if r := get(path); r.StatusCode != http.StatusNotFound {
				t.Errorf("%s: %d", path, r.StatusCode)
			}
		}
	}
}

// TestDrain: when it is to end, what the apps do ends first, then everybody is told to come back, and it ends without an
// error. What it leaves behind fails the bubble.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New(nil)
		one, two := open("one"), open("two")
		last := make(chan error, 1)
		two.Run = func(ctx context.Context, hub *hotline.Hub) {
			for n := 0; ctx.Err() == nil; n++ {
				hub.Publish(context.WithoutCancel(ctx), "two.ticks", n)
				select {
				case <-time.After(time.Second):
				case <-ctx.Done():
				}
			}
			last <- hub.Publish(context.WithoutCancel(ctx), "two.ticks", "the end") // the hub still works
		}
		stop := serve(t, net, one, two)
		states := make(chan error, 10)
		c, err := hotline.Dial(t.Context(), "ws://localhost:8080/two/ws", &hotline.DialOptions{
			HTTPClient: browser(t, net), OnState: func(err error) { states <- err },
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		sub, err := c.Subscribe(t.Context(), "two.ticks", nil)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if err := stop(); err != nil {
			t.Error(err)
		}
		if err := <-last; err != nil {
			t.Errorf("the last that was published: %v", err)
		}
		<-states
		var closed *hotline.CloseError
		if err := <-states; !errors.As(err, &closed) || closed.Code != 1012 {
			t.Errorf("the client lost its connection with %v", err)
		}
		got := ""
		for n := 0; !strings.HasSuffix(got, `"the end"`); n++ {
			msg, err := sub.Next(t.Context())
			if err != nil {
				t.Fatalf("%v, after %s", err, got)
			}
			got += string(msg.Data)
		}
	})
}

// TestSlowRequest: who sends a request for ever is not waited for; a connection to the hub stays.
func TestSlowRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New(nil)
		app, ended := open("one"), false
		app.Options.OnDisconnect = func(context.Context, *hotline.Conn, error) { ended = true }
		serve(t, net, app)
		c := dial(t, net, "one", "")
		began := time.Now()
		slow, err := net.Link().DialContext(t.Context(), "tcp", "localhost:8080")
		if err != nil {
			t.Fatal(err)
		}
		defer slow.Close()
		if _, err := io.WriteString(slow, "POST /one/ HTTP/1.1\r\nHost: localhost:8080\r\nContent-Length: 1000\r\n\r\nx="); err != nil {
			t.Fatal(err)
		}
		_ = slow.SetReadDeadline(began.Add(time.Hour))
		if _, err := io.ReadAll(slow); err != nil || time.Since(began) > time.Minute {
			t.Errorf("its connection ended after %v: %v", time.Since(began), err)
		}
		time.Sleep(10 * time.Minute)
		if err := c.Publish(t.Context(), "one.a", 1); err != nil || ended {
			t.Errorf("%v; the connection to the hub has ended: %t", err, ended)
		}
	})
}

// TestCantServe: if it can't go on serving it says why, and everything else ends too.
func TestCantServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := open("one")
		ended := false
		app.Run = func(ctx context.Context, _ *hotline.Hub) {
			<-ctx.Done()
			ended = true
		}
		ln := memnet.New(nil).Listen()
		ln.Close()
		if err := Serve(t.Context(), ln, app); err == nil || !ended {
			t.Errorf("Serve: %v, its Run has ended: %t", err, ended)
		}
	})
}

// TestTLS: https and wss for who trusts the certificate, and for nobody else.
func TestTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New(nil)
		cert, err := selfsigned.Certificate()
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		ln := withTLS(net.Listen(), cert)
		go func() { ended <- Serve(ctx, ln, open("one")) }()

		stranger := browser(t, net)
		friend := browser(t, net)
		pool := x509.NewCertPool()
		pool.AddCert(cert.Leaf)
		friend.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: pool}

		resp, err := friend.Get("https://localhost/site/icon.svg")
		if err != nil {
			t.Fatal(err)
		}
		if svg, err := io.ReadAll(resp.Body); resp.TLS == nil || err != nil || !strings.HasPrefix(string(svg), "<svg") {
			t.Errorf("%q, %v", svg, err)
		}
		resp.Body.Close()
		for _, host := range []string{"localhost", "127.0.0.1", "[::1]"} {
			c, err := hotline.Dial(t.Context(), "wss://"+host+"/one/ws", &hotline.DialOptions{HTTPClient: friend})
			if err != nil {
				t.Fatal(err)
			}
			sub, err := c.Subscribe(t.Context(), "one.a", nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Publish(t.Context(), "one.a", "over wss"); err != nil {
				t.Error(err)
			}
			if msg, err := sub.Next(t.Context()); err != nil || string(msg.Data) != `"over wss"` {
				t.Errorf("%s, %v", msg.Data, err)
			}
			c.Close()
		}
		for _, url := range []string{"wss://localhost/one/ws", "wss://elsewhere.example/one/ws", "ws://localhost/one/ws"} {
			who := friend
			if url == "wss://localhost/one/ws" {
				who = stranger
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			if _, err := hotline.Dial(ctx, url, &hotline.DialOptions{HTTPClient: who}); err == nil {
				t.Errorf("%s is open to a stranger", url)
			}
			cancel()
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestURL: the page is under the host that was asked for.
func TestURL(t *testing.T) {
	for _, tt := range []struct{ addr, want string }{
		{"", "https://localhost:80/"}, {":9", "https://localhost:80/"}, {"[::1]:0", "https://[::1]:80/"}, {"example.com:1", "https://example.com:80/"},
	} {
		ln := memnet.New(nil).Listen()
		if got := url("https", ln, tt.addr); got != tt.want {
			t.Errorf("-addr %q: %s, want %s", tt.addr, got, tt.want)
		}
		ln.Close()
	}
}
