package hotline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/gohotline/hotline/internal/memnet"
	"github.com/gohotline/hotline/internal/wire"
)

// fake is a server that does as a test says, with a record of when it was asked for a connection.
type fake struct {
	*world
	mu    sync.Mutex
	times []time.Time
	want  int
	there chan struct{} // closed when there were so many attempts
	busy  sync.WaitGroup
}

// newFake calls answer for each attempt, counted from 0, until there were n of them.
func newFake(t testing.TB, n int, answer func(i int, w http.ResponseWriter, r *http.Request)) *fake {
	f := &fake{world: &world{t: t, net: memnet.New(nil)}, want: n, there: make(chan struct{})}
	f.srv = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.busy.Add(1)
		defer f.busy.Done()
		f.mu.Lock()
		i := len(f.times)
		f.times = append(f.times, time.Now())
		if i == f.want {
			close(f.there)
		}
		f.mu.Unlock()
		answer(i, w, r)
	})}
	l := f.net.Listen()
	go f.srv.Serve(l)
	t.Cleanup(func() {
		f.srv.Close()
		f.busy.Wait()
	})
	return f
}

// delays are the times between attempts.
func (f *fake) delays() (list []time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := 1; i < len(f.times); i++ {
		list = append(list, f.times[i].Sub(f.times[i-1]))
	}
	return list
}

const plainWelcome = `{"op":"welcome","conn":"c"}`

// accept upgrades, reads the hello and sends frames.
func accept(t testing.TB, w http.ResponseWriter, r *http.Request, frames ...string) *websocket.Conn {
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{wire.Protocol}})
	if err != nil {
		t.Error(err)
		return nil
	}
	ctx := context.Background()
	if _, msg, err := ws.Read(ctx); err == nil {
		if req, err := wire.DecodeRequest(msg, false); err != nil || req.Op != wire.OpHello {
			t.Errorf("the first frame is %q", msg)
		}
	}
	for _, f := range frames {
		_ = ws.Write(ctx, websocket.MessageText, []byte(f))
	}
	return ws
}

// serveUntilEnd reads until the client has gone.
func serveUntilEnd(ws *websocket.Conn) {
	defer ws.CloseNow()
	for {
		if _, _, err := ws.Read(context.Background()); err != nil {
			return
		}
	}
}

// background dials without waiting.
func (w *world) background(change func(*DialOptions)) *Client {
	c, _ := w.connect(func(o *DialOptions) {
		o.Background = true
		if change != nil {
			change(o)
		}
	})
	return c
}

func TestBackoffLimits(t *testing.T) {
	ns := []int{1 << 10, 1 << 30, math.MaxInt32, math.MaxInt}
	for n := range 200 {
		ns = append(ns, n)
	}
	for _, n := range ns {
		want := min(20*time.Second, max(2*time.Second, time.Duration(min(500e6*math.Pow(2, float64(n)), 1e12))))
		if got := backoffLimit(n); got != want {
			t.Errorf("the limit of delay %d is %v, want %v", n, got, want)
		}
		for range 100 {
			if d := backoff(n); d < 0 || d > want {
				t.Errorf("delay %d is %v", n, d)
			}
		}
	}
}

// The jitter is full at the first delay and at the cap: no part of the range is preferred.
func TestBackoffJitter(t *testing.T) {
	for _, n := range []int{0, 3, 1000} {
		const buckets, samples = 20, 40_000
		var counts [buckets]int
		for range samples {
			counts[min(buckets-1, int(backoff(n)*buckets/backoffLimit(n)))]++
		}
		for i, k := range counts { // the standard deviation is 44
			if k < samples/buckets-400 || k > samples/buckets+400 {
				t.Errorf("delay %d: %d of %d in part %d of %d", n, k, samples, i, buckets)
			}
		}
	}
}

// Row 22 of the failure table: a connection that does not last is no reason to begin with short delays again.
func TestAcceptThenDrop(t *testing.T) {
	const attempts = 250
	for _, tt := range []struct {
		name   string
		frames []string
		stay   time.Duration
		reset  bool
	}{
		{"at once", []string{plainWelcome}, 0, false},
		{"before welcome", nil, 0, false},
		{"long before welcome", nil, 6 * time.Second, false},
		{"just too early", []string{plainWelcome}, settled - time.Millisecond, false},
		{"settled", []string{plainWelcome}, settled, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t, attempts, func(_ int, w http.ResponseWriter, r *http.Request) {
					ws := accept(t, w, r, tt.frames...)
					time.Sleep(tt.stay)
					ws.CloseNow()
				})
				c := f.background(nil)
				<-f.there
				c.Close()
				late, sum := 0, time.Duration(0)
				for n, d := range f.delays()[:attempts-1] {
					d -= tt.stay
					limit := backoffLimit(n)
					if tt.reset {
						limit = backoffFirst
					}
					if d < 0 || d > limit {
						t.Errorf("delay %d is %v, its limit %v", n, d, limit)
					}
					if n >= 10 {
						late++
						sum += d
					}
				}
				want, mean := backoffCap/2, sum/time.Duration(late)
				if tt.reset {
					want = backoffFirst / 2
				}
				if mean < want*7/10 || mean > want*13/10 { // 8 standard deviations
					t.Errorf("the later delays are %v on average, want %v", mean, want)
				}
			})
		})
	}
}

// What bye says is the delay, as it is: the hub has spread it. Also if the Close frame is lost, and before the welcome.
func TestByeRetry(t *testing.T) {
	for _, retry := range []int64{0, 1, 7777, 90_000} {
		for _, welcomed := range []bool{true, false} {
			for _, closes := range []bool{true, false} {
				synctest.Test(t, func(t *testing.T) {
					f := newFake(t, 6, func(i int, w http.ResponseWriter, r *http.Request) {
						var frames []string
						if welcomed {
							frames = append(frames, plainWelcome)
						}
						ws := accept(t, w, r, append(frames, fmt.Sprintf(`{"op":"bye","code":1012,"retry":%d}`, retry))...)
						if closes {
							ws.Close(websocket.StatusServiceRestart, "")
						}
						ws.CloseNow()
					})
					f.background(nil)
					<-f.there
					for _, d := range f.delays() {
						if d != time.Duration(retry)*time.Millisecond {
							t.Fatalf("retry %d, welcome %t, Close %t: came back after %v", retry, welcomed, closes, d)
						}
					}
				})
			}
		}
	}
}

// Retry-After is the least delay, and not the same moment for everybody.
func TestRetryAfter(t *testing.T) {
	for _, tt := range []struct {
		status int
		header func() string
		least  time.Duration
	}{
		{503, func() string { return "30" }, 30 * time.Second},
		{429, func() string { return "30" }, 30 * time.Second},
		{503, func() string { return time.Now().Add(40 * time.Second).UTC().Format(http.TimeFormat) }, 39 * time.Second},
		{503, func() string { return time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat) }, 0},
		{503, func() string { return "99999999" }, time.Hour},
		{503, func() string { return "soon" }, 0},
		{503, func() string { return "-5" }, 0},
		{503, func() string { return "" }, 0},
		{502, func() string { return "30" }, 0}, // which is no promise
	} {
		synctest.Test(t, func(t *testing.T) {
			const n = 150
			f := newFake(t, n, func(_ int, w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", tt.header())
				w.WriteHeader(tt.status)
			})
			c := f.background(nil)
			<-f.there
			c.Close()
			var sum time.Duration
			for i, d := range f.delays()[:n-1] {
				if d < tt.least || d > tt.least+backoffLimit(i)+time.Second {
					t.Fatalf("%d %q: delay %d is %v", tt.status, tt.header(), i, d)
				}
				sum += d - tt.least
			}
			if mean := sum / n; mean < 7*time.Second || mean > 13*time.Second {
				t.Errorf("%d %q: %v on average beyond it", tt.status, tt.header(), mean)
			}
		})
	}
}

// closeCodes is the table of the protocol, with a few of each range.
func closeCodes(t *testing.T) map[int]bool {
	b, err := os.ReadFile("testdata/protocol/closecodes.json")
	if err != nil {
		t.Fatal(err)
	}
	var rows []struct {
		Code, From, To int
		Final          bool
	}
	if err := json.Unmarshal(b, &rows); err != nil || len(rows) < 20 {
		t.Fatal(len(rows), err)
	}
	codes := make(map[int]bool)
	for _, r := range rows {
		if r.Code != 0 {
			codes[r.Code] = r.Final
			continue
		}
		for _, code := range []int{r.From, (r.From + r.To) / 2, r.To} {
			codes[code] = r.Final
		}
	}
	return codes
}

// Row 25: each code, sent before and after the welcome, with and without bye, ends the client or does not.
func TestCloseCodes(t *testing.T) {
	for code, end := range closeCodes(t) {
		if got := final(&CloseError{Code: code}, false); got != end {
			t.Errorf("%d: final is %t", code, got)
		}
		if code == 1006 || code == 1015 || code == 1005 { // are never sent
			continue
		}
		for _, frames := range [][]string{
			nil, {plainWelcome}, {plainWelcome, fmt.Sprintf(`{"op":"bye","code":%d,"reason":"so there"}`, code)},
		} {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t, 1, func(i int, w http.ResponseWriter, r *http.Request) {
					if i > 0 {
						serveUntilEnd(accept(t, w, r, plainWelcome))
						return
					}
					ws := accept(t, w, r, frames...)
					ws.Close(websocket.StatusCode(code), "so there")
				})
				c := f.background(nil)
				select {
				case <-f.there:
					if end {
						t.Errorf("%d after %q: came back", code, frames)
					}
				case <-c.Context().Done():
					wantFinal(t, c, code, end)
				}
			})
		}
	}
}

// wantFinal is for a client that a close code has ended.
func wantFinal(t *testing.T, c *Client, code int, end bool) {
	t.Helper()
	var closed *CloseError
	why := context.Cause(c.Context())
	if !end || !errors.As(why, &closed) || closed.Code != code || closed.Reason != "so there" {
		t.Errorf("%d: ended with %v", code, why)
	}
	if errors.Is(why, ErrDenied) != (code == wire.CloseUnauthorized) {
		t.Errorf("%d: wraps ErrDenied: %v", code, why)
	}
	err := c.Publish(context.Background(), "a", 1)
	if !errors.Is(err, ErrClosed) || !errors.As(err, &closed) {
		t.Errorf("%d: Publish later: %v", code, err)
	}
	if _, err := c.Subscribe(context.Background(), "a", nil); !errors.Is(err, ErrClosed) || !errors.As(err, &closed) {
		t.Errorf("%d: Subscribe later: %v", code, err)
	}
	if err := c.Signal("a", 1); !errors.Is(err, ErrClosed) {
		t.Errorf("%d: Signal later: %v", code, err)
	}
}

// A final bye is final also when the Close frame is lost; an empty Close and none are not.
func TestCloseFrameLost(t *testing.T) {
	for _, tt := range []struct {
		bye  int
		send func(ws *websocket.Conn)
		end  bool
	}{
		{3503, nil, true},
		{1012, nil, false},
		{0, func(ws *websocket.Conn) { ws.Close(websocket.StatusNoStatusRcvd, "") }, false},
		{0, nil, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t, 1, func(i int, w http.ResponseWriter, r *http.Request) {
				frames := []string{plainWelcome}
				if tt.bye != 0 {
					frames = append(frames, fmt.Sprintf(`{"op":"bye","code":%d,"reason":"so there"}`, tt.bye))
				}
				ws := accept(t, w, r, frames...)
				if tt.send != nil {
					tt.send(ws)
				}
				ws.CloseNow()
			})
			c := f.background(nil)
			select {
			case <-f.there:
				if tt.end {
					t.Errorf("bye %d: came back", tt.bye)
				}
			case <-c.Context().Done():
				wantFinal(t, c, tt.bye, tt.end)
			}
		})
	}
}
