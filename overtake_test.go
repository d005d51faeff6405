package hotline

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gohotline/hotline/internal/wire"
)

// turnover is a hub with a broker and a log of five messages that are larger than what the network takes of them.
type turnover struct {
	*cluster
	big            string
	start, newestA string // positions before everything, and of chat.a
}

func newTurnover(t *testing.T, o *HubOptions) *turnover {
	o.Limits = Limits{PingInterval: calm.PingInterval, LogBytes: 1 << 20}
	c := &turnover{cluster: newCluster(t, 1, TestStoreOptions{}, o), big: strings.Repeat("x", 200<<10)}
	for _, topic := range []string{"chat.a", "chat.b", "chat.c", "filler"} {
		sub, err := c.hub.Subscribe(t.Context(), topic, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { sub.Close() })
	}
	position := func() string {
		synctest.Wait()
		return c.hub.Position()
	}
	c.publish("filler", 0)
	c.start = position()
	c.publish("chat.b", c.big)
	c.publish("chat.a", 0)
	c.newestA = position()
	c.publish("chat.c", 0)
	synctest.Wait()
	return c
}

// frames says hello, turns the log over while the connection is busy with its first message, and returns what it is sent.
func (c *turnover) frames(hello string) (frames []string) {
	cl := c.dial(nil, wire.Protocol)
	cl.link.Stall()
	cl.send(hello)
	time.Sleep(2 * time.Second) // OnConnect may take one
	c.publish("chat.a", "lost")
	for range 8 {
		c.publish("filler", c.big)
	}
	synctest.Wait()
	cl.link.Heal()
	synctest.Wait()
	topics := []string{"chat.a", "chat.b", "chat.c"}
	for _, topic := range topics {
		c.publish(topic, "end")
	}
	for ends := 0; ends < len(topics); {
		f := cl.next()
		if len(f.Data) > 100 {
			f.Data = []byte("big")
		}
		if frames = append(frames, brief(f)); string(f.Data) == `"end"` {
			ends++
		}
	}
	return frames
}

// With a broker, where something joins a connection ahead of it and the log has turned over meanwhile, nobody is told of a loss twice.
func TestJoinAheadIsOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTurnover(t, &HubOptions{})
		frames := c.frames(fmt.Sprintf(`{"op":"hello","subs":[{"sub":1,"topic":"chat.a","after":%q},{"sub":2,"topic":"chat.b","after":%q},`+
			`{"sub":3,"topic":"chat.c"}]}`, c.newestA, c.start))
		gaps := slices.DeleteFunc(slices.Clone(frames), func(f string) bool { return !strings.Contains(f, "gap") })
		if want := []string{"gap [1] away"}; !slices.Equal(gaps, want) {
			t.Errorf("%q, want the gaps %q", frames, want)
		}
	})
}

// What the server subscribed has no position but the connection's. If that goes past it with a hole, it is told of one too.
func TestPushedIsOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c *turnover
		c = newTurnover(t, &HubOptions{
			OnConnect: func(_ context.Context, conn *Conn) {
				_ = conn.Subscribe("chat.a")
				_ = conn.Subscribe("chat.b")
				_ = conn.Subscribe("chat.c")
				_ = conn.Send("big", c.big)
				time.Sleep(time.Second) // it is being written
			},
			AuthorizeHistory: func(_ context.Context, _ *Conn, topic string, _ time.Time) error {
				if topic == "chat.a" {
					return nil
				}
				return ErrDenied // so it begins ahead
			},
		})
		frames := c.frames(fmt.Sprintf(`{"op":"hello","after":%q}`, c.newestA))
		at := slices.Index(frames, "gap [-1] away")
		if at < 0 || !strings.HasPrefix(frames[at+1], "-2: gap [-2]") || !strings.HasPrefix(frames[at+2], "-3: gap [-3]") {
			t.Fatalf("%q, want a gap of -1, and at once that of the others", frames)
		}
		for _, f := range frames[at+1:] { // and each once
			if strings.Contains(f, "gap [-1]") || slices.Index(frames, f) != slices.Index(frames[at+1:], f)+at+1 {
				t.Errorf("%q: %q is told twice", frames, f)
			}
		}
	})
}
