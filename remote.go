package hotline

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/gohotline/hotline/internal/eventlog"
	"github.com/gohotline/hotline/internal/pattern"
	"github.com/gohotline/hotline/internal/wire"
)

// This file is about what a reader wants that this node's log does not have: it was connected to another node, or this
// one was restarted, or has not followed the topics for so long. It is read from the broker's store, a page at a time,
// up to exactly where the log takes over; from there on the one reader of the log goes on.

// remote is a reading of the broker's store. It belongs to one goroutine.
type remote struct {
	feed     *feed
	patterns []string
	floor    eventlog.Pos // the log has everything only from there on
	before   Position     // page begins after this
	after    Position     // read up to here
	last     int          // begin with so many of the newest, not with after
	tries    int

	page []BrokerEntry
	lost bool         // something before page may have been lost
	more bool         // there is another page
	read bool         // there was a page
	at   eventlog.Pos // where the log takes over, once there is no more
}

// fetch reads a page. The error matches ErrPosition if the reading can't go on.
func (r *remote) fetch(ctx context.Context, entries, bytes int) error {
	ahead, err := r.fetchPage(ctx, entries, bytes)
	if err == nil && ahead && !r.more {
		r.at, err = r.feed.reach(ctx, r.patterns[0], eventlog.Pos(r.after), r.at)
	}
	return err
}

// fetchPage is fetch that does not wait for the log, where the reading has come from ahead of it.
func (r *remote) fetchPage(ctx context.Context, entries, bytes int) (ahead bool, err error) {
	select {
	case r.feed.reading <- struct{}{}:
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
	defer func() { <-r.feed.reading }()
	at, upTo := r.feed.hub.log.Takeover(r.floor)
	if ahead = r.last == 0 && r.after.Seq > upTo; ahead { // perhaps even of this node: that it can be is for the broker to say
		upTo = r.after.Seq
	}
	q := BrokerQuery{Patterns: r.patterns, After: r.after, UpTo: upTo, Last: r.last, Limit: entries, MaxBytes: bytes}
	page, err := r.feed.page(ctx, &q)
	if err != nil {
		return ahead, err
	}
	r.before, r.read = r.after, true
	r.at, r.page, r.lost, r.more = at, page.Entries, page.Lost && r.last == 0, page.More && len(page.Entries) > 0
	if n := len(r.page); n > 0 {
		r.after, r.last = r.page[n-1].Position, 0
	} else if r.last > 0 {
		r.after, r.last = Position{}, 0
		return ahead, nil
	}
	if !r.more && r.after != (Position{}) {
		r.more = r.letGo()
	}
	return ahead, nil
}

// letGo reports whether the log has let go of something meanwhile that lies behind the place where it is to take over.
func (r *remote) letGo() bool {
	log := r.feed.hub.log
	now, _ := log.Takeover(r.floor)
	if now.Seq <= r.at.Seq {
		return false
	}
	var f eventlog.Filter
	for _, name := range r.patterns {
		f.Parts = append(f.Parts, log.Part(name))
	}
	limit := eventlog.Limit{Entries: windowFrames, Bytes: math.MaxInt, UpTo: now, Now: time.Now()}
	res := eventlog.Result{At: r.at}
	for !res.Done && res.Hole != eventlog.Lapped { // what is kept comes before what is lost behind it
		res = log.Read(&f, res.At, limit, res.Entries[:0])
	}
	return res.Hole == eventlog.Lapped
}

// retry is fetch that is repeated as long as the broker is away.
func (r *remote) retry(ctx context.Context, entries, bytes int) error {
	for {
		err := r.fetch(ctx, entries, bytes)
		if err == nil || errors.Is(err, ErrPosition) || ctx.Err() != nil {
			r.tries = 0
			return err
		}
		r.tries++
		if err := pause(ctx, backoff(min(r.tries, 4))); err != nil {
			return err
		}
	}
}

// origin is where a subscription begins that is to continue, or to replay: a place in the log, or a reading of the
// broker's store that leads to one.
type origin struct {
	at     eventlog.Pos
	known  bool      // at is where it continues
	remote *remote   // it begins with this; nil: it does not
	since  time.Time // of the first entry of remote
}

// resume finds where a subscription to patterns continues after a position. floor is where the log begins to be
// complete for them. The error is a temporary one.
func (f *feed) resume(ctx context.Context, patterns []string, pos, floor eventlog.Pos) (o origin, err error) {
	log := f.hub.log
	if o.at, o.known = log.Resolve(pos); f.broker == nil {
		return o, nil
	}
	if at, _ := log.Takeover(floor); o.known && o.at.Seq >= at.Seq {
		return o, nil
	}
	r := &remote{feed: f, patterns: patterns, floor: floor}
	for _, name := range eventlog.Names(pos) {
		r.after = Position(name)
		if o, err = r.probe(ctx); !errors.Is(err, ErrPosition) {
			break
		}
	}
	if errors.Is(err, ErrPosition) {
		return origin{}, nil
	}
	return o, err
}

// reach is for a reader that has come from a position of the store's which lies at or after the place where the log takes
// over. It waits until the log has come there too, and returns the place. A feed that does not carry everything may be so
// quiet that it never would, so the broker is asked how far it is, and again now and then.
func (f *feed) reach(ctx context.Context, pattern string, pos, at eventlog.Pos) (eventlog.Pos, error) {
	ctx, cancel := context.WithTimeout(ctx, brokerTimeout)
	defer cancel()
	log := f.hub.log
	ask := time.NewTimer(0)
	defer ask.Stop()
	for {
		grown := f.whenGrown()
		if here := log.Place(pos); here.Seq <= log.Head().Seq {
			return later(at, here), nil
		}
		select {
		case <-grown:
		case <-ask.C:
			if err := f.refresh(ctx, pattern); err != nil {
				return at, err
			}
			ask.Reset(reachAgain)
		case <-ctx.Done():
			return at, context.Cause(ctx)
		}
	}
}

// history finds where a subscription begins that is to be sent the newest n entries.
func (f *feed) history(ctx context.Context, name string, n int, floor eventlog.Pos) (o origin, err error) {
	if f.broker == nil {
		return o, nil
	}
	log := f.hub.log
	at, _ := log.Takeover(floor)
	filter := eventlog.Filter{Parts: []eventlog.Part{log.Part(name)}}
	if filter.Parts[0].Topic != nil || pattern.HasWildcard(name) {
		n -= log.Count(&filter, at, n, time.Now())
	}
	if n <= 0 {
		return o, nil // the log alone has as many
	}
	r := &remote{feed: f, patterns: []string{name}, floor: floor, last: n}
	if o, err = r.probe(ctx); o.remote == nil {
		return origin{}, err // the store has no more than the log
	}
	return o, err
}

// probe reads one entry, to see that the reading can begin, and since when. No page is held while it waits for its turn.
func (r *remote) probe(ctx context.Context) (origin, error) {
	first := *r
	for again := true; again; again = first.more && len(first.page) == 0 { // the log has let go of more meanwhile
		if err := first.fetch(ctx, 1, 1); err != nil {
			return origin{}, err
		}
	}
	o := origin{at: first.at, known: true}
	if len(first.page) > 0 {
		o.since = first.page[0].Time
	}
	if len(first.page) > 0 || first.more || first.lost {
		o.remote = r
	}
	return o, nil
}

// What follows is the shard's, and the goroutine that reads for it: shards never wait.

// resuming is a subscription, or those of the server together, that is read from the broker before it begins.
type resuming struct {
	subscribing
	remote *remote
	conn   *Conn
	pushed []int64         // numbers, if it is those of the server
	ctx    context.Context // of the reading
	cancel context.CancelFunc
	over   bool // owned by the shard
}

// write is what somebody waits for: that a connection has been written.
type write struct {
	p    *peer
	done chan struct{} // closed then
}

// end gives it up, once.
func (x *resuming) end(h *Hub) {
	if x.over {
		return
	}
	if x.over = true; x.pushed == nil {
		h.feed.unfollow(x.name)
	}
	x.cancel()
}

// release is for subscriptions of a connection that has gone meanwhile.
func (sh *shard) release(list []subscribing) {
	for i := range list {
		if list[i].err == nil {
			sh.hub.feed.unfollow(list[i].name)
		}
	}
}

func (sh *shard) newResuming(p *peer, rem *remote) *resuming {
	x := &resuming{remote: rem, conn: p.conn}
	x.ctx, x.cancel = context.WithCancel(p.conn.ctx)
	return x
}

// resume begins to read for a subscription, or puts it behind those that are read for: one page is held for a
// connection at a time.
func (sh *shard) resume(p *peer, r *subscribing) {
	x := sh.newResuming(p, r.remote)
	x.subscribing = *r
	if p.resume = append(p.resume, x); len(p.resume) == 1 {
		sh.hub.feed.spawn(x.run)
	}
}

// giveUp ends a subscription that is read for, and reports whether there is one of that number.
func (sh *shard) giveUp(p *peer, num int64) bool {
	for _, x := range p.resume {
		if x.num == num && !x.over {
			x.end(sh.hub)
			return true
		}
	}
	return false
}

// run reads and hands over, page by page as the connection takes them.
func (x *resuming) run() {
	sh, p := x.conn.shard, x.conn.peer
	defer x.cancel()
	var err error
	for more := true; more; {
		if err = x.remote.retry(x.ctx, windowFrames, x.conn.hub.limits.WindowBytes/2); err != nil {
			break
		}
		more = x.remote.more
		done := make(chan struct{})
		sh.do(func() { sh.page(p, x, done) })
		select {
		case <-done:
		case <-x.ctx.Done():
			more = false
		}
	}
	sh.do(func() { sh.resumed(p, x, err) })
}

// page sends p a page.
func (sh *shard) page(p *peer, x *resuming, done chan struct{}) {
	if p.gone || x.over {
		close(done)
		return
	}
	now := sh.now()
	if x.cause != "" {
		x.gap(sh, p, sh.hub.log.Public(later(p.cur, sh.cur)), x.cause)
		x.cause = ""
	}
	if x.pushed != nil {
		sh.overtake(p, x.remote.at) // which this page may lead up to
	}
	if x.remote.lost {
		x.gap(sh, p, eventlog.AfterLoss(eventlog.Pos(x.remote.before)), wire.CauseAway)
	}
	for i := range x.remote.page {
		e := &x.remote.page[i]
		if e.Topic[0] == '$' || e.Delivery != Events {
			continue
		}
		pos := eventlog.Pos(e.Position)
		if age := sh.hub.rows.of(e.Topic).MaxAge; age > 0 && now.Sub(e.Time) >= age {
			if x.replay == 0 {
				x.gap(sh, p, pos, wire.CauseExpired)
			}
			continue
		}
		entry := eventlog.Signal(nil, wire.Head{Topic: e.Topic, ID: pos, HasID: true, From: e.From, Binary: e.Binary}, e.Data, e.Time)
		if x.pushed == nil {
			sh.tagged(p, &sub{num: x.num}, &entry)
			continue
		}
		sh.items = append(sh.items, item{kind: itemOwn, entry: entry})
		sh.push(p, len(sh.items)-1, len(entry.Frame))
		p.remote.at = pos
	}
	x.remote.page = nil
	sh.written = append(sh.written, write{p, done})
}

func (x *resuming) gap(sh *shard, p *peer, at eventlog.Pos, cause string) {
	g := wire.Gap{Sub: x.num, Subs: []int64{x.num}, At: at, Cause: cause}
	if x.pushed != nil {
		g.Sub, g.Subs, p.remote.at = 0, x.pushed, at
	}
	sh.sayGap(p, g)
}

// resumed lets the log take over.
func (sh *shard) resumed(p *peer, x *resuming, err error) {
	if p.gone {
		return
	}
	if x.pushed != nil {
		if err == nil {
			p.cur = x.remote.at
		} else {
			p.cur = later(p.cur, sh.cur)
			sh.overtake(p, p.cur)
			x.gap(sh, p, sh.hub.log.Public(p.cur), wire.CauseAway)
		}
		p.remote = nil
		sh.read(p)
		return
	}
	if p.resume = p.resume[1:]; len(p.resume) > 0 {
		sh.hub.feed.spawn(p.resume[0].run)
	}
	if x.over {
		return
	}
	r := x.subscribing
	r.remote = nil
	switch {
	case err == nil:
		r.known, r.after, r.replay, r.cause = true, x.remote.at, 0, ""
	case r.replay > 0 && x.remote.after == (Position{}): // it has not begun, and reaches as far back as it reaches
	default:
		r.replay, r.cause = 0, wire.CauseAway
	}
	sh.begin(p, []subscribing{r})
}

// turnRemote is the turn of a connection whose stream begins in the broker's store: first the server's subscriptions
// join, where the client's position is, then the store is read, and nobody else joins before the stream is in the log.
func (sh *shard) turnRemote(p *peer) {
	mark, all, walking := len(sh.items), true, false
	var pushed []int64
	p.dirty = true // it is written below, and not queued for it
	for _, s := range p.subs {
		if !slices.Contains(p.remote.nums, s.num) { // it begins now, as any other
			continue
		}
		if s.events {
			pushed = append(pushed, s.num)
		}
		if s.joined {
			continue
		}
		if s.walking {
			sh.parts = append(sh.parts[:0], s)
			sh.setFilter(sh.parts)
			room := sh.hub.limits.WindowBytes / 2
			sh.walk(p, s, &room)
		}
		walking = walking || s.walking
		if all = all && !(s.walking && s.events); !s.walking {
			if s.states && !p.joinedStates() {
				p.st = max(p.st, s.st) // nobody else needs what it has read
			}
			s.joined, s.cause = true, ""
			sh.say(p, wire.AppendOK(nil, s.num, p.remote.at))
		}
	}
	if all && !p.remote.begun {
		p.remote.begun = true
		x := sh.newResuming(p, p.remote.remote)
		x.pushed = pushed
		sh.hub.feed.spawn(x.run)
	}
	sh.flush(p)
	if len(p.pending) == 0 {
		sh.drop(mark)
	}
	if walking && !p.busy {
		sh.read(p)
	}
}
