package itest

import (
	"context"
	"fmt"
	"net/http"

	"github.com/coder/websocket"
)

// handler is what stands behind each stack. It is a bare websocket.Accept, and standIn says so.
var (
	handler http.Handler = http.HandlerFunc(echoMessages)
	standIn              = true
)

func echoMessages(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // Accept has answered
	}
	defer conn.CloseNow()
	for {
		kind, data, err := conn.Read(context.Background())
		if err != nil || conn.Write(context.Background(), kind, data) != nil {
			return
		}
	}
}

// talk connects to the handler at url, and does with it what a client does.
func talk(ctx context.Context, url string) error {
	conn, _, err := websocket.Dial(ctx, url, nil)
	if err != nil {
		return err
	}
	defer conn.CloseNow()
	for i := range 3 {
		sent := fmt.Sprintf("message %d", i)
		if err := conn.Write(ctx, websocket.MessageText, []byte(sent)); err != nil {
			return err
		}
		_, got, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		if string(got) != sent {
			return fmt.Errorf("sent %q, got %q", sent, got)
		}
	}
	return conn.Close(websocket.StatusNormalClosure, "")
}
