package arena

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gohotline/hotline"
	"github.com/gohotline/hotline/examples/internal/site"
)

func encodeInput(seq uint16, dx, dy int8, dashes uint8) hotline.Binary {
	return append(binary.LittleEndian.AppendUint16(nil, seq), byte(dx), byte(dy), dashes)
}

// mine waits until a world has the client's ship, and returns it.
func (c *client) mine(worlds, names *hotline.Subscription, name string) *ship {
	c.t.Helper()
	for {
		m, err := names.Next(c.t.Context())
		if err != nil {
			c.t.Fatal(err)
		}
		var got string
		if m.Data != nil && m.Decode(&got) == nil && got == name {
			var id uint16
			if _, err := fmt.Sscanf(m.Topic, "game.names.%d", &id); err != nil {
				c.t.Fatal(err)
			}
			for {
				if s := find(c.next(worlds), id); s != nil {
					return s
				}
			}
		}
	}
}

// TestPlaying: who connects has a ship, under their name, that does what they send, and says which input that was.
func TestPlaying(t *testing.T) {
	inBubble(t, func(t *testing.T, s *served) {
		ada := s.play("Ada")
		worlds, names := ada.subscribe(worldTopic), ada.subscribe(nameTopic)
		before := ada.mine(worlds, names, "Ada")
		if before.bot || before.away != 0 || before.id <= bots {
			t.Errorf("her ship is %+v", before)
		}
		dx := int8(127)
		if before.pos.x > size/2 {
			dx = -127
		}
		sent := time.Now()
		if err := ada.Signal(inputTopic, encodeInput(4711, dx, 0, 0)); err != nil {
			t.Fatal(err)
		}
		var now *ship
		for now = before; now.ack != 4711; now = find(ada.next(worlds), before.id) {
		}
		if took := time.Since(sent); took > time.Second/rate {
			t.Errorf("the answer took %v", took)
		}
		for range rate {
			now = find(ada.next(worlds), before.id)
		}
		if moved := (now.pos.x - before.pos.x) * float64(dx); moved < 100*127 {
			t.Errorf("in a second she went from %v to %v", before.pos, now.pos)
		}
	})
}

// TestRate: there are 30 worlds a second, and none is sent twice or lost to whoever keeps up.
func TestRate(t *testing.T) {
	inBubble(t, func(t *testing.T, s *served) {
		c := s.open("")
		worlds := c.subscribe(worldTopic)
		first, since := c.next(worlds), time.Now()
		for i := range uint32(3 * rate) {
			if w := c.next(worlds); w.tick != first.tick+i+1 {
				t.Fatalf("tick %d follows %d", w.tick, first.tick+i)
			}
		}
		if took := time.Since(since).Round(10 * time.Millisecond); took != 3*time.Second {
			t.Errorf("3 seconds of worlds took %v", took)
		}
	})
}

// TestSlow: who reads slowly skips worlds. What they get is the newest, not what has piled up.
func TestSlow(t *testing.T) {
	inBubble(t, func(t *testing.T, s *served) {
		fast, slow := s.open(""), s.open("")
		now, late := fast.subscribe(worldTopic), slow.subscribe(worldTopic)
		for range 5 * rate {
			fast.next(now)
		}
		newest := fast.next(now).tick
		slow.next(late) // one may have been on its way
		if got := slow.next(late).tick; got < newest {
			t.Errorf("after 5 seconds without reading: tick %d, the newest is %d", got, newest)
		}
	})
}

// TestComingBack: a ship waits for its player for ten seconds. After that it is gone, with its name.
func TestComingBack(t *testing.T) {
	inBubble(t, func(t *testing.T, s *served) {
		watcher := s.open("")
		worlds, names := watcher.subscribe(worldTopic), watcher.subscribe(nameTopic)
		ada := s.play("Ada")
		before := watcher.mine(worlds, names, "Ada")
		ada.Close()
		time.Sleep(5 * time.Second)
		for range 2 { // one may have waited
			watcher.next(worlds)
		}
		if now := find(watcher.next(worlds), before.id); now == nil || now.away == 0 {
			t.Fatalf("after 5 seconds her ship is %+v", now)
		}

		ada = s.play("Ada")
		mine := ada.subscribe(worldTopic)
		for range 3 {
			ada.next(mine)
		}
		if now := find(ada.next(mine), before.id); now == nil || now.away != 0 {
			t.Errorf("she is back, and her ship is %+v", now)
		}
		if other := s.play("Eve"); watcher.mine(worlds, names, "Eve").id == before.id {
			t.Error("somebody else got her ship", other)
		}

		ada.Close()
		left := time.Now()
		for {
			m, err := names.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if m.Data == nil && m.Topic == fmt.Sprint("game.names.", before.id) {
				break
			}
		}
		if took := time.Since(left).Round(time.Second); took != 10*time.Second {
			t.Errorf("her name was gone after %v", took)
		}
		watcher.next(worlds)
		watcher.next(worlds)
		if now := find(watcher.next(worlds), before.id); now != nil {
			t.Errorf("her ship is still there: %+v", now)
		}
	})
}

// TestRenamed: who comes back to their ship under another name is called by that one.
func TestRenamed(t *testing.T) {
	g := newGame(1)
	g.admit(nil) // the bots
	come := func(name string) map[uint16]string { return g.admit(map[string]*seat{"key": {key: "key", name: name}}) }
	come("Ada")
	id := g.ships["key"]
	if news := come("Ada"); len(news) > 0 {
		t.Errorf("nothing has changed, and the news is %v", news)
	}
	if news := come("Robert"); g.ships["key"] != id || len(news) != 1 || news[id] != "Robert" {
		t.Errorf("the ship is %d and was %d; the news is %v", g.ships["key"], id, news)
	}
}

// TestTwoWindows: two windows of one player have one ship, and the one that was opened last flies it.
func TestTwoWindows(t *testing.T) {
	inBubble(t, func(t *testing.T, s *served) {
		first := s.play("Ada")
		worlds, names := first.subscribe(worldTopic), first.subscribe(nameTopic)
		before := first.mine(worlds, names, "Ada")
		second := s.play("Ada")
		first.next(worlds)
		_ = first.Signal(inputTopic, encodeInput(1, 0, 0, 0))
		_ = second.Signal(inputTopic, encodeInput(2, 0, 0, 0))
		time.Sleep(time.Second)
		first.next(worlds)
		w := first.next(worlds)
		if now := find(w, before.id); len(w.ships) != bots+1 || now.ack != 2 {
			t.Errorf("%d ships, hers is %+v", len(w.ships), now)
		}
		second.Close()
		time.Sleep(time.Second)
		first.next(worlds)
		if now := find(first.next(worlds), before.id); now.ack != 1 || now.away != 0 {
			t.Errorf("with one window left hers is %+v", now)
		}
	})
}

// TestFiftyPlayers: fifty clients play, each of them in its own way, over links that are cut now and then, and each sees the
// same world as the others.
func TestFiftyPlayers(t *testing.T) {
	const n, seconds = 50, 3
	inBubble(t, func(t *testing.T, s *served) {
		type view map[uint32]string // worlds, by tick
		views := make(chan view, n)
		ctx, cancel := context.WithCancel(t.Context())
		for i := range n {
			c := s.play(fmt.Sprint("player ", i))
			sub := c.subscribe(worldTopic)
			go func() {
				v := make(view)
				for m, err := range sub.Messages(ctx) {
					if err != nil {
						break
					}
					tick := binary.LittleEndian.Uint32(m.Data[1:])
					v[tick] = string(m.Data)
					_ = c.Signal(inputTopic, encodeInput(uint16(tick), int8(i), int8(-i), uint8(int(tick)/(20+i))))
					if i%10 == 3 && tick == uint32(20+i/2) {
						c.link.Cut()
						c.link.Heal()
					}
				}
				views <- v
			}()
		}
		time.Sleep(seconds * time.Second)
		cancel()
		truth := make(map[uint32]string)
		for range n {
			v := <-views
			if len(v) < seconds*rate/4 { // who was cut off waits for 2 s at most before the next attempt
				t.Errorf("somebody has seen %d worlds", len(v))
			}
			for tick, w := range v {
				if truth[tick] == "" {
					truth[tick] = w
				}
				if truth[tick] != w {
					t.Fatalf("tick %d is not the same for all", tick)
				}
			}
		}
		last, err := decode([]byte(truth[slices.Max(slices.Collect(maps.Keys(truth)))]))
		if err != nil || len(last.ships) != n+bots {
			t.Errorf("%d ships, %v", len(last.ships), err)
		}
	})
}

// TestNotAllowed: who may not play, what is no input, and that the world is the server's alone.
func TestNotAllowed(t *testing.T) {
	other := &site.App{Name: "other", Options: hotline.HubOptions{
		Authenticate: func(*http.Request, string) (hotline.Identity, error) { return hotline.Identity{User: "Ada"}, nil },
	}, Handler: func(hub *hotline.Hub) http.Handler { return http.StripPrefix("/ws", hub) }}
	inBubble(t, func(t *testing.T, s *served) {
		ada, watcher := s.play("Ada"), s.open("")
		guest, err := s.dial("other", "")
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []*client{watcher, guest} {
			if err := c.Publish(t.Context(), inputTopic, encodeInput(1, 0, 0, 0)); !errors.Is(err, hotline.ErrDenied) {
				t.Errorf("who does not play steers: %v", err)
			}
		}
		for _, topic := range []string{worldTopic, "game.names.1", youTopic} {
			if err := ada.Publish(t.Context(), topic, 1); !errors.Is(err, hotline.ErrDenied) {
				t.Errorf("a player publishes to %s: %v", topic, err)
			}
		}
		for _, bad := range []any{nil, "12345", 12345, hotline.Binary("1234"), hotline.Binary{0, 0, 127, 127, 0}} {
			if err := ada.Publish(t.Context(), inputTopic, bad); !errors.Is(err, hotline.ErrInvalid) {
				t.Errorf("%v is an input: %v", bad, err)
			}
		}
		if err := ada.Publish(t.Context(), inputTopic, encodeInput(1, 127, 0, 0)); err != nil {
			t.Error(err)
		}
		for _, token := range []string{"x", "x Ada", keyOf("Ada"), keyOf("Ada") + " ", strings.Repeat("k", 65) + " Ada",
			strings.Repeat("k", 20) + "  Ada", strings.Repeat("k", 20) + " A\u202eda", strings.Repeat("k", 20) + " " + strings.Repeat("a", 17)} {
			if _, err := s.dial("game", token); !errors.Is(err, hotline.ErrDenied) && token != "" {
				t.Errorf("%q comes in: %v", token, err)
			}
		}
	}, other)
}

// TestPage: the page is small, comes from here alone, and runs nothing that a name could bring along.
func TestPage(t *testing.T) {
	hub := hotline.NewHub(nil)
	defer hub.Close()
	handler := New().Handler(hub)
	total := 0
	err := fs.WalkDir(files, "web", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		w := httptest.NewRecorder()
		name := strings.TrimSuffix(strings.TrimPrefix(path, "web"), "index.html")
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, name, nil))
		body := w.Body.Bytes()
		total += len(body)
		if csp := w.Header().Get("Content-Security-Policy"); w.Code != http.StatusOK || !strings.HasPrefix(csp, "default-src 'self';") {
			t.Errorf("%s: %d, policy %q", name, w.Code, csp)
		}
		for _, bad := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", " style=\"", " onclick=", "eval("} {
			if bytes.Contains(body, []byte(bad)) {
				t.Errorf("%s has %s", name, bad)
			}
		}
		if url := regexp.MustCompile(`(?:https?:)?//[a-z0-9.]+\.[a-z]+`).FindString(string(body)); url != "" {
			t.Errorf("%s names %s", name, url)
		}
		return nil
	})
	if err != nil || total == 0 || total > 80<<10 {
		t.Errorf("the page has %d bytes, %v", total, err)
	}
}
