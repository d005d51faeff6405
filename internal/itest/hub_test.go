package itest

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"

	"github.com/coder/websocket"

	"github.com/gohotline/hotline"
)

// newHub starts the hub that stands behind a stack, until t ends.
func newHub(t *testing.T) *hotline.Hub {
	hub := hotline.NewHub(&hotline.HubOptions{
		AuthorizeSubscribe: hotline.Allow("chat.*"),
		AuthorizePublish:   hotline.Allow("chat.*"),
		Logger:             slog.New(slog.DiscardHandler),
	})
	t.Cleanup(func() { hub.Close() })
	return hub
}

// talk connects to the hub at url and does with it what a client does: it subscribes, publishes and receives, and hears
// what server code publishes.
func talk(ctx context.Context, hub *hotline.Hub, url string) error {
	ws, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{Subprotocols: []string{"hotline.v1", "hotline"}})
	if err != nil {
		return err
	}
	defer ws.CloseNow()
	if got := ws.Subprotocol(); got != "hotline.v1" {
		return fmt.Errorf("the subprotocol is %q", got)
	}
	say := func(frame string) error { return ws.Write(ctx, websocket.MessageText, []byte(frame)) }

	if err := say(`{"op":"hello","subs":[{"sub":1,"topic":"chat.*"}]}`); err != nil {
		return err
	}
	if err := expect(ctx, ws, frame{Op: "welcome"}, frame{Op: "ok"}); err != nil {
		return err
	}
	if err := say(`{"op":"pub","topic":"chat.lobby","data":"from the client"}`); err != nil {
		return err
	}
	if err := expect(ctx, ws, frame{Topic: "chat.lobby", Data: "from the client"}); err != nil {
		return err
	}
	if err := hub.Publish(ctx, "chat.lobby", "from the server"); err != nil {
		return err
	}
	if err := expect(ctx, ws, frame{Topic: "chat.lobby", Data: "from the server"}); err != nil {
		return err
	}
	return ws.Close(websocket.StatusNormalClosure, "")
}

// frame is what talk looks at.
type frame struct{ Op, Topic, Data string }

// expect reads frames and compares them with those wanted.
func expect(ctx context.Context, ws *websocket.Conn, frames ...frame) error {
	for _, want := range frames {
		_, msg, err := ws.Read(ctx)
		if err != nil {
			return fmt.Errorf("waiting for %+v: %w", want, err)
		}
		var got frame
		if err := json.Unmarshal(msg, &got); err != nil {
			return fmt.Errorf("%q: %w", msg, err)
		}
		if got != want {
			return fmt.Errorf("got %q, want %+v", msg, want)
		}
	}
	return nil
}
