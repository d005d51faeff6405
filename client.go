package hotline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/gohotline/hotline/internal/pattern"
	"github.com/gohotline/hotline/internal/wire"
)

// Client is the dialling end. It keeps itself connected, resubscribes, resumes and retries until Close or a final
// refusal. It is safe for concurrent use.
type Client struct {
	// Static after construction.
	opts   DialOptions
	url    string
	shown  string          // the URL in errors and logs
	ctx    context.Context // made for this client; its cause says why it ended
	cancel context.CancelCauseFunc
	ready  chan struct{} // closed by the first welcome
	done   chan struct{} // closed by run when it ends, and with it all goroutines of the client
	room   *semaphore.Weighted
	asking chan struct{} // holds one while Token runs; never closed
	state  notifier

	mu      sync.Mutex
	session *session // that was opened last; nil: there is no connection
	pos     string   // of the connection, rule 1 of the protocol: the stream was received up to here
	maxIn   int      // bytes of a message that the hub takes; 0: not known, or no limit
	maxOut  int      // and sends
	subs    []*remoteReader
	exact   map[string][]*remoteReader // those that the present session has numbered, by topic
	wild    []*remoteReader            // or with wildcards
	ref     uint64                     // of the last publish
	waiting map[uint64]*publishing     // unanswered
	held    []*holds                   // Presence values, in the order in which they were published
	full    []*remoteReader            // scratch
	crowded *buffer                    // that the last message has filled
	last    error                      // why there is no connection
	ended   error                      // the client has ended, with this cause
}

// DialOptions configures a Client. Nil and zero values are the defaults.
type DialOptions struct {
	// Token is called for each attempt to connect, so an identity that expires is renewed by connecting again. An error
	// that wraps [ErrDenied] ends the client; after any other it tries again. It is waited for 15 s, and not by Close: a call
	// that runs on is left to itself, and there is no other until it has returned. Nil: none.
	Token func(ctx context.Context) (string, error)
	// Header is sent with each attempt. It is not for tokens that expire.
	Header http.Header
	// HTTPClient makes the handshake: TLS, proxy, cookies. Nil: http.DefaultClient.
	HTTPClient *http.Client
	// OnState is called with nil each time that the client has connected, and with the reason when it has lost the connection
	// and will try again, or could not connect at first. It is called by one goroutine; while a call lasts, states that were
	// overtaken are left out. The final reason is the cause of Context. Close does not wait for a call that is running.
	OnState func(err error)
	// Background makes Dial return at once and connect in the background.
	Background bool
	// Compression offers permessage-deflate without context takeover.
	Compression bool
	// Logger gets reconnects at debug level. Nil: slog.Default.
	Logger *slog.Logger
}

// Dial connects to a hub at a ws, wss, http or https URL. It tries again, as the client does later, until it
// is connected, refused for good (a malformed URL, a foreign origin, a final close code, and at first also an untrusted
// certificate or a server that has no hub there) or ctx is done. ctx bounds only the call. The error wraps [ErrInvalid]
// for the URL, [ErrDenied] for a refused token or origin, a *[CloseError] for a final code; or it is ctx's, with what the
// last attempt failed for.
func Dial(ctx context.Context, url string, opts *DialOptions) (*Client, error) {
	c, err := newClient(url, opts)
	if err != nil {
		return nil, err
	}
	go c.run()
	if c.opts.Background {
		return c, nil
	}
	select {
	case <-c.ready:
		return c, nil
	case <-c.ctx.Done():
		<-c.done
		return nil, fmt.Errorf("hotline: dial %s: %w", c.shown, context.Cause(c.ctx))
	case <-ctx.Done():
	}
	c.mu.Lock()
	last := c.last
	c.mu.Unlock()
	_ = c.Close()
	if last != nil {
		return nil, fmt.Errorf("hotline: dial %s: %w; the last attempt: %w", c.shown, cause(ctx), last)
	}
	return nil, fmt.Errorf("hotline: dial %s: %w", c.shown, cause(ctx))
}

// unanswered is how many bytes of publishes may wait for their answers; the next one waits until there is room.
const unanswered = 4 << 20

func newClient(rawURL string, opts *DialOptions) (*Client, error) {
	shown, err := checkURL(rawURL)
	if err != nil {
		return nil, err
	}
	c := &Client{
		url: rawURL, shown: shown, ready: make(chan struct{}), done: make(chan struct{}), room: semaphore.NewWeighted(unanswered),
		asking: make(chan struct{}, 1), exact: make(map[string][]*remoteReader), waiting: make(map[uint64]*publishing),
	}
	if opts != nil {
		c.opts = *opts
		c.opts.Header = opts.Header.Clone()
	}
	c.opts.HTTPClient = handshakeClient(c.opts.HTTPClient)
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	c.state.call = c.onState
	return c, nil
}

func (c *Client) log() *slog.Logger {
	if c.opts.Logger != nil {
		return c.opts.Logger
	}
	return slog.Default()
}

const maxPosition = 255 // bytes; what is longer was never given out

// Subscribe subscribes to a topic or pattern and returns when the hub has confirmed it: what is published later will be
// read. The subscription survives reconnects; ctx bounds only the call. A loop that is slower than what is published
// holds up nobody: of Events it gets the rest from the hub's log later, of State the newest values. The error wraps
// [ErrInvalid], [ErrDenied], [ErrLimit] or [ErrClosed], or is ctx's.
func (c *Client) Subscribe(ctx context.Context, topic string, opts *SubscribeOptions) (*Subscription, error) {
	if err := checkPattern(topic); err != nil {
		return nil, err
	}
	if opts == nil {
		opts = &SubscribeOptions{}
	}
	if opts.Replay < 0 {
		return nil, fmt.Errorf("%w: SubscribeOptions.Replay is %d, which is negative", ErrInvalid, opts.Replay)
	}
	if n := len(opts.After); n > maxPosition {
		return nil, fmt.Errorf("%w: SubscribeOptions.After has %d bytes, the limit is %d", ErrInvalid, n, maxPosition)
	}
	r := newRemoteReader(c, topic, opts)
	s := newSubscription(r, opts)
	s.stale = opts.Resync != nil && opts.After == ""
	s.blank.Store(s.stale)
	c.mu.Lock()
	if c.ended != nil {
		c.mu.Unlock()
		return nil, closedFor(c.ended)
	}
	c.subs = append(c.subs, r)
	c.ask(r)
	c.mu.Unlock()
	select {
	case <-r.confirmed:
	case <-ctx.Done():
		r.close()
		return nil, cause(ctx)
	}
	if err := r.buf.refusal(); err != nil {
		return nil, err
	}
	return s, nil
}

// Context is done when the client has ended for good; [context.Cause] of it says why: ErrClosed after Close, or a
// *[CloseError], or an error that wraps [ErrDenied], or another that the package's documentation counts as final.
func (c *Client) Context() context.Context { return c.ctx }

// Close closes the connection and waits for the client's goroutines, about a second at most. What is not answered yet
// fails with [ErrClosed]; subscriptions end once what they have received is read. It can be called twice. It returns nil.
func (c *Client) Close() error {
	c.cancel(errClientClosed)
	<-c.done
	return nil
}

var errClientClosed error = closedError("the client")

// closedFor is the error of a call on a client that has ended.
func closedFor(why error) error {
	if errors.Is(why, ErrClosed) {
		return why
	}
	return fmt.Errorf("%w: the client: %w", ErrClosed, why)
}

// finish fails whatever waits: the client has ended.
func (c *Client) finish() {
	why := context.Cause(c.ctx)
	c.mu.Lock()
	c.ended = why
	subs := c.subs
	c.subs = nil
	for _, p := range c.unansweredNow() {
		c.settle(p, unsettled(p, closedFor(why)))
	}
	for _, r := range subs {
		r.end(closedFor(why))
	}
	c.mu.Unlock()
	c.state.close()
}

// handle does what one message of the hub says. It needs mu.
func (c *Client) handle(s *session, f *wire.ServerFrame) {
	switch f.Op {
	case "":
		c.message(s, f)
	case wire.OpSend:
		c.deliver(f, "")
	case wire.OpWelcome:
		c.welcome(s, f)
	case wire.OpPing:
		s.pong = true
		s.poke()
	case wire.OpAt:
		c.pos = f.At
	case wire.OpOK:
		if f.HasRef {
			c.accepted(f)
			return
		}
		c.pos = f.At
		if r := s.nums[f.Sub]; r != nil {
			r.ok()
		}
	case wire.OpErr:
		c.refused(s, f)
	case wire.OpGap:
		c.gap(s, f)
	case wire.OpReset:
		if r := s.nums[f.Sub]; r != nil {
			r.reset(c.pos)
		}
	case wire.OpEnd:
		if r := s.nums[f.Sub]; r != nil {
			c.subEnded(s, r, f)
		}
	case wire.OpBye:
		s.bye, s.retry, s.hasRetry = f.CloseCode, f.Retry, f.HasRetry
		s.reason = f.Reason
	}
	// Others are of a later version, or push: what the server subscribes is read by a subscription to it, if there is one.
}

// message is a published message: rules 2 and 3.
func (c *Client) message(s *session, f *wire.ServerFrame) {
	if f.Sub == 0 {
		before := c.pos
		if f.ID != "" {
			c.pos = f.ID
		}
		c.deliver(f, before)
		return
	}
	r := s.nums[f.Sub]
	if r == nil {
		return // it was unsubscribed
	}
	before := r.own
	if f.ID != "" {
		r.own = f.ID
	}
	m := received(f)
	m.Replayed = r.fresh && (f.Rev != "" || r.replays)
	if !r.take(&m, f.Rev, r.own) {
		r.park(before)
	}
}

// deliver hands an untagged message to every subscription that has joined and matches. The stream stood at before.
func (c *Client) deliver(f *wire.ServerFrame, before string) {
	var m Message
	for _, r := range c.exact[f.Topic] {
		c.hand(r, f, &m)
	}
	for _, r := range c.wild {
		if pattern.Covers(r.name, f.Topic) {
			c.hand(r, f, &m)
		}
	}
	for _, r := range c.full { // which changes what was just gone through
		r.park(before)
	}
	c.full = c.full[:0]
}

// hand makes m of f, for the first that gets it, and hands it to r.
func (c *Client) hand(r *remoteReader, f *wire.ServerFrame, m *Message) {
	if !r.joined {
		return
	}
	if m.Topic == "" {
		*m = received(f)
	}
	if !r.take(m, f.Rev, c.pos) {
		c.full = append(c.full, r)
	}
}

// received makes a Message of a frame, whose data is only borrowed.
func received(f *wire.ServerFrame) Message {
	m := Message{Topic: f.Topic, ID: f.ID, From: f.From, Binary: f.Binary && !f.Gone}
	switch {
	case f.Gone:
	case f.HasData:
		m.Data = append(make([]byte, 0, len(f.Data)), f.Data...)
	default:
		m.Data = null
	}
	return m
}

// gap is a loss: of a subscription that has not joined, or of several that have.
func (c *Client) gap(s *session, f *wire.ServerFrame) {
	if f.Sub != 0 {
		if r := s.nums[f.Sub]; r != nil {
			r.own = f.At
			r.lost(f)
		}
		return
	}
	c.pos = f.At
	for _, n := range f.Subs {
		if r := s.nums[n]; r != nil && r.joined {
			r.lost(f)
		}
	}
}

// subEnded is for a subscription that the hub has ended or refused.
func (c *Client) subEnded(s *session, r *remoteReader, f *wire.ServerFrame) {
	c.unnumber(s, r)
	if f.Again || f.Code == "" {
		r.again()
		return
	}
	c.subs = slices.DeleteFunc(c.subs, func(o *remoteReader) bool { return o == r })
	r.end(refusedFor(f.Code, f.Reason))
}
