package hotline

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestPositionBeforeLoss: a position that is saved while a loss is known to the client and not to the application lies
// before it, so that whoever continues there is told.
func TestPositionBeforeLoss(t *testing.T) {
	for _, resync := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			c, _ := w.connect(nil)
			opts := &SubscribeOptions{After: w.hub.Position()}
			loads := 0
			if resync {
				opts.Resync = func(context.Context) (string, error) {
					loads++
					return "", errors.New("the database is down")
				}
			}
			s := w.follow(c, "chat.*", opts)
			w.publish("chat.a", 1)
			wantNext(t, s, "chat.a 1")
			before := s.Position()
			w.restart(nil)
			wantNothing(t, s, time.Minute) // the client has reconnected, and Next has seen the loss
			if at := s.Position(); at != before {
				t.Errorf("resync %t: the position is %s, want %s, before the loss", resync, at, before)
			}
			if resync != (loads > 0) {
				t.Errorf("%d loads", loads)
			}
			again := w.follow(c, "chat.*", &SubscribeOptions{After: s.Position()})
			w.publish("chat.a", 2)
			wantNext(t, again, "+1 chat.a 2")
			if resync {
				return
			}
			wantNext(t, s, "+1 chat.a 2")
			if at := s.Position(); at == before {
				t.Error("the position stays before a loss that was told")
			}
			w.publish("chat.a", 3)
			wantNext(t, w.follow(c, "chat.*", &SubscribeOptions{After: s.Position()}), "chat.a 3")
		})
	}
}

// TestPositionAfterResync: once the snapshot has been loaded the loss is made good.
func TestPositionAfterResync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		c, _ := w.connect(nil)
		s := w.follow(c, "chat.*", &SubscribeOptions{After: w.hub.Position(), Resync: func(context.Context) (string, error) { return "", nil }})
		w.restart(nil)
		wantNothing(t, s, time.Minute)
		if at := s.Position(); at != w.hub.Position() {
			t.Errorf("the position is %s, want %s", at, w.hub.Position())
		}
	})
}

// TestPositionOfNewSubscription: events that came before the hub said where a new subscription stands, and that nobody has
// read, lie after the position that is saved then.
func TestPositionOfNewSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Topics: priceTopics})
		for i := range 1000 {
			w.publish(fmt.Sprint("price.p", i), strings.Repeat("x", 1000))
		}
		w.publish("chat.a", "before")
		c, link := w.connect(nil)
		w.follow(c, "other", nil)
		link.Throttle(100_000) // so that State takes its time
		go func() {
			for i := range 20 {
				time.Sleep(200 * time.Millisecond)
				w.publish("chat.a", i)
			}
		}()
		s := w.follow(c, ">", nil)
		saved := s.Position()
		time.Sleep(time.Minute)
		again := w.follow(c, "chat.a", &SubscribeOptions{After: saved})
		for i := range 20 {
			wantNext(t, again, fmt.Sprint("chat.a ", i))
		}
	})
}

// TestPositionOfReplay: a position that is saved before anything of a Replay was read does not lie after it, also if the
// client was connected before, and if it has reconnected since.
func TestPositionOfReplay(t *testing.T) {
	for _, c := range []struct {
		name                 string
		local, earlier, back bool
	}{
		{name: "in process", local: true},
		{name: "first subscription"},
		{name: "second subscription", earlier: true},
		{name: "after a reconnect", earlier: true, back: true},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			for i := range 5 {
				w.publish("chat.a", i)
			}
			client, link := w.connect(nil)
			var from Subscriber = client
			if c.local {
				from = w.hub
			}
			if c.earlier {
				w.follow(client, "other", nil)
			}
			s, err := from.Subscribe(t.Context(), "chat.*", &SubscribeOptions{Replay: 5})
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if c.back {
				link.Cut()
				time.Sleep(time.Minute)
			}
			again, err := from.Subscribe(t.Context(), "chat.*", &SubscribeOptions{Replay: 5, After: s.Position()})
			if err != nil {
				t.Fatal(err)
			}
			for i := range 5 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				m, err := again.Next(ctx)
				cancel()
				if err != nil || string(m.Data) != fmt.Sprint(i) {
					t.Fatalf("%s: message %d after %q is %s, %v", c.name, i, s.Position(), m.Data, err)
				}
			}
			wantNext(t, s, "*chat.a 0")
			if s.Position() == "" {
				t.Errorf("%s: no position after a message", c.name)
			}
		})
	}
}

// TestPositionBeforeLossInProcess is the same for a reader in the hub's own process.
func TestPositionBeforeLossInProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Limits: Limits{LogAge: 10 * time.Second}})
		subscribe := func(after string) *Subscription {
			s, err := w.hub.Subscribe(t.Context(), "chat.*", &SubscribeOptions{After: after})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			return s
		}
		s := subscribe("1.1") // of another life of the log
		wantNothing(t, s, time.Second)
		if at := s.Position(); at != "1.1" {
			t.Errorf("the position is %s, before anybody was told that 1.1 is unknown", at)
		}
		w.publish("chat.a", 1)
		wantNext(t, s, "+1 chat.a 1")
		before := s.Position()
		w.publish("chat.a", 2)
		time.Sleep(5 * time.Minute)
		wantNothing(t, s, time.Second) // it has aged out unread
		if at := s.Position(); at != before {
			t.Errorf("the position is %s, want %s, before the loss", at, before)
		}
		w.publish("chat.a", 3)
		wantNext(t, subscribe(s.Position()), "+1 chat.a 3")
		wantNext(t, s, "+1 chat.a 3")
		if at := s.Position(); at != w.hub.Position() {
			t.Errorf("the position is %s, want %s", at, w.hub.Position())
		}
	})
}
