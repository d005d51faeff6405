package hotline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gohotline/hotline/internal/memnet"
)

// options are a client's on a link of its own.
func (w *world) options(link *memnet.Link) *DialOptions {
	return &DialOptions{
		HTTPClient: &http.Client{Transport: &http.Transport{DialContext: link.DialContext, DisableKeepAlives: true}},
		Logger:     slog.New(slog.DiscardHandler),
	}
}

// connect dials a client, which is closed when the test ends.
func (w *world) connect(change func(*DialOptions)) (*Client, *memnet.Link) {
	w.t.Helper()
	link := w.net.Link()
	opts := w.options(link)
	if change != nil {
		change(opts)
	}
	c, err := Dial(context.Background(), "ws://hub/", opts)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	return c, link
}

func (w *world) follow(c *Client, topic string, opts *SubscribeOptions) *Subscription {
	w.t.Helper()
	s, err := c.Subscribe(context.Background(), topic, opts)
	if err != nil {
		w.t.Fatalf("subscribe %s: %v", topic, err)
	}
	return s
}

// wantNext reads messages and compares them: `topic data`, with +n for what was missed and * if it is replayed.
func wantNext(t testing.TB, s *Subscription, want ...string) {
	t.Helper()
	for _, x := range want {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		m, err := s.Next(ctx)
		cancel()
		if err != nil {
			t.Fatalf("next: %v, want %q", err, x)
		}
		if got := short(&m); got != x {
			t.Fatalf("got %q, want %q", got, x)
		}
	}
}

func short(m *Message) string {
	s := m.Topic + " " + string(m.Data)
	if m.Data == nil {
		s = m.Topic + " gone"
	}
	if m.Replayed {
		s = "*" + s
	}
	if m.Missed > 0 {
		s = fmt.Sprintf("+%d %s", m.Missed, s)
	}
	return s
}

func wantNothing(t testing.TB, s *Subscription, within time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	if m, err := s.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %q, %v", short(&m), err)
	}
}

func TestClientLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		c, _ := w.connect(nil)
		s := w.follow(c, "chat.*", nil)
		w.publish("chat.a", 1)
		if err := c.Publish(t.Context(), "chat.b", "two"); err != nil {
			t.Fatal(err)
		}
		if err := c.Signal("chat.c", 3); err != nil {
			t.Fatal(err)
		}
		wantNext(t, s, "chat.a 1", `chat.b "two"`, "chat.c 3")
		if err := c.Publish(t.Context(), "chat.b", Binary("\xff\n\x00")); err != nil {
			t.Fatal(err)
		}
		wantNext(t, s, "chat.b \xff\n\x00")
		s.Close()
		if _, err := s.Next(t.Context()); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
}

func TestClientResumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		c, link := w.connect(nil)
		s := w.follow(c, "chat.*", nil)
		for i := range 100 {
			if i%10 == 5 {
				link.Cut()
			}
			w.publish("chat.a", i)
			time.Sleep(time.Duration(i%7) * 100 * time.Millisecond)
		}
		for i := range 100 {
			wantNext(t, s, fmt.Sprint("chat.a ", i))
		}
	})
}

func TestClientSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		c, link := w.connect(nil)
		s := w.follow(c, "chat.*", nil)
		link.Blackhole()
		w.publish("chat.a", 1)
		time.Sleep(2 * time.Minute)
		link.Heal()
		wantNext(t, s, "chat.a 1")
	})
}

// restart replaces the hub by a new one, as a new process does: what was connected finds a reset.
func (w *world) restart(opts *HubOptions) {
	w.t.Helper()
	w.srv.Close()
	w.hub.Close()
	next := newWorldOn(w.t, w.net, opts)
	w.hub, w.srv = next.hub, next.srv
}
