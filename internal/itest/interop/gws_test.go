package interop

import (
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/lxzan/gws"
)

func lxzan() *client {
	return &client{
		name: "gws", about: goModule("github.com/lxzan/gws"),
		start: func(*testing.T) dialer { return dialGWS },
		lacks: map[string]string{
			"shows the answer to its Close": "gws drops the connection once it has sent its Close, and reads no answer.",
		},
	}
}

type gwsSocket struct{ *gws.Conn }

type gwsEvents struct{ report func(event) }

func dialGWS(to target, report func(event)) socket {
	header := http.Header{}
	if len(to.protocols) > 0 {
		header.Set("Sec-WebSocket-Protocol", strings.Join(to.protocols, ", "))
	}
	if to.origin != "" {
		header.Set("Origin", to.origin)
	}
	conn, resp, err := gws.NewClient(gwsEvents{report}, &gws.ClientOption{
		Addr: to.url, RequestHeader: header, TlsConfig: &tls.Config{RootCAs: trust(to.authority)},
		PermessageDeflate: gws.PermessageDeflate{Enabled: to.deflate},
	})
	if err != nil {
		report(refusal(resp, err))
		return nil
	}
	report(event{kind: evOpen, data: conn.SubProtocol()})
	go conn.ReadLoop()
	return gwsSocket{conn}
}

func (e gwsEvents) OnOpen(*gws.Conn) {}

func (e gwsEvents) OnClose(_ *gws.Conn, err error) {
	var closed *gws.CloseError
	if errors.As(err, &closed) {
		e.report(event{kind: evClose, code: int(closed.Code), data: string(closed.Reason)})
		return
	}
	e.report(event{kind: evLost, data: err.Error()})
}

func (e gwsEvents) OnPing(conn *gws.Conn, payload []byte) {
	e.report(event{kind: evPing, data: string(payload)})
	conn.WritePong(payload)
}

func (e gwsEvents) OnPong(_ *gws.Conn, payload []byte) {
	e.report(event{kind: evPong, data: string(payload)})
}

func (e gwsEvents) OnMessage(_ *gws.Conn, m *gws.Message) {
	defer m.Close()
	kind := evText
	if m.Opcode == gws.OpcodeBinary {
		kind = evBinary
	}
	e.report(event{kind: kind, data: m.Data.String()})
}

func (s gwsSocket) send(binary bool, parts ...string) error {
	op := gws.OpcodeText
	if binary {
		op = gws.OpcodeBinary
	}
	if len(parts) == 1 {
		return s.WriteMessage(op, []byte(parts[0]))
	}
	return s.WriteFile(op, (*pieces)(&parts))
}

// pieces reads one of them at a time: gws makes a fragment of what a Read returns.
type pieces []string

func (p *pieces) Read(b []byte) (int, error) {
	if len(*p) == 0 {
		return 0, io.EOF
	}
	n := copy(b, (*p)[0])
	if (*p)[0] = (*p)[0][n:]; (*p)[0] == "" {
		*p = (*p)[1:]
	}
	return n, nil
}

func (s gwsSocket) ping(payload string) error { return s.WritePing([]byte(payload)) }

func (s gwsSocket) close(code int, reason string) error {
	return s.WriteClose(uint16(code), []byte(reason))
}

func (s gwsSocket) abandon() { s.NetConn().Close() }
