package hotline

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gohotline/hotline/internal/memnet"
)

// cutter cuts a link once so many bytes have passed in one direction; the bytes before that arrive.
type cutter struct {
	link *memnet.Link

	mu    sync.Mutex
	left  int // bytes until the cut; negative: there is none
	down  bool
	count int // bytes that have passed since it was set
}

func (x *cutter) set(after int, down bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.left, x.down, x.count = after, down, 0
}

func (x *cutter) passed() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.count
}

// pass is how many of n bytes may pass in a direction.
func (x *cutter) pass(n int, down bool) (may int, cut bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if down != x.down {
		return n, false
	}
	if x.left >= 0 && n >= x.left {
		n, cut = x.left, true
		x.left = -1
	} else if x.left >= 0 {
		x.left -= n
	}
	x.count += n
	return n, cut
}

func (x *cutter) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	nc, err := x.link.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &cutConn{nc, x}, nil
}

type cutConn struct {
	net.Conn
	x *cutter
}

func (c *cutConn) Write(p []byte) (int, error) {
	may, cut := c.x.pass(len(p), false)
	n, err := c.Conn.Write(p[:may])
	if cut {
		time.Sleep(time.Millisecond) // in a bubble: until the hub has done what it can with that
		c.x.link.Cut()
		n, err = c.Conn.Write(p[n:])
	}
	return n, err
}

func (c *cutConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	may, cut := c.x.pass(n, true)
	if cut {
		time.Sleep(time.Millisecond)
		c.x.link.Cut()
		if may == 0 {
			return c.Conn.Read(p)
		}
	}
	return may, err
}

// Row 24 of the failure table: publishes are cut at every byte of what goes up and of what comes down, on the first
// connection or on the next, where they are sent again. Each is stored once, and in the order in which they were made.
func TestPublishCutAtEveryByte(t *testing.T) {
	for _, down := range []bool{false, true} {
		for _, again := range []bool{false, true} {
			t.Run(fmt.Sprintf("down=%t/again=%t", down, again), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, &HubOptions{Limits: Limits{PublishRate: -1}})
					step := 1
					if testing.Short() || raceEnabled {
						step = 7
					}
					total := publishCut(t, w, -1, down, again)
					if total < 100 {
						t.Fatalf("only %d bytes pass", total)
					}
					for i := 0; i <= total+1; i += step {
						publishCut(t, w, i, down, again)
					}
				})
			})
		}
	}
}

// publishCut publishes 1, 2 and 3 one after the other, and returns how many bytes that takes.
func publishCut(t *testing.T, w *world, after int, down, again bool) (passed int) {
	topic := fmt.Sprintf("t.%d", after+1)
	if down {
		topic += "down"
	}
	x := &cutter{link: w.net.Link(), left: -1}
	c, err := Dial(context.Background(), "ws://hub/", &DialOptions{
		HTTPClient: &http.Client{Transport: &http.Transport{DialContext: x.dial, DisableKeepAlives: true}},
		Logger:     w.options(x.link).Logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var sent sync.WaitGroup
	if again { // the first is in flight when the connection ends, the cut comes on the second
		x.link.StallUp()
		sent.Go(func() { publishAll(t, c, topic) })
		synctest.Wait()
		x.link.Heal()
		x.link.Cut()
		x.set(after, down)
	} else {
		x.set(after, down)
		sent.Go(func() { publishAll(t, c, topic) })
	}
	sent.Wait()
	passed = x.passed()
	s, err := w.hub.Subscribe(context.Background(), topic, &SubscribeOptions{Replay: 10})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := 1; i <= 3; i++ {
		wantNext(t, s, fmt.Sprintf("*%s %d", topic, i))
	}
	wantNothing(t, s, time.Millisecond)
	return passed
}

func publishAll(t *testing.T, c *Client, topic string) {
	for i := 1; i <= 3; i++ {
		if err := c.Publish(context.Background(), topic, i); err != nil {
			t.Errorf("%s: publish %d: %v", topic, i, err)
		}
	}
}
