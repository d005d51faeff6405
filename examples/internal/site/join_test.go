package site

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gohotline/hotline"
	"github.com/gohotline/hotline/internal/memnet"
)

// TestRefused: what can't be on one hub with others is refused when the program starts, by name, and also for an app alone.
func TestRefused(t *testing.T) {
	app := func(name string, o hotline.HubOptions) *App { return &App{Name: name, Options: o, Handler: page} }
	topics := func(topics ...string) (o hotline.HubOptions) {
		o.Topics = make(map[string]hotline.TopicOptions)
		for _, topic := range topics {
			o.Topics[topic] = hotline.TopicOptions{}
		}
		return o
	}
	fine := app("fine", topics("fine.*", "fine"))
	for _, tt := range []struct {
		want string
		apps []*App
	}{
		{`two examples have the name "fine"`, []*App{fine, app("fine", hotline.HubOptions{})}},
		{`"" can't be the name`, []*App{app("", hotline.HubOptions{})}},
		{`"a.b" can't be the name`, []*App{app("a.b", hotline.HubOptions{})}},
		{`"*" can't be the name`, []*App{app("*", hotline.HubOptions{})}},
		{`"site" can't be the name`, []*App{app("site", hotline.HubOptions{})}},
		{`topic "finer.x" does not begin with its name`, []*App{app("fine", topics("fine.x", "finer.x"))}},
		{`topic "fine.x" does not begin with its name`, []*App{fine, app("other", topics("fine.x"))}},
		{`topic "*.x" does not begin with its name`, []*App{app("fine", topics("*.x"))}},
		{`topic ">" does not begin with its name`, []*App{app("fine", topics(">"))}},
		{"Options.OnMessage", []*App{app("fine", hotline.HubOptions{OnMessage: func(context.Context, *hotline.Conn, []byte) {}})}},
		{"Options.OriginPatterns", []*App{app("fine", hotline.HubOptions{OriginPatterns: []string{"*"}})}},
		{"Options.InsecureSkipOriginCheck", []*App{fine, app("other", hotline.HubOptions{InsecureSkipOriginCheck: true})}},
		{"Options.Limits.Conns", []*App{app("fine", hotline.HubOptions{Limits: hotline.Limits{Conns: 1}})}},
		{"Options.Limits.PublishRate", []*App{app("fine", hotline.HubOptions{Limits: hotline.Limits{PublishRate: -1}})}},
		{"", []*App{fine}},
		{"", []*App{fine, app("other", topics("other.*"))}},
	} {
		got := func() (got string) {
			defer func() {
				if v := recover(); v != nil {
					got = fmt.Sprint(v)
				}
			}()
			join(tt.apps)
			return ""
		}()
		if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
			t.Errorf("join panics with %q, want %q", got, tt.want)
		}
	}
}

// TestLimits: an app alone has the limits that it asks for, and with others the largest that any of them has.
func TestLimits(t *testing.T) {
	small := &App{Name: "small", Options: hotline.HubOptions{Limits: hotline.Limits{MessageBytes: 100, Subscriptions: 3, PublishRate: 2}}}
	large := &App{Name: "large", Options: hotline.HubOptions{Limits: hotline.Limits{MessageBytes: 1 << 20, PublishRate: 500}}}
	if got := join([]*App{small}).Limits; got != small.Options.Limits {
		t.Errorf("alone: %+v", got)
	}
	if got, want := join([]*App{small, large}).Limits, (hotline.Limits{MessageBytes: 1 << 20, Subscriptions: 128, PublishRate: 500}); got != want {
		t.Errorf("together: %+v, want %+v", got, want)
	}
}

// two are apps that keep their topics to themselves, but for one that red opens to all.
func two(note func(format string, args ...any)) (red, blue *App) {
	type reds struct{}
	type blues struct{}
	hooks := func(name string, data any, o hotline.HubOptions) hotline.HubOptions {
		o.Authenticate = func(_ *http.Request, token string) (hotline.Identity, error) {
			if !strings.HasPrefix(token, name) {
				return hotline.Identity{}, fmt.Errorf("%w: wrong door", hotline.ErrDenied)
			}
			return hotline.Identity{User: token, Data: data}, nil
		}
		o.AuthorizeHistory = func(_ context.Context, c *hotline.Conn, topic string, _ time.Time) error {
			note("%s asked of %s by %s", name, topic, c.Identity().User)
			return nil
		}
		o.OnConnect = func(_ context.Context, c *hotline.Conn) { note("%s sees %s come", name, c.Identity().User) }
		o.OnDisconnect = func(_ context.Context, c *hotline.Conn, _ error) { note("%s sees %s go", name, c.Identity().User) }
		return o
	}
	red = &App{Name: "red", Handler: page, Options: hooks("red", reds{}, hotline.HubOptions{
		AuthorizeSubscribe: func(ctx context.Context, c *hotline.Conn, topic string) error {
			if topic == "red.open" {
				return nil
			}
			return Only[reds](hotline.Allow("red.*"))(ctx, c, topic)
		},
		AuthorizePublish: Only[reds](hotline.Allow("red.*")),
	})}
	blue = &App{Name: "blue", Handler: page, Options: hooks("blue", blues{}, hotline.HubOptions{
		AuthorizeSubscribe: Only[blues](hotline.Allow("blue.>", "red.>")), // of what is red, blue is not asked
	})}
	return red, blue
}

// TestOwners: who comes in is asked of the app whose door it is, what they may do of the app whose topic it is.
func TestOwners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New(nil)
		red, blue := two(func(string, ...any) {})
		serve(t, net, red, blue)
		r, b := dial(t, net, "red", "red ann"), dial(t, net, "blue", "blue bob")

		for _, tt := range []struct {
			who   *hotline.Client
			topic string
			ok    bool
		}{
			{r, "red.a", true}, {r, "red.*", true}, {r, "blue.a", false}, {r, "blue.>", false},
			{b, "blue.a", true}, {b, "blue.>", true}, {b, "red.a", false}, {b, "red.>", false}, {b, "red.*", false}, {b, "red.open", true},
			{r, "*.a", false}, {r, ">", false}, {r, "green.a", false}, {b, "*.>", false}, {b, "home.now", false},
		} {
			sub, err := tt.who.Subscribe(t.Context(), tt.topic, nil)
			if (err == nil) != tt.ok || err != nil && !errors.Is(err, hotline.ErrDenied) {
				t.Errorf("subscribe to %s: %v", tt.topic, err)
			}
			if err == nil {
				sub.Close()
			}
		}
		for _, tt := range []struct {
			who   *hotline.Client
			topic string
			ok    bool
		}{
			{r, "red.a", true}, {r, "red.open", true}, {r, "blue.a", false}, {b, "red.a", false}, {b, "red.open", false},
			{b, "blue.a", false}, // it has no hook
			{r, "green", false},
		} {
			if err := tt.who.Publish(t.Context(), tt.topic, 1); (err == nil) != tt.ok || err != nil && !errors.Is(err, hotline.ErrDenied) {
				t.Errorf("publish to %s: %v", tt.topic, err)
			}
		}

		_, err := hotline.Dial(t.Context(), "ws://localhost:8080/blue/ws", &hotline.DialOptions{
			HTTPClient: browser(t, net), Token: func(context.Context) (string, error) { return "red ann", nil },
		})
		if !errors.Is(err, hotline.ErrDenied) {
			t.Errorf("with a token of the other app: %v", err)
		}
	})
}

// TestHooksOfAll: history is asked for of the topic's app, and all apps see everybody come and go.
func TestHooksOfAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New(nil)
		var mu sync.Mutex
		var notes []string
		red, blue := two(func(format string, args ...any) {
			mu.Lock()
			defer mu.Unlock()
			notes = append(notes, fmt.Sprintf(format, args...))
		})
		stop := serve(t, net, red, blue)
		b := dial(t, net, "blue", "blue bob")
		for _, topic := range []string{"red.open", "blue.a"} {
			if _, err := b.Subscribe(t.Context(), topic, &hotline.SubscribeOptions{Replay: 1}); err != nil {
				t.Fatal(err)
			}
		}
		b.Close()
		if err := stop(); err != nil {
			t.Error(err)
		}
		want := []string{
			"red sees blue bob come", "blue sees blue bob come", "red asked of red.open by blue bob", "blue asked of blue.a by blue bob",
			"red sees blue bob go", "blue sees blue bob go",
		}
		if !slices.Equal(notes, want) {
			t.Errorf("%q", notes)
		}
	})
}
