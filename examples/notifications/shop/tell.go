package shop

import (
	"context"
	"errors"
	"strconv"
	"time"
)

// This file is the business, as far as somebody is told of it: each function changes the store, and then publishes.

// notice is what everybody is told.
type notice struct {
	Text string `json:"text"`
	At   int64  `json:"at"` // Unix milliseconds
}

// place takes an order.
func (s *shop) place(ctx context.Context, user string, p product) (order, error) {
	s.telling.Lock()
	defer s.telling.Unlock()
	o, n, gone := s.store.place(user, p, time.Now())
	err := s.tell(ctx, o, n)
	if gone != 0 { // a customer has so many orders: the oldest goes
		err = errors.Join(err, s.hub.Publish(ctx, orders.With(user, strconv.Itoa(gone)).String(), nil))
	}
	return o, err
}

// advance moves an order on from a step. The form may be sent twice, by two clicks or by two people: the order moves once,
// and the customer is told once. And if the first try has moved the order and not told, the second makes up for it.
func (s *shop) advance(ctx context.Context, id int, from string) (order, error) {
	s.telling.Lock()
	defer s.telling.Unlock()
	o, n, err := s.store.advance(id, from, time.Now())
	if err != nil {
		return o, err
	}
	return o, s.tell(ctx, o, n)
}

// tell publishes what became of an order. It needs telling.
func (s *shop) tell(ctx context.Context, o order, n note) error {
	return errors.Join(
		notes.With(o.User).Publish(ctx, s.hub.Once(n.Key), n),
		orders.With(o.User, strconv.Itoa(o.ID)).Publish(ctx, s.hub, o),
		unread.With(o.User).Publish(ctx, s.hub, s.store.unread(o.User)),
	)
}

// read marks a customer's notes as read, up to the n-th: the badge goes on all devices.
func (s *shop) read(ctx context.Context, user string, n int) error {
	s.telling.Lock()
	defer s.telling.Unlock()
	s.store.read(user, n)
	return unread.With(user).Publish(ctx, s.hub, s.store.unread(user))
}

// broadcast tells everybody, once a key.
func (s *shop) broadcast(ctx context.Context, key, text string) error {
	return news.Publish(ctx, s.hub.Once(key), notice{Text: text, At: time.Now().UnixMilli()})
}

// tellAll publishes all State of a customer.
func (s *shop) tellAll(ctx context.Context, user string) {
	s.telling.Lock()
	defer s.telling.Unlock()
	for _, o := range s.store.ordersOf(user) {
		_ = orders.With(user, strconv.Itoa(o.ID)).Publish(ctx, s.hub, o) // the hub is new: it can only be closing
	}
	_ = unread.With(user).Publish(ctx, s.hub, s.store.unread(user))
}

// snapshot is a customer's notes, and the place in the stream at which it was taken.
type snapshot struct {
	Position string `json:"position"`
	Notes    []note `json:"notes"`
}

// catchUp is what a page begins with. The position comes first: what is stored after it is published after it, so that the
// page that subscribes after it misses nothing. What is in both it knows by its number.
func (s *shop) catchUp(user string) snapshot {
	at := s.hub.Position()
	return snapshot{Position: at, Notes: s.store.notesOf(user)}
}
