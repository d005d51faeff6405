package hotline

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/gohotline/hotline/internal/frame"
)

// wireConn is the net.Conn that coder/websocket holds. It reads from the socket, and writes nothing: what coder writes
// are Close frames only, each in one Write, and they are for whoever reads to send, so that bytes reach the socket in
// one place.
type wireConn struct {
	sock   *socket
	reader *wsReader // what reads from here; nil: there is nothing to read
	early  []byte    // received with the handshake
	buf    []byte    // received and not yet read: part of full
	full   *[readBuffer]byte
	few    [16]byte // what await took
	frames frame.Incoming
	err    error  // of await, for the next Read
	failed bool   // the socket can't be read any more
	answer []byte // the payload of the Close frame that coder wrote
}

const readBuffer = 4 << 10

// readBuffers are attached to a connection only while they hold bytes.
var readBuffers = sync.Pool{New: func() any { return new([readBuffer]byte) }}

// scrapsOfMessage is how many pieces of a message that bring next to nothing count as much as a message. A flood of them
// would take a CPU otherwise: it is no flood of messages.
const scrapsOfMessage = 64

// errCut is the end of a connection without a Close frame. It is no io.EOF, which coder/websocket hands on as the end of
// the message that it reads just then: what came of that would pass for the whole.
var errCut = errors.New("hotline: the connection was closed without a Close frame")

// drained reports whether all that was received is read, and await can wait for more. It can't where reading takes a
// buffer first: of TLS, and of the network in memory.
func (w *wireConn) drained() bool {
	return w.sock.raw != nil && !w.holds() && len(w.buf) == 0
}

// holds reports whether something is to be read before what buf and the socket have.
func (w *wireConn) holds() bool {
	return w.err != nil || w.frames.Err() != nil || len(w.early) > 0 || w.reader != nil && w.reader.br.Buffered() > 0
}

// await returns once the next Read does not have to wait. It keeps to a stack of 2 KiB.
func (w *wireConn) await() {
	if !w.drained() {
		return
	}
	n, err := w.sock.await(w.few[:])
	w.err = err
	if n > 0 {
		w.full = readBuffers.Get().(*[readBuffer]byte)
		w.buf = w.full[:copy(w.full[:], w.few[:n])]
	}
}

// control handles the Ping or Pong (RFC 6455 §5.5) that is next, if it has come whole. coder/websocket would do so and
// then wait for the next frame, deep in its own calls. Whatever is not plain about it is left to coder, which says what
// is wrong. The payload is valid during the call.
func (w *wireConn) control(handle func(op byte, payload []byte)) bool {
	if w.sock.raw == nil || w.holds() {
		return false
	}
	if len(w.buf) == 0 {
		if w.err = w.fill(); w.err != nil {
			return false
		}
	}
	const fin, masked, head = 0x80, 0x80, 6
	b := w.buf
	if len(b) < head || b[0] != fin|frame.Ping && b[0] != fin|frame.Pong || b[1]&masked == 0 {
		return false
	}
	n := int(b[1] &^ masked)
	if n > 125 || len(b) < head+n {
		return false
	}
	payload := b[head:][:n]
	for i := range payload {
		payload[i] ^= b[2+i%4]
	}
	handle(b[0]&0x0f, payload)
	w.take(head + n)
	return true
}

// take is done with the first n bytes of buf.
func (w *wireConn) take(n int) {
	if w.buf = w.buf[n:]; len(w.buf) == 0 {
		w.release()
	}
}

func (w *wireConn) release() {
	readBuffers.Put(w.full)
	w.buf, w.full = nil, nil
}

// Read reads what the peer sent.
func (w *wireConn) Read(p []byte) (int, error) {
	if err := w.frames.Err(); err != nil {
		return 0, err
	}
	n, err := w.read(p)
	w.failed = w.failed || err != nil
	if n = w.frames.Feed(p[:n]); n == 0 && w.frames.Err() != nil {
		return 0, w.frames.Err()
	}
	if w.frames.Scraps >= scrapsOfMessage {
		w.frames.Scraps -= scrapsOfMessage
		w.reader.conn.slowDown()
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) { // the latter of TLS
		err = errCut
	}
	return n, err
}

func (w *wireConn) read(p []byte) (int, error) {
	if len(w.early) > 0 {
		n := copy(p, w.early)
		if w.early = w.early[n:]; len(w.early) == 0 {
			w.early = nil
		}
		return n, nil
	}
	if w.err != nil {
		return 0, w.err
	}
	if len(w.buf) == 0 {
		if w.sock.raw == nil || len(p) >= readBuffer {
			return w.sock.Read(p)
		}
		if err := w.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, w.buf)
	w.take(n)
	return n, nil
}

// fill waits until the socket is readable before it takes a buffer: a Read that blocks would pin one.
func (w *wireConn) fill() error {
	n, err := w.sock.readReady(func() []byte {
		if w.full == nil {
			w.full = readBuffers.Get().(*[readBuffer]byte)
		}
		return w.full[:]
	}, func() {
		readBuffers.Put(w.full)
		w.full = nil
	})
	if n > 0 {
		w.buf = w.full[:n]
		return nil
	}
	if w.full != nil {
		w.release()
	}
	if err == nil {
		err = io.EOF
	}
	return err
}

// Write takes a control frame of coder's: the answer to the peer's Close, or to what broke the protocol.
func (w *wireConn) Write(p []byte) (int, error) {
	if h, ok := frame.ParseHeader(p); ok && h.Size+h.Len == len(p) {
		w.answer = bytes.Clone(p[h.Size:])
	}
	return len(p), nil
}

// Close is called by coder once it is done with the connection. The socket is closed by whoever ends the connection, so
// that the answer to a Close frame still goes out; reading fails from now on.
func (w *wireConn) Close() error {
	return w.sock.SetReadDeadline(time.Unix(1, 0))
}

// The rest of net.Conn.
func (w *wireConn) LocalAddr() net.Addr                { return w.sock.LocalAddr() }
func (w *wireConn) RemoteAddr() net.Addr               { return w.sock.RemoteAddr() }
func (w *wireConn) SetDeadline(t time.Time) error      { return w.sock.SetDeadline(t) }
func (w *wireConn) SetReadDeadline(t time.Time) error  { return w.sock.SetReadDeadline(t) }
func (w *wireConn) SetWriteDeadline(t time.Time) error { return w.sock.SetWriteDeadline(t) }
