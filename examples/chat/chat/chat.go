// Package chat is a chat: rooms, names, who is here, who is typing, and the last 50 messages for whoever comes in.
//
// Everything that it asks of hotline is in New. The page is in the folder web, plain JavaScript without a build.
package chat

import (
	"context"
	"crypto/rand"
	"embed"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gohotline/hotline"
	"github.com/gohotline/hotline/examples/internal/site"
)

// New makes the chat. A room has three kinds of topic: what is said in it, who is typing, and one for each person who is
// here.
func New() *site.App {
	return &site.App{
		Name: "chat", Title: "Chat",
		About: "Rooms, who is here, who is typing. What you write while offline is sent once, and nothing said meanwhile is missed.",
		Options: hotline.HubOptions{
			Authenticate:       authenticate,
			AuthorizeSubscribe: site.Only[*guest](hotline.Allow("chat.*", "chat.*.typing", "chat.*.here.*")),
			AuthorizePublish:   site.Only[*guest](hotline.Allow("chat.*", "chat.*.typing", "chat.*.here.{user}")),
			Topics: map[string]hotline.TopicOptions{
				"chat.*":        {Keep: 50, OnPublish: new(counter).stamp},
				"chat.*.typing": {Delivery: hotline.Signals},
				"chat.*.here.*": {Delivery: hotline.Presence, OnPublish: here},
			},
			Limits: hotline.Limits{MessageBytes: 16 << 10},
		},
		Handler: newHandler,
	}
}

// guest is the Data of those who have come in at the door: a hub of several examples has others, too.
type guest struct {
	rooms map[string]bool // the topics by which they are here; of here alone: a connection's hooks run one at a time
}

// authenticate takes the token for the name: this chat has no accounts, and whoever says that they are Ada is.
func authenticate(_ *http.Request, name string) (hotline.Identity, error) {
	hidden := func(r rune) bool { return !unicode.IsPrint(r) } // line breaks, marks that turn the text around them
	if n := utf8.RuneCountInString(name); n < 1 || n > 30 || strings.TrimSpace(name) != name || strings.ContainsFunc(name, hidden) {
		return hotline.Identity{}, fmt.Errorf("%w: a name has 1 to 30 visible characters, and no space around it", hotline.ErrDenied)
	}
	return hotline.Identity{User: name, Data: &guest{rooms: make(map[string]bool)}}, nil
}

// line is what subscribers get of what somebody says, which itself is a string.
type line struct {
	Text string `json:"text"`
	At   int64  `json:"at"`  // Unix milliseconds
	Run  string `json:"run"` // of the counter
	N    int    `json:"n"`   // its place in the room
}

// counter numbers what is said in each room. hotline says where messages are missing, but not how many when they are
// forgotten: a page that knows the numbers around the place does.
type counter struct {
	mu    sync.Mutex
	run   string // another one when it begins anew: with the process, and after mostCounts rooms
	rooms map[string]int
}

const mostCounts = 10_000

func (c *counter) next(room string) (run string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n = c.rooms[room] + 1; n == 1 && len(c.rooms)%mostCounts == 0 {
		c.run, c.rooms = rand.Text(), make(map[string]int)
	}
	c.rooms[room] = n
	return c.run, n
}

// stamp checks what somebody says, and adds its number and the time: the server's, because a client could lie.
func (c *counter) stamp(_ context.Context, _ *hotline.Conn, m *hotline.Message) error {
	l := line{At: time.Now().UnixMilli()}
	if m.Decode(&l.Text) != nil || strings.TrimSpace(l.Text) == "" || utf8.RuneCountInString(l.Text) > 2000 {
		return fmt.Errorf("%w: a message is text of 1 to 2000 characters", hotline.ErrInvalid)
	}
	l.Run, l.N = c.next(m.Topic)
	var err error
	m.Data, err = json.Marshal(l)
	return err
}

// mostRooms is in how many rooms a connection is at once. What is here stays in the hub's memory, which all share.
const mostRooms = 20

// here lets somebody be in a room, or leave it, and say no more than that.
func here(_ context.Context, c *hotline.Conn, m *hotline.Message) error {
	rooms := c.Identity().Data.(*guest).rooms // AuthorizePublish has let them in
	switch data := string(m.Data); {
	case m.Binary || data != "{}" && data != "null":
		return fmt.Errorf("%w: who is here says {}, and null on leaving", hotline.ErrInvalid)
	case data == "null":
		delete(rooms, m.Topic)
	case !rooms[m.Topic] && len(rooms) == mostRooms:
		return fmt.Errorf("%w: one is in at most %d rooms at once", hotline.ErrLimit, mostRooms)
	default:
		rooms[m.Topic] = true
	}
	return nil
}

//go:embed web
var files embed.FS

// newHandler serves the page, and the hub beside it.
func newHandler(hub *hotline.Hub) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /ws", hub)
	mux.Handle("GET /", site.Pages(files))
	return mux
}
