// Command hubserver serves a hub at /ws for clients that others wrote, and an empty page beside it from which browsers may
// connect, also with hotline's own client at /hotline.js. It prints its URL, and drains the hub on SIGTERM.
//
// A client's token is its user; an empty one is refused. Anybody may subscribe and publish to test.* (Events, of which 10
// messages are kept), state.*, presence.* and signal.*. A publish to close.me is not delivered: it closes the connection.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os/signal"
	"syscall"
	"time"

	"github.com/gohotline/hotline"
	"github.com/gohotline/hotline/js"
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()

	topics := []string{"test.*", "state.*", "presence.*", "signal.*"}
	hub := hotline.NewHub(&hotline.HubOptions{
		Authenticate: func(_ *http.Request, token string) (hotline.Identity, error) {
			if token == "" {
				return hotline.Identity{}, fmt.Errorf("%w: a name, please", hotline.ErrDenied)
			}
			return hotline.Identity{User: token}, nil
		},
		AuthorizeSubscribe: hotline.Allow(topics...),
		AuthorizePublish:   hotline.Allow(append(topics, "close.me")...),
		Topics: map[string]hotline.TopicOptions{
			"test.*":     {Keep: 10},
			"state.*":    {Delivery: hotline.State},
			"presence.*": {Delivery: hotline.Presence, Linger: -1},
			"signal.*":   {Delivery: hotline.Signals},
			"close.me": {Handle: func(_ context.Context, c *hotline.Conn, _ *hotline.Message) error {
				c.Close(hotline.CloseReconnect, "as asked")
				return nil
			}},
		},
		Limits: hotline.Limits{PingInterval: time.Second, Drain: time.Second},
	})
	ln, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/ws", hub)
	mux.Handle("/hotline.js", js.Handler())
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, `<!doctype html><title>hub</title><link rel="icon" href="data:,">`)
	})
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	drained := make(chan error, 1)
	context.AfterFunc(ctx, func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		drained <- errors.Join(srv.Shutdown(ctx), hub.Shutdown(ctx))
	})
	fmt.Printf("http://%s/\n", ln.Addr())
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-drained
}
