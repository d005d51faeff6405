package soak

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gohotline/hotline"
)

// TestSoak loads a hub for HOTLINE_SOAK (3s) with HOTLINE_SOAK_CLIENTS (150), from HOTLINE_SEED on.
func TestSoak(t *testing.T) {
	length, clients, seed := 3*time.Second, 150, uint64(time.Now().UnixNano())
	var err error
	if s := os.Getenv("HOTLINE_SOAK"); s != "" {
		if length, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	if s := os.Getenv("HOTLINE_SOAK_CLIENTS"); s != "" {
		if clients, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	if s := os.Getenv("HOTLINE_SEED"); s != "" {
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	p := start(t, min(length/3, 10*time.Second))
	l := &load{t: t, url: "ws://" + p.addr + "/ws", clients: clients}
	begin := time.Now()
	// What a process takes once and never gives back, such as the runtime's own tables, is not the soak's: a short one comes
	// before it.
	l.run(min(length/3, 20*time.Second), seed, nil)
	base := p.settled(t, begin)
	var curve []sample
	l.run(length, seed+uint64(clients), func() {
		s := p.sample(t, false)
		s.At = time.Since(begin)
		curve = append(curve, s)
	})
	end := p.settled(t, begin)
	t.Logf("HOTLINE_SEED=%d; %s with %d clients: %d connections, %d cut, %d stalls, %d messages published, %d received, %d gaps", seed, length,
		clients, end.Stats.Opened, l.cuts.Load(), l.stalls.Load(), l.published.Load(), l.received.Load(), end.Stats.Gaps)
	keys := min(uint64(l.published.Load())*320, 40<<20) // 256 bytes each and at most 32 MiB of them, beside tombstones
	t.Logf("before: %s", &base)
	t.Logf("after:  %s", &end)
	end.check(t, base, 4<<20+keys, 32<<20+2*keys)
	if length >= time.Minute {
		time.Sleep(remembered)
		later := p.settled(t, begin)
		t.Logf("later:  %s", &later)
		later.check(t, base, 4<<20, 32<<20)
		curve, end = append(curve, end), later
	}
	if l.published.Load() == 0 || l.received.Load() == 0 {
		t.Error("nothing was published, or nobody received it: this was no load") // a Dial that takes too long is no failure
	}
	if os.Getenv("HOTLINE_TABLE") != "" && length >= time.Minute { // a short one is not worth a report
		if err := report(length, clients, seed, l, base, curve, end); err != nil {
			t.Error(err)
		}
	}
}

// remembered is how long a hub knows idempotency keys, and what was cleared; and somewhat more.
const remembered = 5*time.Minute + 10*time.Second

// check fails if something that the load needed is still there, but for so many bytes.
func (s *sample) check(t *testing.T, base sample, heap, rss uint64) {
	t.Helper()
	if s.Heap > base.Heap+heap {
		t.Errorf("the heap was %d KiB, and is %d: %d more are allowed", base.Heap>>10, s.Heap>>10, heap>>10)
	}
	if s.RSS > base.RSS+rss {
		t.Errorf("RSS was %d KiB, and is %d: %d more are allowed", base.RSS>>10, s.RSS>>10, rss>>10)
	}
	if s.Goroutines > base.Goroutines+4 || s.Files > base.Files+2 {
		t.Errorf("goroutines: %d, then %d; descriptors: %d, then %d", base.Goroutines, s.Goroutines, base.Files, s.Files)
	}
}

// settled is a sample once nobody is connected and the log is empty.
func (p *process) settled(t *testing.T, begin time.Time) (s sample) {
	for range 600 {
		s = p.sample(t, true)
		if s.Stats.Conns == 0 && s.Stats.LogEntries == 0 && s.Goroutines < 8 { // 4, and those that look
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	s.At = time.Since(begin)
	if s.Stats.Conns > 0 {
		t.Errorf("%d connections are left", s.Stats.Conns)
	}
	return s
}

func (s *sample) String() string {
	return fmt.Sprintf("heap %d KiB, RSS %d KiB, %d goroutines, %d descriptors", s.Heap>>10, s.RSS>>10, s.Goroutines, s.Files)
}

// load is all the clients.
type load struct {
	t       *testing.T
	url     string
	clients int

	cuts, stalls, published, received, refused atomic.Int64
}

const sampling = 2 * time.Second

// run has clients come and go. It calls each every 2 seconds, and once at the end.
func (l *load) run(d time.Duration, seed uint64, each func()) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	var g sync.WaitGroup
	for i := range l.clients {
		g.Go(func() {
			rnd := rand.New(rand.NewPCG(seed+uint64(i), 1))
			for first := true; ctx.Err() == nil; first = false {
				if first { // not all at once
					pause(ctx, rnd, d/10)
				}
				l.client(ctx, rnd)
				pause(ctx, rnd, 2*time.Second)
			}
		})
	}
	for tick := time.NewTicker(sampling); ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
			g.Wait()
			return
		}
		if each != nil {
			each()
		}
	}
}

// pause waits for up to d.
func pause(ctx context.Context, rnd *rand.Rand, d time.Duration) {
	select {
	case <-time.After(time.Duration(rnd.Int64N(int64(d) + 1))):
	case <-ctx.Done():
	}
}

// client is the life of one client, on all the connections that it has.
func (l *load) client(ctx context.Context, rnd *rand.Rand) {
	ctx, cancel := context.WithTimeout(ctx, time.Second+time.Duration(rnd.Int64N(int64(20*time.Second))))
	defer cancel()
	wire := &wire{}
	defer wire.stall(false)
	c, err := hotline.Dial(ctx, l.url, &hotline.DialOptions{
		HTTPClient: &http.Client{Transport: &http.Transport{DialContext: wire.dial, DisableKeepAlives: true}},
		Logger:     slog.New(slog.DiscardHandler),
	})
	if err != nil {
		l.check("Dial", err)
		return
	}
	defer c.Close()
	room := fmt.Sprint("room.", rnd.IntN(max(l.clients/20, 1)))
	var g sync.WaitGroup
	defer g.Wait()
	defer cancel()
	for _, topic := range []string{room, fmt.Sprint("state.", rnd.IntN(50)), "here.*", fmt.Sprint("now.", rnd.IntN(50))}[:1+rnd.IntN(4)] {
		opts := &hotline.SubscribeOptions{}
		if rnd.IntN(3) == 0 {
			opts.Replay = 5
		}
		sub, err := c.Subscribe(ctx, topic, opts)
		if err != nil {
			l.check("Subscribe", err)
			continue
		}
		slow := rnd.IntN(8) == 0 // a loop that does not keep up
		g.Go(func() {
			for _, err := range sub.Messages(ctx) {
				if err != nil {
					l.check("Messages", err)
					return
				}
				if l.received.Add(1); slow {
					time.Sleep(20 * time.Millisecond)
				}
			}
		})
	}
	me := fmt.Sprint("here.", rnd.IntN(l.clients))
	for ctx.Err() == nil {
		switch rnd.IntN(12) {
		case 0:
			l.publish(ctx, c, me, rnd.IntN(100))
		case 1, 2:
			l.publish(ctx, c, fmt.Sprint("state.", rnd.IntN(50)), rnd.IntN(100))
		case 3:
			_ = c.Signal(fmt.Sprint("now.", rnd.IntN(50)), "typing") // refused while it is not connected
		case 4:
			l.cuts.Add(1)
			wire.cut()
		case 5:
			l.stalls.Add(1)
			wire.stall(true)
			pause(ctx, rnd, 15*time.Second)
			wire.stall(false)
		default:
			l.publish(ctx, c, room, hotline.Binary(make([]byte, rnd.IntN(2000))))
		}
		pause(ctx, rnd, 8*time.Second)
	}
}

func (l *load) publish(ctx context.Context, c *hotline.Client, topic string, v any) {
	if err := c.Publish(ctx, topic, v); err != nil {
		l.check("Publish", err)
		return
	}
	l.published.Add(1)
}

// check lets errors pass that come from the end of the client's life.
func (l *load) check(what string, err error) {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.Is(err, hotline.ErrClosed) {
		return
	}
	if l.refused.Add(1) < 10 {
		l.t.Errorf("%s: %v", what, err)
	}
}

// wire is the network of one client.
type wire struct {
	mu      sync.Mutex
	nc      net.Conn
	stalled chan struct{} // closed when reading may go on; nil: it may
}

func (w *wire) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	_ = nc.(*net.TCPConn).SetReadBuffer(16 << 10) // or a stall is none
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nc = nc
	return &end{nc, w}, nil
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.nc != nil {
		_ = w.nc.(*net.TCPConn).SetLinger(0)
		w.nc.Close()
	}
}

func (w *wire) stall(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stalled != nil {
		close(w.stalled)
		w.stalled = nil
	}
	if on {
		w.stalled = make(chan struct{})
	}
}

type end struct {
	net.Conn
	w *wire
}

func (e *end) Read(p []byte) (int, error) {
	e.w.mu.Lock()
	stalled := e.w.stalled
	e.w.mu.Unlock()
	if stalled != nil {
		<-stalled
	}
	n, err := e.Conn.Read(p)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
