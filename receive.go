package hotline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/gohotline/hotline/internal/frame"
	"github.com/gohotline/hotline/internal/wire"
)

// This file is how messages of a connection are read, one after the other, up to its end.

// loop handles messages until none has come; the error is the end of the connection.
func (c *Conn) loop() error {
	for {
		c.waitLane()
		if !c.under.control(c.onControl) {
			msg, binary, err := c.read()
			if err != nil {
				return err
			}
			c.received()
			c.hub.stats.messagesIn.Add(1)
			c.hub.stats.bytesIn.Add(int64(len(msg)))
			if c.ctx.Err() == nil {
				c.work(func() { c.handle(msg, binary) })
			}
		}
		if c.under.drained() {
			return nil
		}
	}
}

// read returns the next message; it is the caller's until the next call. coder/websocket would inflate it as it comes: also
// what was cut short, before the mask is off, and as far as the first last block, with the rest in front of the next message.
func (c *Conn) read() (msg []byte, binary bool, err error) {
	rd, err := c.hub.lend(c)
	if err != nil {
		return nil, false, err
	}
	typ, r, err := rd.ws.Reader(context.Background())
	if err != nil {
		return nil, false, err
	}
	deflated := c.under.frames.Deflated()
	most, sent := c.hub.limits.inbound(deflated)
	if msg, err = frame.ReadAll(r, nil, sent); err == nil && deflated {
		msg, err = frame.Inflate(msg, most)
	}
	return msg, typ == websocket.MessageBinary, err
}

// readEnd says how a connection ends that can't be read on, for reason err.
func (c *Conn) readEnd(err error) *closing {
	var closed websocket.CloseError
	var bad *wire.BadRequest
	switch {
	case errors.As(err, &closed) && !utf8.ValidString(closed.Reason): // RFC 6455 §5.5.1; it would be sent back
		return c.because(wire.CloseNotUTF8, "a close reason that is not UTF-8", nil)
	case errors.As(err, &closed):
		c.control(frame.Close, c.under.answer)
		return &closing{cause: &CloseError{Code: int(closed.Code), Reason: closed.Reason}}
	case errors.As(err, &bad):
		return c.because(bad.Close, bad.Reason, nil)
	case errors.Is(err, frame.ErrTooBig):
		return c.because(wire.CloseTooBig, fmt.Sprintf("a message larger than %d bytes", c.hub.limits.MessageBytes), nil)
	case errors.Is(err, frame.ErrLength):
		return c.because(wire.CloseFrameError, "a length that is not in its shortest form", nil)
	case errors.Is(err, context.DeadlineExceeded): // which coder gives a control frame that has begun
		return c.because(wire.CloseNoPong, "a control frame that does not come whole", nil)
	case errors.Is(err, frame.ErrDeflated):
		return c.because(wire.CloseFrameError, "a deflated message, but no compression was agreed on", nil)
	case errors.Is(err, frame.ErrDeflate):
		return c.because(wire.CloseFrameError, "a message that does not inflate", nil)
	case !c.under.failed: // by whoever reads: what came is no WebSocket frame
		reason := "not a WebSocket frame"
		if len(c.under.answer) > 2 {
			reason = string(c.under.answer[2:])
		}
		return c.because(wire.CloseFrameError, reason, err)
	case c.ctx.Err() != nil: // it awaits a hello; or it has ended already, and this does not count
		return c.because(wire.CloseRestart, told(errShutdown), errShutdown)
	case errors.Is(err, os.ErrDeadlineExceeded): // there is none but that of the hello
		return c.because(wire.CloseNoPong, fmt.Sprintf("no hello within %s", c.hub.limits.HelloTimeout), nil)
	}
	return &closing{cause: err}
}
