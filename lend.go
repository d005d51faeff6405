package hotline

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"runtime"

	"github.com/coder/websocket"

	"github.com/gohotline/hotline/internal/wire"
)

// wsReader is a coder/websocket Conn that is lent to one connection after another: it holds state from the first byte of
// a message to the last, so a connection that waits for the next one needs none. It is the net.Conn that its coder holds,
// and hands on to the one of the connection.
type wsReader struct {
	*wireConn // nil: it is lent to nobody
	conn      *Conn
	ws        *websocket.Conn
	br        *bufio.Reader // coder's
	tied      bool          // it can't be lent to anybody else
}

// options are those of all connections of a hub, so that any reader will do for any.
func (rd *wsReader) options(h *Hub) *websocket.AcceptOptions {
	mode := websocket.CompressionDisabled
	if h.opts.Compression {
		mode = websocket.CompressionNoContextTakeover
	}
	// Around a control frame that it reads itself coder sets a timer, which may still close it when it is somebody else's.
	return &websocket.AcceptOptions{
		Subprotocols:       []string{wire.Protocol, wire.AnyVersion},
		InsecureSkipVerify: h.opts.InsecureSkipOriginCheck,
		OriginPatterns:     h.opts.OriginPatterns,
		CompressionMode:    mode,
		OnPingReceived: func(ctx context.Context, data []byte) bool {
			rd.tied = true
			return rd.conn.onPing(ctx, data)
		},
		OnPongReceived: func(ctx context.Context, data []byte) {
			rd.tied = true
			rd.conn.onPong(ctx, data)
		},
	}
}

// buffers are what coder reads through, and writes its Close frame.
func (rd *wsReader) buffers() *bufio.ReadWriter {
	rd.br = bufio.NewReaderSize(rd, 16)
	return bufio.NewReadWriter(rd.br, bufio.NewWriterSize(rd, 128))
}

// accepted completes a reader with the Conn that websocket.Accept has made for it.
func (rd *wsReader) accepted(h *Hub, ws *websocket.Conn) {
	// Its finalizer would close what is closed by whoever ends a connection. And it would never run, but keep the Conn for
	// ever, because that is part of a cycle.
	runtime.SetFinalizer(ws, nil)
	rd.ws = ws
	rd.br.Reset(rd)     // of what coder had put before it
	ws.SetReadLimit(-1) // see Conn.read
}

// lend returns the reader of c; if it has none, one that nobody has.
func (h *Hub) lend(c *Conn) (rd *wsReader, err error) {
	if c.under.reader != nil {
		return c.under.reader, nil
	}
	rd, ok := h.wsReaders.Get().(*wsReader)
	if !ok {
		if rd, err = h.newReader(); err != nil {
			return nil, err
		}
	}
	rd.conn, rd.wireConn, c.under.reader = c, c.under, rd
	return rd, nil
}

// giveBack is for a connection that has read all there was.
func (h *Hub) giveBack(w *wireConn) {
	rd := w.reader
	if rd == nil || rd.tied || !w.drained() {
		return
	}
	rd.conn, rd.wireConn, w.reader = nil, nil, nil
	h.wsReaders.Put(rd)
}

// newReader makes one for nobody. coder/websocket makes a Conn of a handshake only, so this is one.
func (h *Hub) newReader() (*wsReader, error) {
	r := &http.Request{Method: http.MethodGet, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"bm9ib2R5IGlzIHRoZXJlIQ=="},
	}}
	rd := new(wsReader)
	ws, err := websocket.Accept(&handshake{rd: rd, header: make(http.Header)}, r, rd.options(h))
	if err != nil {
		return nil, err
	}
	rd.accepted(h, ws)
	return rd, nil
}

// handshake is the ResponseWriter of a handshake that nobody sees.
type handshake struct {
	rd     *wsReader
	header http.Header
}

func (s *handshake) Header() http.Header         { return s.header }
func (s *handshake) WriteHeader(int)             {}
func (s *handshake) Write(p []byte) (int, error) { return len(p), nil }

// Hijack implements http.Hijacker.
func (s *handshake) Hijack() (net.Conn, *bufio.ReadWriter, error) { return s.rd, s.rd.buffers(), nil }
