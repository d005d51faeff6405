package brokertest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gohotline/hotline"
	"github.com/gohotline/hotline/internal/leak"
	"github.com/gohotline/hotline/internal/membroker"
)

func TestMain(m *testing.M) { leak.Main(m) }

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

// feed changes what a hub is told.
type feed struct {
	hotline.BrokerHub
	deliver func(to func(...hotline.BrokerEntry), list []hotline.BrokerEntry)
	values  func(h hotline.BrokerHub, pattern string, values []hotline.BrokerEntry)
}

func (f feed) Deliver(list ...hotline.BrokerEntry) {
	if f.deliver != nil {
		f.deliver(f.BrokerHub.Deliver, list)
	} else {
		f.BrokerHub.Deliver(list...)
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

// Each promise is broken in some way, and the check of that name must see it.
func TestSabotage(t *testing.T) {
	seen := make(map[string]bool)
	for _, tt := range []struct {
		check, what string
		sabotage    func(x *broken)
	}{
		{"deliver/order", "swapped", func(x *broken) {
			var held []hotline.BrokerEntry
			delivering(func(to func(...hotline.BrokerEntry), list []hotline.BrokerEntry) {
				if held = append(list, held...); len(held) > 1 {
					to(held...)
					held = nil
				}
			})(x)
		}},
		{"deliver/order", "twice", delivering(func(to func(...hotline.BrokerEntry), list []hotline.BrokerEntry) {
			to(list...)
			to(list...)
		})},
		{"deliver/order", "not at all", func(x *broken) {
			n := 0
			delivering(func(to func(...hotline.BrokerEntry), list []hotline.BrokerEntry) {
				if n++; n%10 != 0 {
					to(list...)
				}
			})(x)
		}},
		{"deliver/order", "wrong prev", changing(func(e *hotline.BrokerEntry) { e.Prev = e.Seq - 1 })},
		{"deliver/order", "two at a time", delivering(func(to func(...hotline.BrokerEntry), list []hotline.BrokerEntry) {
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() { to(list...) })
			}
			wg.Wait()
		})},
		{"deliver/fields", "no sender", changing(func(e *hotline.BrokerEntry) { e.From = "" })},
		{"deliver/fields", "no node", changing(func(e *hotline.BrokerEntry) { e.Node = "" })},
		{"deliver/fields", "text", changing(func(e *hotline.BrokerEntry) { e.Binary = false })},
		{"deliver/fields", "not gone", changing(func(e *hotline.BrokerEntry) { e.Gone = false })},
		{"deliver/fields", "its own time", changing(func(e *hotline.BrokerEntry) { e.Time = e.Time.Add(time.Minute) })},
		{"deliver/fields", "no dollars", delivering(func(to func(...hotline.BrokerEntry), list []hotline.BrokerEntry) {
			to(slices.DeleteFunc(list, func(e hotline.BrokerEntry) bool { return strings.HasPrefix(e.Topic, "$") })...)
		})},
		{"deliver/state", "no order", changing(func(e *hotline.BrokerEntry) { e.Seq = 1 })},
		{"deliver/state", "replayed", answering(func(p *hotline.BrokerPage) { p.Entries = append(p.Entries, hotline.BrokerEntry{}) })},
		{"deliver/signals", "with a position", changing(func(e *hotline.BrokerEntry) { e.Seq = 7 })},
		{"deliver/signals", "replayed", answering(func(p *hotline.BrokerPage) { p.Entries = append(p.Entries, hotline.BrokerEntry{}) })},
		{"deliver/blocked hub", "a queue that drops", func(x *broken) {
			n := 0
			delivering(func(to func(...hotline.BrokerEntry), list []hotline.BrokerEntry) {
				if n++; n < 50 {
					to(list...)
				}
			})(x)
		}},
		{"publish/position", "another one", publishing(func(b hotline.Broker, ctx context.Context, e *hotline.BrokerEntry) (hotline.Position, error) {
			p, err := b.Publish(ctx, e)
			p.Seq++
			return p, err
		})},
		{"publish/position", "a tag of its own", publishing(func(b hotline.Broker, ctx context.Context, e *hotline.BrokerEntry) (hotline.Position, error) {
			own := *e
			own.Tag = 99
			return b.Publish(ctx, &own)
		})},
		{"publish/key", "ignored", publishing(func(b hotline.Broker, ctx context.Context, e *hotline.BrokerEntry) (hotline.Position, error) {
			own := *e
			own.Key = rand.Text()
			return b.Publish(ctx, &own)
		})},
		{"publish/key", "of each node", func(x *broken) {
			node := rand.Text()
			publishing(func(b hotline.Broker, ctx context.Context, e *hotline.BrokerEntry) (hotline.Position, error) {
				own := *e
				own.Key += node
				return b.Publish(ctx, &own)
			})(x)
		}},
		{"publish/happens before", "numbers from a cache", publishing(func(b hotline.Broker, ctx context.Context, e *hotline.BrokerEntry) (hotline.Position, error) {
			p, err := b.Publish(ctx, e)
			p.Seq ^= 3
			return p, err
		})},
		{"publish/no reference kept", "kept", func(x *broken) {
			// A broker that keeps what it was given stores what the hub has made of it by then.
			answering(func(p *hotline.BrokerPage) {
				for i := range p.Entries {
					p.Entries[i].Data = make([]byte, len(p.Entries[i].Data))
				}
			})(x)
		}},
		{"publish/no reference kept", "delivered late", changing(func(e *hotline.BrokerEntry) { e.Data = make([]byte, len(e.Data)) })},
		{"follow/exact", "too early", func(x *broken) {
			var mu sync.Mutex
			deaf := time.Now().Add(time.Hour)
			x.follow = func(b hotline.Broker, ctx context.Context, pattern string) (hotline.Position, error) {
				p, err := b.Follow(ctx, pattern)
				mu.Lock()
				deaf = time.Now().Add(5 * time.Millisecond)
				mu.Unlock()
				return p, err
			}
			delivering(func(to func(...hotline.BrokerEntry), list []hotline.BrokerEntry) {
				mu.Lock()
				skip := time.Now().Before(deaf)
				mu.Unlock()
				if !skip {
					to(list...)
				}
			})(x)
		}},
		{"follow/exact", "a position of nothing", func(x *broken) {
			x.follow = func(b hotline.Broker, ctx context.Context, pattern string) (hotline.Position, error) {
				p, err := b.Follow(ctx, pattern)
				p.Tag++
				return p, err
			}
		}},
		{"follow/delivered up to there", "round trip to the server alone", func(x *broken) {
			delivering(func(to func(...hotline.BrokerEntry), list []hotline.BrokerEntry) {
				time.AfterFunc(10*time.Millisecond, func() { to(list...) })
			})(x)
			x.close = func(b hotline.Broker) error {
				err := b.Close()
				time.Sleep(20 * time.Millisecond) // for the timers above
				return err
			}
		}},
		{"follow/values first", "never", valuing(func(hotline.BrokerHub, string, []hotline.BrokerEntry) {})},
		{"follow/values first", "not all", valuing(func(h hotline.BrokerHub, p string, list []hotline.BrokerEntry) {
			h.Values(p, list[:max(len(list)-1, 0)])
		})},
		{"follow/values first", "what was cleared", func(x *broken) {
			var old []hotline.BrokerEntry
			valuing(func(h hotline.BrokerHub, p string, list []hotline.BrokerEntry) {
				if len(old) < len(list) {
					old = list
				}
				h.Values(p, old)
			})(x)
		}},
		{"follow/again", "delivered for each", delivering(func(to func(...hotline.BrokerEntry), list []hotline.BrokerEntry) {
			to(list...)
			to(list...)
		})},
		{"follow/again", "back", func(x *broken) {
			n := uint64(100)
			x.follow = func(b hotline.Broker, ctx context.Context, pattern string) (hotline.Position, error) {
				p, err := b.Follow(ctx, pattern)
				n--
				p.Seq = n
				return p, err
			}
		}},
		{"unfollow", "the others too", func(x *broken) {
			x.unfollow = func(b hotline.Broker, p string) {
				for _, rest := range []string{"*", "1"} {
					b.Unfollow(strings.TrimSuffix(p, "*") + rest)
				}
			}
		}},
		{"unfollow", "for good", func(x *broken) {
			gone := make(map[string]bool)
			x.unfollow = func(b hotline.Broker, p string) {
				gone[p] = true
				b.Unfollow(p)
			}
			x.follow = func(b hotline.Broker, ctx context.Context, p string) (hotline.Position, error) {
				if gone[p] {
					return hotline.Position{}, nil
				}
				return b.Follow(ctx, p)
			}
		}},
		{"replay/pages", "more than asked for", asking(func(q *hotline.BrokerQuery) { q.Limit *= 2 })},
		{"replay/pages", "cut short", answering(func(p *hotline.BrokerPage) { p.More = false })},
		{"replay/pages", "any size", asking(func(q *hotline.BrokerQuery) { q.MaxBytes = 1 << 20 })},
		{"replay/pages", "nothing if it does not fit", answering(func(p *hotline.BrokerPage) {
			if len(p.Entries) == 1 {
				p.Entries = nil
			}
		})},
		{"replay/pages", "lost", answering(func(p *hotline.BrokerPage) { p.Lost = true })},
		{"replay/range", "one pattern", asking(func(q *hotline.BrokerQuery) { q.Patterns = q.Patterns[:1] })},
		{"replay/range", "each pattern", answering(func(p *hotline.BrokerPage) { p.Entries = append(p.Entries, p.Entries...) })},
		{"replay/range", "no after", asking(func(q *hotline.BrokerQuery) { q.After = hotline.Position{} })},
		{"replay/range", "no end", asking(func(q *hotline.BrokerQuery) { q.UpTo = 1 << 60 })},
		{"replay/range", "one missing", answering(func(p *hotline.BrokerPage) { p.Entries = p.Entries[:max(len(p.Entries)-1, 0)] })},
		{"replay/last", "all", asking(func(q *hotline.BrokerQuery) { q.After, q.Last = hotline.Position{}, 0 })},
		{"replay/last", "newest first", answering(func(p *hotline.BrokerPage) { slices.Reverse(p.Entries) })},
		{"replay/unknown position", "never", func(x *broken) {
			x.replay = func(b hotline.Broker, ctx context.Context, q hotline.BrokerQuery) (hotline.BrokerPage, error) {
				p, err := b.Replay(ctx, q)
				if errors.Is(err, hotline.ErrPosition) {
					err = nil
				}
				return p, err
			}
		}},
		{"replay/what another node stored", "a replica", func(x *broken) {
			x.replay = func(b hotline.Broker, ctx context.Context, q hotline.BrokerQuery) (hotline.BrokerPage, error) {
				q.UpTo--
				return b.Replay(ctx, q)
			}
		}},
		{"context", "ignored", func(x *broken) {
			x.follow = func(b hotline.Broker, ctx context.Context, p string) (hotline.Position, error) {
				if ctx.Err() != nil {
					time.Sleep(time.Second)
				}
				return b.Follow(ctx, p)
			}
		}},
		{"context", "stored all the same", publishing(func(b hotline.Broker, ctx context.Context, e *hotline.BrokerEntry) (hotline.Position, error) {
			p, err := b.Publish(context.WithoutCancel(ctx), e)
			if err == nil {
				err = ctx.Err()
			}
			return p, err
		})},
		{"close", "goes on", func(x *broken) {
			var b hotline.Broker
			x.close = func(inner hotline.Broker) error {
				b = inner
				time.AfterFunc(200*time.Millisecond, func() { b.Close() })
				return nil
			}
		}},
	} {
		seen[tt.check] = true
		t.Run(tt.check+"/"+tt.what, func(t *testing.T) {
			i := slices.IndexFunc(checks, func(c check) bool { return c.name == tt.check })
			said := record(t, checks[i], tt.sabotage)
			if len(said) == 0 {
				t.Error("nobody sees it")
			} else {
				t.Log(said[0])
			}
		})
	}
	for _, c := range checks {
		if !seen[c.name] {
			t.Errorf("%s was never seen to fail", c.name)
		}
		if said := record(t, c, func(*broken) {}); len(said) > 0 {
			t.Errorf("%s fails without sabotage: %q", c.name, said)
		}
	}
}

// record runs a check against brokers of one store that are sabotaged.
func record(t *testing.T, c check, sabotage func(*broken)) []string {
	s := membroker.New(membroker.Options{})
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		k := &kit{t: r, ctx: ctx, name: "brokertest-" + randomText(), patience: 300 * time.Millisecond, newBroker: func(testing.TB) hotline.Broker {
			x := &broken{Broker: s.Node()}
			sabotage(x)
			return x
		}}
		defer k.close()
		c.f(k)
	}()
	<-done
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.said
}
