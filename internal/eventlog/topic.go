package eventlog

import (
	"sync/atomic"
	"time"

	"github.com/gohotline/hotline/internal/pattern"
	"github.com/gohotline/hotline/internal/wire"
)

// Pos names an entry: its place in the order of the log and a tag that tells it from any other entry that was or will
// be stored at that place.
type Pos = wire.Pos

// Row is how the topics of one pattern are kept. Rows are static.
type Row struct {
	Index  int           // the caller's
	State  bool          // values, not entries
	Keep   int           // entries of each topic that stay readable beyond the log
	MaxAge time.Duration // entries and values older than this are gone; zero: never
}

// lossID is the number of the topic of losses.
const lossID = 0

// Topic is an interned topic. It lives while something needs it: a subscription, an entry, a kept entry, a value.
type Topic struct {
	// Static after construction.
	ID   uint32
	Name string
	Row  *Row

	// Guarded by Log.mu.
	refs    int     // subscriptions, entries, kept entries, and one for a value or its tombstone
	shards  uint64  // a bit for each shard with an exact subscription
	exact   []int32 // exact subscriptions of each shard; nil if none
	entries ring    // Seqs of its entries in the log
	kept    []kept  // entries beyond the log, oldest first
	gone    Pos     // its newest entry that is neither in the log nor kept; zero: none
	value   *Value  // of a State topic
	keptAt  element // in Log.keptTopics, while kept is not empty
	goneAt  element // in Log.goneTopics, while gone is not zero
	stateAt element // in a list of Log.state, while value is a tombstone or ages

	// Owned by the shard of that number: who is subscribed there.
	Local []*Members
}

// Members is a shard's view of a topic: the slots of the connections that are subscribed to it.
type Members struct {
	Exact []uint32 // by this very name
	All   []uint32 // and by wildcards, each once; valid while Gen is the shard's
	Gen   uint64
}

// At returns the members of a shard, made on first use by that shard.
func (t *Topic) At(shard int) *Members {
	if t.Local[shard] == nil {
		t.Local[shard] = new(Members)
	}
	return t.Local[shard]
}

// pages maps ids to topics for readers that hold no lock: a follower may look up the topic of any entry that it has
// not passed, because an entry holds its topic and an id is used again only when nothing holds it.
type pages struct {
	dir atomic.Pointer[[]*page]
}

const pageSize = 1024

type page [pageSize]atomic.Pointer[Topic]

func (p *pages) get(id uint32) *Topic {
	return (*p.dir.Load())[id/pageSize][id%pageSize].Load()
}

// set needs Log.mu.
func (p *pages) set(id uint32, t *Topic) {
	var dir []*page
	if d := p.dir.Load(); d != nil {
		dir = *d
	}
	if int(id/pageSize) >= len(dir) {
		grown := make([]*page, len(dir)+1)
		copy(grown, dir)
		grown[len(dir)] = new(page)
		dir = grown
		p.dir.Store(&grown)
	}
	dir[id/pageSize][id%pageSize].Store(t)
}

// intern returns the topic of that name, made if need be. It needs mu. The caller adds a reference before it unlocks.
func (l *Log) intern(name string) *Topic {
	if t := l.topics[name]; t != nil {
		return t
	}
	t := &Topic{Name: name, Row: l.opts.Row(name), Local: make([]*Members, l.opts.Shards), gone: l.freed.topic(name)}
	if n := len(l.free); n > 0 {
		t.ID, l.free = l.free[n-1], l.free[:n-1]
	} else {
		t.ID = l.ids
		l.ids++
	}
	l.topics[name] = t
	l.pages.set(t.ID, t)
	if t.gone.Seq > 0 {
		// What freed says of a pattern is the newest loss of all that it matches: this one would be told of with that, after
		// entries of the topic.
		l.enlist(t)
	}
	return t
}

// release drops n references. It needs mu.
func (l *Log) release(t *Topic, n int) {
	if t.refs -= n; t.refs > 0 {
		return
	}
	if t.gone.Seq > 0 {
		l.freed.add(t.Name, t.gone)
		l.goneTopics.remove(&t.goneAt)
	}
	delete(l.topics, t.Name)
	l.pages.set(t.ID, nil)
	l.free = append(l.free, t.ID)
}

// Subscribe interns a topic for a subscription of a shard: entries of it wake that shard from now on.
func (l *Log) Subscribe(name string, shard int) *Topic {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.intern(name)
	t.refs++
	if t.exact == nil {
		t.exact = make([]int32, l.opts.Shards)
	}
	t.exact[shard]++
	t.shards |= 1 << shard
	return t
}

// Unsubscribe undoes one Subscribe.
func (l *Log) Unsubscribe(t *Topic, shard int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t.exact[shard]--; t.exact[shard] == 0 {
		t.shards &^= 1 << shard
	}
	l.release(t, 1)
}

// SubscribeAll makes every entry wake a shard: it has n more (or fewer) subscriptions with wildcards.
func (l *Log) SubscribeAll(shard, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wild[shard] += n; l.wild[shard] > 0 {
		l.wildMask |= 1 << shard
	} else {
		l.wildMask &^= 1 << shard
	}
}

// Interest reports which shards have a subscriber of a topic, and the topic if anything holds it.
func (l *Log) Interest(name string) (t *Topic, shards uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t = l.topics[name]; t != nil {
		return t, t.shards | l.wildMask
	}
	return nil, l.wildMask
}

// Part is what a Filter has for a topic or pattern.
func (l *Log) Part(name string) Part {
	p := Part{Pattern: name}
	if !pattern.HasWildcard(name) {
		p.Topic, _ = l.Interest(name)
	}
	return p
}

// Passing makes a topic that the table does not hold, for one message that nobody keeps.
func (l *Log) Passing(name string) *Topic {
	return &Topic{Name: name, Local: make([]*Members, l.opts.Shards)}
}

// Topics is the number of topics that something holds.
func (l *Log) Topics() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.topics)
}
