package hotline

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"path"
	"runtime"
	"time"

	"github.com/gohotline/hotline/internal/pattern"
)

// HubOptions configures a Hub. The zero value is a hub that serves its own process, lets clients connect from the
// same origin, and lets them subscribe and publish to nothing.
//
// The hooks of one connection are called one at a time, in the order in which its frames arrived; those of different
// connections concurrently. A hook may block: it holds up its own connection only, and its ctx is done when that
// connection ends. A panic in a hook is recovered and logged, and what it was asked for fails with an internal error; where
// nobody is told, in Authenticate, OnConnect and OnMessage, the connection is closed with 1011.
//
// One rule holds for the error of every hook, here and in DialOptions and SubscribeOptions: an error that wraps
// [ErrDenied] is final, any other is temporary and is tried again. Only the text of errors that wrap one of this
// package's sentinels is told to the peer; any other is logged, and the peer is told "internal error".
type HubOptions struct {
	// Authenticate says who is connecting. token is the client's DialOptions.Token or the bearer token of r; a cookie
	// is read from r. r and its context are valid during the call only. Nil: everybody is anonymous.
	Authenticate func(r *http.Request, token string) (Identity, error)

	// AuthorizeSubscribe lets c subscribe to topic, which may be a pattern: compare it with [Match], not with HasPrefix,
	// or use [Allow]. It is asked again each time that the client reconnects. Nil: nobody may.
	AuthorizeSubscribe func(ctx context.Context, c *Conn, topic string) error

	// AuthorizePublish lets c publish to topic. Nil: nobody may.
	AuthorizePublish func(ctx context.Context, c *Conn, topic string) error

	// AuthorizeHistory lets c read what was published on topic before now, back to since: a Replay, or the continuation of a
	// subscription from an earlier position. Refused, the subscription starts now, with a gap. Nil: whoever may subscribe may.
	AuthorizeHistory func(ctx context.Context, c *Conn, topic string, since time.Time) error

	// OnConnect is called when c is authenticated, before the first message is sent. A topic to which it subscribes c is
	// resumed like those that the client asks for; a new client gets what is published from this call on, with a Broker once
	// Subscribe has returned, which waits for it.
	OnConnect func(ctx context.Context, c *Conn)

	// OnDisconnect is called once c has ended, with the reason, after all other hooks for c. Its ctx is not c's; Shutdown
	// and Close wait for it.
	OnDisconnect func(ctx context.Context, c *Conn, err error)

	// OnMessage gets what a plain connection sends: one that names no subprotocol, such as a bare new WebSocket(url). Such
	// a connection is sent payloads alone: JSON as text, a JSON string as the text that it holds, Binary as a binary frame. Nil: plain
	// connections are refused with 400.
	OnMessage func(ctx context.Context, c *Conn, data []byte)

	// Topics says how topics are delivered, by pattern. One entry applies to a topic: the most specific; entries are not merged.
	// Two patterns that overlap without one being more specific are malformed, as in [http.ServeMux].
	Topics map[string]TopicOptions

	Limits Limits

	// OriginPatterns are further hosts, such as "*.example.com" or "https://example.com", whose pages may connect.
	OriginPatterns []string
	// InsecureSkipOriginCheck lets any page on the web connect with its visitor's cookies. Use OriginPatterns instead.
	InsecureSkipOriginCheck bool

	// Compression offers permessage-deflate without context takeover; each message is deflated once.
	Compression bool

	// Broker joins the hubs of several processes. Nil: this process alone. The hub starts it and does not close it: who made
	// it closes it, last, once Shutdown or Close has returned.
	Broker Broker

	// Logger gets warnings (a refused origin, with the pattern that would allow it) and, at debug level, each
	// connection. Nil: slog.Default.
	Logger *slog.Logger
}

// Validate reports the first malformed option, by name. NewHub panics with the same error.
func (o *HubOptions) Validate() error {
	if o == nil {
		return nil
	}
	_, err := newRows(o.Topics)
	if err != nil {
		return err
	}
	for i, p := range o.OriginPatterns {
		if _, err := path.Match(p, ""); err != nil {
			return fmt.Errorf("%w: HubOptions.OriginPatterns[%d] %q: %w", ErrInvalid, i, p, err)
		}
	}
	return o.Limits.validate()
}

// TopicOptions says how the messages of a topic are delivered.
type TopicOptions struct {
	Delivery Delivery

	// Keep is how many messages of each Events topic stay readable with SubscribeOptions.Replay, beyond what the log
	// holds. Zero: none. It is memory that clients can make grow, by topic names: authorize publishing.
	Keep int
	// MaxAge drops messages and State values that are older. Zero: no limit of its own.
	MaxAge time.Duration
	// Linger is how long a Presence value outlives its last connection. Zero: 10 s; negative: not at all.
	Linger time.Duration

	// OnPublish sees what a client publishes, once authorized: return nil to publish m as it then is (Data and From may be
	// changed), or an error to refuse it. What server code publishes does not pass it.
	OnPublish func(ctx context.Context, c *Conn, m *Message) error

	// Handle takes what clients publish, instead of its being delivered to anybody: commands, game input. The client's
	// Publish returns when Handle has, with its error; a retried one is handled once. Server code can't publish to such a topic.
	Handle func(ctx context.Context, c *Conn, m *Message) error
}

// Delivery is what matters about a topic's messages.
type Delivery uint8

const (
	Events   Delivery = iota // every message, in order; after a loss, [Message.Missed]
	State                    // the newest value; a new subscriber gets it at once, null clears it
	Signals                  // only now: dropped for whoever is behind or away
	Presence                 // State that clears itself when the last connection that published it is gone
)

// Limits bounds what clients can make the hub hold or do. In each field zero means the default, negative no limit. A
// duration has at least a millisecond, and a size what a hub needs to work.
type Limits struct {
	MessageBytes  int           // one inbound message: 64 KiB
	Subscriptions int           // one connection: 128
	PublishRate   int           // one connection, messages a second: 100, in bursts of twice as many
	Conns         int           // connections: no limit; beyond it 503 with Retry-After
	WindowBytes   int           // sent to one connection and not yet written: 64 KiB, or 256 frames
	LogBytes      int           // the log, overhead included: 64 MiB
	LogAge        time.Duration // the log: 5 min
	StateTopics   int           // State and Presence topics with a value: 100,000
	HelloTimeout  time.Duration // first frame: 10 s
	PingInterval  time.Duration // 25 s, and 10 s for the answer
	WriteTimeout  time.Duration // no progress of a write: 10 s
	Drain         time.Duration // Shutdown spreads its closes over at most this: 15 s, and at least 100 of them a second
}

// Identity is who a connection belongs to.
type Identity struct {
	// User names the account. It is the From of what the client publishes, which subscribers see; {user} in [Allow]; what
	// Kick kicks. Empty: anonymous.
	User string
	// Expires ends the connection with a code that makes the client fetch a new token, reconnect and resume. Zero: never.
	Expires time.Time
	// Data is the application's. A pointer made in Authenticate is state of this one connection.
	Data any
}

// Allow returns an authorization hook that allows the topics, and subscriptions to patterns, that one of patterns
// covers. A segment {user} stands for the connection's user, escaped; it matches nothing for an anonymous one.
// It panics on a malformed pattern.
func Allow(patterns ...string) func(ctx context.Context, c *Conn, topic string) error {
	a, err := pattern.NewAllow(patterns...)
	if err != nil {
		panic(fmt.Errorf("%w: Allow: %w", ErrInvalid, err))
	}
	return func(_ context.Context, c *Conn, topic string) error {
		if a.Covers(c.Identity().User, topic) {
			return nil
		}
		return ErrDenied
	}
}

// String returns the name of the constant.
func (d Delivery) String() string {
	switch d {
	case Events:
		return "Events"
	case State:
		return "State"
	case Signals:
		return "Signals"
	case Presence:
		return "Presence"
	}
	return fmt.Sprintf("Delivery(%d)", uint8(d))
}

const (
	minLogBytes     = 64 << 10
	minWindowBytes  = 1 << 10
	minMessageBytes = 256 // a hello
	minDuration     = time.Millisecond
	windowFrames    = 256
	pongGrace       = 10 * time.Second
	hookTimeout     = 10 * time.Second
	keyMemory       = 5 * time.Minute // idempotency keys and tombstones
	keyBytes        = 32 << 20
	keptBytes       = 64 << 20
	stateBytes      = 256 << 20
	liveBytes       = 16 << 20 // State and Signals that wait for their shards
	maxShards       = 64
)

// validate refuses values with which a hub could not work. A duration below a millisecond is a number that was meant
// to be seconds.
func (l *Limits) validate() error {
	for _, f := range []struct {
		name     string
		n, least int
	}{
		{"MessageBytes", l.MessageBytes, minMessageBytes},
		{"WindowBytes", l.WindowBytes, minWindowBytes},
		{"LogBytes", l.LogBytes, minLogBytes},
	} {
		if f.n > 0 && f.n < f.least {
			return fmt.Errorf("%w: HubOptions.Limits.%s is %d, the least is %d", ErrInvalid, f.name, f.n, f.least)
		}
	}
	for _, f := range []struct {
		name string
		d    time.Duration
	}{
		{"LogAge", l.LogAge},
		{"HelloTimeout", l.HelloTimeout},
		{"PingInterval", l.PingInterval},
		{"WriteTimeout", l.WriteTimeout},
		{"Drain", l.Drain},
	} {
		if f.d > 0 && f.d < minDuration {
			return fmt.Errorf("%w: HubOptions.Limits.%s is %s, the least is %s", ErrInvalid, f.name, f.d, minDuration)
		}
	}
	return nil
}

// What a negative value becomes.
const (
	noLimit = math.MaxInt
	never   = time.Duration(math.MaxInt64)
)

// withDefaults replaces zero by the default and a negative value by no limit.
func (l Limits) withDefaults() Limits {
	defaults := func(v *int, d int) {
		if *v == 0 {
			*v = d
		} else if *v < 0 {
			*v = noLimit
		}
	}
	durations := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		} else if *v < 0 {
			*v = never
		}
	}
	defaults(&l.MessageBytes, 64<<10)
	defaults(&l.Subscriptions, 128)
	defaults(&l.PublishRate, 100)
	defaults(&l.Conns, noLimit)
	defaults(&l.WindowBytes, 64<<10)
	defaults(&l.LogBytes, 64<<20)
	defaults(&l.StateTopics, 100_000)
	durations(&l.LogAge, 5*time.Minute)
	durations(&l.HelloTimeout, 10*time.Second)
	durations(&l.PingInterval, 25*time.Second)
	durations(&l.WriteTimeout, 10*time.Second)
	durations(&l.Drain, 15*time.Second)
	return l
}

// inbound is how large a message may be, which is what welcome says, and how many bytes of it may come.
func (l *Limits) inbound(deflated bool) (most, sent int) {
	most = min(l.MessageBytes, math.MaxInt32)
	if sent = most; deflated {
		sent += min(sent/8+64, math.MaxInt-sent) // by which a message may grow that does not deflate, says zlib
	}
	return most, sent
}

func shardCount() int { return min(runtime.GOMAXPROCS(0), maxShards) }
