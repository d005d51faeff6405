package hotline

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"time"

	"github.com/gohotline/hotline/internal/eventlog"
	"github.com/gohotline/hotline/internal/wire"
)

// Publish appends a message to the topic. It does not wait for subscribers, however many or slow; ctx bounds the
// Broker and, should the log be a whole length ahead of a starved CPU, the wait for that.
//
// v is encoded as JSON. A []byte or [json.RawMessage] must already be JSON and goes out as it is; wrap bytes that are
// not JSON in [Binary]. A nil v clears a State topic. v may have 1 MiB when encoded. The error wraps [ErrInvalid] (topic,
// encoding, size), [ErrLimit] (State topics), [ErrUncertain] (the Broker) or [ErrClosed].
func (h *Hub) Publish(ctx context.Context, topic string, v any) error {
	p, err := h.publication(topic, v)
	if err != nil {
		return err
	}
	_, _, err = h.store(ctx, p)
	return err
}

// Once returns a Publisher that stores at most one message a topic and key; a repetition within 5 minutes returns nil
// and stores nothing. Use the ID of the event or message that caused what you publish.
func (h *Hub) Once(key string) Publisher { return &oncePublisher{h, key} }

type oncePublisher struct {
	h   *Hub
	key string
}

// Publish publishes unless the key is known.
func (o *oncePublisher) Publish(ctx context.Context, topic string, v any) error {
	p, err := o.h.publication(topic, v)
	if err != nil {
		return err
	}
	_, _, err = o.h.keys.once(ctx, scope(topic, o.key), func(key string) (eventlog.Pos, bool, error) {
		p.key = key
		return o.h.store(ctx, p)
	})
	return err
}

// publication is a message on its way to the log.
type publication struct {
	payload
	topic string
	row   *row
	from  string
	conn  *Conn  // that publishes; nil: server code
	key   string // scoped and hashed; empty: none

	lapsed bool // it clears a Presence value that nobody holds any more
}

// publication checks what server code publishes.
func (h *Hub) publication(topic string, v any) (publication, error) {
	if err := checkTopic(topic); err != nil {
		return publication{}, err
	}
	row := h.rows.of(topic)
	if row.Handle != nil {
		return publication{}, fmt.Errorf("%w: topic %q is handled, only clients publish to it", ErrInvalid, topic)
	}
	data, err := encode(v)
	return publication{topic: topic, row: row, payload: data}, err
}

// store publishes, and returns the position of what was stored, and whether it is a Presence value of a connection.
func (h *Hub) store(ctx context.Context, p publication) (pos eventlog.Pos, held bool, err error) {
	if err := ctx.Err(); err != nil {
		return pos, false, context.Cause(ctx)
	}
	switch {
	case p.row.Delivery == Presence && p.conn != nil:
		pos, held, err = h.presence.publish(ctx, p)
	default:
		pos, err = h.put(ctx, p)
	}
	return pos, held, h.publishError(p.topic, err)
}

// put stores a message, here or in the broker.
func (h *Hub) put(ctx context.Context, p publication) (eventlog.Pos, error) {
	if h.opts.Broker != nil {
		return h.feed.publish(ctx, p)
	}
	switch p.row.Delivery {
	case Events:
		now := time.Now()
		pos, wake, err := h.log.Append(ctx, &eventlog.Append{
			Topic: p.topic, From: p.from, Data: p.data, Binary: p.binary, When: now,
		})
		h.dispatch(wake, now)
		if err == nil {
			h.stats.published.Add(1)
		}
		return pos, err
	case Signals:
		return eventlog.Pos{}, h.signal(p.topic, p.from, p.payload)
	default:
		return h.set(&eventlog.Set{Topic: p.topic, From: p.from, Data: p.data, Binary: p.binary, Gone: p.null(), When: time.Now()})
	}
}

// set stores a State value.
func (h *Hub) set(m *eventlog.Set) (eventlog.Pos, error) {
	v, wake, err := h.log.Set(m)
	if err != nil || v == nil {
		return eventlog.Pos{}, err
	}
	h.wake(wake)
	h.stats.published.Add(1)
	return v.Rev, nil
}

// signal hands a message that nobody keeps to the shards that have a subscriber.
func (h *Hub) signal(topic, from string, p payload) error {
	if h.closed.Load() {
		return eventlog.ErrClosed
	}
	h.stats.published.Add(1)
	t, shards := h.log.Interest(topic)
	if shards == 0 {
		return nil
	}
	if t == nil {
		t = h.log.Passing(topic)
	}
	e := eventlog.Signal(t, wire.Head{Topic: topic, From: from, Binary: p.binary}, p.data, time.Now())
	h.live(shards, eventlog.Live{Topic: t, Entry: e})
	h.wake(shards)
	return nil
}

// live leaves a message for shards.
func (h *Hub) live(shards uint64, m eventlog.Live) {
	for ; shards != 0; shards &= shards - 1 {
		h.shards[bits.TrailingZeros64(shards)].live(m)
	}
}

// A publisher serves a sleeping shard itself if there are no more subscribers than these, and if it has slept for so long:
// to wake another goroutine takes longer, for the publisher too. In a burst it is woken, and writes what has come
// meanwhile in one go.
const (
	serveSubscribers = 4
	serveAfter       = 100 * time.Microsecond
)

// dispatch wakes shards for an entry that was stored now.
func (h *Hub) dispatch(wake eventlog.Wake, now time.Time) {
	at := int64(now.Sub(h.begun))
	for shards := wake.Shards; shards != 0; shards &= shards - 1 {
		sh := h.shards[bits.TrailingZeros64(shards)]
		quiet := at-sh.lastServed.Swap(at) >= int64(serveAfter)
		if !quiet || wake.Subscribers > serveSubscribers || !sh.serve() {
			sh.poke()
		}
	}
}

func (h *Hub) wake(shards uint64) {
	for ; shards != 0; shards &= shards - 1 {
		h.shards[bits.TrailingZeros64(shards)].poke()
	}
}

// publishError makes one of our errors of what the log says.
func (h *Hub) publishError(topic string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, eventlog.ErrClosed):
		return fmt.Errorf("%w: the hub", ErrClosed)
	case errors.Is(err, eventlog.ErrTooLarge):
		return tooLarge("topic %q: the message is larger than a quarter of Limits.LogBytes", topic)
	case errors.Is(err, eventlog.ErrTopics):
		return fmt.Errorf("%w: topic %q: %d State and Presence topics have a value", ErrLimit, topic, h.limits.StateTopics)
	case errors.Is(err, eventlog.ErrFull):
		return fmt.Errorf("%w: topic %q: the values of State and Presence topics take %d bytes", ErrLimit, topic, stateBytes)
	}
	return err
}
