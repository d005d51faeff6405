package brokertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/gohotline/hotline"
)

// order: events arrive in ascending Seq over all patterns, each once, also where patterns overlap.
func order(k *kit) {
	a, b := k.node(), k.node()
	for _, p := range []string{"x.>", "x.*", "x.1", "y", "*.2"} {
		b.follow(p)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var stored []hotline.BrokerEntry
	for i := range 4 {
		n := []*node{a, b}[i%2]
		wg.Go(func() {
			for j := range 50 {
				topic := []string{"x.1", "x.2", "y", "z.2"}[(i+j)%4]
				e := n.k.entry(topic, fmt.Sprintf(`"%d-%d"`, i, j))
				p, err := n.Publish(k.ctx, e)
				mu.Lock()
				if err == nil {
					e.Position = p
					stored = append(stored, *e)
				} else {
					k.t.Errorf("Publish: %v", err)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for _, e := range stored {
		b.hub.has(e)
	}
	got := b.hub.entries(hotline.Events)
	if len(got) != len(stored) {
		k.t.Errorf("%d entries were delivered, %d stored", len(got), len(stored))
	}
	for i, e := range got {
		if i > 0 && e.Seq <= got[i-1].Seq {
			k.t.Errorf("Seq %d is delivered after %d", e.Seq, got[i-1].Seq)
		}
	}
}

// fields: an entry comes as it was given, to its own node and to others.
func fields(k *kit) {
	a, b := k.node(), k.node()
	for _, n := range []*node{a, b} {
		n.follow(">")
	}
	for _, e := range []hotline.BrokerEntry{
		{Data: []byte(`{"a":1}`), From: "ada"},
		{Data: []byte{0, 0xff, '\n', 0}, Binary: true},
		{Data: []byte{}, Binary: true},
		{Data: []byte(`"é"`), From: "é, \"b\" and <c>"},
		{Delivery: hotline.State, Data: []byte(`1`), From: "ada"},
		{Delivery: hotline.State, Gone: true},
		{Delivery: hotline.Presence, Data: []byte(`1`), From: "ada", Node: "n1"},
		{Delivery: hotline.Presence, Gone: true, Node: "n1"},
		{Delivery: hotline.Signals, Data: []byte(`2`), From: "ada"},
	} {
		given := k.entry("fields."+randomText(), "")
		e.Position, e.Topic, e.Key, e.Time = given.Position, given.Topic, given.Key, given.Time
		stored := a.publish(&e)
		for _, n := range []*node{a, b} {
			n.hub.has(stored)
			all := n.hub.entries(e.Delivery)
			got := all[len(all)-1]
			if got.Topic != e.Topic || string(got.Data) != string(e.Data) || got.Binary != e.Binary || got.Gone != e.Gone ||
				got.From != e.From || got.Node != e.Node || got.Delivery != e.Delivery {
				k.t.Errorf("stored %+v, delivered %+v", e, got)
			}
			if d := got.Time.Sub(e.Time).Abs(); d > time.Millisecond && e.Delivery != hotline.Signals {
				k.t.Errorf("the time of %s is %s off", e.Topic, d)
			}
			if e.Delivery == hotline.Events && got.Position != stored.Position {
				k.t.Errorf("stored at %v, delivered as %v", stored.Position, got.Position)
			}
		}
	}
	stored := *k.entry("x", `1`)
	stored.Topic = "$" + k.name
	if _, err := b.Follow(k.ctx, stored.Topic); err != nil {
		k.t.Fatalf("Follow %s: %v", stored.Topic, err)
	}
	a.publish(&stored)
	b.hub.wait("a topic that begins with $ is not delivered", func() bool {
		b.hub.mu.Lock()
		defer b.hub.mu.Unlock()
		return slices.ContainsFunc(b.hub.got, func(e hotline.BrokerEntry) bool { return e.Topic == stored.Topic })
	})
}

// state: the values of a topic ascend, and a cleared one is gone.
func state(k *kit) {
	a, b := k.node(), k.node()
	b.follow("s")
	for i := range 10 {
		e := k.entry("s", fmt.Sprint(i))
		if e.Delivery = hotline.State; i == 9 {
			e.Gone, e.Data = true, nil
		}
		b.hub.has([]*node{a, b}[i%2].publish(e))
	}
	got := b.hub.entries(hotline.State)
	for i, e := range got {
		if i > 0 && e.Seq <= got[i-1].Seq {
			k.t.Errorf("a value has Seq %d after %d", e.Seq, got[i-1].Seq)
		}
	}
	if list, _ := b.replay(hotline.BrokerQuery{Patterns: []string{k.topic("s")}, UpTo: b.end()}); len(list) != 0 {
		k.t.Errorf("Replay returns %d values: it is for Events", len(list))
	}
}

// signals: they have no position, are not stored, and come to whoever follows at that moment.
func signals(k *kit) {
	a, b := k.node(), k.node()
	b.follow("s")
	e := k.entry("s", `1`)
	e.Delivery = hotline.Signals
	if p, err := a.Publish(k.ctx, e); err != nil || p != (hotline.Position{}) {
		k.t.Errorf("Publish of a signal returns %v, %v", p, err)
	}
	b.hub.has(*e)
	if got := b.hub.entries(hotline.Signals)[0]; got.Position != (hotline.Position{}) {
		k.t.Errorf("a signal has the position %v", got.Position)
	}
	if list, _ := a.replay(hotline.BrokerQuery{Patterns: []string{k.topic("s")}, UpTo: a.end()}); len(list) != 0 {
		k.t.Errorf("Replay returns %d signals", len(list))
	}
}

// blockedHub: a hub that is slow to take entries holds up no other node, and gets them all, or is told of a loss.
func blockedHub(k *kit) {
	a, b := k.node(), k.node()
	b.follow("x")
	b.hub.mu.Lock()
	b.hub.block = make(chan struct{})
	b.hub.mu.Unlock()
	a.follow("x")
	var last hotline.BrokerEntry
	for i := range 100 {
		last = a.publish(k.entry("x", fmt.Sprint(i)))
	}
	a.hub.has(last)
	b.hub.release()
	b.hub.wait("the feed does not go on", func() bool {
		b.hub.mu.Lock()
		lost := len(b.hub.losses) > 0
		b.hub.mu.Unlock()
		return lost || len(b.hub.entries(hotline.Events)) == 100
	})
}

// position: Publish returns where the entry is, with the tag that the hub gave.
func position(k *kit) {
	a, b := k.node(), k.node()
	a.follow("x")
	b.follow("x")
	for i := range 20 {
		e := k.entry("x", fmt.Sprint(i))
		p, err := a.Publish(k.ctx, e)
		if err != nil {
			k.t.Fatalf("Publish: %v", err)
		}
		if p.Tag != tagOf(e.Key) {
			k.t.Errorf("the tag is %x, not the one that was given", p.Tag)
		}
		for _, n := range []*node{a, b} {
			n.hub.has(*e)
			all := n.hub.entries(hotline.Events)
			if got := all[len(all)-1].Position; got != p {
				k.t.Errorf("Publish returned %v, delivered is %v", p, got)
			}
		}
	}
}

// key: a key that is known stores nothing and returns the first position, whichever node it comes to.
func key(k *kit) {
	a, b := k.node(), k.node()
	e := k.entry("x", `"first"`)
	first := a.publish(e)
	for _, n := range []*node{a, b, a} {
		again := *e
		if p := n.publish(&again).Position; p != first.Position {
			k.t.Errorf("a known key is stored as %v, it was %v", p, first.Position)
		}
	}
	e = k.entry("x", `"second"`)
	var wg sync.WaitGroup
	var positions [8]hotline.Position
	for i := range positions {
		n := []*node{a, b}[i%2]
		own := *e
		wg.Go(func() {
			var err error
			if positions[i], err = n.Publish(k.ctx, &own); err != nil {
				k.t.Errorf("Publish: %v", err)
			}
		})
	}
	wg.Wait()
	for _, p := range positions {
		if p != positions[0] {
			k.t.Errorf("a key that comes eight times at once is stored as %v and %v", p, positions[0])
		}
	}
	list, _ := b.replay(hotline.BrokerQuery{Patterns: []string{k.topic("x")}, UpTo: b.end()})
	if len(list) != 2 {
		k.t.Errorf("%d entries are stored, want 2", len(list))
	}
}

// happensBefore: of two publishes of which the second begins when the first is answered, the first has the lower Seq.
func happensBefore(k *kit) {
	nodes := []*node{k.node(), k.node(), k.node()}
	last := uint64(0)
	for i := range 60 {
		p := nodes[i%3].publish(k.entry([]string{"x", "y"}[i%2], fmt.Sprint(i)))
		if p.Seq <= last {
			k.t.Errorf("Seq %d after %d", p.Seq, last)
		}
		last = p.Seq
	}
}

// noReference: the hub may change what it gave once Publish has returned.
func noReference(k *kit) {
	a, b := k.node(), k.node()
	b.follow("x")
	for i := range 20 {
		want := fmt.Sprintf(`"number %d"`, i)
		e := k.entry("x", want)
		a.publish(e)
		clear(e.Data)
		e.Topic, e.From = "nonsense", "nonsense"
		b.hub.wait(want+" is not delivered as it was given", func() bool {
			all := b.hub.entries(hotline.Events)
			return len(all) > 0 && string(all[len(all)-1].Data) == want
		})
	}
	list, _ := b.replay(hotline.BrokerQuery{Patterns: []string{k.topic("x")}, UpTo: b.end()})
	for i, e := range list {
		if want := fmt.Sprintf(`"number %d"`, i); string(e.Data) != want {
			k.t.Errorf("stored is %q, given was %q", e.Data, want)
		}
	}
}

// contextEnds: no call outlives its ctx, and an error that is not ErrUncertain means that nothing was stored.
func contextEnds(k *kit) {
	a := k.node()
	upTo := a.end()
	done, cancel := context.WithCancel(k.ctx)
	cancel()
	e := k.entry("x", `1`)
	for what, f := range map[string]func() error{
		"Publish": func() error {
			_, err := a.Publish(done, e)
			return err
		},
		"Follow": func() error {
			_, err := a.Follow(done, k.topic("y"))
			return err
		},
		"Replay": func() error {
			_, err := a.Replay(done, hotline.BrokerQuery{Patterns: []string{k.topic("x")}, UpTo: upTo})
			return err
		},
	} {
		answer := make(chan error, 1)
		go func() { answer <- f() }()
		select {
		case err := <-answer:
			if what != "Publish" || err == nil || errors.Is(err, hotline.ErrUncertain) {
				continue
			}
			if list, _ := a.replay(hotline.BrokerQuery{Patterns: []string{k.topic("x")}, UpTo: a.end()}); len(list) > 0 {
				k.t.Errorf("Publish says %v, but the entry is stored", err)
			}
		case <-time.After(k.patience / 2):
			k.t.Fatalf("%s does not return though its ctx has ended", what)
		}
	}
}

// closeIsSilent: no call of BrokerHub is made after Close has returned, and other nodes go on.
func closeIsSilent(k *kit) {
	a, b, c := k.node(), k.node(), k.node()
	b.follow("x")
	c.follow("x")
	b.hub.has(a.publish(k.entry("x", `"before"`)))
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := a.Publish(k.ctx, k.entry("x", fmt.Sprint(i))); err != nil {
				k.t.Errorf("Publish: %v", err)
				return
			}
		}
	})
	if err := b.Close(); err != nil {
		k.t.Errorf("Close: %v", err)
	}
	b.hub.over.Store(true)
	b.closed = true
	close(stop)
	wg.Wait()
	var last hotline.BrokerEntry
	for i := range 50 {
		last = a.publish(k.entry("x", fmt.Sprintf(`"after %d"`, i)))
	}
	c.hub.has(last)
	<-time.After(50 * time.Millisecond) // for a feed that goes on to show itself
}
