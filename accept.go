package hotline

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/gohotline/hotline/internal/wire"
)

// ServeHTTP upgrades the request and returns once the client is authenticated, or refused. The connection lives on.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := h.admit(); err != nil {
		h.stats.refused.Add(1)
		w.Header().Set("Retry-After", "5")
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer h.serving.Done()
	var c *Conn
	defer func() {
		if c == nil { // refused, or a middleware has panicked
			h.stats.refused.Add(1)
			h.conns.Add(-1)
		}
	}()
	if c = h.upgrade(w, r); c != nil {
		h.greet(c, r)
	}
}

// admit counts a connection, unless there are too many or the hub is closing.
func (h *Hub) admit() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closing:
		return errors.New("the server is shutting down")
	case h.conns.Load() >= int64(h.limits.Conns):
		return fmt.Errorf("the server has its limit of %d connections", h.limits.Conns)
	}
	h.conns.Add(1)
	h.serving.Add(1)
	return nil
}

// upgrade makes a connection of the request, or answers it and returns nil.
func (h *Hub) upgrade(w http.ResponseWriter, r *http.Request) *Conn {
	protocols := strings.Join(r.Header.Values("Sec-WebSocket-Protocol"), ",")
	plain := protocols == ""
	if plain && h.opts.OnMessage == nil && r.Header.Get("Sec-WebSocket-Key") != "" {
		http.Error(w, "this hub speaks the WebSocket subprotocol "+wire.Protocol+"; the request names none", http.StatusBadRequest)
		return nil
	}
	hijacker := findHijacker(w)
	if hijacker == nil {
		err := fmt.Sprintf("hotline: the connection can't be taken over: %T, or what it wraps, is no http.Hijacker "+
			"(http.TimeoutHandler is none; HTTP/2 has none)", w)
		h.log_().Error(err)
		http.Error(w, err, http.StatusInternalServerError)
		return nil
	}
	if !h.opts.InsecureSkipOriginCheck && !soundOrigin(r) {
		h.refuseOrigin(w, r)
		return nil
	}
	c, rd := h.newConn(plain), new(wsReader)
	rd.conn = c
	up := &upgrader{ResponseWriter: w, hijacker: hijacker, reader: rd, window: h.limits.WindowBytes}
	var ws *websocket.Conn
	defer func() {
		if ws == nil { // refused, or a middleware has panicked
			c.shard.placed.Add(-1)
			if rd.wireConn != nil {
				rd.sock.Close()
			}
		}
	}()
	ws, err := websocket.Accept(up, r, rd.options(h))
	if err != nil {
		if up.status == http.StatusForbidden {
			h.warnOrigin(r)
		}
		return nil
	}
	h.sockets.Add(1)
	rd.accepted(h, ws)
	c.sock, c.under = rd.sock, rd.wireConn
	c.under.reader, c.under.frames.Deflates = rd, up.deflates()
	if !plain && ws.Subprotocol() != wire.Protocol {
		c.refuse(c.because(wire.CloseVersion, "this hub speaks "+wire.Protocol, nil))
		return nil
	}
	if c.under.frames.Deflates && !plain {
		c.peer.enc = encodingDeflated
	}
	return c
}

// newConn makes a connection that nobody knows yet.
func (h *Hub) newConn(plain bool) *Conn {
	c := &Conn{
		hub: h, id: rand.Text(), plain: plain, shard: h.place(),
		starting: new(hello),
	}
	c.peer = &peer{conn: c, gone: true} // until it has a shard
	if plain {
		c.peer.enc = encodingPlain
	}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	return c
}

// refuse closes a connection that its shard does not know yet.
func (c *Conn) refuse(why *closing) {
	c.shard.placed.Add(-1)
	c.closing = why
	c.cancel(why.cause)
	last, _ := c.takeControl()
	if why.code != 0 {
		last = c.appendLast(last)
	}
	c.hub.stats.bytesOut.Add(int64(len(last)))
	c.hub.group.Go(func() {
		c.sock.SetReadDeadline(time.Now().Add(closeTimeout))
		for {
			if _, _, err := c.read(); err != nil {
				c.endRead(err)
				return
			}
		}
	})
	c.linger(last, nil)
}

// greet reads the hello, authenticates, and starts the command loop.
func (h *Hub) greet(c *Conn, r *http.Request) {
	var first hello
	token := bearer(r)
	if !h.meet(c) {
		h.turnAway(c, c.because(wire.CloseRestart, told(errShutdown), errShutdown))
		return
	}
	if !c.plain {
		req, err := c.readHello()
		if err != nil {
			h.turnAway(c, c.readEnd(err))
			return
		}
		first.req = req
		if req.Token != "" {
			token = req.Token
		}
	}
	id, err := c.authenticate(r, token)
	if err != nil {
		code := wire.CloseTryLater
		switch {
		case errors.Is(err, ErrDenied):
			code = wire.CloseUnauthorized
		case errors.Is(err, errPanic):
			code = wire.CloseInternalError
		case errors.Is(err, errShutdown):
			code = wire.CloseRestart
		}
		h.turnAway(c, c.because(code, told(err), err))
		return
	}
	c.identity = id
	if why := h.register(c); why != nil {
		h.turnAway(c, why)
		return
	}
	c.starting.req = first.req
	h.group.Go(c.serve)
}

var errShutdown = fmt.Errorf("%w: the server is shutting down", ErrClosed)

// turnAway refuses a connection after the upgrade: browsers can't read an HTTP refusal.
func (h *Hub) turnAway(c *Conn, why *closing) {
	h.mu.Lock()
	delete(h.early, c)
	h.mu.Unlock()
	h.stats.refused.Add(1)
	h.conns.Add(-1)
	h.log_().Debug("hotline: connection refused", "conn", c.id, "code", why.code, "error", why.cause)
	c.refuse(why)
}

// readHello reads the first frame.
func (c *Conn) readHello() (wire.Request, error) {
	msg, binary, err := c.read()
	if err != nil {
		return wire.Request{}, err
	}
	req, err := wire.DecodeRequest(msg, binary)
	if err == nil && req.Op != "hello" {
		err = &wire.BadRequest{Close: wire.CloseProtocol, Reason: fmt.Sprintf("the first frame is %.20q and not hello", req.Op)}
	}
	return req, err
}

// authenticate asks the hook. Nobody else is told of its error yet.
func (c *Conn) authenticate(r *http.Request, token string) (id Identity, err error) {
	h := c.hub
	if h.opts.Authenticate == nil {
		return Identity{}, nil
	}
	ctx, end := context.WithCancelCause(r.Context())
	defer end(nil)
	defer context.AfterFunc(c.ctx, func() { end(errShutdown) })()
	ctx, cancel := context.WithTimeoutCause(ctx, hookTimeout, errHookTimeout)
	defer cancel()
	err = h.guard("Authenticate", func() error {
		id, err = h.opts.Authenticate(r.WithContext(ctx), token)
		return err
	})
	return id, c.hookError(ctx, "Authenticate", err)
}

// bearer is the token of the Authorization header (RFC 6750 §2.1).
func bearer(r *http.Request) string {
	const scheme = "Bearer "
	if a := r.Header.Get("Authorization"); len(a) > len(scheme) && strings.EqualFold(a[:len(scheme)], scheme) {
		return strings.TrimSpace(a[len(scheme):])
	}
	return ""
}

// soundOrigin reports whether the Origin is none or one that a browser can send. coder/websocket compares hosts, and
// would take the part of a URL that is a user for nothing.
func soundOrigin(r *http.Request) bool {
	origins := r.Header.Values("Origin")
	if len(origins) == 0 || len(origins) == 1 && origins[0] == "" {
		return true
	}
	u, err := url.Parse(origins[0])
	return err == nil && u.User == nil && u.Host != "" && len(origins) == 1
}

func (h *Hub) refuseOrigin(w http.ResponseWriter, r *http.Request) {
	h.warnOrigin(r)
	http.Error(w, fmt.Sprintf("request Origin %q is not allowed", r.Header.Get("Origin")), http.StatusForbidden)
}

// warnOrigin says how to allow what was refused.
func (h *Hub) warnOrigin(r *http.Request) {
	origin := r.Header.Get("Origin")
	allow := "none: it names no host"
	if u, err := url.Parse(origin); err == nil && soundOrigin(r) {
		// What means something to path.Match stands for itself: the brackets of an IPv6 address.
		allow = strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`, `\`, `\\`).Replace(u.Scheme + "://" + u.Host)
	}
	h.log_().Warn("hotline: refused a connection from a page on another origin",
		"origin", origin, "host", r.Host, "OriginPatterns would need", allow)
}

// findHijacker looks for an http.Hijacker in w and what it wraps, as http.ResponseController does.
func findHijacker(w http.ResponseWriter) http.Hijacker {
	for {
		switch t := w.(type) {
		case http.Hijacker:
			return t
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default:
			return nil
		}
	}
}

// upgrader is the ResponseWriter that websocket.Accept sees. It writes the 101 itself, on the hijacked connection:
// middleware defers headers or holds them back. And it hands out a net.Conn of ours, which can be lent to another connection.
type upgrader struct {
	http.ResponseWriter
	hijacker http.Hijacker
	reader   *wsReader
	window   int
	status   int
}

// WriteHeader keeps the 101 to itself, and what websocket.Accept answers if the client has gone after Hijack.
func (u *upgrader) WriteHeader(status int) {
	u.status = status
	if status != http.StatusSwitchingProtocols && u.reader.wireConn == nil {
		u.ResponseWriter.WriteHeader(status)
	}
}

// Write writes the text of a refusal.
func (u *upgrader) Write(p []byte) (int, error) {
	if u.reader.wireConn != nil {
		return len(p), nil
	}
	return u.ResponseWriter.Write(p)
}

// Hijack takes the connection over and answers the handshake.
func (u *upgrader) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	nc, brw, err := u.hijacker.Hijack()
	if err != nil {
		return nil, nil, err
	}
	w := &wireConn{sock: newSocket(nc, u.window)}
	u.reader.wireConn = w
	if n := brw.Reader.Buffered(); n > 0 { // came with the handshake
		early, _ := brw.Reader.Peek(n)
		w.early = bytes.Clone(early)
	}
	nc.SetDeadline(time.Now().Add(10 * time.Second)) // net/http may have left one, and the peer may not read
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	header := u.Header().Clone()
	for name := range header {
		if strings.HasPrefix(name, "Content-") || name == "Transfer-Encoding" || name == "Vary" {
			delete(header, name) // of the answer that a compressing middleware expected
		}
	}
	_ = header.Write(&b) // a buffer takes it
	b.WriteString("\r\n")
	if _, err := nc.Write(b.Bytes()); err != nil {
		nc.Close()
		return nil, nil, err
	}
	nc.SetDeadline(time.Time{})
	return u.reader, u.reader.buffers(), nil
}

// deflates reports whether compression was agreed on.
func (u *upgrader) deflates() bool { return u.Header().Get("Sec-WebSocket-Extensions") != "" }
