package interop

import (
	"crypto/x509"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/lesismal/llib/std/crypto/tls"

	"github.com/lesismal/nbio/logging"
	"github.com/lesismal/nbio/nbhttp"
	"github.com/lesismal/nbio/nbhttp/websocket"
)

func nbio() *client {
	return &client{
		name: "nbio", about: goModule("github.com/lesismal/nbio"),
		start: func(t *testing.T) dialer {
			logging.SetLevel(logging.LevelNone)
			return func(to target, report func(event)) socket {
				// An engine for each connection. One that several share may take the end of one that is closed for that of
				// another, whose descriptor has got its number.
				engine := nbhttp.NewEngine(nbhttp.Config{})
				if err := engine.Start(); err != nil {
					report(event{kind: evFailed, data: err.Error()})
					return nil
				}
				t.Cleanup(engine.Stop)
				return dialNBIO(engine, to, report)
			}
		},
		lacks: map[string]string{
			"close 1012":       nbioCodes,
			"close 1013":       nbioCodes,
			"shows the status": "nbio clears the response before its Dial returns it: the refusal is seen, its status is not.",
		},
	}
}

const nbioCodes = "nbio takes 1012 and 1013, which are younger than RFC 6455, for malformed: the client knows them from `bye` alone."

type nbioSocket struct{ *websocket.Conn }

func dialNBIO(engine *nbhttp.Engine, to target, report func(event)) socket {
	up := websocket.NewUpgrader()
	up.EnableCompression(to.deflate)
	up.KeepaliveTime = 0
	// What is set before the connection is made is what sees its first frames.
	opened := make(chan struct{})
	after := func(e event) {
		<-opened
		report(e)
	}
	up.OnMessage(func(_ *websocket.Conn, kind websocket.MessageType, data []byte) {
		if kind == websocket.TextMessage {
			after(event{kind: evText, data: string(data)})
		} else {
			after(event{kind: evBinary, data: string(data)})
		}
	})
	up.SetPingHandler(func(c *websocket.Conn, s string) {
		after(event{kind: evPing, data: s})
		c.WriteMessage(websocket.PongMessage, []byte(s))
	})
	up.SetPongHandler(func(_ *websocket.Conn, s string) { after(event{kind: evPong, data: s}) })
	closed := false // its handlers of one connection run one at a time
	up.SetCloseHandler(func(c *websocket.Conn, code int, reason string) {
		closed = true
		after(event{kind: evClose, code: code, data: reason})
		c.WriteClose(code, reason)
	})
	up.OnClose(func(_ *websocket.Conn, err error) {
		if !closed {
			after(event{kind: evLost, data: errText(err)})
		}
	})
	pool := x509.NewCertPool()
	if b, err := os.ReadFile(to.authority); err == nil {
		pool.AppendCertsFromPEM(b)
	}
	d := &websocket.Dialer{
		Engine: engine, Options: up, DialTimeout: patience, Subprotocols: to.protocols,
		TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "localhost"},
	}
	header := http.Header{}
	if to.origin != "" {
		header.Set("Origin", to.origin)
	}
	conn, resp, err := d.Dial(to.url, header)
	if err != nil {
		report(refusal(resp, err))
		return nil
	}
	conn.SetReadDeadline(time.Time{})
	report(event{kind: evOpen, data: conn.Subprotocol()})
	close(opened)
	return nbioSocket{conn}
}

func (s nbioSocket) send(binary bool, parts ...string) error {
	kind := websocket.TextMessage
	if binary {
		kind = websocket.BinaryMessage
	}
	if len(parts) == 1 {
		return s.WriteMessage(kind, []byte(parts[0]))
	}
	for i, p := range parts {
		if err := s.WriteFrame(kind, i == 0, i == len(parts)-1, []byte(p)); err != nil {
			return err
		}
	}
	return nil
}

func (s nbioSocket) ping(payload string) error {
	return s.WriteMessage(websocket.PingMessage, []byte(payload))
}

func (s nbioSocket) close(code int, reason string) error { return s.WriteClose(code, reason) }

// abandon does nothing: the tap cuts the connection. Over TLS a Close from here would race with one that nbio answers.
func (s nbioSocket) abandon() {}
