package home

import (
	"context"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gohotline/hotline"
	"github.com/gohotline/hotline/examples/internal/site"
	"github.com/gohotline/hotline/internal/leak"
	"github.com/gohotline/hotline/internal/memnet"
)

func TestMain(m *testing.M) { leak.Main(m) }

// TestFigures: whoever comes sees at once what the hub does and did in the last minute, and then once a second.
func TestFigures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New(nil)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		ln := net.Listen()
		go func() { ended <- site.Serve(ctx, ln, New(), talk()) }()
		defer func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}()
		dial := func(app string) *hotline.Client {
			c, err := hotline.Dial(t.Context(), "ws://localhost/"+app+"/ws", &hotline.DialOptions{HTTPClient: &http.Client{
				Transport: &http.Transport{DialContext: net.Link().DialContext, DisableKeepAlives: true},
			}})
			if err != nil {
				t.Fatal(err)
			}
			return c
		}

		talker := dial("talk")
		defer talker.Close()
		sub, err := talker.Subscribe(t.Context(), "talk.*", nil)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10*time.Second + time.Second/2) // between two rounds
		const n = 25
		for range n {
			if err := talker.Publish(t.Context(), "talk.a", "hello"); err != nil {
				t.Fatal(err)
			}
			if _, err := sub.Next(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Second)

		viewer := dial("home")
		defer viewer.Close()
		start := time.Now()
		view, err := now.Subscribe(t.Context(), viewer, nil)
		if err != nil {
			t.Fatal(err)
		}
		read := func() figures {
			t.Helper()
			msg, err := view.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			f, err := now.Decode(msg)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
		f := read()
		if time.Since(start) != 0 || f.Conns != 1 || len(f.Rates) != 60 || f.Rates[55] != n || f.Sent < n || sum(f.Rates) != f.Sent {
			t.Errorf("after %v: %+v", time.Since(start), f)
		}
		for i := range 70 {
			before := f
			f = read()
			at := time.Since(start)
			if at != time.Duration(i)*time.Second+time.Second/2 || f.Conns != 2 || f.Rates[59] != f.Sent-before.Sent || f.Rates[59] < 1 ||
				!slices.Equal(f.Rates[:59], before.Rates[1:]) {
				t.Errorf("after %v: %+v, before that %+v", at, f, before)
			}
		}
		if err := viewer.Publish(t.Context(), now.String(), 1); err == nil {
			t.Error("a visitor has published figures")
		}
	})
}

func sum(list []int64) (s int64) {
	for _, n := range list {
		s += n
	}
	return s
}

// talk is an app in which something is said.
func talk() *site.App {
	anyone := hotline.Allow("talk.*")
	return &site.App{
		Name: "talk", Title: "Talk & <b>more</b>", About: "Of this and that.",
		Options: hotline.HubOptions{AuthorizeSubscribe: anyone, AuthorizePublish: anyone},
		Handler: func(hub *hotline.Hub) http.Handler {
			mux := http.NewServeMux()
			mux.Handle("GET /ws", hub)
			return mux
		},
	}
}

// TestPage: it shows what apps there are, with their pictures, is small and comes from here alone.
func TestPage(t *testing.T) {
	pictures, err := fs.Glob(art, "art/*.svg")
	if err != nil || len(pictures) < 2 {
		t.Fatal(pictures, err)
	}
	apps := []*site.App{talk()}
	for _, p := range pictures {
		name := strings.TrimSuffix(strings.TrimPrefix(p, "art/"), ".svg")
		apps = append(apps, &site.App{Name: name, Title: name, About: strings.Repeat("about ", 20)})
	}
	handler := New(apps...).Handler(nil)
	get := func(path string) string {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Security-Policy"), "default-src 'self';") {
			t.Errorf("%s: %d, %v", path, w.Code, w.Header())
		}
		return w.Body.String()
	}
	page := get("/")
	for _, want := range []string{`href="/talk/"`, "Talk &amp; &lt;b&gt;more&lt;/b&gt;", "Of this and that."} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %s", want)
		}
	}
	for _, p := range pictures {
		svg, _ := fs.ReadFile(art, p)
		n := 1
		if p == "art/other.svg" {
			n = 2 // of talk, too
		}
		if got := strings.Count(page, string(svg)); got != n {
			t.Errorf("%s is there %d times", p, got)
		}
	}
	all := page + get("/home.js") + get("/home.css")
	if len(all) > 60<<10 {
		t.Errorf("the page has %d bytes", len(all))
	}
	for _, bad := range []string{` style="`, ` onclick=`, `<script>`, "<style", "innerHTML", "http://", "https://"} {
		if strings.Contains(all, bad) {
			t.Errorf("the page has %s", bad)
		}
	}
	// What the script looks for is there.
	for _, m := range regexp.MustCompile(`\bui\.(\w+)`).FindAllStringSubmatch(all, -1) {
		if !strings.Contains(page, `id="`+m[1]+`"`) {
			t.Errorf("the page has no %s", m[1])
		}
	}
}
