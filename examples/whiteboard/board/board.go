// Package board is the whiteboard of examples/whiteboard. What it asks of hotline is in this file; model.go is what strokes
// become a picture by, here as in the page.
package board

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/gohotline/hotline"
	"github.com/gohotline/hotline/examples/internal/site"
)

//go:embed web
var files embed.FS

// The topics.
var (
	ops    = hotline.NewTopic[op]("whiteboard.ops")          // what is done to the picture, in the order that counts
	live   = hotline.NewTopic[gesture]("whiteboard.live")    // where somebody's pen is just now
	people = hotline.NewTopic[string]("whiteboard.people.*") // names, by user
)

const youTopic = "whiteboard.you" // sent to each: the user that they are

// New makes the whiteboard.
func New() *site.App {
	b := &board{}
	return &site.App{
		Name:  "whiteboard",
		Title: "Whiteboard",
		About: "Everybody draws at once, and all see the same picture, also who comes later or was offline.",
		Options: hotline.HubOptions{
			Authenticate:       authenticate,
			AuthorizeSubscribe: hotline.Allow(ops.String(), live.String(), people.String()), // whoever likes may look
			AuthorizePublish:   drawing(hotline.Allow(ops.String(), live.String())),
			OnConnect:          arrive,
			Topics: map[string]hotline.TopicOptions{
				ops.String():    {OnPublish: checked(ops, op.check)},
				live.String():   {Delivery: hotline.Signals, OnPublish: checked(live, gesture.check)},
				people.String(): {Delivery: hotline.Presence},
			},
		},
		Handler: b.handler,
		Run:     b.run,
	}
}

// visitor is whose connection it is: no name, they only look.
type visitor struct{ name string }

// authenticate takes a token for the visitor: none to look, and to draw a secret that the page has made up, a space, and a
// name. The user is made of the secret, so that nobody can undo what another one of that name has drawn.
func authenticate(_ *http.Request, token string) (hotline.Identity, error) {
	if token == "" {
		return hotline.Identity{Data: visitor{}}, nil
	}
	secret, name, _ := strings.Cut(token, " ")
	hidden := func(r rune) bool { return !unicode.IsPrint(r) } // line breaks, marks that turn the text around them
	if n := utf8.RuneCountInString(name); n < 1 || n > 20 || strings.TrimSpace(name) != name || strings.ContainsFunc(name, hidden) {
		return hotline.Identity{}, fmt.Errorf("%w: a name has 1 to 20 visible characters, and no space around it", hotline.ErrDenied)
	}
	if len(secret) < 16 || len(secret) > 64 {
		return hotline.Identity{}, fmt.Errorf("%w: a secret has 16 to 64 characters", hotline.ErrDenied)
	}
	sum := sha256.Sum256([]byte(secret))
	return hotline.Identity{User: hex.EncodeToString(sum[:8]), Data: visitor{name}}, nil
}

// drawing narrows a permission to those who have come to draw.
func drawing(allow func(context.Context, *hotline.Conn, string) error) func(context.Context, *hotline.Conn, string) error {
	return func(ctx context.Context, c *hotline.Conn, topic string) error {
		if v, ok := c.Identity().Data.(visitor); !ok || v.name == "" {
			return fmt.Errorf("%w: only who has a name draws", hotline.ErrDenied)
		}
		return allow(ctx, c, topic)
	}
}

// arrive tells somebody which strokes are their own, and everybody who is here, for as long as that connection lives, and
// ten seconds more.
func arrive(ctx context.Context, c *hotline.Conn) {
	v, ok := c.Identity().Data.(visitor)
	if !ok || v.name == "" {
		return
	}
	user := c.Identity().User
	if err := errors.Join(c.Send(youTopic, user), people.With(user).Publish(ctx, c, v.name)); err != nil {
		slog.Error("whiteboard: somebody was not introduced", "err", err)
	}
}

// checked refuses what is not as it should be, and drops from it what subscribers need not see.
func checked[T any](topic hotline.Topic[T], check func(T) error) func(context.Context, *hotline.Conn, *hotline.Message) error {
	return func(_ context.Context, _ *hotline.Conn, m *hotline.Message) error {
		v, err := topic.Decode(*m)
		if err == nil {
			err = check(v)
		}
		if err != nil {
			return fmt.Errorf("%w: %w", hotline.ErrInvalid, err)
		}
		m.Data, err = json.Marshal(v)
		return err
	}
}

// board is the picture, as a reader of the log that every page reads, too.
type board struct {
	mu    sync.Mutex
	model model
	after string // the position up to which the log is in the model: exactly
	json  []byte // of the snapshot; nil: the picture has changed
}

// snapshot is what a page begins with. It goes on with what comes after.
type snapshot struct {
	After   string   `json:"after"`
	Strokes []stroke `json:"strokes"`
}

func (b *board) snapshot(w http.ResponseWriter, _ *http.Request) {
	b.mu.Lock()
	if b.json == nil { // once a change, however many ask
		b.json, _ = json.Marshal(snapshot{After: b.after, Strokes: b.model.copy()}) // numbers and text
	}
	body := b.json
	b.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(body)
}

func (b *board) handler(hub *hotline.Hub) http.Handler {
	b.after = hub.Position() // the picture is empty here; run reads on from there
	mux := http.NewServeMux()
	mux.Handle("GET /ws", hub)
	mux.HandleFunc("GET /snapshot", b.snapshot)
	mux.HandleFunc("GET /limits.json", limits)
	mux.Handle("GET /", site.Pages(files))
	return mux
}

func (b *board) run(ctx context.Context, hub *hotline.Hub) {
	sub, err := ops.Subscribe(ctx, hub, &hotline.SubscribeOptions{After: b.after})
	if err != nil {
		slog.Error("whiteboard: nothing can be drawn", "err", err)
		return
	}
	defer func() { _ = sub.Close() }()
	for m, err := range sub.Messages(ctx) {
		if err != nil {
			return // ctx is done, or the hub is closed
		}
		b.take(ctx, hub, m)
	}
}

func (b *board) take(ctx context.Context, hub *hotline.Hub, m hotline.Message) {
	o, err := ops.Decode(m)
	if err != nil {
		slog.Error("whiteboard: what was checked can't be read", "err", err)
		return
	}
	b.mu.Lock()
	b.model.apply(m.From, o)
	b.after, b.json = m.ID, nil
	b.mu.Unlock()
	if m.Missed > 0 {
		// The log has run away from us, 64 MiB of it. Nobody knows any more what is on the board: all begin anew, at the
		// same place of the order.
		slog.Error("whiteboard: the picture is lost", "missed", m.Missed)
		if err := ops.Publish(ctx, hub, op{Clear: true}); err != nil {
			slog.Error("whiteboard: nobody was told", "err", err)
		}
	}
}
