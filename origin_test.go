package hotline

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/gohotline/hotline/internal/wire"
)

// upgradeRequest is a handshake as a browser makes it.
func upgradeRequest(host, origin string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "http://"+host+"/", nil)
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Sec-WebSocket-Version", "13")
	r.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	r.Header.Set("Sec-WebSocket-Protocol", wire.Protocol)
	if origin != "" {
		r.Header.Set("Origin", origin)
	}
	return r
}

// originProbe notes whether it comes to taking the connection over, which then fails.
type originProbe struct {
	*httptest.ResponseRecorder
	hijacked bool
}

// Hijack fails.
func (w *originProbe) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.hijacked = true
	return nil, nil, errors.New("a probe")
}

// TestOrigin is row 7 of the failure table: a page on another origin connects with its visitor's cookies.
func TestOrigin(t *testing.T) {
	for _, tt := range []struct {
		name, host, origin string
		patterns           []string
		insecure, ok       bool
	}{
		{name: "missing: not a browser", host: "example.com", ok: true},
		{name: "same", host: "example.com", origin: "https://example.com", ok: true},
		{name: "same, with a port", host: "example.com:8080", origin: "http://example.com:8080", ok: true},
		{name: "case", host: "Example.com", origin: "https://eXample.COM", ok: true},
		// A proxy may have ended TLS, so that nobody here knows the scheme of the page's own host.
		{name: "scheme", host: "example.com", origin: "http://example.com", ok: true},
		{name: "IPv6", host: "[::1]:8080", origin: "http://[::1]:8080", ok: true},

		{name: "host", host: "example.com", origin: "https://evil.example"},
		{name: "host that begins alike", host: "example.com", origin: "https://example.com.evil.example"},
		{name: "host that ends alike", host: "example.com", origin: "https://evilexample.com"},
		{name: "subdomain", host: "example.com", origin: "https://a.example.com"},
		{name: "port", host: "example.com", origin: "https://example.com:8443"},
		{name: "port of the host alone", host: "example.com:8443", origin: "https://example.com"},
		{name: "IPv6, port", host: "[::1]:8080", origin: "http://[::1]:3000"},
		{name: "null", host: "example.com", origin: "null"},
		{name: "null and any host allowed", host: "example.com", origin: "null", patterns: []string{"*", "null"}},
		{name: "userinfo", host: "example.com", origin: "https://example.com@evil.example"},
		{name: "userinfo before the same host", host: "example.com", origin: "https://user@example.com"},
		{name: "no URL", host: "example.com", origin: "https://exa mple.com"},
		{name: "no host", host: "example.com", origin: "file:///home/me/page.html"},
		{name: "empty host", host: "", origin: "https://"},

		{name: "pattern", host: "example.com", origin: "https://app.example.org", patterns: []string{"app.example.org"}, ok: true},
		{name: "pattern, case", host: "example.com", origin: "https://App.Example.Org", patterns: []string{"aPp.example.org"}, ok: true},
		{name: "pattern with *", host: "example.com", origin: "https://a.example.org", patterns: []string{"x", "*.example.org"}, ok: true},
		{name: "pattern with * is for subdomains", host: "example.com", origin: "https://example.org", patterns: []string{"*.example.org"}},
		{name: "pattern, port", host: "example.com", origin: "https://example.org:444", patterns: []string{"example.org"}},
		{name: "pattern with a scheme", host: "example.com", origin: "https://example.org", patterns: []string{"https://example.org"}, ok: true},
		{name: "pattern with another scheme", host: "example.com", origin: "http://example.org", patterns: []string{"https://example.org"}},
		{name: "pattern, userinfo", host: "example.com", origin: "https://example.org@evil.example", patterns: []string{"example.org*"}},

		{name: "insecure", host: "example.com", origin: "https://evil.example", insecure: true, ok: true},
		{name: "insecure, null", host: "example.com", origin: "null", insecure: true, ok: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var j journal
			code, body := tryOrigin(t, upgradeRequest(tt.host, tt.origin), &HubOptions{
				OriginPatterns: tt.patterns, InsecureSkipOriginCheck: tt.insecure, Logger: j.logger(),
			})
			if ok := code == 0; ok != tt.ok || !ok && code != http.StatusForbidden {
				t.Fatalf("answered %d %s, want ok %v", code, body, tt.ok)
			}
			if warned := strings.Contains(j.String(), "level=WARN"); warned == tt.ok {
				t.Fatalf("a warning: %v; log: %s", warned, &j)
			}
		})
	}
}

// TestOriginTwice: a browser sends one Origin. What sends two may be a proxy that was talked into it.
func TestOriginTwice(t *testing.T) {
	for _, origins := range [][]string{
		{"https://example.com", "https://evil.example"},
		{"", "https://evil.example"},
	} {
		r := upgradeRequest("example.com", "")
		r.Header["Origin"] = origins
		if code, body := tryOrigin(t, r, &HubOptions{Logger: new(journal).logger()}); code != http.StatusForbidden {
			t.Errorf("%q: answered %d %s", origins, code, body)
		}
	}
}

// TestOriginWarning: the log names a pattern, and that pattern allows what was refused.
func TestOriginWarning(t *testing.T) {
	for _, origin := range []string{
		"https://example.org", "http://example.org:3000", "https://EXAMPLE.org", "http://[::1]:3000", "http://[fe80::1%25en0]:80",
		"https://a*b.example.org", "https://xn--bcher-kva.example",
	} {
		var j journal
		if code, _ := tryOrigin(t, upgradeRequest("example.com", origin), &HubOptions{Logger: j.logger()}); code != http.StatusForbidden {
			t.Fatalf("%s: answered %d", origin, code)
		}
		m := regexp.MustCompile(`OriginPatterns would need"=("(?:[^"\\]|\\.)*"|\S+)`).FindStringSubmatch(j.String())
		if m == nil {
			t.Fatalf("%s: the log does not name a pattern: %s", origin, &j)
		}
		named := m[1]
		if s, err := strconv.Unquote(named); err == nil {
			named = s
		}
		o := &HubOptions{OriginPatterns: []string{named}, Logger: new(journal).logger()}
		if err := o.Validate(); err != nil {
			t.Errorf("%s: %v", origin, err)
			continue
		}
		if code, body := tryOrigin(t, upgradeRequest("example.com", origin), o); code != 0 {
			t.Errorf("%s: with the pattern of the log, %q, answered %d %s", origin, named, code, body)
		}
		if code, _ := tryOrigin(t, upgradeRequest("example.com", "https://other.example"), o); code == 0 {
			t.Errorf("%s: the pattern of the log, %q, allows others", origin, named)
		}
	}
	// No pattern allows a page without a host.
	var j journal
	tryOrigin(t, upgradeRequest("example.com", "null"), &HubOptions{Logger: j.logger()})
	if !strings.Contains(j.String(), "none: it names no host") {
		t.Errorf("log: %s", &j)
	}
}

// tryOrigin returns the answer to a request; 0: the connection was taken over.
func tryOrigin(t *testing.T, r *http.Request, o *HubOptions) (code int, body string) {
	t.Helper()
	hub := NewHub(o)
	defer hub.Close()
	w := &originProbe{ResponseRecorder: httptest.NewRecorder()}
	hub.ServeHTTP(w, r)
	if w.hijacked {
		return 0, ""
	}
	return w.Code, fmt.Sprint(w.Body)
}
