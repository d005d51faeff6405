package hotline

import (
	"container/list"
	"context"
	"fmt"
	"time"

	"github.com/gohotline/hotline/internal/eventlog"
)

// This file is about which patterns the broker's feed carries: each as long as anybody of this hub needs it, and a while
// longer for those who come back.

// follow is the interest of this hub in a pattern.
type follow struct {
	// Static after construction.
	pattern string
	ready   chan struct{} // closed when Follow has returned

	// Static once ready.
	from eventlog.Pos // the log has every matching entry since then
	err  error

	// Guarded by feed.mu.
	refs  int
	idle  *list.Element // of feed.idle; nil: somebody needs it, or it is being given up
	since time.Time     // that it is idle
	ended chan struct{} // closed when it is forgotten; nil: it is not being so
}

const (
	followLinger = time.Minute // that a pattern which nobody needs is followed
	maxIdle      = 4096        // such patterns: beyond, the oldest are given up at once
)

// follow makes the feed carry the topics that match pattern, and calls then with the position from which on it does.
// Whoever else needs the pattern shares that. unfollow undoes it.
func (f *feed) follow(ctx context.Context, pattern string, then func(from eventlog.Pos)) error {
	if f.broker == nil {
		then(eventlog.Pos{})
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, brokerTimeout)
	defer cancel()
	for {
		x, ended, err := f.join(pattern)
		switch {
		case err != nil:
			return err
		case x == nil: // it is just being given up
			select {
			case <-ended:
				continue
			case <-ctx.Done():
				return fmt.Errorf("following %q: %w", pattern, context.Cause(ctx))
			}
		}
		select {
		case <-x.ready:
		case <-ctx.Done():
			f.leave(x)
			return fmt.Errorf("following %q: %w", pattern, context.Cause(ctx))
		}
		if x.err != nil {
			f.leave(x)
			return x.err
		}
		then(x.from)
		return nil
	}
}

// join takes part in following a pattern. If x is nil that is just being given up.
func (f *feed) join(pattern string) (x *follow, ended <-chan struct{}, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, nil, fmt.Errorf("%w: the hub", ErrClosed)
	}
	x = f.follows[pattern]
	switch {
	case x == nil:
		x = &follow{pattern: pattern, ready: make(chan struct{})}
		f.follows[pattern] = x
		f.trie.Add(pattern, x)
		f.hub.group.Go(func() { f.establish(x) })
	case x.ended != nil:
		return nil, x.ended, nil
	case x.idle != nil:
		f.idle.Remove(x.idle)
		x.idle = nil
	}
	x.refs++
	return x, nil, nil
}

// establish asks the broker, once for all who wait.
func (f *feed) establish(x *follow) {
	ctx, cancel := context.WithTimeout(f.ctx, brokerTimeout)
	defer cancel()
	var p Position
	err := f.wait(ctx)
	asked := err == nil
	if asked {
		p, err = f.broker.Follow(ctx, x.pattern)
	}
	if err == nil {
		x.from = f.hub.log.Advance(eventlog.Pos(p))
		f.heard(p)
	} else {
		x.err = fmt.Errorf("hotline: following %q: %w", x.pattern, err)
	}
	f.mu.Lock()
	if close(x.ready); err == nil {
		f.rest(x, time.Now())
	} else {
		x.ended = make(chan struct{}) // whoever comes next tries again
	}
	f.mu.Unlock()
	if err == nil {
		return
	}
	if asked { // it may have begun to carry it all the same
		f.broker.Unfollow(x.pattern)
	}
	f.end(x)
}

// refresh asks the broker how far the feed has come that carries a pattern, once for all who want to know at a time.
func (f *feed) refresh(ctx context.Context, pattern string) error {
	answer := make(chan error, 1)
	f.spawn(func() {
		_, err, _ := f.asking.Do(pattern, func() (any, error) {
			ctx, cancel := context.WithTimeout(f.ctx, brokerTimeout)
			defer cancel()
			p, err := f.broker.Follow(ctx, pattern)
			if err == nil {
				f.hub.log.Advance(eventlog.Pos(p))
				f.heard(p)
			}
			return nil, err
		})
		answer <- err
	})
	select {
	case err := <-answer:
		return err
	case <-f.ctx.Done(): // nobody may answer
		return fmt.Errorf("%w: the hub", ErrClosed)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// leave says that one of those that follow a pattern does not need it any more.
func (f *feed) leave(x *follow) {
	f.mu.Lock()
	defer f.mu.Unlock()
	x.refs--
	f.rest(x, time.Now())
}

// unfollow is leave by name.
func (f *feed) unfollow(pattern string) {
	if f.broker == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if x := f.follows[pattern]; x != nil && x.refs > 0 {
		x.refs--
		f.rest(x, time.Now())
	}
}

// rest makes x idle if nobody needs it. It needs mu. One that is just being forgotten is not idle: it would be given up
// later, when the pattern may be followed anew.
func (f *feed) rest(x *follow, now time.Time) {
	select {
	case <-x.ready:
	default:
		return // establish will do it
	}
	if x.refs > 0 || x.idle != nil || x.ended != nil || f.follows[x.pattern] != x {
		return
	}
	x.since, x.idle = now, f.idle.PushBack(x)
	if f.idle.Len() > maxIdle {
		f.part(now)
	}
}

// sweep gives up what nobody has needed for a while.
func (f *feed) sweep(now time.Time) {
	if f.broker == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.part(now)
}

// part makes a goroutine give up what is to be, if there is anything and no one does. It needs mu.
func (f *feed) part(now time.Time) {
	if f.parting || f.closed || f.oldest(now) == nil {
		return
	}
	f.parting = true
	f.hub.group.Go(f.giveUp)
}

// oldest is what is to be given up next, or nil. It needs mu.
func (f *feed) oldest(now time.Time) *follow {
	first := f.idle.Front()
	if first == nil {
		return nil
	}
	x := first.Value.(*follow)
	if now.Sub(x.since) < followLinger && f.idle.Len() <= maxIdle {
		return nil
	}
	return x
}

// giveUp gives up one after another. Who comes back to one meanwhile waits, and follows it anew.
func (f *feed) giveUp() {
	for {
		f.mu.Lock()
		x := f.oldest(time.Now())
		if x == nil || f.closed {
			f.parting = false
			f.mu.Unlock()
			return
		}
		f.idle.Remove(x.idle)
		x.idle, x.ended = nil, make(chan struct{})
		f.mu.Unlock()
		f.broker.Unfollow(x.pattern)
		f.end(x)
	}
}

// end forgets a pattern that the broker does not carry any more.
func (f *feed) end(x *follow) {
	f.keeping.Lock()
	defer f.keeping.Unlock()
	f.drop(x)
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.follows, x.pattern)
	f.trie.Remove(x.pattern, x)
	close(x.ended)
}

// drop forgets the values of topics that nobody follows but x, which is being given up: here they would not change. It
// needs keeping.
func (f *feed) drop(x *follow) {
	for _, v := range f.hub.log.Values(x.pattern) {
		if name := v.Topic.Name; !f.wanted(name, x) {
			f.nodes.forget(name)
			_, _, _ = f.hub.log.Set(&eventlog.Set{Topic: name, Gone: true, When: time.Now(), Rev: eventlog.Pos{Tag: v.Rev.Tag + 1}})
		}
	}
}

// followed are the patterns that the feed carries, or will in a moment.
func (f *feed) followed() (patterns []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for p := range f.follows {
		patterns = append(patterns, p)
	}
	return patterns
}

// wanted reports whether anybody follows a topic, except for one.
func (f *feed) wanted(topic string, except *follow) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.found = f.trie.Append(f.found[:0], topic)
	for _, x := range f.found {
		if x != except {
			return true
		}
	}
	return false
}
