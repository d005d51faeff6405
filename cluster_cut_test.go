package hotline

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gohotline/hotline/internal/wire"
)

// cutClient is one that has nothing but what the server subscribes. It is cut, and comes back with the position of rule 1.
type cutClient struct {
	pos    string
	topics map[int64]string
	joined map[int64]bool
	got    map[string][]string // messages of Events, by topic of the subscription
	lost   map[string]uint64   // up to where it was told that something is
	values map[string]bool
}

// handle is rules 1 to 3.
func (c *cutClient) handle(f *wire.ServerFrame) {
	switch {
	case f.Op == "push":
		c.topics[f.Sub] = f.Topic
		return
	case f.Op == "ok":
		c.joined[f.Sub] = true
	case f.Op == "gap":
		for _, n := range f.Subs {
			c.lost[c.topics[n]] = seqOf(f.At)
		}
	case f.Op != "":
	case f.Rev != "":
		c.values[f.Topic] = true
	default:
		for n, topic := range c.topics {
			if c.joined[n] != (n == f.Sub) && Match(topic, f.Topic) {
				c.got[topic] = append(c.got[topic], f.ID)
			}
		}
	}
	if f.Sub == 0 || f.Op == "ok" {
		if at := f.At + f.ID; at != "" {
			c.pos = at
		}
	}
}

// missing is what of the messages it lacks and was not told of.
func (c *cutClient) missing(topic string, ids []string) error {
	got := c.got[topic]
	for i := 1; i < len(got); i++ {
		if seqOf(got[i]) <= seqOf(got[i-1]) {
			return fmt.Errorf("%s: %s comes after %s", topic, got[i], got[i-1])
		}
	}
	for i, id := range ids {
		if !slices.Contains(got, id) && seqOf(id) > c.lost[topic] {
			return fmt.Errorf("%s: message %d is lost, it was told of a loss up to %d, it has %d messages", topic, i, c.lost[topic], len(got))
		}
	}
	return nil
}

// A client may be cut behind any frame, and come back to the same hub or another: of what the server subscribes it misses
// nothing that it was not told of, and has nothing twice.
func TestPushedCutAnywhere(t *testing.T) {
	for order, pushes := range []string{"open secret st.* mix.>", "secret mix.> open st.*"} {
		for _, l := range []Limits{{WindowBytes: 2 << 10}, {WindowBytes: 8 << 10, LogBytes: 64 << 10}} {
			t.Run(fmt.Sprint(order, l.LogBytes), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { cutAnywhere(t, strings.Fields(pushes), l) })
			})
		}
	}
}

func cutAnywhere(t *testing.T, pushes []string, l Limits) {
	l.PingInterval = calm.PingInterval
	c := newCluster(t, 2, TestStoreOptions{}, &HubOptions{
		Limits: l,
		Topics: map[string]TopicOptions{"st.*": {Delivery: State}, "mix.s.*": {Delivery: State}},
		OnConnect: func(_ context.Context, c *Conn) {
			for _, topic := range pushes {
				_ = c.Subscribe(topic)
			}
		},
		AuthorizeHistory: func(_ context.Context, _ *Conn, topic string, _ time.Time) error {
			if topic == "secret" {
				return ErrDenied
			}
			return nil
		},
	})
	first := c.reconnects(0, "")
	for range 2 * len(pushes) {
		first.next()
	}
	c.worlds[0].publish("open", "first")
	pos := first.next().ID
	first.close()
	sent := make(map[string][]string)
	for i := range 30 {
		for _, topic := range []string{"open", "secret", "mix.e"} {
			c.worlds[0].publish(topic, fmt.Sprint(i, strings.Repeat("x", 1000)))
			sent[topic] = append(sent[topic], c.worlds[0].hub.Position())
		}
		c.worlds[0].publish(fmt.Sprint("st.", i%12), strings.Repeat("x", 400))
		c.worlds[0].publish(fmt.Sprint("mix.s.", i%12), strings.Repeat("x", 400))
	}
	c.worlds[0].publish("open", "end")
	end := c.worlds[0].hub.Position()
	step := 1
	if raceEnabled { // some of them, others each time
		step = 7
	}
	for i := range 4 {
		for cut := rand.IntN(step); ; cut += step {
			cl := &cutClient{pos: pos, got: make(map[string][]string), lost: make(map[string]uint64)}
			n := cl.run(c, i/2, cut, end, len(pushes))
			if n == cut { // it was not over before
				cl.run(c, i%2, -1, end, len(pushes))
			}
			if len(cl.values) != 24 {
				t.Fatalf("hub %d, cut behind frame %d, hub %d: %d values", i/2, cut, i%2, len(cl.values))
			}
			for topic, name := range map[string]string{"open": "open", "secret": "secret", "mix.e": "mix.>"} {
				if err := cl.missing(name, sent[topic]); err != nil {
					t.Fatalf("hub %d, cut behind frame %d, hub %d: %v", i/2, cut, i%2, err)
				}
			}
			if n < cut {
				break
			}
		}
	}
}

// run is one connection. It is cut behind a frame, if not before that everything has come.
func (c *cutClient) run(cl *cluster, hub, cut int, end string, subs int) (n int) {
	c.topics, c.joined, c.values = make(map[int64]string), make(map[int64]bool), make(map[string]bool)
	b := cl.reconnects(hub, c.pos)
	defer b.ws.CloseNow()
	for n = 0; n != cut && !(len(c.joined) == subs && slices.Contains(c.got["open"], end)); n++ {
		if n == 2000 { // pings by now
			b.t.Fatalf("hub %d, from %s: it waits for what has not come", hub, c.pos)
		}
		f := b.next()
		c.handle(&f)
	}
	return n
}
