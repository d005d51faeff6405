package hotline

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/gohotline/hotline/internal/eventlog"
	"github.com/gohotline/hotline/internal/pattern"
)

// This file is what the broker's feed calls. It runs on one goroutine of the broker's, which fills the log in the order
// of the broker: whoever reads the log, live, behind or resuming, meets what it says in the same place.

// brokerHub is the BrokerHub of a feed.
type brokerHub feed

// Deliver puts entries into the log, the State table, or the hands of whoever is there for a signal.
func (b *brokerHub) Deliver(entries ...BrokerEntry) {
	f := (*feed)(b)
	for i := range entries {
		if f.ctx.Err() != nil {
			return
		}
		f.deliver(&entries[i])
	}
}

func (f *feed) deliver(e *BrokerEntry) {
	if e.Topic == topicKick || e.Topic == topicNode {
		f.told(e)
		return
	}
	if err := checkTopic(e.Topic); err != nil {
		f.hub.log_().Error("hotline: the broker delivers what is no message", "topic", e.Topic, "error", err)
		return
	}
	switch e.Delivery {
	case Events:
		f.append(e)
	case Signals:
		if f.wanted(e.Topic, nil) {
			_ = f.hub.signal(e.Topic, e.From, payload{e.Data, e.Binary}) // fails only if the hub has ended
		}
	case State, Presence:
		defer f.say()
		f.keeping.Lock()
		defer f.keeping.Unlock()
		if !f.wanted(e.Topic, nil) {
			return // it would not be kept up to date here
		}
		if v := f.hub.log.Rev(e.Topic); v.Seq < e.Seq { // else it is older than what Values gave
			f.set(e)
		}
	}
}

// say logs what could not be while others waited.
func (f *feed) say() {
	if err := f.unsaid; err != nil {
		f.unsaid = nil
		f.hub.log_().Error("hotline: there is no room for a value of another hub", "error", err)
	}
}

// append stores an event in the log.
func (f *feed) append(e *BrokerEntry) {
	log := f.hub.log
	m := eventlog.Append{
		Topic: e.Topic, From: e.From, Data: e.Data, Binary: e.Binary, When: e.Time, Pos: eventlog.Pos(e.Position),
	}
	if m.When.IsZero() {
		m.When = time.Now()
	}
	for {
		_, wake, err := log.Append(f.ctx, &m)
		switch f.hub.wake(wake.Shards); {
		case err == nil:
			f.heard(e.Position)
			f.repaired.passed(e.Seq)
		case errors.Is(err, eventlog.ErrTooLarge):
			f.hub.log_().Error("hotline: a message of another hub is larger than a quarter of Limits.LogBytes", "topic", e.Topic)
			f.lose(e.Topic)
		case errors.Is(err, eventlog.ErrOrder):
			switch {
			case f.has(e): // it came with a repair
				return
			case f.repaired.covers(e.Seq): // and was not followed when that was made
				f.lose(e.Topic)
				return
			}
			f.rebirth(e)
			continue
		}
		return
	}
}

func (f *feed) has(e *BrokerEntry) bool {
	_, ok := f.hub.log.Resolve(eventlog.Pos(e.Position))
	return ok
}

// lose puts a loss of whatever matches pattern into the log.
func (f *feed) lose(pattern string) {
	_, wake, _ := f.hub.log.Append(f.ctx, &eventlog.Append{Data: []byte(pattern), Loss: true, When: time.Now()})
	f.hub.wake(wake.Shards)
}

// rebirth is for an entry whose number is not after the log's newest: the store was restored from an older copy, or
// begun anew. What readers have is of its former life, so all of them may have missed something.
func (f *feed) rebirth(e *BrokerEntry) {
	f.hub.log_().Warn("hotline: the broker's store numbers anew: it was restored, or wiped", "number", e.Seq)
	f.lose(">")
	f.hub.log.Renumber(e.Seq)
	f.repaired = repair{}
	f.kicked = Position{}
	f.mu.Lock()
	f.newest = Position{}
	f.mu.Unlock()
}

// set stores a State value.
func (f *feed) set(e *BrokerEntry) {
	m := eventlog.Set{
		Topic: e.Topic, From: e.From, Data: e.Data, Binary: e.Binary, Gone: e.Gone, When: e.Time,
		Rev: eventlog.Pos(e.Position),
	}
	if m.When.IsZero() {
		m.When = time.Now()
	}
	if m.Rev.Tag == 0 {
		m.Rev.Tag = 1
	}
	v, wake, err := f.hub.log.Set(&m)
	if f.hub.wake(wake); err != nil && !errors.Is(err, eventlog.ErrClosed) {
		// What was there is not the value any more, and must not look as if it were.
		m.Gone, m.Data = true, nil
		_, wake, _ = f.hub.log.Set(&m)
		f.hub.wake(wake)
		f.hub.stats.droppedState.Add(1)
		if now := time.Now(); now.Sub(f.full) > time.Minute {
			f.full, f.unsaid = now, f.hub.publishError(e.Topic, err)
		}
		return
	}
	if e.Delivery == Presence && err == nil {
		f.nodes.value(e, v != nil)
	}
}

// Values replaces the values of the topics that match a pattern.
func (b *brokerHub) Values(p string, values []BrokerEntry) {
	f := (*feed)(b)
	if f.ctx.Err() != nil {
		return
	}
	defer f.say()
	f.keeping.Lock()
	defer f.keeping.Unlock()
	present := make(map[string]struct{}, len(values))
	for i := range values {
		e := &values[i]
		if checkTopic(e.Topic) != nil || !pattern.Covers(p, e.Topic) || e.Gone {
			continue
		}
		present[e.Topic] = struct{}{}
		if f.hub.log.Rev(e.Topic) != eventlog.Pos(e.Position) {
			f.set(e)
		}
	}
	for _, v := range f.hub.log.Values(p) {
		if _, ok := present[v.Topic.Name]; !ok {
			// Whatever the topic is set to next is newer, also if the store numbers anew.
			f.set(&BrokerEntry{
				Topic: v.Topic.Name, Delivery: f.hub.rows.of(v.Topic.Name).Delivery, Gone: true, Node: f.node,
				Time: time.Now(), Position: Position{Tag: v.Rev.Tag + 1},
			})
		}
	}
}

// Status notes whether the broker's server is there.
func (b *brokerHub) Status(err error) {
	f := (*feed)(b)
	f.mu.Lock()
	was := f.away
	f.away = err
	f.mu.Unlock()
	switch {
	case err != nil && was == nil && f.ctx.Err() == nil:
		f.hub.log_().Warn("hotline: the broker is away", "error", err)
	case err == nil && was != nil:
		f.hub.log_().Info("hotline: the broker is back")
	}
}

// told is what another hub has to say.
func (f *feed) told(e *BrokerEntry) {
	switch e.Topic {
	case topicNode:
		f.nodes.hear(string(e.Data), time.Now())
	case topicKick:
		select {
		case <-f.started:
		default:
			return // it is history: nobody was connected then
		}
		f.heard(e.Position)
		if e.Seq > f.kicked.Seq {
			f.kicked = e.Position
			f.obey(e)
		}
	}
}

// obey closes the connections that another hub has kicked.
func (f *feed) obey(e *BrokerEntry) {
	var k kick
	if json.Unmarshal(e.Data, &k) == nil && k.Node != f.node {
		f.hub.kick(k.User, k.Code, k.Reason)
	}
}

// repair remembers the last range that was read from the broker because the feed had lost it, until the feed is past it.
type repair struct {
	after, upTo uint64
	partly      bool // it could not be read to its end
}

func (r *repair) covers(seq uint64) bool { return r.after < seq && seq <= r.upTo }

// whole reports whether an entry of that number came into the log if it was to.
func (r *repair) whole(seq uint64) bool { return r.covers(seq) && !r.partly }

// add makes it remember a range also, or, if a hole lies between the two, instead.
func (r *repair) add(after, upTo uint64, partly bool) {
	if r.after < r.upTo && after <= r.upTo && upTo >= r.after {
		after, upTo, partly = min(after, r.after), max(upTo, r.upTo), partly || r.partly
	}
	*r = repair{after, upTo, partly}
}

func (r *repair) passed(seq uint64) {
	if seq > r.upTo {
		*r = repair{}
	}
}

const (
	repairTime    = 30 * time.Second // so long a loss is tried to be repaired; the feed waits
	repairEntries = 512              // of one page
	repairBytes   = 4 << 20
	repairTopics  = 64 // patterns of one query, and topics that are told apart
)

// Lost repairs a loss: it reads the range from the broker, and what can't be had any more becomes a loss in the log.
func (b *brokerHub) Lost(p string, after, upTo uint64) {
	f := (*feed)(b)
	if f.ctx.Err() != nil || upTo <= after {
		return
	}
	log := f.hub.log
	head := log.Public(log.Head()).Seq
	if after < head {
		f.reviewLoss(p, after, min(upTo, head))
	}
	if upTo > head {
		f.repairLoss(p, max(after, head), upTo)
	}
}

// reviewLoss is for a loss that is reported when the log has gone on past it. What is not in the log can't come into it
// any more, in order; but perhaps nothing is missing.
func (f *feed) reviewLoss(p string, after, upTo uint64) {
	missing := make(map[string]struct{})
	ok := f.replay([]string{p}, after, upTo, func(e *BrokerEntry) {
		switch {
		case e.Topic == topicKick:
			f.obey(e) // perhaps once more: better than not at all
		case !f.has(e) && !f.repaired.whole(e.Seq) && e.Topic[0] != '$': // the log may have let go of it again
			missing[e.Topic] = struct{}{}
		}
	}, func(uint64) { missing[p] = struct{}{} })
	if _, all := missing[p]; !ok || all || len(missing) > repairTopics {
		f.lose(p)
		return
	}
	for topic := range missing {
		f.lose(topic)
	}
}

// repairLoss reads into the log what the feed has lost after everything that is there. What is lost of the pattern is
// looked up first; then all patterns are read, because what others match lies between.
func (f *feed) repairLoss(p string, after, upTo uint64) {
	var holes []uint64 // each before an entry of that number
	if !f.replay([]string{p}, after, upTo, func(*BrokerEntry) {}, func(before uint64) { holes = append(holes, before) }) {
		f.lose(p)
		return
	}
	patterns := append(f.followed(), p) // the feed may carry more than is followed, and Follow may count on that
	if len(patterns) > repairTopics {
		patterns = []string{">"}
	}
	ok := f.replay(patterns, after, upTo, func(e *BrokerEntry) {
		for len(holes) > 0 && e.Seq >= holes[0] {
			f.lose(p)
			holes = holes[1:]
		}
		f.deliver(e)
	}, func(uint64) {})
	if f.repaired.add(after, upTo, !ok); !ok || len(holes) > 0 {
		f.lose(p)
	}
}

// replay reads a range of the broker's. It calls lost where something before an entry of that number can't be had any
// more, and reports whether it got to the end.
func (f *feed) replay(patterns []string, after, upTo uint64, found func(*BrokerEntry), lost func(before uint64)) bool {
	ctx, cancel := context.WithTimeout(f.ctx, repairTime)
	defer cancel()
	q := BrokerQuery{
		Patterns: patterns, After: Position(f.hub.log.Real(after)), UpTo: upTo, Limit: repairEntries, MaxBytes: repairBytes,
	}
	unknown := false // where the range begins can't be read any more
	for tries := 1; ; {
		page, err := f.page(ctx, &q)
		switch {
		case errors.Is(err, ErrPosition) && q.After != (Position{}):
			unknown = true
			q.After = Position{} // whatever is left of the range
			continue
		case err != nil:
			if pause(ctx, backoff(tries)) != nil {
				return false
			}
			tries++
			continue
		}
		first := upTo + 1
		if len(page.Entries) > 0 {
			first = page.Entries[0].Seq
		}
		if (page.Lost || unknown) && first > after {
			lost(first)
			unknown = false
		}
		for i := range page.Entries {
			if e := &page.Entries[i]; e.Seq > after && e.Seq <= upTo {
				found(e)
			}
		}
		n := len(page.Entries)
		if !page.More || n == 0 {
			return true
		}
		q.After, tries = page.Entries[n-1].Position, 1
	}
}

// page asks the broker for one page.
func (f *feed) page(ctx context.Context, q *BrokerQuery) (BrokerPage, error) {
	ctx, cancel := context.WithTimeout(ctx, brokerTimeout)
	defer cancel()
	return f.broker.Replay(ctx, *q)
}
