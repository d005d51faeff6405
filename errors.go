package hotline

import (
	"errors"
	"fmt"
)

// One error for each decision that a caller has to make. Test for them with [errors.Is]. A hook wraps one of them to
// tell a client why:
//
//	fmt.Errorf("%w: only members write here", hotline.ErrDenied)
var (
	ErrClosed  = errors.New("hotline: closed")        // stop: the hub, client or connection has ended
	ErrDenied  = errors.New("hotline: denied")        // do not retry: not allowed, or not authenticated
	ErrInvalid = errors.New("hotline: invalid")       // do not retry: malformed topic, payload, or too large
	ErrLimit   = errors.New("hotline: limit reached") // retry later: rate, subscriptions, State topics, window

	ErrUncertain = errors.New("hotline: may have been stored") // a publish whose answer is lost: a retry with the same key is safe
	ErrPosition  = errors.New("hotline: unknown position")     // of a Broker: it can't show that the entry there is the one named
)

// CloseError says that and why the peer closed a connection (RFC 6455 §7.4).
type CloseError struct {
	Code   int    // 1000–4999; PROTOCOL.md lists those that hotline itself uses
	Reason string // at most 123 bytes
}

// Error returns code and reason.
func (e *CloseError) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("hotline: closed by the peer with code %d", e.Code)
	}
	return fmt.Sprintf("hotline: closed by the peer with code %d: %s", e.Code, e.Reason)
}
