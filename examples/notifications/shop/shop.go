// Package shop is a small web shop whose customers are told what becomes of their orders, on all of their devices, also of
// what happened while they were away.
//
// The shop itself is plain net/http: forms, a cookie, a store in memory. Of hotline are the topics, the options and the
// hooks in this file, and the calls of Publish in tell.go.
package shop

import (
	"context"
	"embed"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/gohotline/hotline"
	"github.com/gohotline/hotline/examples/internal/site"
)

//go:embed web pages
var files embed.FS

// What is published. Everything below user.<name> is that customer's alone; the shop's staff sees the orders of all.
var (
	notes  = hotline.NewTopic[note]("notifications.user.*.notes")    // what happened, one after the other
	unread = hotline.NewTopic[int]("notifications.user.*.unread")    // how much of it is new, the same on all devices
	orders = hotline.NewTopic[order]("notifications.user.*.order.*") // how each order is now
	news   = hotline.NewTopic[notice]("notifications.news")          // to everybody
	online = hotline.NewTopic[bool]("notifications.online.*")        // who has the shop open
)

// shop is the application.
type shop struct {
	hub      *hotline.Hub // set before the first request
	sessions sessions
	store    *store

	// Held from a change of the store until it is published: what is published last is what was stored last, and a
	// customer's notes come in the order of their numbers. With a database it would be the outbox that has this order.
	telling sync.Mutex
}

// New makes the application.
func New() *site.App { return newShop().app() }

func newShop() *shop { return &shop{store: newStore()} }

func (s *shop) app() *site.App {
	return &site.App{
		Name:  "notifications",
		Title: "Notifications",
		About: "A shop that tells its customers what becomes of their orders: on every device, once, and also what they missed.",
		Options: hotline.HubOptions{
			Authenticate:       s.authenticate,
			AuthorizeSubscribe: authorize,
			OnConnect:          s.connected,
			OnDisconnect:       s.disconnected,
			Topics: map[string]hotline.TopicOptions{
				notes.String():  {Keep: 50}, // a laptop that was shut for hours goes on where it was
				unread.String(): {Delivery: hotline.State},
				orders.String(): {Delivery: hotline.State},
				news.String():   {Keep: 20, MaxAge: 24 * time.Hour},
				online.String(): {Delivery: hotline.Presence},
			},
		},
		Handler: s.handler,
		Run:     s.run,
	}
}

// authenticate knows a connection by the cookie that the login has set, as every other request. Only errors that wrap
// ErrDenied are final: a database that is down must log nobody out.
func (s *shop) authenticate(r *http.Request, _ string) (hotline.Identity, error) {
	ses := s.session(r)
	if ses == nil {
		return hotline.Identity{}, fmt.Errorf("%w: log in first", hotline.ErrDenied)
	}
	return hotline.Identity{User: ses.user.Name, Expires: ses.expires, Data: ses}, nil
}

var (
	mayCustomer = hotline.Allow("notifications.user.{user}.*", "notifications.user.{user}.order.*", news.String())
	mayStaff    = hotline.Allow(orders.String(), online.String())
)

// authorize lets customers read what is theirs. The name alone would not do: another application on this hub may have an
// ada, too, and let anybody be her. A session is of this one.
func authorize(ctx context.Context, c *hotline.Conn, topic string) error {
	ses, ok := c.Identity().Data.(*session)
	if !ok {
		return fmt.Errorf("%w: log in to the shop first", hotline.ErrDenied)
	}
	if ses.user.Staff && mayStaff(ctx, c, topic) == nil {
		return nil
	}
	return mayCustomer(ctx, c, topic)
}

// connected keeps a connection under its session, so that logging out ends it. The session may have ended since it was
// authenticated.
func (s *shop) connected(ctx context.Context, c *hotline.Conn) {
	ses, ok := c.Identity().Data.(*session)
	if !ok {
		return // of another application
	}
	if !s.sessions.attach(ses, c) {
		c.Close(hotline.CloseFinal, loggedOut)
		return
	}
	_ = c.Publish(ctx, online.With(ses.user.Name).String(), true) // for the staff's eyes: without it nothing is lost
}

func (s *shop) disconnected(_ context.Context, c *hotline.Conn, _ error) {
	if ses, ok := c.Identity().Data.(*session); ok {
		s.sessions.detach(ses, c)
	}
}

// run publishes what a hub that has just been started can't know: State lives in memory.
func (s *shop) run(ctx context.Context, _ *hotline.Hub) {
	for _, u := range s.store.users {
		s.tellAll(ctx, u.Name)
	}
}
