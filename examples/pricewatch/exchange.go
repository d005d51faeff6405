package main

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"iter"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gohotline/hotline"
)

// exchange publishes prices, and prints the alerts that come back.
type exchange struct {
	token  string
	every  time.Duration
	quotes iter.Seq2[string, any] // symbols and what is published of them
}

// newHub lets in who has the token. It does not matter that it names a user, but that this is the same one whenever
// the watcher comes back: a key of Once is known again only from the same user.
func newHub(token string) *hotline.Hub {
	return hotline.NewHub(&hotline.HubOptions{
		Authenticate: func(_ *http.Request, t string) (hotline.Identity, error) {
			if subtle.ConstantTimeCompare([]byte(t), []byte(token)) != 1 {
				return hotline.Identity{}, fmt.Errorf("%w: wrong token", hotline.ErrDenied)
			}
			return hotline.Identity{User: "watcher"}, nil
		},
		AuthorizeSubscribe: hotline.Allow(prices.String()),
		AuthorizePublish:   hotline.Allow(alerts.String()),
	})
}

// run is open for business until ctx is done. Then it sends what it has promised, and tells everybody when to come back.
func (x *exchange) run(ctx context.Context, ln net.Listener) error {
	hub := newHub(x.token)
	mux := http.NewServeMux()
	mux.Handle("GET /ws", hub)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	var printing sync.WaitGroup
	defer printing.Wait() // it ends with the hub, which it reads to the end
	printing.Go(func() { printAlerts(hub) })

	for symbol, v := range x.quotes {
		if err := hub.Publish(ctx, prices.With(symbol).String(), v); err != nil && ctx.Err() == nil {
			log.Print("exchange: ", err)
		}
		select {
		case err := <-failed:
			return errors.Join(err, hub.Close())
		case <-time.After(x.every):
			continue
		case <-ctx.Done():
		}
		break
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return errors.Join(srv.Shutdown(ctx), hub.Shutdown(ctx))
}

// printAlerts reads the hub in process, as anybody else would through a client.
func printAlerts(hub *hotline.Hub) {
	ctx := context.Background()
	sub, err := alerts.Subscribe(ctx, hub, nil)
	if err != nil {
		log.Print("exchange: ", err)
		return
	}
	for msg, err := range sub.Messages(ctx) {
		if err != nil {
			return
		}
		if a, err := alerts.Decode(msg); err == nil {
			fmt.Printf("%s: %s was %.2f, is %.2f\n", msg.From, alerts.Params(msg.Topic)[0], float64(a.Was)/100, float64(a.Is)/100)
		}
	}
}

// quotes are prices that wander, by up to 2 % a step. Every 40th quote is none, as happens in the best of feeds.
func quotes(seed uint64) iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		symbols, cents := []string{"ACME", "BRK.B", "INIT"}, []int{100_00, 412_50, 17_40}
		for n := 1; ; n++ {
			i := rnd.IntN(len(symbols))
			cents[i] += cents[i] * (rnd.IntN(41) - 20) / 1000
			var v any = price{cents[i]}
			if n%40 == 0 {
				v = "suspended"
			}
			if !yield(symbols[i], v) {
				return
			}
		}
	}
}
