package board

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
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
	http *http.Client // over the same link
}

// dial connects as the page of an application does.
func (s *served) dial(app, token string) (*client, error) {
	link := s.net.Link()
	h := &http.Client{Transport: &http.Transport{DialContext: link.DialContext, DisableKeepAlives: true}}
	c, err := hotline.Dial(s.t.Context(), "ws://localhost:8080/"+app+"/ws", &hotline.DialOptions{
		HTTPClient: h,
		Token:      func(context.Context) (string, error) { return token, nil },
	})
	if err != nil {
		return nil, err
	}
	s.t.Cleanup(func() { c.Close() })
	return &client{c, s.t, link, h}, nil
}

// draws connects under a name, with a secret that belongs to it.
func (s *served) draws(name string) *client {
	s.t.Helper()
	c, err := s.dial("whiteboard", secretOf(name)+" "+name)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func secretOf(name string) string {
	return "the-secret-of-the-visitor-" + strings.ReplaceAll(name, " ", "-")
}

func userOf(name string) string {
	id, err := authenticate(nil, secretOf(name)+" "+name)
	if err != nil {
		panic(err)
	}
	return id.User
}

func (c *client) do(o op) {
	c.t.Helper()
	if err := ops.Publish(c.t.Context(), c, o); err != nil {
		c.t.Error(err)
	}
}

// page is what a browser does: it loads the snapshot, reads on from there, and has a picture.
type page struct {
	*client
	sub   *hotline.Subscription
	loads atomic.Int32 // of the snapshot
	mu    sync.Mutex
	model model
	ids   []string // of the messages that were read
}

// look opens a page, which reads until the test ends.
func (c *client) look() *page {
	c.t.Helper()
	p := &page{client: c}
	var err error
	p.sub, err = ops.Subscribe(c.t.Context(), c, &hotline.SubscribeOptions{Resync: p.load})
	if err != nil {
		c.t.Fatal(err)
	}
	go func() {
		for m, err := range p.sub.Messages(c.t.Context()) {
			if err != nil {
				return
			}
			o, err := ops.Decode(m)
			if err != nil {
				panic(err)
			}
			p.mu.Lock()
			p.model.apply(m.From, o)
			p.ids = append(p.ids, m.ID)
			p.mu.Unlock()
		}
	}()
	return p
}

func (p *page) load(ctx context.Context) (string, error) {
	p.loads.Add(1)
	s, err := p.snapshot(ctx)
	if err != nil {
		return "", err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.model = model{strokes: s.Strokes}
	for _, k := range s.Strokes {
		p.model.points += len(k.Points) / 3
	}
	return s.After, nil
}

func (c *client) snapshot(ctx context.Context) (s snapshot, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost:8080/whiteboard/snapshot", nil)
	if err != nil {
		return s, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	return s, json.NewDecoder(resp.Body).Decode(&s)
}

func (p *page) picture() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return picture(p.model.strokes)
}

// picture is what is on a board, in a line; two pictures of one are the same.
func picture(strokes []stroke) string {
	var b strings.Builder
	for _, s := range strokes {
		fmt.Fprintf(&b, "%s/%s:%d,%d,%v ", s.By, s.ID, s.Pen, s.Width, s.Points)
	}
	return b.String()
}
