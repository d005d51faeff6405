package hotline

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Row 9: an identity that expires is renewed by connecting again, with a fresh token and without a loss.
func TestIdentityExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tokens, seen atomic.Int64
		w := newWorld(t, &HubOptions{Authenticate: func(_ *http.Request, token string) (Identity, error) {
			if want := fmt.Sprint("token", tokens.Load()); token != want {
				t.Errorf("the token is %q, want %q", token, want)
			}
			seen.Add(1)
			return Identity{User: "ada", Expires: time.Now().Add(10 * time.Second)}, nil
		}})
		c, _ := w.connect(func(o *DialOptions) {
			o.Token = func(context.Context) (string, error) { return fmt.Sprint("token", tokens.Add(1)), nil }
		})
		s := w.follow(c, "chat.*", nil)
		const n = 300
		var sent sync.WaitGroup
		sent.Go(func() {
			for i := range n {
				if err := c.Publish(context.Background(), "chat.a", i); err != nil {
					t.Error(err)
				}
				time.Sleep(150 * time.Millisecond)
			}
		})
		for i := range n {
			wantNext(t, s, fmt.Sprint("chat.a ", i))
		}
		sent.Wait()
		if seen.Load() < 4 {
			t.Errorf("it connected %d times", seen.Load())
		}
	})
}

// Row 31: only ErrDenied is final, of the hub's hook and of Token.
func TestAuthenticationFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hubDown, tokenDown, denied atomic.Bool
		w := newWorld(t, &HubOptions{Authenticate: func(_ *http.Request, _ string) (Identity, error) {
			if hubDown.Load() {
				return Identity{}, errors.New("the database is down")
			}
			return Identity{User: "ada"}, nil
		}})
		c, link := w.connect(func(o *DialOptions) {
			o.Token = func(context.Context) (string, error) {
				switch {
				case denied.Load():
					return "", fmt.Errorf("%w: logged out", ErrDenied)
				case tokenDown.Load():
					return "", errors.New("the token service is down")
				}
				return "t", nil
			}
		})
		s := w.follow(c, "chat.*", nil)
		for i, down := range []*atomic.Bool{&hubDown, &tokenDown} {
			down.Store(true)
			link.Cut()
			time.Sleep(time.Minute)
			w.publish("chat.a", i)
			down.Store(false)
			wantNext(t, s, fmt.Sprint("chat.a ", i))
		}
		denied.Store(true)
		link.Cut()
		<-c.Context().Done()
		if why := context.Cause(c.Context()); !errors.Is(why, ErrDenied) || !strings.Contains(why.Error(), "logged out") {
			t.Error(why)
		}
		if _, err := s.Next(t.Context()); !errors.Is(err, ErrDenied) || !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
}

// Row 9: a permission that is withdrawn ends that subscription, at the next reconnect, without a byte of what came
// meanwhile. The others go on.
func TestPermissionRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var revoked atomic.Bool
		w := newWorld(t, &HubOptions{AuthorizeSubscribe: func(_ context.Context, _ *Conn, topic string) error {
			if topic == "staff.*" && revoked.Load() {
				return fmt.Errorf("%w: only staff reads here", ErrDenied)
			}
			return nil
		}})
		c, link := w.connect(nil)
		staff, chat := w.follow(c, "staff.*", nil), w.follow(c, "chat.*", nil)
		w.publish("staff.a", 1)
		wantNext(t, staff, "staff.a 1")
		link.Blackhole()
		link.Cut()
		revoked.Store(true)
		w.publish("staff.a", "secret")
		w.publish("chat.a", 2)
		link.Heal()
		if m, err := staff.Next(t.Context()); !errors.Is(err, ErrDenied) || !strings.Contains(err.Error(), "only staff") {
			t.Errorf("got %s, %v", short(&m), err)
		}
		wantNext(t, chat, "chat.a 2")
		if _, err := c.Subscribe(context.Background(), "staff.*", nil); !errors.Is(err, ErrDenied) {
			t.Error(err)
		}
		revoked.Store(false)
		link.Cut()
		time.Sleep(time.Minute)
		w.publish("staff.a", 3)
		if _, err := staff.Next(t.Context()); !errors.Is(err, ErrDenied) {
			t.Error(err)
		}
		wantNext(t, w.follow(c, "staff.*", &SubscribeOptions{Replay: 1}), "*staff.a 3")
		if c.Context().Err() != nil {
			t.Error(context.Cause(c.Context()))
		}
	})
}

// More subscriptions than fit into a hello of Limits.MessageBytes are no reason to be closed for good at a reconnect.
func TestManySubscriptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 400
		w := newWorld(t, &HubOptions{Limits: Limits{Subscriptions: n, PublishRate: -1}})
		c, link := w.connect(nil)
		var subs []*Subscription
		topic := func(i int) string { return fmt.Sprintf("chat.%s.%d", strings.Repeat("x", 200), i) }
		for i := range n {
			subs = append(subs, w.follow(c, topic(i), nil))
		}
		for round := range 3 {
			link.Cut()
			for i := range n {
				w.publish(topic(i), round)
			}
			for i, s := range subs {
				wantNext(t, s, fmt.Sprint(topic(i), " ", round))
			}
		}
	})
}
