package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gohotline/hotline"
	"github.com/gohotline/hotline/examples/internal/site"
	"github.com/gohotline/hotline/internal/leak"
	"github.com/gohotline/hotline/internal/memnet"
)

func TestMain(m *testing.M) { leak.Main(m) }

// inBubble serves all examples on a network in memory, and ends them as SIGINT does.
func inBubble(t *testing.T, test func(t *testing.T, client func() *http.Client)) {
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New(nil)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		ln := net.Listen()
		go func() { ended <- site.Serve(ctx, ln, all()...) }()
		defer func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}()
		test(t, func() *http.Client {
			return &http.Client{Transport: &http.Transport{DialContext: net.Link().DialContext, DisableKeepAlives: true}}
		})
	})
}

// TestPages: the first page leads to all others.
func TestPages(t *testing.T) {
	inBubble(t, func(t *testing.T, client func() *http.Client) {
		get := func(path string) string {
			t.Helper()
			resp, err := client().Get("http://localhost:8080" + path)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") ||
				!strings.HasPrefix(resp.Header.Get("Content-Security-Policy"), "default-src 'self';") {
				t.Errorf("%s: %d, %v, %v", path, resp.StatusCode, resp.Header, err)
			}
			return string(body)
		}
		first := get("/")
		for _, app := range all()[1:] {
			if !strings.Contains(first, `href="/`+app.Name+`/"`) || !strings.Contains(first, app.Title) {
				t.Errorf("nothing leads to %s", app.Name)
			}
			if page := get("/" + app.Name + "/"); !strings.Contains(page, "<title>") {
				t.Errorf("%s: %s", app.Name, page)
			}
		}
	})
}

// strangers are who can come in without anybody's leave: at the first page without a name, in the chat with any.
var strangers = []struct{ app, token string }{{"home", ""}, {"chat", "ada"}}

// public cover what an example may open to those of others, to read.
var public = []string{
	"home.now",
	"dashboard.price.*", "dashboard.game.*", "dashboard.market", "dashboard.hub",
	"game.world", "game.names.*",
	"whiteboard.ops", "whiteboard.live", "whiteboard.people.*",
}

// TestStrangers: who has come in at one example reads and writes nothing of another that does not say so, under whatever
// name.
func TestStrangers(t *testing.T) {
	inBubble(t, func(t *testing.T, client func() *http.Client) {
		for _, s := range strangers {
			c, err := hotline.Dial(t.Context(), "ws://localhost:8080/"+s.app+"/ws", &hotline.DialOptions{
				HTTPClient: client(), Token: func(context.Context) (string, error) { return s.token, nil },
			})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for _, app := range all() {
				if app.Name == s.app {
					continue
				}
				for _, topic := range topics(app) {
					sub, err := c.Subscribe(t.Context(), topic, nil)
					open := slices.ContainsFunc(public, func(pat string) bool { return hotline.Match(pat, topic) || pat == topic })
					if err == nil && !open || err != nil && !errors.Is(err, hotline.ErrDenied) {
						t.Errorf("who is at %s subscribes to %s: %v", s.app, topic, err)
					}
					if err == nil {
						sub.Close()
					}
					if strings.ContainsAny(topic, "*>") {
						continue
					}
					if err := c.Publish(t.Context(), topic, map[string]any{}); !errors.Is(err, hotline.ErrDenied) {
						t.Errorf("who is at %s publishes to %s: %v", s.app, topic, err)
					}
				}
			}
		}
	})
}

// topics are what somebody might try who calls themselves ada.
func topics(app *site.App) []string {
	list := []string{app.Name, app.Name + ".>", app.Name + ".*", app.Name + ".ada", app.Name + ".*.ada"}
	for pattern := range app.Options.Topics {
		list = append(list, pattern, strings.NewReplacer("*", "ada", ">", "ada").Replace(pattern))
	}
	slices.Sort(list)
	return slices.Compact(list)
}
