package market

import (
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gohotline/hotline"
)

// TestPrices: a page is sent all prices at once, and from then on each of their changes.
func TestPrices(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.open("/dashboard/ws")
		sub := p.prices()
		first := p.watch(sub, map[string]price{}, 10*time.Millisecond)
		if len(first.shown) != 200 || first.received > 2*200 {
			t.Errorf("at once: %d prices in %d values", len(first.shown), first.received)
		}
		then := p.watch(sub, first.shown, 2*time.Second)
		if then.received != 200*20*2 || then.conflate != 0 || then.oldest > 50*time.Millisecond {
			t.Errorf("in two seconds %d values, %d conflated, the oldest of them %v old", then.received, then.conflate, then.oldest)
		}
	})
}

// TestSlow: over a slow link a page shows fewer values, none of them old, and when nothing changes any more the newest of all.
// Meanwhile another page is sent every one, and the hub holds nothing for the slow one.
func TestSlow(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		fast, slow := w.open("/dashboard/ws"), w.open("/dashboard/ws?slow")
		hub, err := loads.Subscribe(t.Context(), fast, nil)
		if err != nil {
			t.Fatal(err)
		}
		fastSub, slowSub := fast.prices(), slow.prices()
		const watching = 12 * time.Second
		result := make(chan watched)
		go func() { result <- slow.watch(slowSub, map[string]price{}, watching) }()
		f := fast.watch(fastSub, map[string]price{}, watching)
		s := <-result

		if f.received < 200*20*12 || f.conflate != 0 || f.oldest > 50*time.Millisecond {
			t.Errorf("the fast page: %d values, %d conflated, the oldest %v old", f.received, f.conflate, f.oldest)
		}
		// At 5 KB/s all 200 values, of somewhat less than 100 bytes, take four seconds.
		if s.received < 200*2 || s.received > 200*12 || s.conflate < 10*s.received || s.oldest > 6*time.Second {
			t.Errorf("the slow page: %d values, %d conflated, the oldest %v old", s.received, s.conflate, s.oldest)
		}
		m, err := hub.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		l, err := loads.Decode(m)
		if err != nil {
			t.Fatal(err)
		}
		if l.Behind != 1 || l.Conns != 2 || l.Published < 4000 || l.Delivered < 4000 || l.Conflated < 3500 || l.Log > 256<<10 {
			t.Errorf("the hub says %+v", l)
		}

		if err := bell.Publish(t.Context(), fast, false); err != nil {
			t.Fatal(err)
		}
		go func() { result <- slow.watch(slowSub, s.shown, watching) }()
		f = fast.watch(fastSub, f.shown, watching)
		s = <-result
		if len(s.shown) != 200 || !maps.Equal(f.shown, s.shown) {
			t.Errorf("the market is closed, and the pages show different prices: %d and %d", len(f.shown), len(s.shown))
		}
	})
}

// TestBell: whoever has the dashboard open closes the market, and opens it; nobody else does, and it doesn't stay closed.
func TestBell(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p, other := w.open("/dashboard/ws"), w.open("/other/")
		if err := bell.Publish(t.Context(), other, false); !errors.Is(err, hotline.ErrDenied) {
			t.Errorf("another application closes the market: %v", err)
		}
		sub, err := status.Subscribe(t.Context(), p, nil)
		if err != nil {
			t.Fatal(err)
		}
		next := func(open bool) {
			t.Helper()
			m, err := sub.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if s, err := status.Decode(m); err != nil || s.Open != open || s.At > time.Now().UnixMilli() {
				t.Errorf("the market is %+v, %v", s, err)
			}
		}
		ring := func(open bool) {
			t.Helper()
			if err := bell.Publish(t.Context(), p, open); err != nil {
				t.Fatal(err)
			}
		}
		next(true)
		ring(false)
		next(false)
		ring(true)
		next(true)
		ring(false)
		next(false)
		since := time.Now()
		if next(true); time.Since(since) > longestBreak || time.Since(since) < longestBreak-time.Second {
			t.Errorf("open after %v", time.Since(since))
		}
		if err := p.Publish(t.Context(), bell.String(), "open"); !errors.Is(err, hotline.ErrInvalid) {
			t.Errorf("a bell that is no bool: %v", err)
		}
	})
}

// TestOnlyTheServer: visitors publish no prices, and read nothing else.
func TestOnlyTheServer(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.open("/dashboard/ws")
		for _, topic := range []string{"dashboard.price.ALDA", "dashboard.game.0", "dashboard.hub", "dashboard.market", "other.x"} {
			if err := p.Publish(t.Context(), topic, 1); !errors.Is(err, hotline.ErrDenied) {
				t.Errorf("publish on %s: %v", topic, err)
			}
		}
		for _, topic := range []string{"dashboard.bell", "dashboard.>", "dashboard.*", ">", "other.x"} {
			if _, err := p.Subscribe(t.Context(), topic, nil); !errors.Is(err, hotline.ErrDenied) {
				t.Errorf("subscribe to %s: %v", topic, err)
			}
		}
	})
}

// TestGames: all eight are there, each moves on, and no team plays twice.
func TestGames(t *testing.T) {
	l := newLeague(7)
	finals := 0
	for range 20_000 {
		busy := map[string]bool{}
		for _, g := range l.games {
			before := *g
			l.step(g)
			same := before.Home == g.Home && before.Period <= g.Period
			if same && (g.Score[0] < before.Score[0] || g.Score[1] < before.Score[1]) {
				t.Fatalf("%+v after %+v", g, before)
			}
			if g.Clock == "final" && before.Clock != "final" {
				finals++
			}
			for _, team := range []string{g.Home, g.Away} {
				if busy[team] {
					t.Fatalf("%s play twice", team)
				}
				busy[team] = true
			}
		}
	}
	if finals < 8 {
		t.Errorf("%d games have ended", finals)
	}
}

// TestSeed: the same seed makes the same prices, and another other ones.
func TestSeed(t *testing.T) {
	run := func(seed uint64) *market {
		m := newMarket(seed)
		for range 1000 {
			m.step()
		}
		return m
	}
	a, b, c := run(1), run(1), run(2)
	if !reflect.DeepEqual(a.stocks, b.stocks) || reflect.DeepEqual(a.stocks, c.stocks) {
		t.Error("prices don't follow from the seed alone")
	}
	names := map[string]bool{}
	for _, s := range a.stocks {
		names[s.topic] = true
		if s.price < 100 || s.price > 1e7 {
			t.Errorf("%s costs %v cents", s.topic, s.price)
		}
	}
	if len(names) != 200 {
		t.Errorf("%d names", len(names))
	}
}

// TestSlowConn: so many bytes a second and none of them lost; a deadline, and Close, end a write.
func TestSlowConn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		c := &slowConn{Conn: near, rate: 1000}
		sent := strings.Repeat("0123456789", 400)
		got := make(chan string)
		go func() {
			b := make([]byte, len(sent))
			_, _ = io.ReadFull(far, b)
			got <- string(b)
		}()
		begin := time.Now()
		for range 2 {
			if n, err := c.Write([]byte(sent[:2000])); n != 2000 || err != nil {
				t.Fatal(n, err)
			}
		}
		if took := time.Since(begin); took < 3900*time.Millisecond || took > 4*time.Second {
			t.Errorf("4000 bytes took %v", took)
		}
		if <-got != sent {
			t.Error("other bytes came than were sent")
		}

		go func() { _, _ = io.Copy(io.Discard, far) }()
		begin = time.Now()
		c.SetWriteDeadline(time.Now().Add(time.Second))
		n, err := c.Write([]byte(sent))
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() || n < 900 || n > 1100 || time.Since(begin) > 1100*time.Millisecond {
			t.Errorf("a second's deadline: %d bytes, %v, after %v", n, err, time.Since(begin))
		}
		c.SetWriteDeadline(time.Time{})
		begin = time.Now()
		time.AfterFunc(time.Second, func() { c.Close() })
		if _, err := c.Write([]byte(sent)); err == nil || time.Since(begin) > 1100*time.Millisecond {
			t.Errorf("closed after a second: %v, after %v", err, time.Since(begin))
		}
	})
}

// TestPages: the page is there, and the clock by which it says how old prices are.
func TestPages(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		c := &http.Client{Transport: &http.Transport{DialContext: w.net.Link().DialContext, DisableKeepAlives: true}}
		get := func(path string) string {
			t.Helper()
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://dash.example"+path, nil)
			resp, err := c.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(resp.Header.Get("Content-Security-Policy"), "default-src 'self'") {
				t.Errorf("%s: %s %v %v", path, resp.Status, resp.Header, err)
			}
			return string(b)
		}
		if page := get("/dashboard/"); !strings.Contains(page, `src="board.js"`) {
			t.Errorf("the page is %s", page)
		}
		for _, name := range []string{"board.js", "draw.js", "board.css"} {
			get("/dashboard/" + name)
		}
		if now := get("/dashboard/now"); now != strconv.FormatInt(time.Now().UnixMilli(), 10) {
			t.Errorf("the clock says %s", now)
		}
	})
}
