package faults

import (
	"strings"
	"testing"
	"time"

	"github.com/gohotline/hotline"
)

// Without faults nobody is told of a gap, however small the log is, and nobody reconnects.
func TestNoFaults(t *testing.T) {
	t.Parallel()
	a := newApp(t, "none", appOptions{small: true, limits: hotline.Limits{LogBytes: 1 << 20}})
	addr := serve(t, listen(t), a.hub)
	for range 4 {
		a.connect("ws://"+addr+"/", through(to(addr)))
	}
	row := a.run(func() { time.Sleep(length) })
	if row.counts.Gaps > 0 || row.reconnects > 0 || row.counts.Delivered == 0 {
		t.Errorf("%v, %d reconnects", row.counts, row.reconnects)
	}
	if row.counts.Attempted != row.counts.Accepted {
		t.Errorf("%d attempted, %d accepted", row.counts.Attempted, row.counts.Accepted)
	}
	a.check(0, row)
}

// The control: one message that one client loses is found, and nothing else, also among toxics.
func TestSabotage(t *testing.T) {
	t.Parallel()
	a := newApp(t, "sabotage", appOptions{})
	addr := serve(t, listen(t), a.hub)
	var routes []*route
	for range 3 {
		r := a.newRoute(addr)
		r.renew(makeToxic(0, "upstream", random(a.name)))
		routes = append(routes, r)
	}
	row := a.run(func() {
		a.change(func() { a.clients[1].losing = true })
		a.mixture(routes)
	})
	if a.clients[1].losing {
		t.Error("nothing was lost")
	}
	if len(row.failures) != 1 || !strings.HasPrefix(row.failures[0], "client1: ") || row.count("lost:") != 1 {
		t.Errorf("the oracle says %q", row.failures)
	}
}
