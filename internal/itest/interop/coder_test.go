package interop

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/coder/websocket"
)

func coder() *client {
	return &client{
		name: "coder", about: goModule("github.com/coder/websocket"),
		start: func(*testing.T) dialer { return dialCoder },
	}
}

type coderSocket struct {
	*websocket.Conn
	report func(event)
}

func dialCoder(to target, report func(event)) socket {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust(to.authority)}, DisableKeepAlives: true}
	opts := &websocket.DialOptions{
		Subprotocols: to.protocols, HTTPClient: &http.Client{Transport: transport}, HTTPHeader: http.Header{},
		OnPingReceived: func(_ context.Context, b []byte) bool {
			report(event{kind: evPing, data: string(b)})
			return true
		},
		OnPongReceived: func(_ context.Context, b []byte) { report(event{kind: evPong, data: string(b)}) },
	}
	if to.origin != "" {
		opts.HTTPHeader.Set("Origin", to.origin)
	}
	if to.deflate {
		opts.CompressionMode = websocket.CompressionNoContextTakeover
	}
	ws, resp, err := websocket.Dial(context.Background(), to.url, opts)
	if err != nil {
		report(refusal(resp, err))
		return nil
	}
	report(event{kind: evOpen, data: ws.Subprotocol()})
	ws.SetReadLimit(-1)
	go func() {
		for {
			kind, b, err := ws.Read(context.Background())
			var closed websocket.CloseError
			switch {
			case errors.As(err, &closed):
				report(event{kind: evClose, code: int(closed.Code), data: closed.Reason})
				return
			case err != nil:
				report(event{kind: evLost, data: err.Error()})
				return
			case kind == websocket.MessageText:
				report(event{kind: evText, data: string(b)})
			default:
				report(event{kind: evBinary, data: string(b)})
			}
		}
	}()
	return coderSocket{ws, report}
}

func (s coderSocket) send(binary bool, parts ...string) error {
	kind := websocket.MessageText
	if binary {
		kind = websocket.MessageBinary
	}
	if len(parts) == 1 {
		return s.Write(context.Background(), kind, []byte(parts[0]))
	}
	w, err := s.Writer(context.Background(), kind)
	if err != nil {
		return err
	}
	for _, p := range parts { // each is a frame
		if _, err := io.Copy(w, bytes.NewReader([]byte(p))); err != nil {
			return err
		}
	}
	return w.Close()
}

// ping waits for the answer; its payload is the library's own.
func (s coderSocket) ping(string) error { return s.Ping(context.Background()) }

func (s coderSocket) close(code int, reason string) error {
	return s.Conn.Close(websocket.StatusCode(code), reason)
}

func (s coderSocket) abandon() { s.CloseNow() }
