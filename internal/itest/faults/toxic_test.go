package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"github.com/gohotline/hotline"
)

// toxic is one of toxiproxy's. It is there, and harmless, from the start of a proxy, and is switched on later: so that
// connections are hit that have long been made. Under the race detector, which finds toxiproxy changing what it reads, there
// is a new proxy for that.
type toxic struct {
	Type       string         `json:"type"`
	Name       string         `json:"name"`
	Stream     string         `json:"stream"`
	Toxicity   float64        `json:"toxicity"`
	Attributes map[string]any `json:"attributes"`
}

// poisons are all the kinds of toxic, as strong as the die says.
var poisons = []struct {
	kind  string
	cuts  bool // it ends connections, and takes away what is under way
	attrs func(rng *rand.Rand) map[string]any
}{
	{"latency", false, func(rng *rand.Rand) map[string]any {
		return map[string]any{"latency": 20 + rng.IntN(200), "jitter": rng.IntN(20)}
	}},
	{"bandwidth", false, func(rng *rand.Rand) map[string]any { return map[string]any{"rate": 10 + rng.IntN(30)} }},
	{"slicer", false, func(rng *rand.Rand) map[string]any {
		size := 20 + rng.IntN(200)
		return map[string]any{"average_size": size, "size_variation": rng.IntN(size), "delay": rng.IntN(200)}
	}},
	{"slow_close", false, func(rng *rand.Rand) map[string]any { return map[string]any{"delay": 100 + rng.IntN(1500)} }},
	{"timeout", true, func(rng *rand.Rand) map[string]any { return map[string]any{"timeout": 50 + rng.IntN(1000)} }},
	{"reset_peer", true, func(rng *rand.Rand) map[string]any { return map[string]any{"timeout": rng.IntN(500)} }},
	{"limit_data", true, func(rng *rand.Rand) map[string]any { return map[string]any{"bytes": 1 + rng.IntN(20_000)} }},
}

func makeToxic(kind int, stream string, rng *rand.Rand) toxic {
	return toxic{Type: poisons[kind].kind, Name: poisons[kind].kind + stream, Stream: stream, Attributes: poisons[kind].attrs(rng)}
}

// route is the way of one client to the hub: through a proxy, which is made anew for each period of faults. What is connected
// when a storm begins must go through one, or nothing happens to it.
type route struct {
	// Static after construction.
	a      *app
	server *toxiproxy.ApiServer
	to     string

	mu    sync.Mutex
	proxy *toxiproxy.Proxy // nil: straight to the hub
	list  []toxic
}

// newRoute makes a client that goes through toxiproxy.
func (a *app) newRoute(addr string) *route {
	r := &route{a: a, to: addr, server: toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())}
	a.connect("ws://"+addr+"/", through(r.dial))
	a.t.Cleanup(func() { r.renew() })
	return r
}

func (r *route) dial(ctx context.Context) (net.Conn, error) {
	r.mu.Lock()
	addr := r.to
	if r.proxy != nil {
		addr = r.proxy.Listen
	}
	r.mu.Unlock()
	return to(addr)(ctx)
}

// renew makes another proxy, with toxics that are not yet at work; none means straight to the hub. What goes through the old
// one is cut.
func (r *route) renew(list ...toxic) {
	var proxy *toxiproxy.Proxy
	if len(list) > 0 {
		proxy = toxiproxy.NewProxy(r.server, "route", "127.0.0.1:0", r.to)
		for _, t := range list {
			if _, err := proxy.Toxics.AddToxicJson(encoded(t)); err != nil {
				r.a.t.Errorf("%+v: %v", t, err)
			}
		}
		if err := proxy.Start(); err != nil {
			r.a.t.Error(err)
			return
		}
	}
	r.mu.Lock()
	old := r.proxy
	r.proxy, r.list = proxy, list
	r.mu.Unlock()
	if old != nil {
		within(5*time.Second, old.Stop)
	}
}

// poison sets the toxics to work.
func (r *route) poison() {
	r.mu.Lock()
	proxy, list := r.proxy, slices.Clone(r.list)
	r.mu.Unlock()
	r.a.faults.Add(int64(len(list)))
	for i := range list {
		list[i].Toxicity = 1
	}
	if raceEnabled {
		r.renew(list...)
		return
	}
	for _, t := range list {
		within(5*time.Second, func() {
			if _, err := proxy.Toxics.UpdateToxicJson(t.Name, encoded(t)); err != nil {
				r.a.t.Errorf("%+v: %v", t, err)
			}
		})
	}
}

// within waits for f, but not for ever: a proxy whose connection breaks just then may lock itself up, which is a fault like
// any other to who talks through it.
func within(d time.Duration, f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(d):
	}
}

func encoded(t toxic) *strings.Reader {
	text, err := json.Marshal(t)
	if err != nil {
		panic(err)
	}
	return strings.NewReader(string(text))
}

// sleep waits for a part of d.
func sleep(rng *rand.Rand, d time.Duration) { time.Sleep(time.Duration(rng.Int64N(int64(d) + 1))) }

// TestToxics: each toxic alone, in both directions. Those that only slow down stay until everybody has everything.
func TestToxics(t *testing.T) {
	t.Parallel()
	for kind, p := range poisons {
		for _, stream := range []string{"upstream", "downstream"} {
			name := fmt.Sprintf("toxiproxy %s, %s", p.kind, stream)
			t.Run(p.kind+"_"+stream, func(t *testing.T) {
				t.Parallel()
				a := newApp(t, name, appOptions{limits: hotline.Limits{PingInterval: time.Second}})
				addr := serve(t, listen(t), a.hub)
				var routes []*route
				for range 3 {
					routes = append(routes, a.newRoute(addr))
				}
				for _, r := range routes {
					r.renew(makeToxic(kind, stream, random(name)))
				}
				row := a.run(func() { a.single(routes, kind, stream) })
				if row.faults < len(routes) || p.cuts && row.reconnects == 0 && !raceEnabled { // with which proxies lock up
					t.Errorf("that was no storm: %d faults, %d reconnects", row.faults, row.reconnects)
				}
				a.check(1, row)
			})
		}
	}
}

// single is a storm of one kind of toxic.
func (a *app) single(routes []*route, kind int, stream string) {
	var wg sync.WaitGroup
	end := time.Now().Add(length)
	for i, r := range routes {
		rng := random(fmt.Sprint(a.name, " route", i))
		wg.Go(func() {
			for {
				sleep(rng, length/6)
				r.poison()
				if !poisons[kind].cuts {
					break
				}
				sleep(rng, length/3)
				if !time.Now().Before(end) {
					r.renew()
					return
				}
				r.renew(makeToxic(kind, stream, rng))
			}
			for time.Now().Before(end) {
				sleep(rng, length/3)
				if poisons[kind].kind == "slow_close" {
					a.closeSome(rng)
				}
			}
		})
	}
	wg.Wait()
}

// TestToxicMixtures: several toxics at once, in both directions, others after a while, connections that the server closes
// and clients that start again from a saved position. With a log that forgets there are gaps, each where something is missing.
func TestToxicMixtures(t *testing.T) {
	t.Parallel()
	for i := range 4 {
		small := i%2 == 1
		name := fmt.Sprintf("toxiproxy, mixture %d", i+1)
		if small {
			name += ", a log of 64 KiB"
		}
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			o := appOptions{small: small, limits: hotline.Limits{PingInterval: time.Second}}
			if small {
				o.limits.LogBytes, o.sizes = 64<<10, 2000
			}
			a := newApp(t, name, o)
			addr := serve(t, listen(t), a.hub)
			var routes []*route
			for range 4 {
				r := a.newRoute(addr)
				r.renew(makeToxic(0, "upstream", random(name)))
				routes = append(routes, r)
			}
			row := a.run(func() { a.mixture(routes) })
			if row.faults < len(routes) { // nobody need reconnect: processes that are started again connect for the first time
				t.Errorf("that was no storm: %d faults", row.faults)
			}
			a.check(2, row)
		})
	}
}

func (a *app) mixture(routes []*route) {
	var wg sync.WaitGroup
	end := time.Now().Add(2 * length)
	for i, r := range routes {
		rng := random(fmt.Sprint(a.name, " route", i))
		c := a.clients[i]
		wg.Go(func() {
			for time.Now().Before(end) {
				list := []toxic{makeToxic(0, "upstream", rng)} // or there is no proxy, and nothing to cut
				for kind := range poisons {
					for _, stream := range []string{"upstream", "downstream"} {
						if rng.IntN(5) == 0 && (kind > 0 || stream == "downstream") {
							list = append(list, makeToxic(kind, stream, rng))
						}
					}
				}
				r.renew(list...)
				sleep(rng, length/4)
				r.poison()
				sleep(rng, length/2)
				switch rng.IntN(5) {
				case 0:
					c.end()
					sleep(rng, length/4)
					c.start()
				case 1:
					a.closeSome(rng)
				}
			}
			r.renew()
		})
	}
	wg.Wait()
}
