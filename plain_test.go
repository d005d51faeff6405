package hotline

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/gohotline/hotline/internal/wire"
)

// TestPlainMessages: what a plain connection sends goes to OnMessage as it is, also what looks like a hello, unless that
// comes first. But text is UTF-8 (RFC 6455 §8.1).
func TestPlainMessages(t *testing.T) {
	const hello = `{"op":"hello"}`
	text := func(s string) frameSent { return frameSent{websocket.MessageText, s} }
	for name, tt := range map[string]struct {
		send []frameSent
		got  []string
		code int
	}{
		"a hello":         {[]frameSent{text(hello)}, nil, wire.CloseProtocol},
		"a hello, later":  {[]frameSent{text("a"), text(hello)}, []string{"a", hello}, 1000},
		"bad text":        {[]frameSent{text("a"), text("b\xff")}, []string{"a"}, wire.CloseNotUTF8},
		"bad text, first": {[]frameSent{text("\xed\xa0\x80")}, nil, wire.CloseNotUTF8},
		"bytes":           {[]frameSent{{websocket.MessageBinary, "\xff"}, text("é")}, []string{"\xff", "é"}, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got []string
				w := newWorld(t, &HubOptions{OnMessage: func(_ context.Context, _ *Conn, data []byte) { got = append(got, string(data)) }})
				c := w.dial(nil)
				defer time.AfterFunc(time.Minute, func() { c.ws.CloseNow() }).Stop()
				for _, f := range tt.send {
					if err := c.ws.Write(t.Context(), f.typ, []byte(f.data)); err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait()
				if tt.code == 1000 {
					if err := c.ws.Close(1000, ""); err != nil {
						t.Error(err)
					}
				} else if code, reason, _ := c.closed(); code != tt.code {
					t.Errorf("closed with %d %q, want %d", code, reason, tt.code)
				}
				synctest.Wait()
				if !slices.Equal(got, tt.got) {
					t.Errorf("OnMessage got %q, want %q", got, tt.got)
				}
			})
		})
	}
}

type frameSent struct {
	typ  websocket.MessageType
	data string
}
