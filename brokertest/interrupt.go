package brokertest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gohotline/hotline"
)

// Interrupter is a broker whose link to its server the suite may cut. Run checks what is said of interruptions only if the
// brokers that it is given have these methods, which a broker may add for its own tests alone.
type Interrupter interface {
	// Cut takes the server away from this one broker: the others go on. It returns once the broker can't reach it.
	Cut()
	// Mend gives it back. The broker may take as long as it likes to notice.
	Mend()
}

// cut interrupts a node.
func (n *node) cut() Interrupter {
	i := n.Broker.(Interrupter)
	i.Cut()
	return i
}

// interrupted: what is stored meanwhile is delivered or reported as lost, in order, and reaches as far as it must.
func interrupted(k *kit) {
	a, b := k.node(), k.node()
	b.follow("x.*")
	b.hub.has(a.publish(k.entry("x.1", `"before"`)))
	link := b.cut()
	var missed []hotline.BrokerEntry
	for i := range 20 {
		missed = append(missed, a.publish(k.entry(fmt.Sprint("x.", i%2), fmt.Sprint(i))))
	}
	link.Mend()
	b.hub.has(a.publish(k.entry("x.1", `"after"`)))
	for _, e := range missed {
		b.hub.wait(fmt.Sprintf("%d, stored while the server was away, is neither delivered nor reported as lost", e.Seq), func() bool {
			return b.hub.covers(e)
		})
	}
	got := b.hub.entries(hotline.Events)
	for i := range got[1:] {
		if got[i+1].Seq <= got[i].Seq {
			k.t.Errorf("Seq %d is delivered after %d", got[i+1].Seq, got[i].Seq)
		}
	}
}

// covers reports whether an event was delivered, or is in a range that was reported as lost.
func (h *hub) covers(e hotline.BrokerEntry) bool {
	if slices.ContainsFunc(h.entries(hotline.Events), func(got hotline.BrokerEntry) bool { return got.Position == e.Position }) {
		return true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.ContainsFunc(h.losses, func(l loss) bool {
		return hotline.Match(l.pattern, e.Topic) && l.after < e.Seq && e.Seq <= l.upTo
	})
}

// interruptedValues: after an interruption Values says again what there is, for each pattern.
func interruptedValues(k *kit) {
	a, b := k.node(), k.node()
	set := func(topic, data string) {
		e := k.entry(topic, data)
		e.Delivery, e.Gone = hotline.State, data == ""
		a.publish(e)
	}
	set("v.changed", "1")
	set("v.cleared", "1")
	b.follow("v.*")
	b.follow("w")
	link := b.cut()
	set("v.changed", "2")
	set("v.cleared", "")
	set("w", "3")
	b.hub.mu.Lock()
	b.hub.values = nil
	b.hub.mu.Unlock()
	link.Mend()
	b.hub.wait("Values is not called for each pattern again after an interruption", func() bool {
		v, ok := b.hub.valuesOf("v.*")
		w, ok2 := b.hub.valuesOf("w")
		return ok && ok2 && len(v) == 1 && string(v[0].Data) == "2" && len(w) == 1 && string(w[0].Data) == "3"
	})
}

// valuesOf returns what Values said last of a pattern.
func (h *hub) valuesOf(rest string) (list []hotline.BrokerEntry, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	list, ok = h.values[h.k.topic(rest)]
	return list, ok
}

// interruptedStatus: Status says when the server goes and when it is back.
func interruptedStatus(k *kit) {
	a, b := k.node(), k.node()
	b.follow("x")
	away := func() bool {
		b.hub.mu.Lock()
		defer b.hub.mu.Unlock()
		return b.hub.away != nil
	}
	if away() {
		k.t.Errorf("Status says %v though the server is there", b.hub.away)
	}
	link := b.cut()
	b.hub.wait("Status does not say that the server is away", away)
	link.Mend()
	b.hub.wait("Status does not say that the server is back", func() bool { return !away() })
	b.hub.has(a.publish(k.entry("x", `"after"`))) // and is right
}

// interruptedCalls: no call outlives its ctx while the server is away, and all work again when it is back.
func interruptedCalls(k *kit) {
	a, b := k.node(), k.node()
	upTo := a.end()
	link := b.cut()
	calls := func(ctx context.Context) map[string]func() error {
		return map[string]func() error{
			"Publish": func() error {
				_, err := b.Publish(ctx, k.entry("x", `1`))
				return err
			},
			"Follow": func() error {
				_, err := b.Follow(ctx, k.topic("y"))
				return err
			},
			"Replay": func() error {
				_, err := b.Replay(ctx, hotline.BrokerQuery{Patterns: []string{k.topic("x")}, UpTo: upTo, Limit: 1, MaxBytes: 1})
				return err
			},
		}
	}
	ctx, cancel := context.WithTimeout(k.ctx, k.patience/20)
	defer cancel()
	for what, f := range calls(ctx) {
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			_ = f() // whatever it is
		}()
		select {
		case <-answered:
		case <-time.After(k.patience / 2):
			k.t.Fatalf("%s does not return though its ctx has ended: the server is away", what)
		}
	}
	link.Mend()
	for what, f := range calls(k.ctx) {
		if err := f(); err != nil {
			k.t.Errorf("%s fails after an interruption: %v", what, err)
		}
	}
}
