package interop

import (
	"crypto/tls"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

func gorilla() *client {
	return &client{
		name: "gorilla", about: goModule("github.com/gorilla/websocket"),
		start: func(*testing.T) dialer { return dialGorilla },
	}
}

type gorillaSocket struct{ *websocket.Conn }

func dialGorilla(to target, report func(event)) socket {
	d := websocket.Dialer{
		Subprotocols: to.protocols, EnableCompression: to.deflate, TLSClientConfig: &tls.Config{RootCAs: trust(to.authority)},
	}
	header := http.Header{}
	if to.origin != "" {
		header.Set("Origin", to.origin)
	}
	ws, resp, err := d.Dial(to.url, header)
	if err != nil {
		report(refusal(resp, err))
		return nil
	}
	report(event{kind: evOpen, data: ws.Subprotocol()})
	pong, pinged := ws.PongHandler(), ws.PingHandler()
	ws.SetPongHandler(func(s string) error {
		report(event{kind: evPong, data: s})
		return pong(s)
	})
	ws.SetPingHandler(func(s string) error {
		report(event{kind: evPing, data: s})
		return pinged(s)
	})
	go func() {
		defer ws.Close()
		for {
			kind, b, err := ws.ReadMessage()
			var closed *websocket.CloseError
			switch {
			case errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure:
				report(event{kind: evClose, code: closed.Code, data: closed.Text})
				return
			case err != nil:
				report(event{kind: evLost, data: err.Error()})
				return
			case kind == websocket.TextMessage:
				report(event{kind: evText, data: string(b)})
			default:
				report(event{kind: evBinary, data: string(b)})
			}
		}
	}()
	return gorillaSocket{ws}
}

func (s gorillaSocket) send(binary bool, parts ...string) error {
	kind := websocket.TextMessage
	if binary {
		kind = websocket.BinaryMessage
	}
	if len(parts) == 1 {
		return s.WriteMessage(kind, []byte(parts[0]))
	}
	// It has a frame written for each buffer that is full. Compression would gather the parts.
	s.EnableWriteCompression(false)
	w, err := s.NextWriter(kind)
	if err != nil {
		return err
	}
	for _, p := range parts {
		if _, err := w.Write([]byte(p)); err != nil {
			return err
		}
	}
	return w.Close()
}

func (s gorillaSocket) ping(payload string) error {
	return s.WriteControl(websocket.PingMessage, []byte(payload), time.Now().Add(patience))
}

func (s gorillaSocket) close(code int, reason string) error {
	return s.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(patience))
}

func (s gorillaSocket) abandon() { s.Close() }
