package hotline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// breaker dials real sockets and can close all of them.
type breaker struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (b *breaker) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	nc, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err == nil {
		b.mu.Lock()
		b.conns = append(b.conns, nc)
		b.mu.Unlock()
	}
	return nc, err
}

func (b *breaker) cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, nc := range b.conns {
		nc.Close()
	}
	b.conns = nil
}

// Row 20 of the failure table: everything at once and at random, on real sockets, for the race detector. Each goroutine
// does so many things; none of them may fail for another reason than that something was closed.
func TestClientChurn(t *testing.T) {
	steps := 300
	if testing.Short() {
		steps = 60
	}
	w := newRealWorld(t, &HubOptions{
		Compression: true,
		Limits:      Limits{PublishRate: -1},
		Topics:      map[string]TopicOptions{"state.*": {Delivery: State}, "here.*": {Delivery: Presence}, "typing.*": {Delivery: Signals}},
	})
	var b breaker
	tr := &http.Transport{DialContext: b.dial, DisableKeepAlives: true}
	opts := &DialOptions{
		HTTPClient: &http.Client{Transport: tr}, Compression: true, Background: true, Logger: slog.New(slog.DiscardHandler),
		Token: func(context.Context) (string, error) { return "t", nil }, OnState: func(error) {},
	}
	clients := make([]*Client, 4)
	var mu sync.Mutex
	pick := func() *Client {
		mu.Lock()
		defer mu.Unlock()
		return clients[rand.N(len(clients))]
	}
	renew := func(i int) {
		c, err := Dial(context.Background(), w.url, opts)
		if err != nil {
			t.Error(err)
			return
		}
		mu.Lock()
		old := clients[i]
		clients[i] = c
		mu.Unlock()
		if old != nil {
			old.Close()
		}
	}
	for i := range clients {
		renew(i)
	}
	fine := func(what string, err error) {
		if err != nil && !errors.Is(err, ErrClosed) && !errors.Is(err, ErrLimit) && !errors.Is(err, ErrUncertain) &&
			!errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", what, err)
		}
	}
	kinds := []string{"chat", "state", "here", "typing"}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range steps {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rand.N(30))*time.Millisecond)
				topic := fmt.Sprintf("%s.%d", kinds[rand.N(4)], rand.N(5))
				c := pick()
				switch rand.N(12) {
				case 0:
					if rand.N(4) == 0 {
						b.cut()
					}
				case 1:
					if rand.N(4) == 0 {
						renew(rand.N(len(clients)))
					}
				case 2, 3, 4:
					s, err := c.Subscribe(ctx, topic[:len(topic)-1]+"*", &SubscribeOptions{Replay: rand.N(5)})
					if fine("subscribe", err); err != nil {
						break
					}
					var readers sync.WaitGroup
					readers.Go(func() {
						for _, err := range s.Messages(ctx) {
							fine("next", err)
						}
					})
					_ = s.Position()
					time.Sleep(time.Millisecond)
					s.Close()
					readers.Wait()
				case 5, 6:
					fine("signal", c.Signal(topic, rand.N(100)))
				case 7:
					fine("once", c.Once(fmt.Sprint(rand.N(10))).Publish(ctx, topic, Binary("\x00")))
				case 8:
					fine("clear", c.Publish(ctx, topic, nil))
				case 9:
					for conn := range w.hub.Conns() {
						conn.Close(CloseReconnect, "churn")
						break
					}
				default:
					fine("publish", c.Publish(ctx, topic, rand.N(100)))
				}
				cancel()
			}
		})
	}
	all.Wait()
	for _, c := range clients {
		c.Close()
	}
}
