package hotline

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gohotline/hotline/internal/eventlog"
	"github.com/gohotline/hotline/internal/frame"
	"github.com/gohotline/hotline/internal/wire"
)

// Hub fans out what is published to whoever is subscribed. It is an [http.Handler]: mount it in the server that you
// have, behind any middleware whose ResponseWriter can be hijacked. A Hub is safe for concurrent use.
type Hub struct {
	// Static after construction.
	opts      HubOptions
	limits    Limits
	rows      *rows
	log       *eventlog.Log
	shards    []*shard
	shardN    int
	feed      *feed
	presence  presence
	keys      keys
	deflater  *frame.Deflater
	buffers   sync.Pool
	wsReaders sync.Pool
	begun     time.Time     // for age
	ended     chan struct{} // closed when the hub has ended: readers in process read to the end

	stats    counters
	conns    atomic.Int64   // admitted, with those in their handshake
	draining atomic.Bool    // Shutdown or Close has begun: clients are told to go elsewhere
	closed   atomic.Bool    // nothing is accepted any more
	abrupt   atomic.Bool    // connections are not waited for
	group    group          // all goroutines but the shards
	loops    group          // the shards
	serving  sync.WaitGroup // requests
	sockets  sync.WaitGroup // until they are closed

	mu      sync.Mutex
	all     map[*Conn]struct{}
	early   map[*Conn][]kicked // not yet authenticated, and who was kicked meanwhile
	closing bool               // Shutdown or Close has begun
	readers map[*Subscription]struct{}
	janitor *time.Timer
	down    chan struct{} // closed when Shutdown or Close is over; nil: neither has begun
	err     error         // of Shutdown
}

// NewHub starts a hub; end it with Shutdown or Close. Nil options mean the zero HubOptions. It panics on malformed
// options, see [HubOptions.Validate]; it does not keep or change opts.
func NewHub(opts *HubOptions) *Hub {
	if err := opts.Validate(); err != nil {
		panic(err)
	}
	h := &Hub{
		all: make(map[*Conn]struct{}), early: make(map[*Conn][]kicked), readers: make(map[*Subscription]struct{}),
		begun: time.Now(), ended: make(chan struct{}),
	}
	if opts != nil {
		h.opts = *opts
	}
	h.limits = h.opts.Limits.withDefaults()
	h.rows, _ = newRows(h.opts.Topics)
	h.shardN = shardCount()
	h.keys.known = make(map[string]*attempt)
	h.presence = presence{
		hub: h, topics: make(map[string]*holding), clears: make(map[string]chan struct{}), waiting: make(map[time.Duration]*lapses),
	}
	h.deflater = frame.NewDeflater()
	tag := uint64(0) // a broker's entries have their own
	if h.opts.Broker == nil {
		tag = randomTag()
	}
	h.feed = newFeed(h)
	h.log = eventlog.New(eventlog.Options{
		Bytes: h.limits.LogBytes, Age: h.limits.LogAge, KeptBytes: keptBytes, StateBytes: stateBytes,
		Values: h.limits.StateTopics, Tombstones: keyMemory, Shards: h.shardN, Tag: tag, Row: h.rows.log, Live: h.live,
	})
	for i := range h.shardN {
		h.shards = append(h.shards, newShard(h, i))
	}
	h.feed.begin()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.janitor = time.AfterFunc(time.Second, h.clean)
	return h
}

// randomTag is not zero: that would mean that entries have their own.
func randomTag() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.LittleEndian.Uint64(b[:]) | 1
}

func (h *Hub) log_() *slog.Logger {
	if h.opts.Logger != nil {
		return h.opts.Logger
	}
	return slog.Default()
}

// age is the time since NewHub. It goes on evenly when somebody sets the clock.
func (h *Hub) age() time.Duration { return time.Since(h.begun) }

// clean forgets what is too old, once a second.
func (h *Hub) clean() {
	now := time.Now()
	h.wake(h.log.Expire(now))
	h.feed.sweep(now)
	h.keys.sweep(now)
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closing {
		h.janitor.Reset(time.Second)
	}
}

// place chooses the shard with the fewest connections, and counts one more there at once: many may be on their way.
func (h *Hub) place() *shard {
	best := h.shards[0]
	for _, sh := range h.shards[1:] {
		if sh.placed.Load() < best.placed.Load() {
			best = sh
		}
	}
	best.placed.Add(1)
	return best
}

// meet notes a connection that is to say hello within the time for that; false: the hub is closing.
func (h *Hub) meet(c *Conn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closing {
		return false
	}
	h.early[c] = nil
	if limit := h.limits.HelloTimeout; limit != never {
		c.sock.SetReadDeadline(time.Now().Add(limit))
	}
	return true
}

// hurry ends the wait for hellos.
func (h *Hub) hurry() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.early {
		c.cancel(errShutdown)
		c.sock.SetReadDeadline(time.Unix(1, 0))
	}
}

// register makes a connection known that is authenticated, or says why it is not to be.
func (h *Hub) register(c *Conn) *closing {
	why := h.enter(c)
	if why == nil {
		h.log_().Debug("hotline: connected", "conn", c.id, "user", c.identity.User)
	}
	return why
}

func (h *Hub) enter(c *Conn) *closing {
	h.mu.Lock()
	defer h.mu.Unlock()
	kicks := h.early[c]
	delete(h.early, c)
	c.sock.SetReadDeadline(time.Time{})
	if h.closing {
		return c.because(wire.CloseRestart, told(errShutdown), errShutdown)
	}
	if i := slices.IndexFunc(kicks, func(k kicked) bool { return k.user == c.identity.User }); i >= 0 {
		return c.because(kicks[i].code, kicks[i].reason, nil)
	}
	h.all[c] = struct{}{}
	h.stats.opened.Add(1)
	c.shard.do(func() {
		c.peer.gone = false
		c.shard.add(c.peer)
		c.shard.markDirty(c.peer)
	})
	return nil
}

// forget is the end of a connection.
func (h *Hub) forget(c *Conn) {
	h.mu.Lock()
	delete(h.all, c)
	h.mu.Unlock()
	h.conns.Add(-1)
	h.stats.closed.Add(1)
	h.log_().Debug("hotline: disconnected", "conn", c.id, "user", c.identity.User, "error", context.Cause(c.ctx))
}

// Current yields the present values of the State and Presence topics that pattern matches, in no particular order:
// who is here, the newest prices. With a Broker it is what the hub has heard of them so far, once it follows pattern; an
// error ends it.
func (h *Hub) Current(ctx context.Context, pattern string) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		if err := checkPattern(pattern); err != nil {
			yield(Message{}, err)
			return
		}
		if err := h.feed.follow(ctx, pattern, func(eventlog.Pos) {}); err != nil {
			yield(Message{}, err)
			return
		}
		defer h.feed.unfollow(pattern)
		if away := h.feed.status(); away != "" {
			yield(Message{}, fmt.Errorf("hotline: the present values of %q are not known: the broker is away: %s", pattern, away))
			return
		}
		for _, v := range h.log.Values(pattern) {
			m := h.message(&v.Entry)
			if m.Replayed = true; !yield(m, nil) {
				return
			}
		}
	}
}

// Position is the present end of the log: take it before reading the database for a page, and give it to the page's
// subscriptions as After, so that page and stream join.
//
// With a Broker it is the newest that this hub knows of. What it has not heard of yet is then read from the Broker.
func (h *Hub) Position() string {
	at := h.log.Public(h.log.Head())
	if h.feed.broker != nil {
		at = later(at, h.feed.known())
	}
	return at.String()
}

// Conns yields the connections of this process, in no particular order. The loop may close them.
func (h *Hub) Conns() iter.Seq[*Conn] {
	return func(yield func(*Conn) bool) {
		for _, c := range h.snapshot() {
			if !yield(c) {
				return
			}
		}
	}
}

func (h *Hub) snapshot() []*Conn {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]*Conn, 0, len(h.all))
	for c := range h.all {
		list = append(list, c)
	}
	return list
}

// Kick closes every connection of a user, on every hub that shares the Broker. See [Conn.Close] for code and reason.
// An empty user is [ErrInvalid]: it would be everybody without a name.
func (h *Hub) Kick(ctx context.Context, user string, code int, reason string) error {
	if user == "" {
		return fmt.Errorf("%w: Kick needs a user", ErrInvalid)
	}
	h.kick(user, code, reason)
	return h.feed.kick(ctx, user, code, reason)
}

func (h *Hub) kick(user string, code int, reason string) {
	h.mu.Lock()
	for c, before := range h.early { // Authenticate may have decided by what was true before
		h.early[c] = append(before, kicked{user, sendable(code), reason})
	}
	h.mu.Unlock()
	for _, c := range h.snapshot() {
		if c.identity.User == user {
			c.Close(code, reason)
		}
	}
}

// kicked is a user who was kicked while a connection was being authenticated.
type kicked struct {
	user   string
	code   int
	reason string
}

// message makes a Message of an entry.
func (h *Hub) message(e *eventlog.Entry) Message {
	m := Message{Topic: e.Topic.Name, From: e.From(), Data: e.Payload(), Binary: e.Binary}
	if e.Pos != (eventlog.Pos{}) {
		m.ID = h.log.Public(e.Pos).String()
	}
	return m
}

// buffer returns an empty buffer for a write that a goroutine makes.
func (h *Hub) buffer() []byte {
	if b, ok := h.buffers.Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return nil
}

func (h *Hub) putBuffer(b []byte) {
	if cap(b) <= 256<<10 {
		h.buffers.Put(&b)
	}
}
