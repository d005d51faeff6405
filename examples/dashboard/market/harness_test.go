package market

import (
	"context"
	"encoding/binary"
	"math"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gohotline/hotline"
	"github.com/gohotline/hotline/examples/internal/site"
	"github.com/gohotline/hotline/internal/leak"
	"github.com/gohotline/hotline/internal/memnet"
)

func TestMain(m *testing.M) { leak.Main(m) }

// world is the dashboard, on a network in memory, beside another application on the same hub.
type world struct {
	*board
	t   *testing.T
	net *memnet.Network
}

func inBubble(t *testing.T, test func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{board: &board{seed: 1}, t: t, net: memnet.New(nil)}
		other := &site.App{Name: "other", Handler: func(hub *hotline.Hub) http.Handler { return hub }}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		ln := w.net.Listen()
		go func() { ended <- site.Serve(ctx, ln, w.app(), other) }()
		synctest.Wait()
		test(t, w)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// page is a browser that has the dashboard open.
type page struct {
	*hotline.Client
	t *testing.T
}

func (w *world) open(path string) page {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	tr := &http.Transport{DialContext: w.net.Link().DialContext, DisableKeepAlives: true}
	c, err := hotline.Dial(ctx, "ws://dash.example"+path, &hotline.DialOptions{HTTPClient: &http.Client{Transport: tr}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	return page{c, w.t}
}

// price is one that a page shows.
type price struct {
	at          time.Time
	tick        uint32
	cents, open uint32
}

// watched is what a page knows of the prices.
type watched struct {
	shown              map[string]price
	received, conflate int
	oldest             time.Duration // of a value, when it came
}

// watch receives prices for so long.
func (p page) watch(sub *hotline.Subscription, shown map[string]price, d time.Duration) watched {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), d)
	defer cancel()
	w := watched{shown: shown}
	for m, err := range sub.Messages(ctx) {
		if err != nil {
			if ctx.Err() == nil {
				p.t.Fatal(err)
			}
			break
		}
		value, err := prices.Decode(m)
		if err != nil || len(value) != priceSize {
			p.t.Fatalf("%s: %v, %d bytes", m.Topic, err, len(value))
		}
		now := price{
			time.UnixMilli(int64(math.Float64frombits(binary.BigEndian.Uint64(value)))),
			binary.BigEndian.Uint32(value[8:]), binary.BigEndian.Uint32(value[12:]), binary.BigEndian.Uint32(value[16:]),
		}
		before, ok := w.shown[m.Topic]
		switch {
		case ok && now.tick < before.tick:
			p.t.Fatalf("%s: step %d after step %d", m.Topic, now.tick, before.tick)
		case ok && now.tick > before.tick:
			w.conflate += int(now.tick - before.tick - 1)
		}
		w.shown[m.Topic] = now
		w.received++
		w.oldest = max(w.oldest, time.Since(now.at))
	}
	return w
}

func (p page) prices() *hotline.Subscription {
	p.t.Helper()
	sub, err := prices.Subscribe(p.t.Context(), p, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return sub
}
