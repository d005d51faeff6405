package hotline

import (
	"fmt"
	"slices"
	"time"

	"github.com/gohotline/hotline/internal/eventlog"
	"github.com/gohotline/hotline/internal/pattern"
)

// row is one entry of HubOptions.Topics, or the default that applies where none matches.
type row struct {
	TopicOptions
	kept eventlog.Row
}

// rows finds the row of a topic. It is static.
type rows struct {
	table    *pattern.Table[*row]
	all      []*row   // by eventlog.Row.Index; the first is the default
	stateful []string // patterns of the State and Presence rows
}

func newRows(topics map[string]TopicOptions) (*rows, error) {
	r := &rows{all: []*row{{}}}
	byPattern := make(map[string]*row, len(topics))
	for p, o := range topics {
		switch {
		case o.Delivery > Presence:
			return nil, fmt.Errorf("%w: HubOptions.Topics[%q].Delivery is %s", ErrInvalid, p, o.Delivery)
		case o.Keep < 0:
			return nil, fmt.Errorf("%w: HubOptions.Topics[%q].Keep is %d, which is negative", ErrInvalid, p, o.Keep)
		case o.Keep > 0 && o.Delivery != Events:
			return nil, fmt.Errorf("%w: HubOptions.Topics[%q].Keep is for Events, its Delivery is %s", ErrInvalid, p, o.Delivery)
		case o.MaxAge < 0:
			return nil, fmt.Errorf("%w: HubOptions.Topics[%q].MaxAge is %s, which is negative", ErrInvalid, p, o.MaxAge)
		case pattern.Reserved(p):
			return nil, fmt.Errorf("%w: HubOptions.Topics[%q]: topics that begin with $ are the hub's own", ErrInvalid, p)
		}
		if o.Delivery == Presence && o.Linger == 0 {
			o.Linger = 10 * time.Second
		}
		byPattern[p] = &row{TopicOptions: o}
	}
	table, err := pattern.NewTable(byPattern)
	if err != nil {
		return nil, fmt.Errorf("%w: HubOptions.Topics: %w", ErrInvalid, err)
	}
	r.table = table
	for p, x := range table.All() {
		x.kept = eventlog.Row{Index: len(r.all), State: x.stateful(), Keep: x.Keep, MaxAge: x.MaxAge}
		r.all = append(r.all, x)
		if x.stateful() {
			r.stateful = append(r.stateful, p)
		}
	}
	return r, nil
}

func (x *row) stateful() bool { return x.Delivery == State || x.Delivery == Presence }

// of returns the row that applies to a topic.
func (r *rows) of(topic string) *row {
	if x, ok := r.table.Lookup(topic); ok {
		return x
	}
	return r.all[0]
}

// log returns what the log has to know of a topic.
func (r *rows) log(topic string) *eventlog.Row { return &r.of(topic).kept }

// state reports whether a subscription to p may have State or Presence values to be sent.
func (r *rows) state(p string) bool {
	return slices.ContainsFunc(r.stateful, func(s string) bool { return pattern.Overlap(s, p) })
}

// events reports whether a subscription to p may have Events: topics of other kinds have none.
func (r *rows) events(p string) bool {
	if !pattern.HasWildcard(p) {
		return r.of(p).Delivery == Events
	}
	covered := false // by a row of another kind
	for q, x := range r.table.All() {
		switch {
		case x.Delivery != Events:
			covered = covered || pattern.Covers(q, p)
		case pattern.Overlap(q, p):
			return true
		}
	}
	return !covered
}
