package arena

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gohotline/hotline"
	"github.com/gohotline/hotline/examples/internal/site"
	"github.com/gohotline/hotline/internal/leak"
	"github.com/gohotline/hotline/internal/memnet"
)

func TestMain(m *testing.M) { leak.Main(m) }

// served is the program, on a network in memory.
type served struct {
	t   *testing.T
	net *memnet.Network
}

// inBubble runs a test of the program, with a clock that only moves when everybody waits. More applications may be there.
func inBubble(t *testing.T, test func(t *testing.T, s *served), others ...*site.App) {
	synctest.Test(t, func(t *testing.T) {
		s := &served{t: t, net: memnet.New(nil)}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		ln := s.net.Listen()
		go func() { ended <- site.Serve(ctx, ln, append(others, New())...) }()
		test(t, s)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// client is a page: it keeps itself connected over a link of its own.
type client struct {
	*hotline.Client
	t    *testing.T
	link *memnet.Link
}

// dial connects as the page of an application does.
func (s *served) dial(app, token string) (*client, error) {
	link := s.net.Link()
	tr := &http.Transport{DialContext: link.DialContext, DisableKeepAlives: true}
	c, err := hotline.Dial(s.t.Context(), "ws://localhost:8080/"+app+"/ws", &hotline.DialOptions{
		HTTPClient: &http.Client{Transport: tr},
		Token:      func(context.Context) (string, error) { return token, nil },
	})
	if err != nil {
		return nil, err
	}
	s.t.Cleanup(func() { c.Close() })
	return &client{c, s.t, link}, nil
}

func (s *served) open(token string) *client {
	s.t.Helper()
	c, err := s.dial("game", token)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// play connects with a key that belongs to the name.
func (s *served) play(name string) *client {
	s.t.Helper()
	return s.open(keyOf(name) + " " + name)
}

func keyOf(name string) string { return "the-secret-key-of-" + strings.ReplaceAll(name, " ", "-") }

func (c *client) subscribe(topic string) *hotline.Subscription {
	c.t.Helper()
	sub, err := c.Subscribe(c.t.Context(), topic, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return sub
}

// next returns the next world.
func (c *client) next(sub *hotline.Subscription) world {
	c.t.Helper()
	m, err := sub.Next(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	w, err := decode(m.Data)
	if err != nil {
		c.t.Fatal(err)
	}
	return w
}
