package hotline

import (
	"context"
	"sync"
	"time"

	"github.com/gohotline/hotline/internal/eventlog"
)

// nodes is what a hub knows of the others that share its broker, for the sake of Presence: a value belongs to the hub
// whose connections hold it, which clears it. Of a hub that has died the others do so once they have not heard of it for
// nodeDead. A hub that still holds a value that another one has cleared publishes it again.
type nodes struct {
	feed *feed // nil: no broker

	mu     sync.Mutex
	heard  map[string]time.Time // when each hub was last heard of
	since  time.Time            // from when on this hub has heard itself without a break
	values map[string]holder    // the Presence values that are known here, by topic
	lost   []string             // topics that are held here and were cleared by another hub; a goroutine runs while there are any
}

type holder struct {
	node string // empty: server code published it
	rev  eventlog.Pos
	when time.Time
}

const (
	nodeBeat  = 10 * time.Second
	nodeDead  = 35 * time.Second
	nodeAlone = 15 * time.Second // who has not heard itself for so long is deaf, and says nothing of others
)

// run says every now and then that this hub lives, and looks who does not.
func (n *nodes) run(ctx context.Context) {
	present := false
	for _, r := range n.feed.hub.rows.all {
		present = present || r.Delivery == Presence
	}
	for present {
		_, _ = n.feed.send(ctx, &BrokerEntry{Topic: topicNode, Delivery: Signals, Data: []byte(n.feed.node)})
		if pause(ctx, nodeBeat) != nil {
			return
		}
		n.bury(ctx, time.Now())
	}
}

// hear notes that a hub lives.
func (n *nodes) hear(node string, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if node == n.feed.node && now.Sub(n.heard[node]) > nodeAlone {
		n.since = now
	}
	n.heard[node] = now
	for name, at := range n.heard {
		if now.Sub(at) > 10*nodeDead {
			delete(n.heard, name)
		}
	}
}

// value notes whose a Presence value is. changed: it was not gone already.
func (n *nodes) value(e *BrokerEntry, changed bool) {
	n.mu.Lock()
	if !e.Gone {
		n.values[e.Topic] = holder{e.Node, eventlog.Pos(e.Position), time.Now()}
	} else {
		delete(n.values, e.Topic)
	}
	n.mu.Unlock()
	if !e.Gone || e.Node == "" || !changed {
		return // server code may clear what somebody holds
	}
	if !n.feed.hub.presence.holds(e.Topic) {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.lost = append(n.lost, e.Topic); len(n.lost) == 1 {
		n.feed.spawn(n.again)
	}
}

// forget is for a topic that is not followed here any more.
func (n *nodes) forget(topic string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.values, topic)
}

// again publishes the values that are held here and were cleared by another hub, one after another. One that can't be
// published is tried again after the others.
func (n *nodes) again() {
	ctx := n.feed.ctx
	tries := 0
	for more := true; more; {
		n.mu.Lock()
		topic := n.lost[0]
		n.mu.Unlock()
		err := n.feed.hub.presence.again(ctx, topic)
		if ctx.Err() != nil {
			return
		}
		if tries++; err != nil {
			n.feed.hub.log_().Warn("hotline: publishing a Presence value again failed", "topic", topic, "error", err)
			_ = pause(ctx, backoff(tries))
		} else {
			tries = 0
		}
		n.mu.Lock()
		if n.lost = n.lost[1:]; err != nil {
			n.lost = append(n.lost, topic)
		}
		if len(n.lost) == 0 {
			n.lost, more = nil, false
		}
		n.mu.Unlock()
	}
}

// ours reports whether it is for this hub to clear a value that its connections do not hold any more.
func (n *nodes) ours(topic string) bool {
	if n.feed == nil {
		return true
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	v, ok := n.values[topic]
	return !ok || v.node == "" || v.node == n.feed.node
}

// bury clears the values of hubs that have died.
func (n *nodes) bury(ctx context.Context, now time.Time) {
	n.mu.Lock()
	if now.Sub(n.heard[n.feed.node]) > nodeAlone {
		n.mu.Unlock()
		return
	}
	var dead []BrokerEntry
	for topic, v := range n.values {
		alive := n.heard[v.node]
		for _, t := range []time.Time{n.since, v.when} {
			if t.After(alive) {
				alive = t
			}
		}
		if v.node == "" || now.Sub(alive) <= nodeDead {
			continue
		}
		dead = append(dead, BrokerEntry{
			Topic: topic, Delivery: Presence, Gone: true, Node: v.node, Key: scopeClear(topic, v.rev),
		})
	}
	n.mu.Unlock()
	for i := range dead {
		e := &dead[i]
		if _, err := n.feed.send(ctx, e); err != nil {
			return // the next turn tries again
		}
	}
}
