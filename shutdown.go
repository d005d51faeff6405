package hotline

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/gohotline/hotline/internal/eventlog"
	"github.com/gohotline/hotline/internal/wire"
)

// Shutdown refuses new connections with 503, tells each client when to come back, and closes them spread over Limits.Drain
// or what ctx leaves, after sending what is already published. Publish works until it returns; then it returns [ErrClosed].
// Its error is ctx's if a connection was cut short, else nil. Call it after http.Server.Shutdown, which lets handlers
// finish and knows nothing of WebSockets:
//
//	err := errors.Join(srv.Shutdown(ctx), hub.Shutdown(ctx))
func (h *Hub) Shutdown(ctx context.Context) error {
	if !h.beginClose() {
		select {
		case <-h.down:
			return h.err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	conns := h.snapshot()
	rand.Shuffle(len(conns), func(i, j int) { conns[i], conns[j] = conns[j], conns[i] })
	spread := h.spread(ctx, len(conns))
	begin := time.Now()
	var drains group
	for i, c := range conns {
		// Each client has a moment of its own, and is told to come back spread over as long again.
		at := begin.Add(time.Duration(float64(spread) * float64(i) / float64(len(conns))))
		retry := time.Second + time.Duration(rand.Int64N(int64(spread)+int64(time.Second)))
		drains.Go(func() { c.drain(ctx, at, retry) })
	}
	drains.Wait()
	if ctx.Err() != nil && len(conns) > 0 {
		h.err = context.Cause(ctx)
	}
	h.finish()
	close(h.down)
	return h.err
}

// spread is how long the closes take: at least 100 a second, and not longer than Drain or most of what ctx leaves.
func (h *Hub) spread(ctx context.Context, n int) time.Duration {
	d := min(h.limits.Drain, time.Duration(n)*10*time.Millisecond)
	if deadline, ok := ctx.Deadline(); ok {
		d = min(d, time.Until(deadline)*8/10)
	}
	return max(d, 0)
}

// Close is Shutdown without the drain. No goroutine or socket of the hub is left when it returns. It can be called
// twice, also while Shutdown runs, which it cuts short. It returns nil. Like Shutdown it waits for the hooks: it is not to
// be called from one.
func (h *Hub) Close() error {
	if h.beginClose() {
		h.finish()
		close(h.down)
		return nil
	}
	h.abrupt.Store(true)
	for _, c := range h.snapshot() {
		c.close(wire.CloseRestart, "the server is shutting down", nil)
	}
	<-h.down
	return nil
}

// beginClose reports whether the caller is the first.
func (h *Hub) beginClose() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closing {
		return false
	}
	h.closing = true
	h.draining.Store(true)
	h.down = make(chan struct{})
	h.janitor.Stop()
	return true
}

// finish ends everything that is left.
func (h *Hub) finish() {
	h.abrupt.Store(true)
	for _, c := range h.snapshot() {
		c.close(wire.CloseRestart, "the server is shutting down", nil)
	}
	h.hurry()
	h.serving.Wait()
	for _, c := range h.snapshot() { // which were in their handshake
		c.close(wire.CloseRestart, "the server is shutting down", nil)
	}
	h.presence.close()
	h.feed.close()
	h.group.Wait() // with OnDisconnect, which may publish
	h.sockets.Wait()
	h.closed.Store(true)
	h.log.Close()
	close(h.ended)
	for _, sh := range h.shards {
		sh.stop()
	}
	for _, sh := range h.shards {
		<-sh.done // and not only loops.Wait: another goroutine may be about to start run
	}
	h.loops.Wait()
}

// drain closes a connection at its moment, once it has been sent everything up to the head of that moment. The end of
// ctx cuts it short, with the hook that runs.
func (c *Conn) drain(ctx context.Context, at time.Time, retry time.Duration) {
	why := &closing{code: wire.CloseRestart, reason: "the server is restarting", retry: retry,
		cause: fmt.Errorf("%w: the hub is shutting down", ErrClosed)}
	cancel := context.AfterFunc(ctx, func() { c.end(why) })
	defer cancel()
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.ctx.Done():
		return
	}
	select {
	case <-c.answered(): // commands that come later are refused
	case <-c.ctx.Done():
		return
	}
	head := c.hub.log.Head()
	arrived := make(chan struct{})
	c.shard.do(func() { c.shard.await(c.peer, head, arrived) })
	select {
	case <-arrived:
	case <-c.ctx.Done():
	}
	c.end(why)
}

// await closes there once p has been sent everything up to head.
func (sh *shard) await(p *peer, head eventlog.Pos, there chan struct{}) {
	p.await, p.there = head, there
	sh.awaited = append(sh.awaited, p)
}

// arrivals looks who has been sent what it is to be sent before it ends.
func (sh *shard) arrivals() {
	sh.written = slices.DeleteFunc(sh.written, func(w write) bool {
		if !w.p.gone && (w.p.busy || len(w.p.out)+len(w.p.pending) > 0) {
			return false
		}
		close(w.done)
		return true
	})
	sh.awaited = slices.DeleteFunc(sh.awaited, func(p *peer) bool {
		if !p.gone && !sh.arrivedAt(p, p.await) {
			return false
		}
		close(p.there)
		return true
	})
}

// arrivedAt reports whether p has been sent everything up to head, also what its subscriptions read that have yet to join.
func (sh *shard) arrivedAt(p *peer, head eventlog.Pos) bool {
	if p.busy || !p.ready || p.remote != nil && !p.remote.begun || len(p.out)+len(p.pending) > 0 || sh.position(p).Seq < head.Seq {
		return false
	}
	return !slices.ContainsFunc(p.subs, func(s *sub) bool { return !s.joined })
}
