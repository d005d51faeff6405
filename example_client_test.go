package hotline_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/gohotline/hotline"
)

// open is a hub for examples, in which everybody may do everything.
func open(topics map[string]hotline.TopicOptions) *hotline.Hub {
	return hotline.NewHub(&hotline.HubOptions{
		AuthorizeSubscribe: hotline.Allow(">"), AuthorizePublish: hotline.Allow(">"), Topics: topics,
	})
}

// connect serves a hub and dials it. The returned function closes client, server and hub.
func connect(hub *hotline.Hub) (*hotline.Client, func()) {
	srv := httptest.NewServer(hub)
	client, err := hotline.Dial(context.Background(), srv.URL, nil)
	if err != nil {
		log.Fatal(err)
	}
	return client, func() {
		client.Close()
		srv.Close()
		hub.Close()
	}
}

// A client connects, subscribes and publishes. Nil options will do; from here on it keeps itself connected.
func ExampleDial() {
	hub := hotline.NewHub(&hotline.HubOptions{
		AuthorizeSubscribe: hotline.Allow("chat.*"),
		AuthorizePublish:   hotline.Allow("chat.*"),
	})
	defer hub.Close()
	srv := httptest.NewServer(hub) // or any other http.Server
	defer srv.Close()

	ctx := context.Background()
	client, err := hotline.Dial(ctx, srv.URL, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	sub, err := client.Subscribe(ctx, "chat.*", nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := client.Publish(ctx, "chat.lobby", "hello"); err != nil {
		log.Fatal(err)
	}
	msg, err := sub.Next(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %s\n", msg.Topic, msg.Data)
	// Output: chat.lobby: "hello"
}

// Over TLS, with an authority of your own: HTTPClient makes the handshake.
func ExampleDial_tls() {
	hub := hotline.NewHub(nil)
	defer hub.Close()
	srv := httptest.NewTLSServer(hub)
	defer srv.Close()

	pool := x509.NewCertPool()
	pool.AddCert(srv.Certificate())
	client, err := hotline.Dial(context.Background(), strings.Replace(srv.URL, "https", "wss", 1), &hotline.DialOptions{
		HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	fmt.Println(hub.Stats().Conns)
	// Output: 1
}

// Token is asked at each attempt to connect, so an identity that expires is renewed. A refused one is ErrDenied.
func ExampleDialOptions_token() {
	hub := hotline.NewHub(&hotline.HubOptions{
		Authenticate: func(_ *http.Request, token string) (hotline.Identity, error) {
			if token != "ada's secret" {
				return hotline.Identity{}, fmt.Errorf("%w: unknown token", hotline.ErrDenied)
			}
			return hotline.Identity{User: "ada", Expires: time.Now().Add(time.Hour)}, nil
		},
	})
	defer hub.Close()
	srv := httptest.NewServer(hub)
	defer srv.Close()

	for _, token := range []string{"ada's secret", "a guess"} {
		client, err := hotline.Dial(context.Background(), srv.URL, &hotline.DialOptions{
			Token: func(context.Context) (string, error) { return token, nil },
		})
		if err != nil {
			fmt.Println("denied:", errors.Is(err, hotline.ErrDenied))
			continue
		}
		for conn := range hub.Conns() {
			fmt.Println("connected:", conn.Identity().User)
		}
		client.Close()
	}
	// Output:
	// connected: ada
	// denied: true
}

// OnState tells of connections made and lost, for a log or a health check.
func ExampleDialOptions_onState() {
	hub := hotline.NewHub(nil)
	defer hub.Close()
	srv := httptest.NewServer(hub)
	defer srv.Close()

	states := make(chan error)
	client, err := hotline.Dial(context.Background(), srv.URL, &hotline.DialOptions{
		OnState: func(err error) { states <- err },
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	fmt.Println("connected:", <-states == nil)
	hub.Close()
	fmt.Println("connected:", <-states == nil) // it tries again until Close
	// Output:
	// connected: true
	// connected: false
}

// Publish returns when the hub has stored the message, or why it will not.
func ExampleClient_Publish() {
	hub := hotline.NewHub(&hotline.HubOptions{AuthorizePublish: hotline.Allow("orders")})
	client, end := connect(hub)
	defer end()

	ctx := context.Background()
	err := client.Publish(ctx, "orders", map[string]any{"item": "tea", "count": 2})
	fmt.Println(err)
	err = client.Publish(ctx, "payments", "a fortune")
	fmt.Println(errors.Is(err, hotline.ErrDenied), hub.Stats().Published)
	// Output:
	// <nil>
	// true 1
}

// What is published with one key is stored once, also by another client of the same user, after a crash.
func ExampleClient_Once() {
	hub := open(nil)
	client, end := connect(hub)
	defer end()

	ctx := context.Background()
	for range 3 { // the job that sends it was repeated
		if err := client.Once("invoice-42").Publish(ctx, "mails", "your invoice"); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(hub.Stats().Published)
	// Output: 1
}

// Signal doesn't wait for an answer: for input at a high rate, which server code may take with Handle.
func ExampleClient_Signal() {
	moves := make(chan string)
	client, end := connect(open(map[string]hotline.TopicOptions{
		"game.input": {Delivery: hotline.Signals, Handle: func(_ context.Context, _ *hotline.Conn, m *hotline.Message) error {
			moves <- string(m.Data)
			return nil
		}},
	}))
	defer end()

	for _, move := range []string{"left", "jump"} {
		if err := client.Signal("game.input", move); err != nil {
			log.Fatal(err) // ErrLimit: not connected, or the socket is full
		}
		fmt.Println(<-moves)
	}
	// Output:
	// "left"
	// "jump"
}

// Replay begins with what was published before.
func ExampleClient_Subscribe_replay() {
	hub := open(map[string]hotline.TopicOptions{"chat.*": {Keep: 50}})
	client, end := connect(hub)
	defer end()

	ctx := context.Background()
	for _, text := range []string{"one", "two", "three"} {
		if err := hub.Publish(ctx, "chat.lobby", text); err != nil {
			log.Fatal(err)
		}
	}
	sub, err := client.Subscribe(ctx, "chat.lobby", &hotline.SubscribeOptions{Replay: 2})
	if err != nil {
		log.Fatal(err)
	}
	for range 2 {
		msg, err := sub.Next(ctx)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s replayed: %t\n", msg.Data, msg.Replayed)
	}
	// Output:
	// "two" replayed: true
	// "three" replayed: true
}

// After goes on behind a message, or a position, that an earlier process has saved.
func ExampleClient_Subscribe_after() {
	hub := open(nil)
	client, end := connect(hub)
	defer end()

	ctx := context.Background()
	saved := hub.Position() // of an earlier process: msg.ID, or sub.Position()
	if err := hub.Publish(ctx, "orders", "while nobody listened"); err != nil {
		log.Fatal(err)
	}
	sub, err := client.Subscribe(ctx, "orders", &hotline.SubscribeOptions{After: saved})
	if err != nil {
		log.Fatal(err)
	}
	msg, err := sub.Next(ctx)
	fmt.Printf("%s missed: %d %v\n", msg.Data, msg.Missed, err)
	// Output: "while nobody listened" missed: 0 <nil>
}

// Resync joins a snapshot and what follows it: at the start, and again after each loss.
func ExampleClient_Subscribe_resync() {
	hub := open(nil)
	client, end := connect(hub)
	defer end()

	ctx := context.Background()
	saved := struct { // in a database: a value, and the ID of the last message that is in it
		cups int
		at   string
	}{40, hub.Position()}
	if err := hub.Publish(ctx, "stock.cups", 2); err != nil { // which is not in it yet
		log.Fatal(err)
	}
	var cups int
	sub, err := client.Subscribe(ctx, "stock.cups", &hotline.SubscribeOptions{
		Resync: func(context.Context) (string, error) {
			cups = saved.cups
			return saved.at, nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	msg, err := sub.Next(ctx)
	if err != nil {
		log.Fatal(err)
	}
	var more int
	err = msg.Decode(&more)
	fmt.Println(cups+more, err)
	// Output: 42 <nil>
}

// Messages is a loop over what comes. The last turn has the reason why nothing more will.
func ExampleSubscription_Messages() {
	hub := open(nil)
	client, end := connect(hub)
	defer end()

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	sub, err := client.Subscribe(ctx, "chat.*", nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, text := range []string{"hello", "bye"} {
		if err := client.Publish(ctx, "chat.lobby", text); err != nil {
			log.Fatal(err)
		}
	}
	for msg, err := range sub.Messages(ctx) {
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Println(string(msg.Data))
		if string(msg.Data) == `"bye"` {
			cancel()
		}
	}
	// Output:
	// "hello"
	// "bye"
	// context canceled
}

// Next waits for one message, for as long as its ctx.
func ExampleSubscription_Next() {
	client, end := connect(open(nil))
	defer end()

	ctx := context.Background()
	sub, err := client.Subscribe(ctx, "chat.*", nil)
	if err != nil {
		log.Fatal(err)
	}
	soon, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	_, err = sub.Next(soon)
	fmt.Println(err)
	if err := client.Publish(ctx, "chat.lobby", "hello"); err != nil {
		log.Fatal(err)
	}
	msg, err := sub.Next(ctx)
	fmt.Println(string(msg.Data), err)
	// Output:
	// context deadline exceeded
	// "hello" <nil>
}

// Position is what a service saves, to go on there with After when it is started again.
func ExampleSubscription_Position() {
	hub := open(nil)
	client, end := connect(hub)
	defer end()

	ctx := context.Background()
	sub, err := client.Subscribe(ctx, "orders", nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, order := range []string{"tea", "cups"} {
		if err := hub.Publish(ctx, "orders", order); err != nil {
			log.Fatal(err)
		}
	}
	if _, err := sub.Next(ctx); err != nil { // tea
		log.Fatal(err)
	}
	saved := sub.Position()

	again, err := client.Subscribe(ctx, "orders", &hotline.SubscribeOptions{After: saved})
	if err != nil {
		log.Fatal(err)
	}
	msg, err := again.Next(ctx)
	fmt.Println(string(msg.Data), err)
	// Output: "cups" <nil>
}

// Missed says that messages are lost just before this one: here, because no hub knows the position.
func ExampleMessage_missed() {
	hub := open(nil)
	client, end := connect(hub)
	defer end()

	ctx := context.Background()
	sub, err := client.Subscribe(ctx, "orders", &hotline.SubscribeOptions{After: "7.otherhub"})
	if err != nil {
		log.Fatal(err)
	}
	if err := hub.Publish(ctx, "orders", "tea"); err != nil {
		log.Fatal(err)
	}
	msg, err := sub.Next(ctx)
	fmt.Println(string(msg.Data), msg.Missed > 0, err)
	// Output: "tea" true <nil>
}

// Context tells that a client has ended for good, and why.
func ExampleClient_Context() {
	hub := open(nil)
	client, end := connect(hub)
	defer end()

	for conn := range hub.Conns() {
		conn.Close(hotline.CloseFinal, "account closed")
	}
	<-client.Context().Done()
	var closed *hotline.CloseError
	fmt.Println(errors.As(context.Cause(client.Context()), &closed), closed)
	// Output: true hotline: closed by the peer with code 4500: account closed
}

// A topic with a type is used with a client as with a hub: both are Publishers and Subscribers.
func ExampleTopic_Subscribe() {
	type price struct{ Cents int }
	prices := hotline.NewTopic[price]("prices.*")
	client, end := connect(open(nil))
	defer end()

	ctx := context.Background()
	sub, err := prices.Subscribe(ctx, client, nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := prices.With("BRK.B").Publish(ctx, client, price{41250}); err != nil {
		log.Fatal(err)
	}
	msg, err := sub.Next(ctx)
	if err != nil {
		log.Fatal(err)
	}
	p, err := prices.Decode(msg)
	fmt.Println(prices.Params(msg.Topic)[0], p.Cents, err)
	// Output: BRK.B 41250 <nil>
}
