package itest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"testing"

	"github.com/coder/websocket"
	"github.com/gohotline/hotline"
)

// handler is what stands behind each stack: a hub, whose connections go on after ServeHTTP has returned.
func handler(t *testing.T) http.Handler {
	hub := hotline.NewHub(&hotline.HubOptions{
		AuthorizeSubscribe: hotline.Allow("test.*"),
		AuthorizePublish:   hotline.Allow("test.*"),
		Logger:             slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	t.Cleanup(func() { hub.Close() })
	return hub
}

// talk connects to the hub at url, and does with it what a client does.
func talk(ctx context.Context, url string) error {
	conn, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{Subprotocols: []string{"hotline.v1", "hotline"}})
	if err != nil {
		return err
	}
	defer conn.CloseNow()
	if err := say(ctx, conn, `{"op":"hello","subs":[{"sub":1,"topic":"test.*"}]}`); err != nil {
		return err
	}
	if err := hear(ctx, conn, map[string]any{"op": "ok", "sub": 1.0}); err != nil {
		return err
	}
	for i := range 3 {
		if err := say(ctx, conn, `{"op":"pub","ref":%d,"topic":"test.talk","data":"message %d"}`, i, i); err != nil {
			return err
		}
		if err := hear(ctx, conn, map[string]any{"topic": "test.talk", "data": fmt.Sprint("message ", i)}); err != nil {
			return err
		}
	}
	return conn.Close(websocket.StatusNormalClosure, "")
}

func say(ctx context.Context, conn *websocket.Conn, format string, args ...any) error {
	return conn.Write(ctx, websocket.MessageText, fmt.Appendf(nil, format, args...))
}

// hear reads until a frame has every field of want.
func hear(ctx context.Context, conn *websocket.Conn, want map[string]any) error {
	for {
		_, text, err := conn.Read(ctx)
		if err != nil {
			return fmt.Errorf("waiting for %v: %w", want, err)
		}
		var got map[string]any
		if err := json.Unmarshal(text, &got); err != nil {
			return err
		}
		if covers(got, want) {
			return nil
		}
	}
}

func covers(got, want map[string]any) bool {
	for key, value := range want {
		if got[key] != value {
			return false
		}
	}
	return true
}
