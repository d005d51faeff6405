package brokertest

import (
	"context"
	"crypto/rand"
	"errors"
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
		{"interruption/events", "forgotten", func(x *broken) {
			x.hub = func(h hotline.BrokerHub) hotline.BrokerHub {
				return feed{BrokerHub: h, lost: func(string, uint64, uint64) {}}
			}
		}},
		{"interruption/events", "a range too short", func(x *broken) {
			x.hub = func(h hotline.BrokerHub) hotline.BrokerHub {
				return feed{BrokerHub: h, lost: func(p string, after, upTo uint64) { h.Lost(p, after+1, upTo) }}
			}
		}},
		{"interruption/events", "all again", func(x *broken) {
			x.heals = true
			var all []hotline.BrokerEntry
			delivering(func(to func(...hotline.BrokerEntry), list []hotline.BrokerEntry) {
				if all = append(all, list...); len(all) > 10 {
					list = slices.Clone(all)
				}
				to(list...)
			})(x)
		}},
		{"interruption/values", "of the start alone", func(x *broken) {
			said := make(map[string]bool)
			valuing(func(h hotline.BrokerHub, p string, list []hotline.BrokerEntry) {
				if !said[p] {
					h.Values(p, list)
				}
				said[p] = true
			})(x)
		}},
		{"interruption/status", "silent", func(x *broken) {
			x.hub = func(h hotline.BrokerHub) hotline.BrokerHub { return feed{BrokerHub: h, status: func(error) {}} }
		}},
		{"interruption/status", "for good", func(x *broken) {
			x.hub = func(h hotline.BrokerHub) hotline.BrokerHub {
				return feed{BrokerHub: h, status: func(err error) {
					if err != nil {
						h.Status(err)
					}
				}}
			}
		}},
		{"interruption/calls", "wait for the server", func(x *broken) {
			x.follow = func(b hotline.Broker, ctx context.Context, p string) (hotline.Position, error) {
				return b.Follow(context.WithoutCancel(ctx), p)
			}
		}},
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
		for _, heals := range []bool{false, true} {
			if said := record(t, c, func(x *broken) { x.heals = heals }); len(said) > 0 {
				t.Errorf("%s fails without sabotage: %q", c.name, said)
			}
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
