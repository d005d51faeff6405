package hotline

import (
	"context"
	"encoding/json"
	"fmt"
)

// Message is one message of a topic.
type Message struct {
	Topic    string
	ID       string // its position, opaque; for SubscribeOptions.After. Empty for Signals and Conn.Send
	From     string // user of the client that published it, as authenticated; empty: server code or anonymous
	Data     []byte // JSON, or any bytes if Binary; nil: the value of a State or Presence topic is gone. Shared between readers: do not change it
	Binary   bool
	Missed   int  // messages of this subscription lost just before this one: at least so many, and exact where the hub can count
	Replayed bool // history that Replay asked for, or a State value that was there before the subscription
}

// Decode decodes JSON into v, as json.Unmarshal does, or copies a Binary payload to a *Binary. The error names topic and ID.
func (m *Message) Decode(v any) error {
	if b, ok := v.(*Binary); ok {
		if !m.Binary {
			return fmt.Errorf("%w: message %q of topic %q is JSON, not Binary", ErrInvalid, m.ID, m.Topic)
		}
		*b = append((*b)[:0], m.Data...)
		return nil
	}
	if m.Binary {
		return fmt.Errorf("%w: message %q of topic %q is Binary, not JSON", ErrInvalid, m.ID, m.Topic)
	}
	data := m.Data
	if data == nil {
		data = null
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%w: message %q of topic %q: %w", ErrInvalid, m.ID, m.Topic, err)
	}
	return nil
}

// Binary is a payload that travels as bytes: published as such, not as JSON. In JavaScript it is a Uint8Array.
type Binary []byte

// SubscribeOptions configures one subscription. Nil and zero: from now on.
type SubscribeOptions struct {
	// Replay asks for up to so many earlier messages of each topic, as far as TopicOptions.Keep or the log reach.
	Replay int
	// After continues after the message with this ID, saved by an earlier process. If that is too long ago the
	// first message has Missed set, or Resync is called.
	After string
	// Resync loads a snapshot: at the start unless After could be honoured, and after each gap, before later messages are
	// handed out. It runs inside Next; its ctx is done also when the subscription is closed. An error that wraps [ErrDenied]
	// ends the reading; after any other it is called again, while there is a hub or client to read from. It returns the position of the snapshot, the ID of the last message that is in it or what
	// Position said, and reading continues there; or "" to continue with whatever was published since Resync was
	// called, which joins without a loss only if the snapshot's store is written before Publish, and may repeat messages.
	Resync func(ctx context.Context) (after string, err error)
}

// Publisher publishes: a *Hub, a *Client, a *Conn, or what Once returns.
type Publisher interface {
	Publish(ctx context.Context, topic string, v any) error
}

// Subscriber subscribes: a *Hub or a *Client.
type Subscriber interface {
	Subscribe(ctx context.Context, topic string, opts *SubscribeOptions) (*Subscription, error)
}
