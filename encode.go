package hotline

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/gohotline/hotline/internal/wire"
)

// maxMessage bounds one payload published by server code. What clients publish is bounded by Limits.MessageBytes.
const maxMessage = 1 << 20

// payload is an encoded message.
type payload struct {
	data   []byte
	binary bool
}

// null reports whether it is what clears a State topic.
func (p payload) null() bool { return !p.binary && bytes.Equal(p.data, null) }

var null = []byte("null")

// encode encodes what Publish was given.
func encode(v any) (payload, error) {
	p := payload{}
	switch v := v.(type) {
	case nil:
		return payload{data: null}, nil
	case Binary:
		p = payload{data: v, binary: true}
	case []byte:
		p.data = v
	case json.RawMessage:
		p.data = v
	default:
		data, err := json.Marshal(v)
		if err != nil {
			return payload{}, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		p.data = data
	}
	if len(p.data) > maxMessage {
		return payload{}, tooLarge("the message has %d bytes, the limit is %d", len(p.data), maxMessage)
	}
	if !p.binary {
		// A byte that is not UTF-8 would make browsers drop the connection, and the log would repeat it to each of
		// them, for ever. json.Valid does not see it.
		if err := wire.CheckJSON(p.data); err != nil {
			return payload{}, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
	return p, nil
}
