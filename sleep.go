package hotline

// This file is how a shard sleeps, is woken, and is served by a publisher meanwhile.

// idle reports whether there is nothing left to do.
func (sh *shard) idle() bool {
	return len(sh.dirty)+len(sh.readers)+len(sh.commands) == 0 && !sh.follower.Behind() && !sh.inbox.any.Load()
}

// serve dispatches and writes what was published, in the goroutine of its publisher, while run sleeps. It does nothing
// else of what run does. It reports whether that was all: otherwise run is to be woken.
func (sh *shard) serve() bool {
	if sh.parked.Load() || !sh.owner.TryLock() {
		return false
	}
	defer sh.owner.Unlock()
	if !sh.asleep || sh.stopped.Load() {
		return false
	}
	sh.awake()
	if changed := sh.hub.log.Handed(); !sh.inbox.any.Load() {
		sh.st = max(sh.st, changed)
	}
	sh.dispatch()
	sh.flushSome()
	sh.count()
	return sh.idle() && sh.rest()
}

// stop ends run, which then looks at nothing any more, and closes done.
func (sh *shard) stop() {
	sh.stopped.Store(true)
	sh.poke()
}

// sleep waits until it is poked; false: run is to end, as another will take its place.
func (sh *shard) sleep() bool {
	if !sh.rest() {
		return true
	}
	if len(sh.peers) == len(sh.free) { // nobody is here
		sh.parked.Store(true)
		// A poke from before this may have started nobody. What it left is not to be taken here before it is clear who runs:
		// it might be for the other.
		if len(sh.wake) == 0 || !sh.parked.CompareAndSwap(true, false) {
			return false
		}
	}
	sh.owner.Unlock()
	<-sh.wake
	sh.owner.Lock()
	sh.awake()
	return true
}

// rest passes over what follows until awake; false: there is something to do.
func (sh *shard) rest() bool {
	sh.drop(0)
	sh.asleep = sh.follower.Sleep()
	return sh.asleep
}

// awake ends a rest.
func (sh *shard) awake() {
	if sh.asleep {
		sh.asleep, sh.cur = false, sh.follower.Awake()
	}
}

// poke wakes run, or starts it.
func (sh *shard) poke() {
	select {
	case sh.wake <- struct{}{}:
	default:
	}
	if sh.parked.Load() && sh.parked.CompareAndSwap(true, false) {
		sh.hub.loops.Go(sh.run)
	}
}
