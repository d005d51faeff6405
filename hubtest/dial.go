package hubtest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/gohotline/hotline"
)

// Dial connects a client to path, such as "/ws", over a link of its own that its reconnects use too. With
// DialOptions.Background it returns at once. Otherwise it fails t if the client is refused for good, or not connected
// within a minute. The client is closed when the test of [Serve] ends.
//
// For a host of your choice, path may be a URL: "wss://tenant.example.com/ws". With wss and https the handler sees what it
// would behind a proxy that has ended TLS, and cookies are sent that are for TLS only.
//
// DialOptions.HTTPClient keeps its Jar, its CheckRedirect and its Timeout. Of its Transport, which must be an
// *[http.Transport], a copy is used that connects over the link; its Proxy and its TLS configuration mean nothing there.
func (s *Server) Dial(path string, opts *hotline.DialOptions) (*hotline.Client, *Link) {
	s.t.Helper()
	fail := func(err error) {
		s.t.Helper()
		s.t.Fatalf("hubtest: Dial %q: %v", path, err)
	}
	url, err := address(path)
	if err != nil {
		fail(err)
	}
	if s.ctx.Err() != nil {
		fail(context.Cause(s.ctx))
	}
	link := s.newLink(path)
	var o hotline.DialOptions
	if opts != nil {
		o = *opts
	}
	o.HTTPClient, err = link.httpClient(o.HTTPClient)
	if err != nil {
		fail(fmt.Errorf("DialOptions.%w", err))
	}
	ctx, cancel := context.WithTimeoutCause(s.ctx, dialTimeout, fmt.Errorf("not connected after %v", dialTimeout))
	defer cancel()
	client, err := hotline.Dial(ctx, url, &o)
	if err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
		fail(err)
	}
	s.t.Cleanup(func() { _ = client.Close() })
	return client, link
}

// address makes a URL of a path. The host is the one of httptest.NewRequest.
func address(path string) (string, error) {
	switch {
	case strings.Contains(path, "://"):
		return path, nil
	case strings.HasPrefix(path, "/"):
		return "ws://example.com" + path, nil
	}
	return "", errors.New("neither a URL nor a path that begins with a slash")
}

// httpClient returns a copy of c that connects over the link.
func (l *Link) httpClient(c *http.Client) (*http.Client, error) {
	var own http.Client
	if c != nil {
		own = *c
	}
	switch t := own.Transport.(type) {
	case nil:
		own.Transport = l.transport(nil)
	case *http.Transport:
		own.Transport = l.transport(t)
	default:
		return nil, fmt.Errorf("HTTPClient.Transport is a %T: only an *http.Transport can be made to use the link", t)
	}
	return &own, nil
}

// transport returns a copy of t that connects over the link, in the clear also for https.
func (l *Link) transport(t *http.Transport) *http.Transport {
	own := new(http.Transport)
	if t != nil {
		own = t.Clone()
	}
	own.Proxy = nil
	own.DialContext, own.DialTLSContext = l.net.DialContext, l.net.DialContext
	return own
}
