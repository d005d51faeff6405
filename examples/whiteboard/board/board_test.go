package board

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gohotline/hotline"
	"github.com/gohotline/hotline/examples/internal/site"
)

// same checks that all pages, and a snapshot of now, have the same picture, and returns it.
func same(t *testing.T, pages ...*page) string {
	t.Helper()
	s, err := pages[0].snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := picture(s.Strokes)
	for i, p := range pages {
		if got := p.picture(); got != want {
			t.Errorf("page %d differs from the snapshot:\n got %s\nwant %s", i, got, want)
		}
		ids := slices.Clone(p.ids)
		slices.Sort(ids)
		if len(slices.Compact(ids)) != len(p.ids) {
			t.Errorf("page %d has read something twice", i)
		}
	}
	return want
}

// TestDrawing: what one draws all see, in one order, with the user that the hub knows, and a newcomer as well.
func TestDrawing(t *testing.T) {
	inBubble(t, func(t *testing.T, s *served) {
		ada, bob := s.draws("Ada").look(), s.draws("Bob").look()
		ada.do(draw("1"))
		bob.do(draw("1", 5, 6, 7))
		ada.do(draw("2"))
		ada.do(undo("1"))
		bob.do(undo("2")) // which is not his
		synctest.Wait()
		eve := s.draws("Eve").look()
		synctest.Wait()
		want := fmt.Sprintf("%s/stroke-1:0,20,[5 6 7] %s/stroke-2:0,20,[1 2 128] ", userOf("Bob"), userOf("Ada"))
		if got := same(t, ada, bob, eve); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		bob.do(op{Clear: true})
		eve.do(draw("3"))
		synctest.Wait()
		if got, want := same(t, ada, bob, eve), userOf("Eve")+"/stroke-3:0,20,[1 2 128] "; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

// TestAllAtOnce: four people draw, undo and clear at once, over links that fail, while others come in at any moment. In the
// end all have the same picture, and every stroke that was accepted was read by each who was there, once.
func TestAllAtOnce(t *testing.T) {
	for seed := range uint64(4) {
		inBubble(t, func(t *testing.T, s *served) {
			var pages []*page
			var group sync.WaitGroup
			for i := range 4 {
				p := s.draws(fmt.Sprint("artist ", i)).look()
				pages = append(pages, p)
				r := rand.New(rand.NewPCG(seed, uint64(i)))
				group.Go(func() {
					for j := range 60 {
						time.Sleep(time.Duration(r.IntN(40)) * time.Millisecond)
						switch n := r.IntN(40); {
						case n == 0:
							p.do(op{Clear: true})
						case n < 6 && j > 0:
							p.do(undo(fmt.Sprint(r.IntN(j))))
						case n < 9:
							p.link.Cut()
							p.do(draw(fmt.Sprint(j))) // waits until it is back
						default:
							p.do(draw(fmt.Sprint(j)))
						}
						if n := r.IntN(20); n == 0 {
							p.link.Heal()
						}
					}
				})
				group.Go(func() {
					for range 60 { // a link is not down for ever
						time.Sleep(500 * time.Millisecond)
						p.link.Heal()
					}
				})
			}
			for i := range 10 {
				time.Sleep(77 * time.Millisecond)
				pages = append(pages, s.draws(fmt.Sprint("newcomer ", i)).look())
			}
			group.Wait()
			time.Sleep(time.Minute)
			if same(t, pages...) == "" {
				t.Error("nothing is on the board")
			}
			for i, p := range pages[:4] {
				if len(p.ids) < 200 {
					t.Errorf("page %d has read %d of what was done", i, len(p.ids))
				}
			}
		})
	}
}

// TestNewcomerToAQuietBoard: nothing was drawn for longer than the log reaches back, while it was busy with something else.
// The position of the snapshot is still known, so that it is loaded once.
func TestNewcomerToAQuietBoard(t *testing.T) {
	inBubble(t, func(t *testing.T, s *served) {
		ada := s.draws("Ada").look()
		ada.do(draw("1"))
		noise := func(d time.Duration) {
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Second) {
				if err := ada.Publish(t.Context(), "noise", 1); err != nil {
					t.Fatal(err)
				}
			}
		}
		noise(20 * time.Minute)
		bob := s.draws("Bob").look()
		noise(time.Minute)
		if n := bob.loads.Load(); n != 1 {
			t.Errorf("the snapshot was loaded %d times", n)
		}
		ada.do(draw("2"))
		synctest.Wait()
		if got := same(t, ada, bob); strings.Count(got, "stroke") != 2 {
			t.Errorf("got %s", got)
		}
	}, &site.App{Name: "noise", Options: hotline.HubOptions{
		AuthorizePublish: hotline.Allow("noise"),
	}, Handler: func(hub *hotline.Hub) http.Handler { return hub }})
}

// TestAway: who was away for a while reads on where they were, without the snapshot; for longer than the log, with it.
func TestAway(t *testing.T) {
	inBubble(t, func(t *testing.T, s *served) {
		ada, bob := s.draws("Ada").look(), s.draws("Bob").look()
		for i, away := range []time.Duration{time.Minute, 20 * time.Minute} {
			bob.link.Blackhole()
			for j := range 10 {
				ada.do(draw(fmt.Sprint(i, "-", j)))
				time.Sleep(away / 10)
			}
			bob.link.Heal()
			time.Sleep(time.Minute)
			if same(t, ada, bob); int(bob.loads.Load()) != i+1 {
				t.Errorf("away for %v: %d loads", away, bob.loads.Load())
			}
		}
	})
}

// TestPictureIsLost: if the log runs away from the board itself, all begin anew together, instead of seeing different pictures.
func TestPictureIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := New()
		app.Options.Limits.LogBytes = 1 << 16
		hub := hotline.NewHub(&app.Options)
		defer hub.Close()
		b := &board{}
		b.handler(hub)
		var page model
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		sub, err := ops.Subscribe(ctx, hub, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		read := func() {
			for {
				ctx, cancel := context.WithTimeout(ctx, time.Second)
				m, err := sub.Next(ctx)
				cancel()
				if err != nil {
					return
				}
				o, _ := ops.Decode(m)
				page.apply(m.From, o)
			}
		}
		for i := range 2000 { // before the board has begun to read
			if err := ops.Publish(ctx, hub, draw(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
			if i%50 == 0 {
				read()
			}
		}
		go func() { b.run(ctx, hub); close(ended) }()
		read()
		if err := ops.Publish(ctx, hub, draw("last")); err != nil {
			t.Fatal(err)
		}
		read()
		b.mu.Lock()
		got, want := picture(b.model.strokes), picture(page.strokes)
		b.mu.Unlock()
		if got != want || strings.Count(got, "stroke") != 1 {
			t.Errorf("the board has %.200s, a page %.200s", got, want)
		}
		cancel()
		<-ended
	})
}

// TestWhoIsHere: a name is shown while a connection of its owner lives, and ten seconds more.
func TestWhoIsHere(t *testing.T) {
	inBubble(t, func(t *testing.T, s *served) {
		ada := s.draws("Ada")
		sub, err := people.Subscribe(t.Context(), ada, nil)
		if err != nil {
			t.Fatal(err)
		}
		next := func() (user, name string) {
			m, err := sub.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if m.Data != nil {
				name, err = people.Decode(m)
			}
			return people.Params(m.Topic)[0], fmt.Sprint(name, err)
		}
		if user, name := next(); user != userOf("Ada") || name != "Ada<nil>" {
			t.Errorf("%s is %s", user, name)
		}
		bob := s.draws("Bob")
		if user, name := next(); user != userOf("Bob") || name != "Bob<nil>" {
			t.Errorf("%s is %s", user, name)
		}
		bob.Close()
		left := time.Now()
		if user, name := next(); user != userOf("Bob") || name != "<nil>" || time.Since(left) != 10*time.Second {
			t.Errorf("%s is %s after %v", user, name, time.Since(left))
		}
	})
}

// TestPens: where somebody's pen is reaches the others, and is not repeated to who comes later.
func TestPens(t *testing.T) {
	inBubble(t, func(t *testing.T, s *served) {
		ada, bob := s.draws("Ada"), s.draws("Bob")
		sub, err := live.Subscribe(t.Context(), bob, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan hotline.Message)
		go func() {
			for m, err := range sub.Messages(t.Context()) {
				if err != nil {
					return
				}
				got <- m
			}
		}()
		synctest.Wait()
		if err := ada.Signal(live.String(), gesture{X: 1, Y: 2, Stroke: draw("1").Draw, From: 7}); err != nil {
			t.Fatal(err)
		}
		m := <-got
		if g, err := live.Decode(m); err != nil || m.From != userOf("Ada") || g.From != 7 || g.Stroke.ID != "stroke-1" {
			t.Errorf("got %s from %s, %v", m.Data, m.From, err)
		}
	})
}

// TestNotAllowed: who has no name, or comes from another page, only looks; nobody says who they are; and nothing that is no
// stroke comes through.
func TestNotAllowed(t *testing.T) {
	other := &site.App{Name: "other", Options: hotline.HubOptions{
		Authenticate: func(*http.Request, string) (hotline.Identity, error) { return hotline.Identity{User: "Ada"}, nil },
	}, Handler: func(hub *hotline.Hub) http.Handler { return http.StripPrefix("/ws", hub) }}
	inBubble(t, func(t *testing.T, s *served) {
		ada := s.draws("Ada")
		watcher, err := s.dial("whiteboard", "")
		if err != nil {
			t.Fatal(err)
		}
		guest, err := s.dial("other", "")
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []*client{watcher, guest} {
			for _, topic := range []string{ops.String(), live.String(), people.With("x").String()} {
				if err := c.Publish(t.Context(), topic, op{Clear: true}); !errors.Is(err, hotline.ErrDenied) {
					t.Errorf("who has no name publishes to %s: %v", topic, err)
				}
			}
		}
		if err := ada.Publish(t.Context(), people.With(userOf("Ada")).String(), "Bob"); !errors.Is(err, hotline.ErrDenied) {
			t.Errorf("she takes another name: %v", err)
		}
		for _, bad := range []any{nil, 1, "x", op{}, op{Draw: &stroke{}}, hotline.Binary("x"), map[string]any{"draw": 1}} {
			if err := ada.Publish(t.Context(), ops.String(), bad); !errors.Is(err, hotline.ErrInvalid) {
				t.Errorf("%v is an op: %v", bad, err)
			}
		}
		for _, bad := range []any{1, gesture{X: 9000}, gesture{From: -1}, gesture{Stroke: &stroke{ID: "x"}}} {
			if err := ada.Publish(t.Context(), live.String(), bad); !errors.Is(err, hotline.ErrInvalid) {
				t.Errorf("%v is a gesture: %v", bad, err)
			}
		}
		for _, token := range []string{"x", "x Ada", secretOf("Ada"), secretOf("Ada") + " ", strings.Repeat("k", 65) + " Ada",
			secretOf("x") + " A\u202eda", secretOf("x") + " " + strings.Repeat("a", 21)} {
			if _, err := s.dial("whiteboard", token); !errors.Is(err, hotline.ErrDenied) {
				t.Errorf("%q comes in: %v", token, err)
			}
		}
		synctest.Wait()
		if got, err := ada.snapshot(t.Context()); err != nil || len(got.Strokes) != 0 {
			t.Errorf("on the board is %+v, %v", got, err)
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
	if err != nil || total > 80<<10 {
		t.Errorf("the page has %d bytes, %v", total, err)
	}
}
