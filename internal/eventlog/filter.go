package eventlog

import (
	"slices"
	"strings"
	"time"

	"github.com/gohotline/hotline/internal/pattern"
)

// maxLists is how many exact topics are read by merging their lists; for more, or patterns, the log is scanned.
const maxLists = 128

// Topics that have lost something are compared with more than fewPatterns one by one, and after indexFrom of them through an index.
const (
	fewPatterns = 8
	indexFrom   = 64
)

// Part is one subscription of a Filter: a topic or a pattern.
type Part struct {
	Topic   *Topic // nil: Pattern has wildcards, or is a topic that nothing holds
	Pattern string
	Lost    bool // out: the hole concerns it
}

// Filter says what a reader wants: what one of Parts matches. It is for one reader at a time.
type Filter struct {
	Parts  []Part
	Replay *Replay // nil: the reader continues from where it was

	// For the length of one call.
	lists      bool
	cursors    []cursor // if lists
	scratch    []change // likewise; else
	patterns   []string
	known, yes []uint64           // by topic id
	compared   int                // patterns with topics, beside the first
	index      *pattern.Trie[int] // of Parts; nil: they are compared one by one
	matches    []int
	freed      []Pos // of each part without a topic, what Log.freed says of it, once it was asked
	work, most int   // to find what was lost
}

// lossWork is how much may be done to find out what a reader has lost, with Log.mu held, in comparisons of a pattern with a
// short topic. What would be more is not found out: it may be told of losses that it doesn't have.
const lossWork = 4 * scanEntries

// tired reports whether there is too much to do to find out what was lost. From then on it is, for the length of the call: what
// was taken for lost once is again.
func (f *Filter) tired() bool { return f.work > f.most }

// compares counts n patterns that are compared with a topic, or topics with a pattern.
func (f *Filter) compares(name string, n int) { f.work += 1 + n*strings.Count(name, ".")/64 }

// spent reports whether a call that has looked at n entries has done enough: others wait for the reader, and for the lock.
// A topic that it meets for the first time is compared with every pattern, and both may be long.
func (f *Filter) spent(n int) bool { return n+f.compared >= scanEntries }

// Replay bounds the reading of the newest entries of each topic, see Newest. It reaches as far back as it reaches: what
// was not there when it began is no hole, nor is what is gone before it has returned anything. After that its reader
// has a position, and what is lost behind that is a hole as ever.
type Replay struct {
	UpTo  Pos
	at    time.Time         // when it began
	start map[*Topic]uint64 // of each topic that has entries, the last that is left out
	freed []uint64          // of each part with wildcards, where topics that nothing holds had lost something
	begun bool              // something was returned
}

// misses reports whether a loss of t up to gone is one for the reader of a replay.
func (p *Replay) misses(t *Topic, gone uint64) bool {
	start, ok := p.start[t]
	return ok && gone > start
}

// reset forgets what was found out about topics: a number may stand for another one by now. It needs Log.mu.
func (f *Filter) reset(l *Log) {
	f.cursors, f.patterns, f.compared, f.index = f.cursors[:0], f.patterns[:0], 0, nil
	f.freed, f.work, f.most = f.freed[:0], 0, l.lossWork
	for i := range f.Parts {
		p := &f.Parts[i]
		if p.Lost = false; p.Topic == nil {
			f.patterns = append(f.patterns, p.Pattern)
		}
	}
	if f.lists = len(f.patterns) == 0 && len(f.Parts) <= maxLists; f.lists {
		return
	}
	n := int(l.ids)/64 + 1
	if cap(f.yes) < n {
		f.known, f.yes = make([]uint64, n), make([]uint64, n)
	}
	f.known, f.yes = f.known[:n], f.yes[:n]
	clear(f.known)
	clear(f.yes)
	f.set(l.losses, true)
	for i := range f.Parts {
		if t := f.Parts[i].Topic; t != nil {
			f.set(t, true)
		}
	}
}

func (f *Filter) set(t *Topic, yes bool) {
	f.known[t.ID/64] |= 1 << (t.ID % 64)
	if yes {
		f.yes[t.ID/64] |= 1 << (t.ID % 64)
	}
}

// wants reports whether a part matches t.
func (f *Filter) wants(t *Topic) bool {
	if f.lists {
		return f.match(t, false)
	}
	switch {
	case f.known[t.ID/64]&(1<<(t.ID%64)) != 0:
	case f.index != nil:
		f.set(t, f.match(t, false))
	default:
		f.compared += max(len(f.patterns)-1, 0) // one is in the price of looking at it
		f.set(t, slices.ContainsFunc(f.patterns, func(p string) bool { return pattern.Covers(p, t.Name) }))
	}
	return f.yes[t.ID/64]&(1<<(t.ID%64)) != 0
}

// askFreed asks up to where each part without a topic may have lost something, once a call.
func (f *Filter) askFreed(l *Log) {
	for i := len(f.freed); i < len(f.Parts); i++ {
		var p Pos
		if x := &f.Parts[i]; x.Topic == nil {
			closely := !f.tired()
			if closely {
				f.compares(x.Pattern, freedLast)
			}
			p = l.freed.part(x.Pattern, closely)
		}
		f.freed = append(f.freed, p)
	}
}

// lost reports whether a part with wildcards may match t, which has lost something.
func (f *Filter) lost(t *Topic) bool {
	if f.tired() {
		return true
	}
	if f.known[t.ID/64]&(1<<(t.ID%64)) == 0 {
		f.compares(t.Name, len(f.patterns))
	}
	return f.wants(t)
}

// lose marks the parts that match t and, if they have wildcards, those that may.
func (f *Filter) lose(t *Topic) {
	if !f.tired() {
		f.compares(t.Name, len(f.patterns))
		f.match(t, true)
		return
	}
	for i := range f.Parts {
		if p := &f.Parts[i]; p.Topic == nil || p.Topic == t {
			p.Lost = true
		}
	}
}

// makeIndex is for a filter that is about to meet very many topics. It lasts for the call.
func (f *Filter) makeIndex() {
	f.index = new(pattern.Trie[int])
	for i := range f.Parts {
		f.index.Add(f.Parts[i].Pattern, i)
	}
}

// match reports whether a part matches t, and marks those parts as lost if asked.
func (f *Filter) match(t *Topic, mark bool) (found bool) {
	if f.index != nil {
		f.matches = f.index.Append(f.matches[:0], t.Name)
		for _, i := range f.matches {
			f.Parts[i].Lost = f.Parts[i].Lost || mark
		}
		return len(f.matches) > 0
	}
	for i := range f.Parts {
		p := &f.Parts[i]
		if p.Topic == t || p.Topic == nil && pattern.Covers(p.Pattern, t.Name) {
			if found = true; !mark {
				break
			}
			p.Lost = true
		}
	}
	return found
}

// overlap is match for a pattern.
func (f *Filter) overlap(lost string, mark bool) (found bool) {
	for i := range f.Parts {
		p := &f.Parts[i]
		if p.Topic != nil && pattern.Covers(lost, p.Topic.Name) || p.Topic == nil && pattern.Overlap(lost, p.Pattern) {
			found = true
			p.Lost = p.Lost || mark
		}
	}
	return found
}
