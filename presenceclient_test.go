package hotline

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/gohotline/hotline/internal/memnet"
	"github.com/gohotline/hotline/internal/wire"
)

// presenceHub is a hub with Presence topics, on which "forbidden" may not be published.
func presenceHub(t *testing.T) *world {
	return newWorld(t, &HubOptions{Topics: map[string]TopicOptions{"here.*": {Delivery: Presence,
		OnPublish: func(_ context.Context, _ *Conn, m *Message) error {
			if string(m.Data) == `"forbidden"` {
				return fmt.Errorf("%w: that", ErrDenied)
			}
			return nil
		}}}})
}

func (w *world) wantCurrent(want string) {
	w.t.Helper()
	synctest.Wait()
	if got := w.current("here.*"); got != want {
		w.t.Errorf("there is %q, want %q", got, want)
	}
}

// away cuts a client's connection and lets it come back after longer than a value lingers.
func away(link *memnet.Link, d time.Duration) {
	link.Blackhole()
	link.Cut()
	time.Sleep(d)
	link.Heal()
	time.Sleep(time.Minute)
}

// What a client holds it publishes again when it is back, until it gives it up.
func TestPresenceHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := presenceHub(t)
		c, link := w.connect(nil)
		publish := func(topic string, v any) {
			t.Helper()
			if err := c.Publish(context.Background(), topic, v); err != nil {
				t.Error(err)
			}
		}
		data := []byte(`"busy"`)
		publish("here.ada", data)
		copy(data, `"lazy"`) // it is the caller's again
		publish("here.bob", "free")
		publish("here.eve", Binary("\x00\n"))
		w.wantCurrent("here.ada \"busy\" here.bob \"free\" here.eve \x00\n ")
		link.Blackhole()
		link.Cut()
		time.Sleep(time.Minute)
		w.wantCurrent("")
		link.Heal()
		time.Sleep(time.Minute)
		w.wantCurrent("here.ada \"busy\" here.bob \"free\" here.eve \x00\n ")
		publish("here.bob", nil)
		publish("here.ada", "gone fishing")
		w.wantCurrent("here.eve \x00\n here.ada \"gone fishing\" ")
		for range 3 {
			away(link, time.Minute)
			w.wantCurrent("here.eve \x00\n here.ada \"gone fishing\" ")
		}
		link.Cut() // a short absence does not show
		time.Sleep(20 * time.Second)
		w.wantCurrent("here.eve \x00\n here.ada \"gone fishing\" ")
		c.Close()
		time.Sleep(time.Minute)
		w.wantCurrent("")
	})
}

// A publish that is unanswered when the connection ends is newer than what is held, and is the one that is repeated. If
// it is refused, or was never sent, the old value is still held.
func TestPresenceUnanswered(t *testing.T) {
	for _, tt := range []struct {
		name  string
		after func(c *Client, link *memnet.Link) error // what happens once "busy" is held
		want  string
		err   error
	}{
		{"newer", func(c *Client, link *memnet.Link) error {
			return c.Publish(context.Background(), "here.ada", "free")
		}, `here.ada "free" `, nil},
		{"given up", func(c *Client, link *memnet.Link) error {
			return c.Publish(context.Background(), "here.ada", nil)
		}, "", nil},
		{"refused", func(c *Client, link *memnet.Link) error {
			return c.Publish(context.Background(), "here.ada", "forbidden")
		}, `here.ada "busy" `, ErrDenied},
		{"too late", func(c *Client, link *memnet.Link) error {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			return c.Publish(ctx, "here.ada", "free")
		}, `here.ada "busy" `, context.DeadlineExceeded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := presenceHub(t)
				c, link := w.connect(nil)
				if err := c.Publish(context.Background(), "here.ada", "busy"); err != nil {
					t.Fatal(err)
				}
				link.Blackhole()
				link.Cut()
				synctest.Wait()
				var sent sync.WaitGroup
				sent.Go(func() {
					if err := tt.after(c, link); !errors.Is(err, tt.err) {
						t.Error(err)
					}
				})
				time.Sleep(time.Minute)
				link.Heal()
				sent.Wait()
				for range 2 {
					time.Sleep(time.Minute)
					w.wantCurrent(tt.want)
					away(link, time.Minute)
				}
			})
		})
	}
}

// A newer value whose answer is lost may have been stored: the older one must not come back after it, and what was given up
// must not come back at all.
func TestPresenceUncertain(t *testing.T) {
	for _, tt := range []struct {
		v    any
		want string
	}{{"free", `here.ada "free" `}, {nil, ""}} {
		synctest.Test(t, func(t *testing.T) {
			w := presenceHub(t)
			c, link := w.connect(nil)
			if err := c.Publish(context.Background(), "here.ada", "busy"); err != nil {
				t.Fatal(err)
			}
			link.Stall() // it is stored, its answer does not arrive
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			if err := c.Publish(ctx, "here.ada", tt.v); !errors.Is(err, ErrUncertain) {
				t.Fatal(err)
			}
			w.wantCurrent(tt.want)
			for range 2 {
				away(link, time.Second)
				w.wantCurrent(tt.want)
				away(link, time.Minute)
				w.wantCurrent(tt.want)
			}
		})
	}
}

// Each repetition has a key of its own, comes after what is unanswered, and ends when the hub refuses it for good or has
// closed the connection over it twice, which is logged.
func TestPresenceRepetition(t *testing.T) {
	for _, how := range []string{"held", "refused", "closed"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var j journal
				var mu sync.Mutex
				var got []string
				keys := make(map[string]int)
				f := newFake(t, 1000, func(i int, w http.ResponseWriter, r *http.Request) {
					ws := accept(t, w, r, plainWelcome)
					pubs(ws, func(req wire.Request, say func(string, ...any)) bool {
						mu.Lock()
						defer mu.Unlock()
						got = append(got, fmt.Sprintf("%d %s", i, req.Topic))
						keys[req.Key]++
						switch {
						case req.Topic == "lost" && i == 0:
							return false
						case req.Topic == "here.ada" && i > 0 && how == "refused":
							say(`{"op":"err","ref":%d,"code":"denied"}`, req.Ref)
						case req.Topic == "here.ada" && i > 0 && how == "closed":
							ws.Close(websocket.StatusInternalError, "")
							return false
						default:
							say(`{"op":"ok","ref":%d,"id":"1.1"%s}`, req.Ref, map[bool]string{true: `,"held":true`}[req.Topic == "here.ada"])
						}
						return true
					})
				})
				link := f.net.Link()
				opts := f.options(link)
				opts.Logger = j.logger()
				c, err := Dial(context.Background(), "ws://hub/", opts)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				for _, topic := range []string{"here.ada", "lost"} {
					if err := c.Publish(context.Background(), topic, 1); err != nil {
						t.Error(err)
					}
				}
				time.Sleep(5 * time.Minute)
				link.Cut()
				time.Sleep(5 * time.Minute)
				mu.Lock()
				defer mu.Unlock()
				want := map[string]string{
					"held":    "0 here.ada,0 lost,1 lost,1 here.ada,2 here.ada",
					"refused": "0 here.ada,0 lost,1 lost,1 here.ada",
					"closed":  "0 here.ada,0 lost,1 lost,1 here.ada,2 here.ada",
				}[how]
				if s := strings.Join(got, ","); s != want || len(keys) != len(got)-1 {
					t.Errorf("got %s with %d keys", s, len(keys))
				}
				if logged := strings.Contains(j.String(), "here.ada"); logged == (how == "held") {
					t.Errorf("the log: %s", &j)
				}
			})
		})
	}
}
