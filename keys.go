package hotline

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"sync"
	"time"

	"github.com/gohotline/hotline/internal/eventlog"
)

// keys remembers which idempotency keys were stored, for 5 minutes. A key is scoped by user and topic and hashed before
// it goes anywhere.
type keys struct {
	mu    sync.Mutex
	known map[string]*attempt
	order []*attempt // those that succeeded, oldest first
}

type attempt struct {
	key  string
	done chan struct{} // closed when it has ended
	ok   bool          // it succeeded; static once done
	when time.Time
	pos  eventlog.Pos
	held bool
}

const attemptBytes = 256 // of one remembered key: attempt, channel, key, map entry

// scope makes the key that is remembered, of user, topic and key, or of topic and key if it is server code's: nobody can hit
// upon the key of another user or topic, and nobody who has no name upon the server's.
func scope(parts ...string) string {
	h := sha256.New()
	for _, s := range parts {
		var n [8]byte
		binary.LittleEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// once runs store unless key has been stored; then it returns the first result. An attempt that is under way is waited
// for, and repeated if it failed.
func (k *keys) once(ctx context.Context, key string, store func(key string) (eventlog.Pos, bool, error)) (eventlog.Pos, bool, error) {
	for {
		a, first := k.attempt(key)
		if first {
			return k.run(a, store)
		}
		select {
		case <-a.done:
		case <-ctx.Done():
			return eventlog.Pos{}, false, context.Cause(ctx)
		}
		if a.ok {
			return a.pos, a.held, nil
		}
	}
}

func (k *keys) attempt(key string) (a *attempt, first bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expire(time.Now(), 2) // faster than they come; it stands in the way of other publishers
	if a = k.known[key]; a != nil {
		return a, false
	}
	a = &attempt{key: key, done: make(chan struct{})}
	k.known[key] = a
	return a, true
}

// run stores, and keeps the result only of a success.
func (k *keys) run(a *attempt, store func(key string) (eventlog.Pos, bool, error)) (pos eventlog.Pos, held bool, err error) {
	defer close(a.done)
	defer func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if !a.ok {
			delete(k.known, a.key)
			return
		}
		a.when = time.Now()
		k.order = append(k.order, a)
	}()
	a.pos, a.held, err = store(a.key)
	a.ok = err == nil
	return a.pos, a.held, err
}

// expire forgets what is too old, or too much, at most so many at a time. It reports whether that was all.
func (k *keys) expire(now time.Time, most int) bool {
	n := 0
	old := func() bool {
		return n < len(k.order) && (now.Sub(k.order[n].when) >= keyMemory || len(k.order)-n > keyBytes/attemptBytes)
	}
	for n < most && old() {
		delete(k.known, k.order[n].key)
		k.order[n] = nil
		n++
	}
	all := !old()
	if k.order = k.order[n:]; n > 0 && len(k.known) == 0 { // both keep the room that they have needed
		k.order, k.known = nil, make(map[string]*attempt)
	}
	return all
}

// sweep forgets what is too old also when there are no new keys.
func (k *keys) sweep(now time.Time) {
	for all := false; !all; {
		k.mu.Lock()
		all = k.expire(now, 1024)
		k.mu.Unlock()
	}
}
