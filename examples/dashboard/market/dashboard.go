// Package market is a dashboard: 200 prices that change 20 times a second each, the scores of eight games, and what the hub
// that delivers them says of itself. A page can have its own link slowed down, to see what becomes of it: it shows fewer
// values, and none of them is old.
package market

import (
	"context"
	"embed"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/gohotline/hotline"
	"github.com/gohotline/hotline/examples/internal/site"
)

//go:embed web
var files embed.FS

// What is published: of everything only the newest value matters. Whoever comes is sent that at once, and whoever can't
// keep up is sent what is newest when there is room, instead of all that it has missed.
var (
	prices = hotline.NewTopic[hotline.Binary]("dashboard.price.*") // by symbol, see appendPrice
	games  = hotline.NewTopic[game]("dashboard.game.*")            // by number
	loads  = hotline.NewTopic[load]("dashboard.hub")               // how the hub is doing, once a second
	status = hotline.NewTopic[trading]("dashboard.market")         // is the market open
	bell   = hotline.NewTopic[bool]("dashboard.bell")              // visitors open and close it: a command
)

// board is the application.
type board struct {
	seed   uint64
	pages  atomic.Int64 // connections
	closed atomic.Int64 // until then the market is closed, Unix milliseconds
}

// viewer is who has a page open: nobody in particular, but of this application.
type viewer struct{}

// New makes the application.
func New() *site.App { return (&board{seed: rand.Uint64()}).app() }

func (b *board) app() *site.App {
	return &site.App{
		Name:  "dashboard",
		Title: "Dashboard",
		About: "200 live prices at 20 changes a second, and scores: also over a link of 5 KB/s, where the newest is shown.",
		Options: hotline.HubOptions{
			Authenticate: func(*http.Request, string) (hotline.Identity, error) {
				return hotline.Identity{Data: viewer{}}, nil
			},
			AuthorizeSubscribe: hotline.Allow(prices.String(), games.String(), loads.String(), status.String()),
			AuthorizePublish:   authorize,
			OnConnect:          func(_ context.Context, c *hotline.Conn) { b.count(c, 1) },
			OnDisconnect:       func(_ context.Context, c *hotline.Conn, _ error) { b.count(c, -1) },
			Topics: map[string]hotline.TopicOptions{
				prices.String(): {Delivery: hotline.State},
				games.String():  {Delivery: hotline.State},
				loads.String():  {Delivery: hotline.State},
				status.String(): {Delivery: hotline.State},
				bell.String():   {Handle: b.ring},
			},
		},
		Handler: handler,
		Run:     b.run,
	}
}

// authorize lets visitors ring the bell: those of this page, not of another application on the same hub.
func authorize(_ context.Context, c *hotline.Conn, topic string) error {
	if _, ok := c.Identity().Data.(viewer); ok && topic == bell.String() {
		return nil
	}
	return fmt.Errorf("%w: what is published here is made by the server", hotline.ErrDenied)
}

// count counts the pages: what each of them would be sent is what is conflated or delivered.
func (b *board) count(c *hotline.Conn, n int64) {
	if _, ok := c.Identity().Data.(viewer); ok {
		b.pages.Add(n)
	}
}

// longestBreak is how long the market stays closed, if nobody opens it before.
const longestBreak = 30 * time.Second

// ring opens the market, or closes it for a while: everybody then shows the same prices.
func (b *board) ring(_ context.Context, _ *hotline.Conn, m *hotline.Message) error {
	open, err := bell.Decode(*m)
	if err != nil {
		return err
	}
	if open {
		b.closed.Store(0)
	} else {
		b.closed.Store(time.Now().Add(longestBreak).UnixMilli())
	}
	return nil
}

// handler serves the page, and the hub: over a slow link to those who ask for one.
func handler(hub *hotline.Hub) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /", site.Pages(files))
	mux.HandleFunc("GET /ws", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("slow") {
			w = slowWriter{w, bytesPerSecond}
		}
		hub.ServeHTTP(w, r)
	})
	mux.HandleFunc("GET /now", func(w http.ResponseWriter, _ *http.Request) { // a page says how old prices are by this clock
		site.Headers(w.Header())
		w.Header().Set("Content-Type", "text/plain")
		_, _ = w.Write(strconv.AppendInt(nil, time.Now().UnixMilli(), 10))
	})
	return mux
}
