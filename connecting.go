package hotline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/gohotline/hotline/internal/wire"
)

// This file is how a client gets a connection: the URL, the token, the handshake, and what an answer to it means.

// checkURL returns a URL as errors and logs show it: without user and query, which may hold secrets.
func checkURL(raw string) (shown string, err error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil && strings.ContainsAny(raw, "@?"): // what is wrong with it may be one of those
		return "", fmt.Errorf("%w: dial: the URL is malformed", ErrInvalid)
	case err != nil:
		return "", fmt.Errorf("%w: dial: %w", ErrInvalid, err)
	case !slices.Contains([]string{"ws", "wss", "http", "https"}, u.Scheme):
		return "", fmt.Errorf("%w: dial: the scheme %q of the URL is none of ws, wss, http, https", ErrInvalid, u.Scheme)
	}
	shown = u.Scheme + "://" + u.Host + u.EscapedPath()
	switch {
	case u.Hostname() == "":
		return "", fmt.Errorf("%w: dial %s: no host", ErrInvalid, shown)
	case u.Fragment != "": // RFC 6455 §3
		return "", fmt.Errorf("%w: dial %s: a WebSocket URL has no fragment", ErrInvalid, shown)
	}
	return shown, nil
}

const maxRedirects = 10

var errRedirects = fmt.Errorf("the handshake was redirected %d times", maxRedirects)

// handshakeClient is the client that makes the handshakes: a copy of the application's, which follows no more redirects
// than net/http does. coder/websocket would take that limit away.
func handshakeClient(from *http.Client) *http.Client {
	if from == nil {
		from = http.DefaultClient
	}
	hc := *from
	if hc.CheckRedirect == nil {
		hc.CheckRedirect = func(_ *http.Request, via []*http.Request) error {
			if len(via) >= maxRedirects {
				return errRedirects
			}
			return nil
		}
	}
	return &hc
}

// link is what coder/websocket reads from and writes to. It notes when something was received, and can be closed under
// it at any moment.
type link struct {
	io.ReadWriteCloser
	opened   time.Time
	lastRead atomic.Int64 // time.Duration since opened, by the clock that nobody sets
}

func newLink(rwc io.ReadWriteCloser) *link { return &link{ReadWriteCloser: rwc, opened: time.Now()} }

// Read notes that the hub lives.
func (l *link) Read(p []byte) (int, error) {
	n, err := l.ReadWriteCloser.Read(p)
	if n > 0 {
		l.lastRead.Store(int64(time.Since(l.opened)))
	}
	if err == io.EOF {
		err = errCut // or a message that it cuts short would be taken for a whole one
	}
	return n, err
}

// silent is how long nothing was received.
func (l *link) silent() time.Duration { return time.Since(l.opened) - time.Duration(l.lastRead.Load()) }

// tap is a RoundTripper that puts a link between the transport's connection and whoever asked for the upgrade.
type tap struct {
	http.RoundTripper
	link *link
}

// RoundTrip is a handshake, or a redirect to where it is to be made.
func (t *tap) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.RoundTripper.RoundTrip(r)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		return resp, err
	}
	if rwc, ok := resp.Body.(io.ReadWriteCloser); ok {
		t.link = newLink(rwc)
		resp.Body = t.link
	}
	return resp, err
}

// connect makes one attempt.
func (c *Client) connect() (*session, error) {
	hello := wire.Request{Op: wire.OpHello}
	if c.opts.Token != nil {
		token, err := c.token()
		if err != nil {
			return nil, fmt.Errorf("DialOptions.Token: %w", err)
		}
		hello.Token = token
	}
	ctx, cancel := context.WithTimeout(c.ctx, handshakeTimeout)
	defer cancel()
	hc := *c.opts.HTTPClient
	through := &tap{RoundTripper: hc.Transport}
	if through.RoundTripper == nil {
		through.RoundTripper = http.DefaultTransport
	}
	hc.Transport = through
	mode := websocket.CompressionDisabled
	if c.opts.Compression {
		mode = websocket.CompressionNoContextTakeover
	}
	ws, resp, err := websocket.Dial(ctx, c.url, &websocket.DialOptions{ //nolint:bodyclose // coder/websocket has closed it
		HTTPClient: &hc, HTTPHeader: c.opts.Header.Clone(), Subprotocols: []string{wire.Protocol, wire.AnyVersion},
		CompressionMode: mode,
	})
	if err != nil {
		return nil, refusedHandshake(resp, err)
	}
	if ws.Subprotocol() == "" {
		ws.CloseNow() // nobody reads or writes yet, so it does not wait
		return nil, &handshakeError{err: errors.New("the server speaks no hotline.v1: it selected no subprotocol"), mistaken: true}
	}
	ws.SetReadLimit(maxOut)
	s := &session{
		c: c, ws: ws, link: through.link, wake: make(chan struct{}, 1), nums: make(map[int64]*remoteReader), patience: firstPatience,
	}
	c.greet(s, hello)
	return s, nil
}

// token asks the application, which may take longer than it is waited for, or close the client: the call has a goroutine of
// its own, and there is one at a time.
func (c *Client) token() (string, error) {
	ctx, cancel := context.WithTimeout(c.ctx, handshakeTimeout)
	defer cancel()
	select {
	case c.asking <- struct{}{}:
	case <-ctx.Done():
		return "", fmt.Errorf("the call before has not returned: %w", cause(ctx))
	}
	var token string
	answered := make(chan error, 1)
	go func() {
		defer func() { <-c.asking }()
		var err error
		token, err = c.callToken(ctx)
		answered <- err
	}()
	select {
	case err := <-answered:
		return token, err
	case <-ctx.Done():
		return "", cause(ctx)
	}
}

// callToken calls the application, whose panic is no reason to end its process.
func (c *Client) callToken(ctx context.Context) (token string, err error) {
	defer func() {
		if v := recover(); v != nil {
			c.log().Error("hotline: panic in a hook", "hook", "DialOptions.Token", "panic", v)
			err = fmt.Errorf("%w: DialOptions.Token: %v", errPanic, v)
		}
	}()
	return c.opts.Token(ctx)
}

// handshakeError is an answer to a handshake that opens no connection.
type handshakeError struct {
	err        error
	final      bool
	mistaken   bool // there seems to be no hub at that URL
	retryAfter time.Duration
}

func (e *handshakeError) Error() string { return e.err.Error() }
func (e *handshakeError) Unwrap() error { return e.err }

// refusedHandshake makes one of an error of coder/websocket.
func refusedHandshake(resp *http.Response, err error) error {
	if resp == nil {
		var failed *url.Error // names the URL, which may hold secrets
		if errors.As(err, &failed) {
			return failed.Err
		}
		return err
	}
	f := &handshakeError{err: fmt.Errorf("the server answered the handshake with %s: %w", resp.Status, err)}
	switch code := resp.StatusCode; code {
	case http.StatusUnauthorized, http.StatusForbidden:
		f.err, f.final = fmt.Errorf("%w: the server answered the handshake with %s", ErrDenied, resp.Status), true
	case http.StatusBadRequest:
		f.final = true
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		f.retryAfter = retryAfter(resp.Header)
	case http.StatusRequestTimeout, http.StatusTooEarly:
	default:
		f.mistaken = code < 500
	}
	return f
}

// retryAfter is how long a server wants to be left alone (RFC 9110 §10.2.3), an hour at most. It is the same for everybody.
func retryAfter(h http.Header) time.Duration {
	v := h.Get("Retry-After")
	var d time.Duration
	if n, err := strconv.Atoi(v); err == nil {
		d = time.Duration(min(n, 3600)) * time.Second
	} else if at, err := http.ParseTime(v); err == nil {
		d = time.Until(at)
	}
	return min(max(d, 0), time.Hour)
}
