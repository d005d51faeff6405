package shop

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// user is an account. This shop has four, and no passwords.
type user struct {
	Name, Title string
	Staff       bool
}

// product is what can be bought.
type product struct {
	ID, Name string
	Cents    int
}

// Price is the price as it is shown.
func (p product) Price() string { return fmt.Sprintf("€ %d.%02d", p.Cents/100, p.Cents%100) }

// order is what somebody has bought, and how far it is.
type order struct {
	ID    int    `json:"id"`
	User  string `json:"user"`
	Item  string `json:"item"`
	Name  string `json:"name"`
	Cents int    `json:"cents"`
	Step  string `json:"step"`
	At    int64  `json:"at"` // of the step, Unix milliseconds
}

// note is what a customer is told.
type note struct {
	N     int    `json:"n"` // ascending: read is what is not above a number
	Key   string `json:"key"`
	Order int    `json:"order"`
	Item  string `json:"item"`
	Name  string `json:"name"`
	Step  string `json:"step"`
	At    int64  `json:"at"`
	New   bool   `json:"new"` // in a snapshot: it is unread
}

// steps are those of an order.
var steps = []string{"received", "packed", "shipped", "delivered"}

var catalogue = []product{
	{"mug", "Stoneware mug", 1450},
	{"lamp", "Desk lamp", 5900},
	{"book", "Dotted notebook", 1290},
	{"plant", "Little ficus", 2200},
	{"phones", "Headphones", 12900},
	{"bag", "Canvas bag", 2450},
}

const (
	maxOrders = 12 // of a customer
	maxNotes  = 50
)

var (
	errUnknown = errors.New("there is no such order")
	errStep    = errors.New("the order is not there yet")
)

// store is the database, in memory: it is gone with the process.
type store struct {
	users []*user

	mu     sync.Mutex
	last   int // order
	orders map[int]*order
	told   map[string]*customer
}

// customer is what a user has been told.
type customer struct {
	orders []int
	notes  []note // the newest maxNotes
	last   int    // note
	seen   int    // note: read are those up to it
}

func newStore() *store {
	s := &store{
		users: []*user{
			{Name: "ada", Title: "Ada"}, {Name: "bob", Title: "Bob"}, {Name: "chiara", Title: "Chiara"},
			{Name: "staff", Title: "Staff", Staff: true},
		},
		last:   1041,
		orders: make(map[int]*order),
		told:   make(map[string]*customer),
	}
	for i, u := range s.users {
		s.told[u.Name] = new(customer)
		if !u.Staff {
			s.place(u.Name, catalogue[i], time.Now())
		}
	}
	return s
}

// user returns an account by name, or nil.
func (s *store) user(name string) *user {
	i := slices.IndexFunc(s.users, func(u *user) bool { return u.Name == name })
	if i < 0 {
		return nil
	}
	return s.users[i]
}

func productOf(id string) (product, bool) {
	i := slices.IndexFunc(catalogue, func(p product) bool { return p.ID == id })
	if i < 0 {
		return product{}, false
	}
	return catalogue[i], true
}

// place stores an order. gone is the order that had to go for it, or 0.
func (s *store) place(user string, p product, now time.Time) (o order, n note, gone int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	c := s.told[user]
	stored := &order{ID: s.last, User: user, Item: p.ID, Name: p.Name, Cents: p.Cents, Step: steps[0], At: now.UnixMilli()}
	s.orders[stored.ID] = stored
	c.orders = append(c.orders, stored.ID)
	if len(c.orders) > maxOrders {
		gone = c.orders[0]
		c.orders = c.orders[1:]
		delete(s.orders, gone)
	}
	return *stored, c.note(stored), gone
}

// advance moves an order on from a step. One that was moved on from there before is left as it is, and what its customer
// was to be told then is returned again.
func (s *store) advance(id int, from string, now time.Time) (order, note, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.orders[id]
	i := slices.Index(steps, from)
	if o == nil || i < 0 || i+1 == len(steps) {
		return order{}, note{}, errUnknown
	}
	c := s.told[o.User]
	to := steps[i+1]
	if o.Step != from {
		if k := slices.IndexFunc(c.notes, func(n note) bool { return n.Key == key(id, to) }); k >= 0 {
			return *o, c.notes[k], nil
		}
		return *o, note{}, errStep
	}
	o.Step, o.At = to, now.UnixMilli()
	return *o, c.note(o), nil
}

// key names a step of an order, in the life of the process.
func key(id int, step string) string { return fmt.Sprintf("order-%d-%s", id, step) }

// note stores what the customer is to be told of an order's step.
func (c *customer) note(o *order) note {
	c.last++
	n := note{N: c.last, Key: key(o.ID, o.Step), Order: o.ID, Item: o.Item, Name: o.Name, Step: o.Step, At: o.At, New: true}
	c.notes = append(c.notes, n)
	if len(c.notes) > maxNotes {
		c.notes = c.notes[1:]
	}
	return n
}

// read marks notes as read. Nobody reads what there is not yet.
func (s *store) read(user string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.told[user]
	c.seen = max(c.seen, min(n, c.last))
}

func (s *store) unread(user string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.told[user]
	return min(c.last-c.seen, len(c.notes))
}

// notesOf returns a customer's notes, oldest first.
func (s *store) notesOf(user string) []note {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.told[user]
	all := slices.Clone(c.notes)
	for i := range all {
		all[i].New = all[i].N > c.seen
	}
	return all
}

func (s *store) ordersOf(user string) []order {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []order
	for _, id := range s.told[user].orders {
		all = append(all, *s.orders[id])
	}
	return all
}
