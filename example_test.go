package hotline_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/gohotline/hotline"
)

// The least: a hub in a server, and business code that publishes.
func Example() {
	hub := hotline.NewHub(&hotline.HubOptions{AuthorizeSubscribe: hotline.Allow("news")})
	defer hub.Close()
	http.Handle("/ws", hub)

	ctx := context.Background()
	sub, err := hub.Subscribe(ctx, "news", nil) // as a browser would through /ws
	if err != nil {
		log.Fatal(err)
	}
	defer sub.Close()
	if err := hub.Publish(ctx, "news", "hello"); err != nil {
		log.Fatal(err)
	}
	msg, err := sub.Next(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %s\n", msg.Topic, msg.Data)
	// Output: news: "hello"
}

// A server for production: timeouts, and an end in which nobody loses anything.
func ExampleHub_Shutdown() {
	hub := hotline.NewHub(nil)
	mux := http.NewServeMux()
	mux.Handle("GET /ws", hub)
	srv := &http.Server{Addr: ":8443", Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		if err := srv.ListenAndServeTLS("cert.pem", "key.pem"); !errors.Is(err, http.ErrServerClosed) {
			log.Fatal(err)
		}
	}()
	<-ctx.Done()
	ctx, cancel := context.WithTimeout(context.Background(), 25*time.Second)
	defer cancel()
	if err := errors.Join(srv.Shutdown(ctx), hub.Shutdown(ctx)); err != nil { // handlers first: they still publish
		log.Print(err)
	}
}

// A State topic has a newest value: who comes later gets it at once.
func ExampleHub_Current() {
	hub := hotline.NewHub(&hotline.HubOptions{Topics: map[string]hotline.TopicOptions{
		"price.*": {Delivery: hotline.State},
	}})
	defer hub.Close()
	ctx := context.Background()
	for _, cents := range []int{1099, 1104} {
		if err := hub.Publish(ctx, "price.apples", cents); err != nil {
			log.Fatal(err)
		}
	}
	for msg, err := range hub.Current(ctx, "price.*") {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s %s\n", msg.Topic, msg.Data)
	}
	// Output: price.apples 1104
}

// A message is stored once for each key, however often a handler is repeated.
func ExampleHub_Once() {
	hub := hotline.NewHub(nil)
	defer hub.Close()
	ctx := context.Background()
	for range 3 { // the form was sent three times
		if err := hub.Once("ship-42").Publish(ctx, "orders", "shipped"); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(hub.Stats().Published)
	// Output: 1
}

// Earlier messages are read back as far as the log, and Keep, reach.
func ExampleHub_Subscribe_replay() {
	hub := hotline.NewHub(nil)
	defer hub.Close()
	ctx := context.Background()
	for i := range 5 {
		if err := hub.Publish(ctx, "log", i); err != nil {
			log.Fatal(err)
		}
	}
	sub, err := hub.Subscribe(ctx, "log", &hotline.SubscribeOptions{Replay: 2})
	if err != nil {
		log.Fatal(err)
	}
	defer sub.Close()
	for msg, err := range sub.Messages(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(string(msg.Data), msg.Replayed)
		if string(msg.Data) == "4" {
			break
		}
	}
	// Output:
	// 3 true
	// 4 true
}

// One name for a family of topics, with the type of its payload.
func ExampleTopic() {
	type Price struct{ Cents int }
	prices := hotline.NewTopic[Price]("prices.*")

	hub := hotline.NewHub(&hotline.HubOptions{Topics: map[string]hotline.TopicOptions{
		prices.String(): {Delivery: hotline.State},
	}})
	defer hub.Close()
	ctx := context.Background()
	if err := prices.With("BRK.B").Publish(ctx, hub, Price{41250}); err != nil {
		log.Fatal(err)
	}
	sub, err := prices.Subscribe(ctx, hub, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer sub.Close()
	msg, err := sub.Next(ctx)
	if err != nil {
		log.Fatal(err)
	}
	price, err := prices.Decode(msg)
	fmt.Println(prices.Params(msg.Topic)[0], price.Cents, err)
	// Output: BRK.B 41250 <nil>
}

func ExampleMatch() {
	fmt.Println(hotline.Match("chat.>", "chat.lobby"), hotline.Match("chat.>", "chat.*"), hotline.Match("chat.*", "chat.>"))
	// Output: true true false
}

func ExampleEscape() {
	fmt.Println("user." + hotline.Escape("ada.l@example.com"))
	// Output: user.ada%2El@example%2Ecom
}
