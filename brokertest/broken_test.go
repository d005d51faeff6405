package brokertest

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/gohotline/hotline"
	"github.com/gohotline/hotline/internal/membroker"
)

// recorder is a testing.TB that may fail without anybody being hurt.
type recorder struct {
	testing.TB
	mu   sync.Mutex
	said []string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

// broken is a broker with one thing wrong: what is set replaces or changes what a membroker does.
type broken struct {
	hotline.Broker
	publish  func(b hotline.Broker, ctx context.Context, e *hotline.BrokerEntry) (hotline.Position, error)
	follow   func(b hotline.Broker, ctx context.Context, pattern string) (hotline.Position, error)
	unfollow func(b hotline.Broker, pattern string)
	replay   func(b hotline.Broker, ctx context.Context, q hotline.BrokerQuery) (hotline.BrokerPage, error)
	close    func(b hotline.Broker) error
	hub      func(h hotline.BrokerHub) hotline.BrokerHub
	heals    bool // after an interruption it delivers what it has missed; else it says that it may have lost that
}

func (x *broken) Start(ctx context.Context, h hotline.BrokerHub) error {
	if x.hub != nil {
		h = x.hub(h)
	}
	return x.Broker.Start(ctx, h)
}

func (x *broken) Publish(ctx context.Context, e *hotline.BrokerEntry) (hotline.Position, error) {
	if x.publish != nil {
		return x.publish(x.Broker, ctx, e)
	}
	return x.Broker.Publish(ctx, e)
}

func (x *broken) Follow(ctx context.Context, pattern string) (hotline.Position, error) {
	if x.follow != nil {
		return x.follow(x.Broker, ctx, pattern)
	}
	return x.Broker.Follow(ctx, pattern)
}

func (x *broken) Unfollow(pattern string) {
	if x.unfollow != nil {
		x.unfollow(x.Broker, pattern)
	} else {
		x.Broker.Unfollow(pattern)
	}
}

func (x *broken) Replay(ctx context.Context, q hotline.BrokerQuery) (hotline.BrokerPage, error) {
	if x.replay != nil {
		return x.replay(x.Broker, ctx, q)
	}
	return x.Broker.Replay(ctx, q)
}

func (x *broken) Close() error {
	if x.close != nil {
		return x.close(x.Broker)
	}
	return x.Broker.Close()
}

func (x *broken) Cut() { x.Broker.(*membroker.Node).Leave() }

func (x *broken) Mend() { x.Broker.(*membroker.Node).Return(x.heals) }

// feed changes what a hub is told.
type feed struct {
	hotline.BrokerHub
	deliver func(to func(...hotline.BrokerEntry), list []hotline.BrokerEntry)
	values  func(h hotline.BrokerHub, pattern string, values []hotline.BrokerEntry)
	lost    func(pattern string, after, upTo uint64)
	status  func(err error)
}

func (f feed) Deliver(list ...hotline.BrokerEntry) {
	if f.deliver != nil {
		f.deliver(f.BrokerHub.Deliver, list)
	} else {
		f.BrokerHub.Deliver(list...)
	}
}

func (f feed) Lost(pattern string, after, upTo uint64) {
	if f.lost != nil {
		f.lost(pattern, after, upTo)
	} else {
		f.BrokerHub.Lost(pattern, after, upTo)
	}
}

func (f feed) Status(err error) {
	if f.status != nil {
		f.status(err)
	} else {
		f.BrokerHub.Status(err)
	}
}

func (f feed) Values(pattern string, values []hotline.BrokerEntry) {
	if f.values != nil {
		f.values(f.BrokerHub, pattern, values)
	} else {
		f.BrokerHub.Values(pattern, values)
	}
}

func delivering(f func(to func(...hotline.BrokerEntry), list []hotline.BrokerEntry)) func(*broken) {
	return func(x *broken) {
		x.hub = func(h hotline.BrokerHub) hotline.BrokerHub { return feed{BrokerHub: h, deliver: f} }
	}
}

// changing changes every entry that is delivered.
func changing(f func(e *hotline.BrokerEntry)) func(*broken) {
	return delivering(func(to func(...hotline.BrokerEntry), list []hotline.BrokerEntry) {
		for i := range list {
			f(&list[i])
		}
		to(list...)
	})
}

func valuing(f func(h hotline.BrokerHub, pattern string, values []hotline.BrokerEntry)) func(*broken) {
	return func(x *broken) {
		x.hub = func(h hotline.BrokerHub) hotline.BrokerHub { return feed{BrokerHub: h, values: f} }
	}
}

func asking(f func(q *hotline.BrokerQuery)) func(*broken) {
	return func(x *broken) {
		x.replay = func(b hotline.Broker, ctx context.Context, q hotline.BrokerQuery) (hotline.BrokerPage, error) {
			f(&q)
			return b.Replay(ctx, q)
		}
	}
}

func answering(f func(p *hotline.BrokerPage)) func(*broken) {
	return func(x *broken) {
		x.replay = func(b hotline.Broker, ctx context.Context, q hotline.BrokerQuery) (hotline.BrokerPage, error) {
			p, err := b.Replay(ctx, q)
			f(&p)
			return p, err
		}
	}
}

func publishing(f func(b hotline.Broker, ctx context.Context, e *hotline.BrokerEntry) (hotline.Position, error)) func(*broken) {
	return func(x *broken) { x.publish = f }
}
