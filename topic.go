package hotline

import (
	"context"
	"fmt"

	"github.com/gohotline/hotline/internal/pattern"
)

// Topic is a topic, or a family of topics by pattern, whose payload is a T. It is a value: declare it once, in a
// package that its publishers and subscribers share. It is safe for concurrent use.
type Topic[T any] struct {
	pattern string
	err     error // of With
}

// NewTopic declares a topic such as "news" or a family such as "orders.*". It panics on a malformed pattern.
func NewTopic[T any](pattern string) Topic[T] {
	if err := checkPattern(pattern); err != nil {
		panic(err)
	}
	return Topic[T]{pattern: pattern}
}

// With fills the first wildcards of the pattern with params, each escaped to one segment: NewTopic[T]("orders.*").With("42")
// is "orders.42". A final > takes one. With more params than wildcards, or if the topic gets too long, the result is
// invalid, and so is publishing and subscribing to it.
func (t Topic[T]) With(params ...string) Topic[T] {
	if t.err != nil {
		return t
	}
	filled, err := pattern.Fill(t.pattern, params...)
	if err == nil {
		err = checkPattern(filled)
	}
	if err != nil {
		return Topic[T]{pattern: t.pattern, err: fmt.Errorf("%w: %w", ErrInvalid, err)}
	}
	return Topic[T]{pattern: filled}
}

// Params is the inverse of With: what stands in topic for the wildcards of the pattern, or nil if it does not match.
func (t Topic[T]) Params(topic string) []string { return pattern.Params(t.pattern, topic) }

// String is the topic or pattern, as HubOptions.Topics and [Allow] take it.
func (t Topic[T]) String() string { return t.pattern }

// Publish publishes v. A topic with wildcards left is [ErrInvalid]; the other errors are p's.
func (t Topic[T]) Publish(ctx context.Context, p Publisher, v T) error {
	if t.err != nil {
		return t.err
	}
	return p.Publish(ctx, t.pattern, v)
}

// Subscribe subscribes to the topic, or to all that the remaining wildcards match. Decode what you get with Decode.
func (t Topic[T]) Subscribe(ctx context.Context, s Subscriber, opts *SubscribeOptions) (*Subscription, error) {
	if t.err != nil {
		return nil, t.err
	}
	return s.Subscribe(ctx, t.pattern, opts)
}

// Decode returns the payload of m; of a value that is gone the zero T. It is a function of its own, so that one bad
// payload is not mistaken for the end of a stream. The error wraps [ErrInvalid].
func (t Topic[T]) Decode(m Message) (v T, err error) {
	if m.Data == nil && !m.Binary {
		return v, nil
	}
	err = m.Decode(&v)
	return v, err
}
