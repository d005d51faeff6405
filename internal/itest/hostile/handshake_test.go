package hostile

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// handshake is a good one (RFC 6455 §4.2.1), of which each replacement is made: a line, and what stands in its place.
func handshake(replace ...string) string {
	s := "GET / HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: hotline.v1\r\n\r\n"
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(s, replace[i]) {
			panic(replace[i] + " is not in the handshake")
		}
		s = strings.Replace(s, replace[i], replace[i+1], 1)
	}
	return s
}

const (
	aKey     = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	aVersion = "Sec-WebSocket-Version: 13\r\n"
	anEnd    = "Sec-WebSocket-Protocol: hotline.v1\r\n\r\n"
)

// refusals are handshakes that must not be answered with 101 (RFC 6455 §4.2.2, RFC 9112), and what may be answered.
var refusals = []struct {
	name, request string
	status        []int
}{
	{"no key", handshake(aKey, ""), []int{400}},
	{"an empty key", handshake("dGhlIHNhbXBsZSBub25jZQ==", ""), []int{400}},
	{"a key of 15 bytes", handshake("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j"), []int{400}},
	{"a key of 17 bytes", handshake("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZWU="), []int{400}},
	{"a key that is not base64", handshake("dGhlIHNhbXBsZSBub25jZQ==", "%%%%IHNhbXBsZSBub25jZQ=="), []int{400}},
	{"two keys", handshake(aKey, aKey+aKey), []int{400}},
	{"no version", handshake(aVersion, ""), []int{400, 426}},
	{"version 12", handshake("Version: 13", "Version: 12"), []int{400, 426}},
	{"version 13 and more", handshake("Version: 13", "Version: 13, 8"), []int{400, 426}},
	{"POST", handshake("GET", "POST"), []int{400, 405}},
	{"HEAD", handshake("GET", "HEAD"), []int{400, 405}},
	{"CONNECT", handshake("GET /", "CONNECT hub:80"), []int{400, 404, 405}},
	{"HTTP/1.0", handshake("HTTP/1.1", "HTTP/1.0"), []int{400, 426, 505}},
	{"HTTP/3.7", handshake("HTTP/1.1", "HTTP/3.7"), []int{400, 505}},
	{"no Upgrade", handshake("Upgrade: websocket\r\n", ""), []int{400, 426}},
	{"Upgrade to h2c", handshake("Upgrade: websocket", "Upgrade: h2c"), []int{400, 426}},
	{"Connection: close", handshake("Connection: Upgrade", "Connection: close"), []int{400, 426}},
	{"no Host", handshake("Host: hub\r\n", ""), []int{400}},
	{"two Hosts", handshake("Host: hub\r\n", "Host: hub\r\nHost: bank\r\n"), []int{400}},
	{"another origin", handshake("Host: hub\r\n", "Host: hub\r\nOrigin: https://evil.example\r\n"), []int{403}},
	{"two origins", handshake("Host: hub\r\n", "Host: hub\r\nOrigin: http://hub\r\nOrigin: http://evil.example\r\n"), []int{403}},
	{"an origin that is none", handshake("Host: hub\r\n", "Host: hub\r\nOrigin: http://hub@evil.example\r\n"), []int{403}},
	{"a null origin", handshake("Host: hub\r\n", "Host: hub\r\nOrigin: null\r\n"), []int{403}},
	{"NUL in a header", handshake("hotline.v1", "hotline.v1\x00"), []int{400}},
	{"a line without a colon", handshake(aKey, aKey+"nonsense\r\n"), []int{400}},
	{"a header that is folded", handshake("Protocol: hotline.v1", "Protocol:\r\n hotline.v1,\r\n\x00other"), []int{400}},
	{"a space before the colon", handshake("Upgrade: ", "Upgrade : "), []int{400}},
	{"too large", handshake(aKey, aKey+"X: "+strings.Repeat("x", 2<<20)+"\r\n"), []int{431}},
	{"two lengths", handshake(anEnd, "Content-Length: 5\r\nContent-Length: 6\r\n"+anEnd), []int{400}},
	{"a TLS ClientHello", "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n", []int{400}},
	{"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", []int{400, 405, 426, 505}},
}

// TestBadHandshakes: what is no handshake is refused, with a reason, and takes nothing of the hub with it.
func TestBadHandshakes(t *testing.T) {
	w := newWorld(t)
	for _, x := range refusals {
		resp, body, err := w.shake(x.request)
		switch {
		case err != nil:
			t.Errorf("%s: %v", x.name, err)
		case !slices.Contains(x.status, resp.StatusCode):
			t.Errorf("%s: %s, want %v; %q", x.name, resp.Status, x.status, body)
		case body == "" && x.name != "HEAD":
			t.Errorf("%s: %s without a word why", x.name, resp.Status)
		case strings.Contains(x.name, "version") && resp.Header.Get("Sec-WebSocket-Version") != "13":
			t.Errorf("%s: it does not say which version it speaks (RFC 6455 §4.4): %v", x.name, resp.Header)
		}
	}
	// Who goes away in the middle.
	whole := handshake()
	for n := range len(whole) {
		nc, err := w.connect(n%2 == 0)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(nc, whole[:n])
		nc.Close()
	}
	w.idle(t)
}

// TestOddHandshakes: what is none of ours is passed over.
func TestOddHandshakes(t *testing.T) {
	w := newWorld(t)
	for name, request := range map[string]string{
		"any case":             handshake("Upgrade: websocket", "uPGRADE: WebSocket", "Connection: Upgrade", "connection: keep-alive, UPGRADE"),
		"extensions of others": handshake(anEnd, "Sec-WebSocket-Extensions: ;;;, x-webkit-deflate-frame, permessage-deflate; server_max_window_bits=99; q\r\n"+anEnd),
		"many protocols":       handshake("hotline.v1", strings.Repeat("chat, ", 2000)+"hotline.v1"),
		"protocols in lines":   handshake(anEnd, "Sec-WebSocket-Protocol: chat\r\n"+anEnd),
		"bare LF":              strings.ReplaceAll(handshake(), "\r\n", "\n"),
	} {
		resp, _, err := w.shake(request)
		switch {
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Sec-WebSocket-Protocol") != "hotline.v1":
			t.Errorf("%s: %s %v", name, resp.Status, resp.Header)
		case resp.Header.Get("Sec-WebSocket-Extensions") != "":
			t.Errorf("%s: extensions %q", name, resp.Header.Get("Sec-WebSocket-Extensions"))
		}
	}
	w.idle(t)
}

// shake sends a request and returns the answer to it.
func (w *world) shake(request string) (resp *http.Response, body string, err error) {
	nc, err := w.connect(true)
	if err != nil {
		return nil, "", err
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(patience))
	go io.WriteString(nc, request) // the answer may come before it was read to its end
	method, _, _ := strings.Cut(request, " ")
	if resp, err = http.ReadResponse(bufio.NewReader(nc), &http.Request{Method: method}); err != nil {
		return nil, "", fmt.Errorf("no answer: %w", err)
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return resp, "", nil
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	return resp, string(text), err
}

// idle waits until the hub has none but the witnesses.
func (w *world) idle(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(patience); w.hub.Stats().Conns != len(w.witnesses); {
		if time.Now().After(end) {
			t.Fatalf("%d connections are left, want %d", w.hub.Stats().Conns, len(w.witnesses))
		}
		time.Sleep(time.Millisecond)
	}
	if _, err := w.published(); err != nil {
		t.Error(err)
	}
}
