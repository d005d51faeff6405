//go:build unix

package faults

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/gohotline/hotline"
	"github.com/gohotline/hotline/internal/membroker"
)

// The proxies close what is idle for 3 s. The hub's pings, one a second, keep connections alive on which nothing happens.
func TestProxyIdle(t *testing.T) {
	eachProxy(t, func(t *testing.T, kind proxyKind) {
		for try := 1; ; try++ {
			lag := watchLag(t)
			a := newApp(t, kind.name+", nothing happens, a ping each second", appOptions{limits: hotline.Limits{PingInterval: time.Second}})
			a.quiet = true
			startProxy(t, kind, false, serve(t, listen(t), a.hub)).connect(a, 4)
			row := a.run(func() { time.Sleep(idle()) })
			if late := lag(); row.reconnects > 0 && late > time.Second && try < 5 {
				t.Logf("once more: this process stood still for %v", late)
				continue
			}
			if row.reconnects > 0 {
				t.Errorf("%d reconnects, though no timer was late by more than %v", row.reconnects, lag())
				for _, c := range a.clients {
					t.Errorf("%s: %q", c.name, c.states)
				}
			}
			a.check(3, row)
			return
		}
	})
}

// The control: without pings the proxies end such connections again and again. The clients come back, and miss nothing.
func TestProxyIdleWithoutPings(t *testing.T) {
	eachProxy(t, func(t *testing.T, kind proxyKind) {
		a := newApp(t, kind.name+", nothing happens, no pings", appOptions{limits: hotline.Limits{PingInterval: -1}})
		a.quiet = true
		startProxy(t, kind, false, serve(t, listen(t), a.hub)).connect(a, 4)
		row := a.run(func() {
			if !a.await(func() bool {
				for _, c := range a.clients {
					if c.reconnects == 0 {
						return false
					}
				}
				return true
			}) {
				t.Error("not everybody was disconnected and came back")
			}
		})
		row.faults = row.reconnects // the proxy's doing
		a.check(3, row)
	})
}

// idle is how long nothing happens: several times what the proxies wait for.
func idle() time.Duration {
	if thorough {
		return 20 * time.Second
	}
	return 7 * time.Second
}

// watchLag watches how late a timer of this process is, at most, until the function that it returns is called: a machine
// that is busy with something else proves nothing about timeouts.
func watchLag(t *testing.T) (stop func() time.Duration) {
	done, ended := make(chan struct{}), make(chan struct{})
	var most time.Duration
	go func() {
		defer close(ended)
		const step = 50 * time.Millisecond
		for last := time.Now(); ; last = time.Now() {
			select {
			case <-time.After(step):
				most = max(most, time.Since(last)-step)
			case <-done:
				return
			}
		}
	}()
	stop = sync.OnceValue(func() time.Duration {
		close(done)
		<-ended
		return most
	})
	t.Cleanup(func() { stop() })
	return stop
}

// Reloads in the middle, under traffic: the proxies end the connections of the old configuration within half a second. With
// and without TLS, which ends at the proxy.
func TestProxyReload(t *testing.T) {
	eachProxy(t, func(t *testing.T, kind proxyKind) {
		for _, secure := range []bool{false, true} {
			name := kind.name + ", reloads"
			if secure {
				name += ", TLS"
			}
			t.Run(fmt.Sprintf("TLS=%t", secure), func(t *testing.T) {
				t.Parallel()
				a := newApp(t, name, appOptions{limits: hotline.Limits{PingInterval: time.Second}})
				p := startProxy(t, kind, secure, serve(t, listen(t), a.hub))
				p.connect(a, 4)
				row := a.run(func() {
					for range 3 {
						time.Sleep(length / 4)
						old := a.conns()
						a.faults.Add(1)
						p.reload()
						if !a.await(func() bool { return a.replaced(old) }) {
							t.Error("a reload has not ended every connection, or not everybody is back")
						}
					}
				})
				a.check(4, row)
			})
		}
	})
}

// conns are the hub's connections by their ids.
func (a *app) conns() map[string]bool {
	ids := make(map[string]bool)
	for c := range a.hub.Conns() {
		ids[c.ID()] = true
	}
	return ids
}

// replaced reports whether every connection has ended that was there before, and every client has another. Traffic makes
// await ask again and again.
func (a *app) replaced(old map[string]bool) bool {
	now := a.conns()
	for id := range now {
		if old[id] {
			return false
		}
	}
	return len(now) >= len(a.clients)
}

// A deploy: a hub shuts down under traffic, and the proxy sends who comes back to another one, which shares its store. Then
// the other way round. Server code publishes at a third.
func TestProxyDeploy(t *testing.T) {
	eachProxy(t, func(t *testing.T, kind proxyKind) {
		store := membroker.New(membroker.Options{})
		node := func() hotline.Broker {
			n := store.Node()
			t.Cleanup(func() { n.Close() })
			return n
		}
		limits := hotline.Limits{PingInterval: time.Second, Drain: time.Second}
		a := newApp(t, kind.name+", hubs shut down and another takes over", appOptions{limits: limits, broker: node()})
		blue, green := newSlot(t), newSlot(t)
		blue.put(a.newHub(node()))
		green.put(a.newHub(node()))
		startProxy(t, kind, false, blue.addr, green.addr).connect(a, 6)
		row := a.run(func() {
			for i := range 4 {
				time.Sleep(length / 4)
				slot := blue
				if i%2 == 1 {
					slot = green
				}
				a.faults.Add(1)
				if err := slot.hub().Shutdown(after(t, 30*time.Second)); err != nil {
					t.Errorf("Shutdown: %v", err)
				}
				slot.put(a.newHub(node()))
			}
		})
		if row.reconnects < len(a.clients) {
			t.Errorf("%d reconnects of %d clients, though every hub has shut down", row.reconnects, len(a.clients))
		}
		a.check(5, row)
	})
}
