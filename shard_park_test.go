package hotline

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A hub that nobody is connected to runs nothing: a test that forgets to close it leaks no goroutine.
func TestForgottenHub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := NewHub(&HubOptions{AuthorizeSubscribe: anyone})
		for i := range 3 {
			if err := hub.Publish(t.Context(), "a", i); err != nil {
				t.Fatal(err)
			}
			sub, err := hub.Subscribe(t.Context(), "a", &SubscribeOptions{Replay: 1})
			if err != nil {
				t.Fatal(err)
			}
			if m, err := sub.Next(t.Context()); err != nil || string(m.Data) != fmt.Sprint(i) {
				t.Fatalf("got %q, %v", m.Data, err)
			}
			sub.Close()
			time.Sleep(time.Hour)
		}
	})
}

// Closing a hub ends shards that run and shards that don't, once and while others use it.
func TestCloseParked(t *testing.T) {
	for range 50 {
		hub := NewHub(nil)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for {
					sub, err := hub.Subscribe(context.Background(), "a", nil)
					if err != nil {
						return
					}
					sub.Close()
				}
			})
		}
		hub.Publish(context.Background(), "a", 1)
		hub.Close()
		wg.Wait()
		for _, sh := range hub.shards {
			select {
			case <-sh.done:
			default:
				t.Fatalf("shard %d still runs", sh.n)
			}
		}
	}
}

// Whoever comes when a shard is about to stop is served all the same.
func TestParkRace(t *testing.T) {
	hub := NewHub(nil)
	defer hub.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for g := range 3 {
		wg.Go(func() {
			topic := fmt.Sprint("t", g)
			for i := range 500 {
				sub, err := hub.Subscribe(ctx, topic, nil)
				if err != nil {
					t.Error(err)
					return
				}
				if err := hub.Publish(ctx, topic, i); err != nil {
					t.Error(err)
				}
				if m, err := sub.Next(ctx); err != nil || string(m.Data) != fmt.Sprint(i) {
					t.Errorf("got %q, %v; want %d", m.Data, err, i)
				}
				sub.Close()
			}
		})
	}
	wg.Wait()
}
