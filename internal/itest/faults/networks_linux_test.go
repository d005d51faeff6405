package faults

import (
	"sync"
	"testing"
	"time"

	"github.com/gohotline/hotline"
)

// newNetworkApp makes an application whose clients come over a network of their own.
func newNetworkApp(t *testing.T, name string) (*app, *network) {
	n := newNetwork(t)
	a := newApp(t, name, appOptions{limits: hotline.Limits{PingInterval: time.Second}, gone: make(chan gone, 1000)})
	serve(t, n.listen(t), a.hub)
	for range 4 {
		a.connect("ws://"+hubIP+"/", through(n.dial))
	}
	return a, n
}

// A network that loses 5 % of the packets in each direction, delays all by 50 ± 20 ms, sends a quarter of them ahead of
// others and 2 % twice, until everybody has everything.
func TestNetworkLoss(t *testing.T) {
	t.Parallel()
	a, n := newNetworkApp(t, "network: 5 % loss, 50 ± 20 ms, 25 % reordered, 2 % twice")
	n.weather.Store(&weather{loss: 0.05, duplicate: 0.02, reorder: 0.25, delay: 50 * time.Millisecond, jitter: 20 * time.Millisecond})
	row := a.run(func() { time.Sleep(length) })
	row.faults = int(n.faults())
	for _, p := range []*packets{&n.up, &n.down} {
		if p.dropped.Load() == 0 || p.reordered.Load() == 0 || p.duplicated.Load() == 0 {
			t.Errorf("of %d packets %d dropped, %d reordered, %d twice", p.all.Load(), p.dropped.Load(), p.reordered.Load(), p.duplicated.Load())
		}
	}
	a.check(6, row)
}

// A short partition is nobody's business: TCP sends again what was dropped.
func TestNetworkShortPartition(t *testing.T) {
	t.Parallel()
	for try := 1; ; try++ {
		lag := watchLag(t)
		a, n := newNetworkApp(t, "network: parted for 2 s")
		row := a.run(func() {
			time.Sleep(length / 3)
			n.weather.Store(&weather{cutUp: true, cutDown: true})
			time.Sleep(2 * time.Second)
			n.weather.Store(&weather{})
			time.Sleep(length / 3)
		})
		if late := lag(); row.reconnects > 0 && late > time.Second && try < 5 {
			t.Logf("once more: this process stood still for %v", late)
			continue
		}
		if row.faults = int(n.faults()); row.reconnects > 0 || row.faults == 0 {
			t.Errorf("%d reconnects, %d packets dropped", row.reconnects, row.faults)
		}
		a.check(7, row)
		return
	}
}

// A partition that lasts, in both directions or in one: the hub gives up whom it hears nothing of for ping interval and
// grace, and says so to OnDisconnect; clients find out by themselves, say so to OnState, and come back when they can.
func TestNetworkPartition(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		up, down bool
	}{
		{"in both directions", true, true}, {"towards the hub", true, false}, {"towards the clients", false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a, n := newNetworkApp(t, "network: parted until both sides know, "+tt.name)
			row := a.run(func() {
				time.Sleep(length / 3)
				n.weather.Store(&weather{cutUp: tt.up, cutDown: tt.down})
				begin := time.Now()
				var wg sync.WaitGroup
				wg.Go(func() { a.hubLoses(begin) })
				wg.Go(func() { a.clientsLose(begin) })
				wg.Wait()
				n.weather.Store(&weather{})
			})
			if row.faults = int(n.faults()); row.reconnects < len(a.clients) {
				t.Errorf("%d reconnects of %d clients", row.reconnects, len(a.clients))
			}
			a.check(7, row)
		})
	}
}

// silence is how long either side waits: the ping interval of these hubs and the time for the answer.
const silence = 11 * time.Second

// hubLoses waits until the hub has told of the end of every connection.
func (a *app) hubLoses(begin time.Time) {
	for range a.clients {
		select {
		case g := <-a.gone:
			a.t.Logf("the hub after %v: %v", g.at.Sub(begin).Round(time.Millisecond), g.err)
			if d := g.at.Sub(begin); d < silence/2 {
				a.t.Errorf("the hub has given somebody up after %v: %v", d, g.err)
			}
		case <-time.After(patience):
			a.t.Error("the hub does not notice")
			return
		}
	}
}

// clientsLose waits until every client has said that it is not connected.
func (a *app) clientsLose(begin time.Time) {
	for _, c := range a.clients {
		if !a.await(func() bool { return len(c.states) > 0 && c.states[len(c.states)-1] != nil }) {
			a.t.Errorf("%s does not notice", c.name)
			return
		}
		d := time.Since(begin)
		a.t.Logf("%s after at most %v: %v", c.name, d.Round(time.Millisecond), c.states[len(c.states)-1])
		if d < silence/2 {
			a.t.Errorf("%s has given up after %v", c.name, d)
		}
	}
}
