package hotline

import (
	"context"

	"github.com/gohotline/hotline/internal/eventlog"
)

// feed is what joins a hub to its Broker. Without one it does nothing.
type feed struct{ h *Hub }

func newFeed(h *Hub) *feed { return &feed{h} }

// follow makes the feed carry the topics that match pattern, and calls then with the position from which on it does.
func (f *feed) follow(_ context.Context, pattern string, then func(from eventlog.Pos)) error {
	then(eventlog.Pos{})
	return nil
}

func (f *feed) unfollow(pattern string) {}

func (f *feed) publish(ctx context.Context, p publication) (eventlog.Pos, error) {
	return eventlog.Pos{}, nil
}

func (f *feed) kick(ctx context.Context, user string, code int, reason string) error { return nil }
