package site

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gohotline/hotline"
)

type appKey struct{}

// join makes one hub's options of those of apps: who connects is asked for by the app whose page it is, and who may do what
// with a topic by the app whose topic it is.
func join(apps []*App) *hotline.HubOptions {
	if len(apps) == 1 {
		return &apps[0].Options
	}
	byName := make(map[string]*App)
	topics := make(map[string]hotline.TopicOptions)
	for _, app := range apps {
		byName[app.Name] = app
		for topic, o := range app.Options.Topics {
			if owner, _, _ := strings.Cut(topic, "."); owner != app.Name {
				panic(fmt.Sprintf("site: topic %q of %q does not begin with its name", topic, app.Name))
			}
			topics[topic] = o
		}
	}
	// ask calls the hook of the app that a topic belongs to.
	ask := func(topic string, hook func(*hotline.HubOptions) error) error {
		owner, _, _ := strings.Cut(topic, ".")
		if app := byName[owner]; app != nil {
			return hook(&app.Options)
		}
		return fmt.Errorf("%w: topic %q belongs to none of the examples", hotline.ErrDenied, topic)
	}
	denied := fmt.Errorf("%w: not here", hotline.ErrDenied)
	return &hotline.HubOptions{
		Authenticate: func(r *http.Request, token string) (hotline.Identity, error) {
			app, ok := r.Context().Value(appKey{}).(*App)
			if !ok || app.Options.Authenticate == nil {
				return hotline.Identity{}, nil
			}
			return app.Options.Authenticate(r, token)
		},
		AuthorizeSubscribe: func(ctx context.Context, c *hotline.Conn, topic string) error {
			return ask(topic, func(o *hotline.HubOptions) error {
				if o.AuthorizeSubscribe == nil {
					return denied
				}
				return o.AuthorizeSubscribe(ctx, c, topic)
			})
		},
		AuthorizePublish: func(ctx context.Context, c *hotline.Conn, topic string) error {
			return ask(topic, func(o *hotline.HubOptions) error {
				if o.AuthorizePublish == nil {
					return denied
				}
				return o.AuthorizePublish(ctx, c, topic)
			})
		},
		AuthorizeHistory: func(ctx context.Context, c *hotline.Conn, topic string, since time.Time) error {
			return ask(topic, func(o *hotline.HubOptions) error {
				if o.AuthorizeHistory == nil {
					return nil
				}
				return o.AuthorizeHistory(ctx, c, topic, since)
			})
		},
		OnConnect: func(ctx context.Context, c *hotline.Conn) {
			for _, app := range apps {
				if app.Options.OnConnect != nil {
					app.Options.OnConnect(ctx, c)
				}
			}
		},
		OnDisconnect: func(ctx context.Context, c *hotline.Conn, err error) {
			for _, app := range apps {
				if app.Options.OnDisconnect != nil {
					app.Options.OnDisconnect(ctx, c, err)
				}
			}
		},
		OnMessage: nil,
		Topics:    topics,
	}
}
