// Package arena is the game of examples/game. What it asks of hotline is in this file; world.go is the game itself, which
// knows nothing of a network, and wire.go how worlds and inputs travel.
package arena

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gohotline/hotline"
	"github.com/gohotline/hotline/examples/internal/site"
)

//go:embed web
var files embed.FS

// The topics. A name has one of its own, so that a new one is sent alone: names.7 is that of the ship 7.
const (
	worldTopic = "game.world"   // the whole world, binary
	inputTopic = "game.input"   // what a player does, binary
	nameTopic  = "game.names.*" // a JSON string
	youTopic   = "game.you"     // the number of one's own ship
)

// New makes the game.
func New() *site.App {
	a := &arena{seats: make(map[*hotline.Conn]*seat)}
	return &site.App{
		Name:  "game",
		Title: "Game",
		About: "Collect sparks, knock them out of the others. The server owns the world and sends it 30 times a second.",
		Options: hotline.HubOptions{
			Authenticate:       authenticate,
			AuthorizeSubscribe: hotline.Allow(worldTopic, nameTopic), // whoever likes may watch
			AuthorizePublish:   playing(hotline.Allow(inputTopic)),
			OnConnect:          a.connected,
			OnDisconnect:       a.disconnected,
			Topics: map[string]hotline.TopicOptions{
				worldTopic: {Delivery: hotline.State}, // who is slow skips worlds, and is never behind by more than one
				nameTopic:  {Delivery: hotline.State},
				inputTopic: {Handle: takeInput}, // goes to the loop, and to nobody else
			},
		},
		Handler: a.handler,
		Run:     a.run,
	}
}

// seat is one connection of the game: Authenticate makes it, and the hooks that are called for that connection find it again.
type seat struct {
	key   string                // whose ship it is, also after a reconnect; empty: only watches
	name  string                //
	input atomic.Pointer[input] // the newest: written by the connection's hook, read by the loop; nil: none yet

	// Guarded by arena.mu.
	conn *hotline.Conn
	nth  int    // of all that have connected: the last one of a key flies
	told uint16 // the ship that the page knows to be its own
}

// authenticate takes a token for the seat that it asks for: none to watch, and to play a secret that the page has made up,
// a space, and a name.
func authenticate(_ *http.Request, token string) (hotline.Identity, error) {
	if token == "" {
		return hotline.Identity{Data: &seat{}}, nil
	}
	key, name, _ := strings.Cut(token, " ")
	hidden := func(r rune) bool { return !unicode.IsPrint(r) } // line breaks, marks that turn the text around them
	if n := utf8.RuneCountInString(name); n < 1 || n > 16 || strings.TrimSpace(name) != name || strings.ContainsFunc(name, hidden) {
		return hotline.Identity{}, fmt.Errorf("%w: a name has 1 to 16 visible characters, and no space around it", hotline.ErrDenied)
	}
	if len(key) < 16 || len(key) > 64 {
		return hotline.Identity{}, fmt.Errorf("%w: a key has 16 to 64 characters", hotline.ErrDenied)
	}
	return hotline.Identity{User: name, Data: &seat{key: key, name: name}}, nil
}

// playing narrows a permission to connections that play.
func playing(allow func(context.Context, *hotline.Conn, string) error) func(context.Context, *hotline.Conn, string) error {
	return func(ctx context.Context, c *hotline.Conn, topic string) error {
		if s, ok := c.Identity().Data.(*seat); !ok || s.key == "" {
			return fmt.Errorf("%w: only players have a ship to steer", hotline.ErrDenied)
		}
		return allow(ctx, c, topic)
	}
}

// takeInput keeps the newest input, which is all that the loop wants to know: each says everything, so that it does not
// matter if the one before it was lost.
func takeInput(_ context.Context, c *hotline.Conn, m *hotline.Message) error {
	in, err := parseInput(m.Data)
	if err != nil || !m.Binary {
		return fmt.Errorf("%w: input is %d bytes, of which two are a direction of at most 1", hotline.ErrInvalid, inputBytes)
	}
	if s, ok := c.Identity().Data.(*seat); ok {
		s.input.Store(&in)
	}
	return nil
}

// arena is who is connected, for the loop.
type arena struct {
	mu    sync.Mutex
	seats map[*hotline.Conn]*seat
	nth   int
}

func (a *arena) connected(_ context.Context, c *hotline.Conn) {
	s, ok := c.Identity().Data.(*seat)
	if !ok {
		return // of another example
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.nth++
	s.conn, s.nth = c, a.nth
	a.seats[c] = s
}

func (a *arena) disconnected(_ context.Context, c *hotline.Conn, _ error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.seats, c)
}

// seated returns how many are connected, and of each player the connection that flies.
func (a *arena) seated() (all int, players map[string]*seat) {
	a.mu.Lock()
	defer a.mu.Unlock()
	players = make(map[string]*seat, len(a.seats))
	for _, s := range a.seats {
		if s.key != "" && (players[s.key] == nil || players[s.key].nth < s.nth) {
			players[s.key] = s
		}
	}
	return len(a.seats), players
}

// run is the game: one goroutine owns the world. It is still while nobody looks.
func (a *arena) run(ctx context.Context, hub *hotline.Hub) {
	g := newGame(uint64(time.Now().UnixNano()))
	ticker := time.NewTicker(time.Second / rate)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		watching, players := a.seated()
		news := g.admit(players)
		if watching > 0 {
			g.world = step(g.world, g.inputs(players), 1.0/rate)
		}
		err := publishNames(ctx, hub, news)
		if watching > 0 {
			err = errors.Join(err, hub.Publish(ctx, worldTopic, hotline.Binary(g.world.encode())))
		}
		a.tell(players, g.ships)
		if errors.Is(err, hotline.ErrClosed) {
			return
		}
		if err != nil && ctx.Err() == nil {
			slog.Error("game: a tick was not published", "err", err)
		}
	}
}

// publishNames says what the ships are called that have come, and forgets those that have gone.
func publishNames(ctx context.Context, hub *hotline.Hub, news map[uint16]string) (err error) {
	for id, name := range news {
		topic := hotline.NewTopic[string](nameTopic).With(strconv.Itoa(int(id)))
		if name == "" {
			err = errors.Join(err, hub.Publish(ctx, topic.String(), nil))
		} else {
			err = errors.Join(err, topic.Publish(ctx, hub, name))
		}
	}
	return err
}

// tell tells each player which ship is theirs. Who can't be told now will be at the next tick.
func (a *arena) tell(players map[string]*seat, ships map[string]uint16) {
	for key, s := range players {
		if id := ships[key]; id != s.told && s.conn.Send(youTopic, id) == nil {
			s.told = id
		}
	}
}

func (a *arena) handler(hub *hotline.Hub) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /ws", hub)
	mux.HandleFunc("GET /rules.json", rules)
	mux.Handle("GET /", site.Pages(files))
	return mux
}
