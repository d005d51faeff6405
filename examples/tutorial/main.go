// Command tutorial is the server that WebSocket tutorials begin with: it greets, logs what it receives, and answers. Its page
// has nothing but the WebSocket that each browser has.
package main

import (
	"context"
	_ "embed"
	"log"
	"net/http"

	"github.com/gohotline/hotline"
)

//go:embed page.html
var page []byte

func main() {
	log.Print("open http://localhost:8080/ and the console of the browser")
	log.Fatal(http.ListenAndServe("localhost:8080", newHandler(hotline.NewHub(options()))))
}

// options are all that the server does.
func options() *hotline.HubOptions {
	return &hotline.HubOptions{
		OnConnect: func(ctx context.Context, c *hotline.Conn) {
			log.Print("client connected")
			c.Subscribe("news") // a plain connection's topics
			c.Send("welcome", "Welcome to the WebSocket server!")
		},
		OnMessage: func(ctx context.Context, c *hotline.Conn, data []byte) {
			log.Printf("received: %s", data)
			c.Send("echo", "You said: "+string(data)) // to this one
			c.Publish(ctx, "news", string(data))      // to all
		},
		OnDisconnect: func(_ context.Context, c *hotline.Conn, err error) { log.Print("client disconnected: ", err) },
	}
}

// newHandler serves the page, and the hub where the page expects it.
func newHandler(hub *hotline.Hub) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /ws", hub)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write(page)
	})
	return mux
}
