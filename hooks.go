package hotline

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
)

// This file runs hooks of the application. No lock is held meanwhile, and what they panic with is an error.

var errPanic = errors.New("hotline: panic in a hook")

var errHookTimeout = fmt.Errorf("hotline: the server did not decide within %s", hookTimeout)

// hook runs a hook of the application. It holds no lock.
func (c *Conn) hook(name string, f func(ctx context.Context) error) error {
	ctx, cancel := c.hookContext()
	defer cancel()
	return c.hookError(ctx, name, c.hub.guard(name, func() error { return f(ctx) }))
}

// hookError is what a hook's error comes to: if the hook gave up with its ctx, why that has ended. What the peer is not
// told is logged.
func (c *Conn) hookError(ctx context.Context, name string, err error) error {
	if err == nil {
		return nil
	}
	result := err
	if why := context.Cause(ctx); why == errHookTimeout || why == errShutdown {
		if !errors.Is(err, ErrDenied) && !errors.Is(err, errPanic) {
			result = why
		}
	}
	if told(err) == "internal error" || result == errHookTimeout {
		c.hub.log_().Error("hotline: a hook failed", "hook", name, "conn", c.id, "user", c.identity.User, "error", err)
	}
	return result
}

// hookContext returns the context of one hook. It is no child of the connection's: that would hold a map for its
// children for ever, on every idle connection.
func (c *Conn) hookContext() (context.Context, context.CancelFunc) {
	base, end := context.WithCancelCause(context.Background())
	ctx, cancel := context.WithTimeoutCause(base, hookTimeout, errHookTimeout)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing != nil {
		end(c.closing.cause)
	}
	c.hookEnd = end
	return ctx, func() {
		c.mu.Lock()
		c.hookEnd = nil
		c.mu.Unlock()
		cancel()
		end(nil)
	}
}

// guard runs application code and makes an error of its panic.
func (h *Hub) guard(name string, f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = h.panicked(name, v)
		}
	}()
	return f()
}

func (h *Hub) panicked(hook string, v any) error {
	h.log_().Error("hotline: panic in a hook", "hook", hook, "panic", v, "stack", string(debug.Stack()))
	return fmt.Errorf("%w: %s: %v", errPanic, hook, v)
}
