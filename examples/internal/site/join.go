package site

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/gohotline/hotline"
)

// Only makes an authorization hook for the connections of one example, known by the type of their Identity.Data. A hub that
// is one application's needs nothing of the kind: there everybody has come in at its door.
func Only[T any](hook func(context.Context, *hotline.Conn, string) error) func(context.Context, *hotline.Conn, string) error {
	return func(ctx context.Context, c *hotline.Conn, topic string) error {
		if _, ok := c.Identity().Data.(T); !ok {
			return fmt.Errorf("%w: %q is for those who have come in there", hotline.ErrDenied, topic)
		}
		return hook(ctx, c, topic)
	}
}

type appKey struct{}

// join makes one hub's options of those of apps: who connects is asked of the app whose page it is, and who may do what
// with a topic of the app whose topic it is. It panics if what an app asks for can't be joined, also while it is alone.
func join(apps []*App) *hotline.HubOptions {
	j := joined{}
	topics := make(map[string]hotline.TopicOptions)
	limits := defaults
	for _, app := range apps {
		if err := check(app); err != nil {
			panic(fmt.Sprintf("site: %s: %v", app.Name, err))
		}
		if j[app.Name] != nil {
			panic(fmt.Sprintf("site: two examples have the name %q", app.Name))
		}
		j[app.Name] = app
		maps.Copy(topics, app.Options.Topics)
		l := app.Options.Limits
		limits.MessageBytes = max(limits.MessageBytes, l.MessageBytes)
		limits.Subscriptions = max(limits.Subscriptions, l.Subscriptions)
		limits.PublishRate = max(limits.PublishRate, l.PublishRate)
	}
	if len(apps) == 1 {
		return &apps[0].Options
	}
	return &hotline.HubOptions{
		Authenticate:       authenticate,
		AuthorizeSubscribe: j.authorizeSubscribe,
		AuthorizePublish:   j.authorizePublish,
		AuthorizeHistory:   j.authorizeHistory,
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
		Topics: topics,
		Limits: limits,
	}
}

// defaults are hotline's of the limits that an app may set. On a hub of several the largest that any asks for holds.
var defaults = hotline.Limits{MessageBytes: 64 << 10, Subscriptions: 128, PublishRate: 100}

// check says what of an app can't be joined with others.
func check(app *App) error {
	if hotline.Escape(app.Name) != app.Name || app.Name == "site" {
		return fmt.Errorf("%q can't be the name of an example", app.Name)
	}
	for _, topic := range slices.Sorted(maps.Keys(app.Options.Topics)) {
		if owner(topic) != app.Name {
			return fmt.Errorf("topic %q does not begin with its name", topic)
		}
	}
	rest := app.Options // what join does not know of
	rest.Authenticate, rest.AuthorizeSubscribe, rest.AuthorizePublish, rest.AuthorizeHistory = nil, nil, nil, nil
	rest.OnConnect, rest.OnDisconnect, rest.Topics = nil, nil, nil
	for _, n := range []*int{&rest.Limits.MessageBytes, &rest.Limits.Subscriptions, &rest.Limits.PublishRate} {
		if *n >= 0 { // no limit is no number that others could be compared with
			*n = 0
		}
	}
	return isZero(reflect.ValueOf(rest), "Options")
}

// isZero says which field of a struct is set.
func isZero(v reflect.Value, name string) error {
	for i := range v.NumField() {
		switch f, field := v.Field(i), name+"."+v.Type().Field(i).Name; {
		case f.IsZero():
		case f.Kind() == reflect.Struct:
			return isZero(f, field)
		default:
			return fmt.Errorf("%s is nothing that examples can share a hub with", field)
		}
	}
	return nil
}

// owner is the name of the app that a topic belongs to.
func owner(topic string) string {
	name, _, _ := strings.Cut(topic, ".")
	return name
}

// authenticate asks the app whose page it is.
func authenticate(r *http.Request, token string) (hotline.Identity, error) {
	if app, ok := r.Context().Value(appKey{}).(*App); ok && app.Options.Authenticate != nil {
		return app.Options.Authenticate(r, token)
	}
	return hotline.Identity{}, nil
}

// joined are apps that share a hub, by name.
type joined map[string]*App

func (j joined) authorizeSubscribe(ctx context.Context, c *hotline.Conn, topic string) error {
	if app := j[owner(topic)]; app != nil && app.Options.AuthorizeSubscribe != nil {
		return app.Options.AuthorizeSubscribe(ctx, c, topic)
	}
	return nobodys(topic)
}

func (j joined) authorizePublish(ctx context.Context, c *hotline.Conn, topic string) error {
	if app := j[owner(topic)]; app != nil && app.Options.AuthorizePublish != nil {
		return app.Options.AuthorizePublish(ctx, c, topic)
	}
	return nobodys(topic)
}

func (j joined) authorizeHistory(ctx context.Context, c *hotline.Conn, topic string, since time.Time) error {
	app := j[owner(topic)]
	if app == nil {
		return nobodys(topic)
	}
	if app.Options.AuthorizeHistory == nil {
		return nil // who may subscribe may
	}
	return app.Options.AuthorizeHistory(ctx, c, topic, since)
}

func nobodys(topic string) error {
	return fmt.Errorf("%w: no example lets anybody at %q", hotline.ErrDenied, topic)
}
