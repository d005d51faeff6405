//go:build linux

package main

import (
	"net"
	"net/http"
	"time"

	coder "github.com/coder/websocket"
	"github.com/gorilla/websocket"
	"github.com/lesismal/nbio/logging"
	"github.com/lesismal/nbio/nbhttp"
	nbws "github.com/lesismal/nbio/nbhttp/websocket"
	"github.com/lxzan/gws"
	"github.com/olahol/melody"
)

// queue is what the chat examples of several libraries hold for a connection: a channel, and a goroutine that writes.
// Whose channel is full is closed, as they do.
const queue = 256

// gorillaPeer is a hub like that of gorilla/websocket's chat example: what waits goes into one message, a line each.
type gorillaPeer struct {
	httpPeer
	conns set[*gorillaConn]
}

type gorillaConn struct {
	ws   *websocket.Conn
	send chan []byte
}

func newGorilla(o options) (peer, error) {
	p := &gorillaPeer{}
	up := websocket.Upgrader{ReadBufferSize: 1024, WriteBufferSize: 1024, EnableCompression: o.deflate}
	p.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		c := &gorillaConn{ws, make(chan []byte, queue)}
		p.conns.add(c)
		go c.write()
		go func() { // the handler returns, so that net/http keeps nothing, as in the example
			discard(ws)
			p.conns.remove(c)
			close(c.send)
		}()
	})
	return p, nil
}

func (c *gorillaConn) write() {
	defer func() { _ = c.ws.Close() }()
	for msg := range c.send {
		w, err := c.ws.NextWriter(websocket.TextMessage)
		if err != nil {
			return
		}
		_, _ = w.Write(msg)
		for range len(c.send) {
			_, _ = w.Write([]byte{'\n'})
			_, _ = w.Write(<-c.send)
		}
		if w.Close() != nil {
			return
		}
	}
}

func (p *gorillaPeer) publish(_ string, payload []byte) {
	p.conns.each(func(c *gorillaConn) {
		select {
		case c.send <- payload:
		default:
			_ = c.ws.Close()
		}
	})
}

// discard reads until the connection ends.
func discard(ws *websocket.Conn) {
	for {
		if _, _, err := ws.NextReader(); err != nil {
			return
		}
	}
}

// preparedPeer frames a message once.
type preparedPeer struct {
	httpPeer
	conns set[*preparedConn]
}

type preparedConn struct {
	ws   *websocket.Conn
	send chan *websocket.PreparedMessage
}

func newGorillaPrepared(o options) (peer, error) {
	p := &preparedPeer{}
	up := websocket.Upgrader{ReadBufferSize: 1024, WriteBufferSize: 1024, EnableCompression: o.deflate}
	p.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		c := &preparedConn{ws, make(chan *websocket.PreparedMessage, queue)}
		p.conns.add(c)
		go func() {
			defer func() { _ = ws.Close() }()
			for m := range c.send {
				if ws.WritePreparedMessage(m) != nil {
					return
				}
			}
		}()
		go func() {
			discard(ws)
			p.conns.remove(c)
			close(c.send)
		}()
	})
	return p, nil
}

func (p *preparedPeer) publish(_ string, payload []byte) {
	m, err := websocket.NewPreparedMessage(websocket.TextMessage, payload)
	if err != nil {
		exit(err)
	}
	p.conns.each(func(c *preparedConn) {
		select {
		case c.send <- m:
		default:
			_ = c.ws.Close()
		}
	})
}

// melodyPeer drops what a full session does not take, which is melody's own doing.
type melodyPeer struct {
	httpPeer
	m *melody.Melody
}

func newMelody(o options) (peer, error) {
	m := melody.New()
	m.Upgrader.EnableCompression = o.deflate
	m.Config.PingPeriod, m.Config.PongWait = time.Hour, time.Hour // the load answers none
	return &melodyPeer{httpPeer{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _ = m.HandleRequest(w, r) })}, m}, nil
}

func (p *melodyPeer) publish(_ string, payload []byte) { _ = p.m.Broadcast(payload) }

// gwsPeer broadcasts with gws's Broadcaster.
type gwsPeer struct {
	httpPeer
	gws.BuiltinEventHandler
	conns set[*gws.Conn]
}

func newGws(o options) (peer, error) {
	p := &gwsPeer{}
	up := gws.NewUpgrader(p, &gws.ServerOption{PermessageDeflate: gws.PermessageDeflate{Enabled: o.deflate, Threshold: 1}})
	p.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, err := up.Upgrade(w, r); err == nil {
			go c.ReadLoop()
		}
	})
	return p, nil
}

func (p *gwsPeer) OnOpen(c *gws.Conn)           { p.conns.add(c) }
func (p *gwsPeer) OnClose(c *gws.Conn, _ error) { p.conns.remove(c) }

func (p *gwsPeer) publish(_ string, payload []byte) {
	b := gws.NewBroadcaster(gws.OpcodeText, payload)
	p.conns.each(func(c *gws.Conn) { _ = b.Broadcast(c) })
	_ = b.Close()
}

// nbioPeer has no goroutine a connection; what a socket does not take is buffered.
type nbioPeer struct{ conns set[*nbws.Conn] }

func newNbio(options) (peer, error) { return &nbioPeer{}, nil }

func (p *nbioPeer) serve(l net.Listener) error {
	logging.SetLevel(logging.LevelNone)
	up := nbws.NewUpgrader()
	up.OnOpen(p.conns.add)
	up.OnClose(func(c *nbws.Conn, _ error) { p.conns.remove(c) })
	engine := nbhttp.NewEngine(nbhttp.Config{
		Network: "tcp", Addrs: []string{l.Addr().String()},
		Listen:  func(string, string) (net.Listener, error) { return l, nil },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = up.Upgrade(w, r, nil) }),
	})
	if err := engine.Start(); err != nil {
		return err
	}
	select {}
}

func (p *nbioPeer) publish(_ string, payload []byte) {
	p.conns.each(func(c *nbws.Conn) { _ = c.WriteMessage(nbws.TextMessage, payload) })
}

// coderPeer is coder/websocket with a channel and a goroutine a connection, as its chat example has them.
type coderPeer struct {
	httpPeer
	conns set[*coderConn]
}

type coderConn struct {
	ws   *coder.Conn
	send chan []byte
}

func newCoder(o options) (peer, error) {
	p := &coderPeer{}
	mode := coder.CompressionDisabled
	if o.deflate {
		mode = coder.CompressionNoContextTakeover
	}
	p.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := coder.Accept(w, r, &coder.AcceptOptions{CompressionMode: mode, CompressionThreshold: 1})
		if err != nil {
			return
		}
		c := &coderConn{ws, make(chan []byte, queue)}
		p.conns.add(c)
		defer p.conns.remove(c)
		ctx := ws.CloseRead(r.Context())
		for {
			select {
			case msg := <-c.send:
				if ws.Write(ctx, coder.MessageText, msg) != nil {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	})
	return p, nil
}

func (p *coderPeer) publish(_ string, payload []byte) {
	p.conns.each(func(c *coderConn) {
		select {
		case c.send <- payload:
		default:
			go c.ws.Close(coder.StatusPolicyViolation, "too slow")
		}
	})
}
