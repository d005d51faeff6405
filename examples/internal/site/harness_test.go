package site

import (
	"context"
	"net/http"
	"testing"

	"github.com/gohotline/hotline"
	"github.com/gohotline/hotline/internal/memnet"
)

// serve serves apps on a network in memory, until the end of the test, which runs in a bubble, or until stop.
func serve(t *testing.T, net *memnet.Network, apps ...*App) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	ln := net.Listen()
	go func() { ended <- Serve(ctx, ln, apps...) }()
	over := false
	stop = func() error {
		over = true
		cancel()
		return <-ended
	}
	t.Cleanup(func() {
		if over {
			return
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return stop
}

// browser is the HTTP client of somebody on net.
func browser(t *testing.T, net *memnet.Network) *http.Client {
	tr := &http.Transport{DialContext: net.Link().DialContext, DisableKeepAlives: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{
		Transport:     tr,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// dial comes in at the door of an app.
func dial(t *testing.T, net *memnet.Network, app, token string) *hotline.Client {
	t.Helper()
	c, err := hotline.Dial(t.Context(), "ws://localhost:8080/"+app+"/ws", &hotline.DialOptions{
		HTTPClient: browser(t, net),
		Token:      func(context.Context) (string, error) { return token, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// page is an app's Handler.
func page(hub *hotline.Hub) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /ws", hub)
	mux.Handle("GET /", Pages(files))
	return mux
}
