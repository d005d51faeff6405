package hotline

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gohotline/hotline/internal/wire"
)

// F3, of Authenticate: it has 10 s, and no longer than the hub lives. Whoever can't be told who they are is to come
// back.
func TestAuthenticateTimeout(t *testing.T) {
	for name, tt := range map[string]struct {
		close, took time.Duration
		code        int
		reason      string
	}{
		"alone":    {time.Hour, hookTimeout, wire.CloseTryLater, "did not decide within 10s"},
		"at Close": {3 * time.Second, 3 * time.Second, wire.CloseRestart, "shutting down"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, &HubOptions{Authenticate: func(r *http.Request, _ string) (Identity, error) {
					<-r.Context().Done()
					return Identity{}, fmt.Errorf("asking the database: %w", r.Context().Err())
				}})
				start := time.Now()
				c := w.dial(nil, wire.Protocol)
				c.send(helloFrame("", "a"))
				closed := make(chan struct{})
				go func() {
					defer close(closed)
					time.Sleep(tt.close)
					w.hub.Close()
				}()
				code, reason, _ := c.closed()
				if d := time.Since(start); code != tt.code || !strings.Contains(reason, tt.reason) || d != tt.took {
					t.Errorf("closed with %d %q after %s", code, reason, d)
				}
				<-closed
				if d := time.Since(start); d > tt.close+time.Second {
					t.Errorf("Close was over after %s", d)
				}
				w.nothingLeft(c)
			})
		})
	}
}

// Row 31 of the failure table: a database that is down logs nobody out. Only ErrDenied is final, and nobody is told
// what the database said.
func TestDatabaseDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var answer error
		w := newWorld(t, &HubOptions{Authenticate: func(*http.Request, string) (Identity, error) { return Identity{}, answer }})
		for range 60 {
			answer = errors.New("dial tcp 10.0.0.7:5432: connection refused")
			c := w.dial(nil, wire.Protocol)
			c.send(helloFrame(""))
			if code, reason, frames := c.closed(); wire.Final(code) || code != wire.CloseTryLater || reason != "internal error" || len(frames) != 1 {
				t.Fatalf("closed with %d %q after %v", code, reason, frames)
			}
			time.Sleep(time.Second)
		}
		answer = fmt.Errorf("%w: your account is closed", ErrDenied)
		c := w.dial(nil, wire.Protocol)
		c.send(helloFrame(""))
		if code, reason, _ := c.closed(); code != wire.CloseUnauthorized || !strings.Contains(reason, "your account is closed") {
			t.Errorf("closed with %d %q", code, reason)
		}
		answer = nil
		w.client("a").want("ok 1")
	})
}

// Kick reaches also who is being authenticated, by what was true before the kick; nobody else, and nobody later.
func TestKickWhileAuthenticating(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		w := newWorld(t, &HubOptions{Authenticate: func(_ *http.Request, token string) (Identity, error) {
			<-gate
			return Identity{User: token}, nil
		}})
		dial := func(user string) *testClient {
			c := w.dial(nil, wire.Protocol)
			c.send(helloFrame(user))
			synctest.Wait()
			return c
		}
		ada, bob := dial("ada"), dial("bob")
		if err := w.hub.Kick(context.Background(), "ada", CloseFinal, "banned"); err != nil {
			t.Fatal(err)
		}
		close(gate)
		synctest.Wait()
		if n := w.hub.Stats().Conns; n != 1 {
			t.Fatalf("%d connections are open, want bob's alone", n)
		}
		if code, reason, _ := ada.closed(); code != CloseFinal || reason != "banned" {
			t.Errorf("closed with %d %q", code, reason)
		}
		bob.want("welcome")
		dial("ada").want("welcome")
		if s := w.hub.Stats(); s.Opened != 2 || s.Refused != 1 {
			t.Errorf("%d opened, %d refused", s.Opened, s.Refused)
		}
	})
}
