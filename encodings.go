package hotline

import (
	"encoding/json"

	"github.com/gohotline/hotline/internal/eventlog"
	"github.com/gohotline/hotline/internal/frame"
)

// plainFrame is what a plain connection gets of a message: the payload alone. A JSON string goes as the text that it
// holds, other JSON as it is, a value that is gone as null.
func plainFrame(e *eventlog.Entry) []byte {
	data, op := e.Payload(), frame.Text
	switch {
	case e.Binary:
		op = frame.Binary
	case data == nil:
		data = null
	case len(data) > 0 && data[0] == '"':
		var s string
		if json.Unmarshal(data, &s) == nil {
			data = []byte(s)
		}
	}
	return appendFrame(make([]byte, 0, len(data)+frame.MaxHeader), op, data)
}

// deflateFrom is the size from which on a message is deflated.
const deflateFrom = 256

// deflated is the frame of a message for connections that agreed on compression (RFC 7692).
func (h *Hub) deflated(e *eventlog.Entry) []byte {
	body := e.Body()
	if len(body) < deflateFrom {
		return e.Frame
	}
	z := h.deflater.Append(make([]byte, 0, len(body)/2), body)
	if len(z) >= len(body) {
		return e.Frame
	}
	op := frame.Text
	if e.Binary {
		op = frame.Binary
	}
	return append(frame.AppendHeader(make([]byte, 0, len(z)+frame.MaxHeader), op, len(z), true), z...)
}
