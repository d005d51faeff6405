package hotline

import (
	"container/list"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/gohotline/hotline/internal/eventlog"
	"github.com/gohotline/hotline/internal/pattern"
)

// feed is what joins a hub to its Broker: it publishes there, fills the log from what the broker delivers, and knows
// from where on the log may be trusted for which pattern. Without a broker it does nothing.
type feed struct {
	// Static after construction.
	hub     *Hub
	broker  Broker // nil: none
	node    string // names this hub among those that share the broker
	ctx     context.Context
	cancel  context.CancelFunc // called when the hub ends
	started chan struct{}      // closed when Start has returned
	reading chan struct{}      // a place for each Replay that may be under way
	nodes   nodes

	startErr error // static once started

	asking singleflight.Group // how far the feed has come, by pattern

	keeping sync.Mutex // taken before mu. Whoever sets values of topics that are followed, or drops those that are not
	mu      sync.Mutex
	follows map[string]*follow
	trie    pattern.Trie[*follow] // the same, by topic
	idle    list.List             // those that nobody needs, for the longest time first
	parting bool                  // a goroutine gives them up
	away    error                 // the broker's server is away
	found   []*follow
	grown   chan struct{} // closed when something was stored; nil: nobody waits
	newest  Position      // of all that were heard of, for Hub.Position
	closed  bool

	// Owned by the broker's feed, see BrokerHub.
	repaired repair
	full     time.Time // when a value was last refused
	unsaid   error     // why, for the log, once keeping is free
	kicked   Position
}

const (
	publishTimeout = 4 * time.Second  // of Broker.Publish: then it is uncertain
	brokerTimeout  = 10 * time.Second // of Follow and of one page of Replay
	maxReplays     = 64               // at the same time, of one hub
	reachAgain     = time.Second      // between two questions how far the feed is, of one reader
)

// Topics of the hubs' own.
const (
	topicKick = "$hotline.kick" // Events: each hub closes the connections of a user
	topicNode = "$hotline.node" // Signals: a hub lives
	topicHubs = "$hotline.>"
)

func newFeed(h *Hub) *feed {
	f := &feed{hub: h, broker: h.opts.Broker}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	if f.broker == nil {
		return f
	}
	f.node = rand.Text()
	f.started = make(chan struct{})
	f.reading = make(chan struct{}, maxReplays)
	f.follows = make(map[string]*follow)
	f.nodes = nodes{feed: f, heard: make(map[string]time.Time), values: make(map[string]holder)}
	return f
}

// begin starts the broker. The log is there now.
func (f *feed) begin() {
	if f.broker != nil {
		f.hub.group.Go(f.start)
	}
}

// start starts the broker, which may take as long as its server is away.
func (f *feed) start() {
	f.startErr = f.broker.Start(f.ctx, (*brokerHub)(f))
	close(f.started)
	if f.startErr != nil {
		if f.ctx.Err() == nil {
			f.hub.log_().Error("hotline: the broker did not start", "error", f.startErr)
		}
		return
	}
	for f.ctx.Err() == nil { // what hubs tell each other is followed for good
		if f.follow(f.ctx, topicHubs, func(eventlog.Pos) {}) == nil {
			break
		}
		_ = pause(f.ctx, backoff(1))
	}
	f.nodes.run(f.ctx)
}

// wait waits until the broker has started.
func (f *feed) wait(ctx context.Context) error {
	select {
	case <-f.started:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if f.startErr != nil {
		return fmt.Errorf("the broker did not start: %w", f.startErr)
	}
	return nil
}

// close says that the hub ends: nothing that comes from the broker counts any more.
func (f *feed) close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.cancel()
}

// heard notes a position of the broker's that is no older than whatever is published from now on.
func (f *feed) heard(p Position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.Seq > f.newest.Seq {
		f.newest = p
	}
	if f.grown != nil {
		close(f.grown)
		f.grown = nil
	}
}

// whenGrown returns a channel that is closed when the log has more.
func (f *feed) whenGrown() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.grown == nil {
		f.grown = make(chan struct{})
	}
	return f.grown
}

// known is the newest position of the broker's that was heard of.
func (f *feed) known() eventlog.Pos {
	f.mu.Lock()
	defer f.mu.Unlock()
	return eventlog.Pos(f.newest)
}

// spawn runs g unless the hub has ended; the hub waits for it.
func (f *feed) spawn(g func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed {
		f.hub.group.Go(g)
	}
}

// status is what Stats tells.
func (f *feed) status() string {
	if f.broker == nil {
		return ""
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away == nil {
		return ""
	}
	return f.away.Error()
}

// publish stores a message in the broker. It comes back through the feed.
func (f *feed) publish(ctx context.Context, p publication) (eventlog.Pos, error) {
	if len(p.data)+1024 > f.hub.limits.LogBytes/4 {
		return eventlog.Pos{}, eventlog.ErrTooLarge
	}
	e := BrokerEntry{Topic: p.topic, Delivery: p.row.Delivery, Data: p.data, Binary: p.binary, From: p.from, Key: p.key}
	if e.Gone = p.row.stateful() && p.null(); e.Gone {
		e.Data = nil
	}
	if p.row.stateful() && !e.Gone {
		if err := f.hub.log.Fits(p.topic, len(p.data)); err != nil {
			return eventlog.Pos{}, err
		}
	}
	if p.row.Delivery == Presence && (p.conn != nil || p.lapsed) {
		e.Node = f.node
	}
	pos, err := f.send(ctx, &e)
	if err == nil {
		f.hub.stats.published.Add(1)
	}
	return eventlog.Pos(pos), err
}

// send gives an entry to the broker. It waits for 4 seconds at most.
func (f *feed) send(ctx context.Context, e *BrokerEntry) (Position, error) {
	if f.hub.closed.Load() {
		return Position{}, eventlog.ErrClosed
	}
	if e.Key == "" {
		e.Key = rand.Text()
	}
	e.Tag, e.Time = keyTag(e.Key), time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, publishTimeout, errBrokerTimeout)
	defer cancel()
	if err := f.wait(ctx); err != nil {
		return Position{}, f.publishError(err)
	}
	pos, err := f.broker.Publish(ctx, e)
	if err != nil {
		return Position{}, f.publishError(err)
	}
	if e.Delivery == Events {
		f.heard(pos)
	}
	return pos, nil
}

var errBrokerTimeout = fmt.Errorf("%w: the broker did not answer within %s", ErrUncertain, publishTimeout)

// publishError says why the broker did not store something. That it has no answer leaves it open whether it has.
func (f *feed) publishError(err error) error {
	f.mu.Lock()
	away := f.away
	f.mu.Unlock()
	if errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, ErrUncertain) {
		err = fmt.Errorf("%w: %w", ErrUncertain, err)
	}
	if away != nil {
		return fmt.Errorf("%w (the broker is away: %w)", err, away)
	}
	return err
}

// keyTag makes the tag of an entry. It is not zero: that would be no tag.
func keyTag(key string) uint64 {
	sum := sha256.Sum256([]byte(key))
	return binary.LittleEndian.Uint64(sum[:]) | 1
}

// kick is what the hubs tell each other of a Kick.
type kick struct {
	Node   string `json:"node"`
	User   string `json:"user"`
	Code   int    `json:"code"`
	Reason string `json:"reason"`
}

// kick makes the other hubs close a user's connections. It is an entry like any other, so that no hub misses it that
// misses no message.
func (f *feed) kick(ctx context.Context, user string, code int, reason string) error {
	if f.broker == nil {
		return nil
	}
	data, err := json.Marshal(kick{f.node, user, code, reason})
	if err != nil {
		return err
	}
	_, err = f.send(ctx, &BrokerEntry{Topic: topicKick, Delivery: Events, Data: data})
	return f.hub.publishError(topicKick, err)
}

// scopeClear is the key of clearing a value that a dead hub has left: whichever hub comes first does it.
func scopeClear(topic string, rev eventlog.Pos) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "clear %s %s", topic, rev))
	return hex.EncodeToString(sum[:16])
}
