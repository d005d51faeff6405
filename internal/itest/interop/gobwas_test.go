package interop

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"
	"github.com/gobwas/ws/wsutil"
)

func gobwas() *client {
	return &client{
		name: "gobwas", about: goModule("github.com/gobwas/ws"),
		start: func(*testing.T) dialer { return dialGobwas },
		lacks: map[string]string{"close 1012": gobwasCodes, "close 1013": gobwasCodes},
	}
}

const gobwasCodes = "wsutil of gobwas takes 1012 and 1013, which are younger than RFC 6455, for malformed: the client knows them " +
	"from `bye` alone."

// gobwasSocket joins the pieces that gobwas/ws leaves to its user to join.
type gobwasSocket struct {
	net.Conn
	mu      *sync.Mutex // around writes
	deflate bool
}

func dialGobwas(to target, report func(event)) socket {
	status := 0
	d := ws.Dialer{
		Protocols: to.protocols, TLSConfig: &tls.Config{RootCAs: trust(to.authority)},
		OnStatusError: func(code int, _ []byte, _ io.Reader) { status = code },
	}
	if to.origin != "" {
		d.Header = ws.HandshakeHeaderHTTP(http.Header{"Origin": {to.origin}})
	}
	if to.deflate {
		d.Extensions = append(d.Extensions, wsflate.DefaultParameters.Option())
	}
	conn, br, hs, err := d.Dial(context.Background(), to.url)
	if err != nil {
		if status != 0 {
			report(event{kind: evRefused, code: status, data: err.Error()})
		} else {
			report(event{kind: evFailed, data: err.Error()})
		}
		return nil
	}
	report(event{kind: evOpen, data: hs.Protocol})
	s := gobwasSocket{conn, new(sync.Mutex), len(hs.Extensions) > 0}
	var src io.Reader = conn
	if br != nil {
		src = io.MultiReader(br, conn)
	}
	go func() {
		defer conn.Close()
		report(s.read(src, report))
	}()
	return s
}

// read reports what comes and returns the last of it.
func (s gobwasSocket) read(src io.Reader, report func(event)) event {
	lost := func(err error) event { return event{kind: evLost, data: err.Error()} }
	var message wsflate.MessageState
	r := &wsutil.Reader{
		Source: src, State: ws.StateClientSide | ws.StateExtended, CheckUTF8: !s.deflate,
		Extensions: []wsutil.RecvExtension{&message},
	}
	control := func(h ws.Header, payload io.Reader) error {
		b, err := io.ReadAll(payload)
		if err != nil {
			return err
		}
		switch h.OpCode {
		case ws.OpPing:
			report(event{kind: evPing, data: string(b)})
		case ws.OpPong:
			report(event{kind: evPong, data: string(b)})
		}
		return wsutil.ControlHandler{
			Src: bytes.NewReader(b), Dst: s, State: ws.StateClientSide, DisableSrcCiphering: true,
		}.Handle(h)
	}
	r.OnIntermediate = control
	for {
		h, err := r.NextFrame()
		if err != nil {
			return lost(err)
		}
		if h.OpCode.IsControl() {
			err := control(h, r)
			var closed wsutil.ClosedError
			if errors.As(err, &closed) {
				return event{kind: evClose, code: int(closed.Code), data: closed.Reason}
			}
			if err != nil {
				return lost(err)
			}
			continue
		}
		b, err := io.ReadAll(r)
		if err == nil && message.IsCompressed() {
			b, err = (&wsflate.DefaultHelper).Decompress(b)
		}
		if err != nil {
			return lost(err)
		}
		if h.OpCode == ws.OpText {
			report(event{kind: evText, data: string(b)})
		} else {
			report(event{kind: evBinary, data: string(b)})
		}
	}
}

// Write writes whole frames.
func (s gobwasSocket) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Conn.Write(b)
}

func (s gobwasSocket) frame(f ws.Frame) error {
	var b bytes.Buffer
	if err := ws.WriteFrame(&b, ws.MaskFrame(f)); err != nil {
		return err
	}
	_, err := s.Write(b.Bytes())
	return err
}

func (s gobwasSocket) send(binary bool, parts ...string) error {
	op := ws.OpText
	if binary {
		op = ws.OpBinary
	}
	if s.deflate && len(parts) == 1 {
		f, err := wsflate.CompressFrame(ws.NewFrame(op, true, []byte(parts[0])))
		if err != nil {
			return err
		}
		return s.frame(f)
	}
	for i, p := range parts {
		if err := s.frame(ws.NewFrame(op, i == len(parts)-1, []byte(p))); err != nil {
			return err
		}
		op = ws.OpContinuation
	}
	return nil
}

func (s gobwasSocket) ping(payload string) error { return s.frame(ws.NewPingFrame([]byte(payload))) }

func (s gobwasSocket) close(code int, reason string) error {
	return s.frame(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusCode(code), reason)))
}

func (s gobwasSocket) abandon() { s.Close() }
