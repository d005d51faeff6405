// Command pricewatch is two services: an exchange that publishes prices, and a watcher that reads them, publishes an alert
// when one has moved, and may be killed at any moment without losing a price or repeating an alert.
//
// The watcher is in watcher.go, the exchange in exchange.go. By default both run in this process, and talk over a socket.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/gohotline/hotline"
)

// What the two have in common. Were they two programs, this would be a package that both import.
type (
	price struct{ Cents int }
	alert struct{ Was, Is int } // cents
)

var (
	prices = hotline.NewTopic[price]("prices.*") // Events: each one counts
	alerts = hotline.NewTopic[alert]("alerts.*")
)

func main() {
	serve := flag.String("serve", "", "be only the exchange, at this `address`")
	watch := flag.String("exchange", "", "be only the watcher, of the exchange at this `URL`")
	every := flag.Duration("every", 200*time.Millisecond, "time between two prices")
	seed := flag.Uint64("seed", 1, "the same seed makes the same prices")
	file := flag.String("state", "pricewatch.json", "`file` in which the watcher keeps its place")
	move := flag.Int("move", 5, "percent that a price has to move for an alert")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // who sends a second signal doesn't want to wait

	token := os.Getenv("PRICEWATCH_TOKEN")
	if token == "" && *serve+*watch != "" {
		log.Fatal("set PRICEWATCH_TOKEN, to the same text for both")
	}
	x := &exchange{token: cmp.Or(token, rand.Text()), every: *every, quotes: quotes(*seed)}
	w := &watcher{url: *watch, token: x.token, file: *file, move: *move}
	if err := run(ctx, x, w, *serve); err != nil {
		log.Fatal(err)
	}
}

// run is the exchange, the watcher, or both: then the watcher ends first, and finishes what it has begun.
func run(ctx context.Context, x *exchange, w *watcher, addr string) error {
	if w.url != "" {
		return w.run(ctx)
	}
	ln, err := net.Listen("tcp", cmp.Or(addr, "localhost:0"))
	if err != nil {
		return err
	}
	w.url = fmt.Sprintf("ws://%s/ws", ln.Addr())
	log.Print("exchange: ", w.url)
	if addr != "" {
		return x.run(ctx, ln)
	}
	open, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	ended := make(chan error, 1)
	go func() { ended <- x.run(open, ln) }()
	err = w.run(ctx)
	end()
	return errors.Join(err, <-ended)
}
