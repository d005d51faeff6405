package hotline

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gohotline/hotline/internal/memnet"
)

// wantClosed closes c from several goroutines, once and again, and looks that this takes no more than about a second.
func wantClosed(t *testing.T, c *Client) {
	t.Helper()
	begin := time.Now()
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { c.Close() })
	}
	wg.Wait()
	if took := time.Since(begin); took > 1100*time.Millisecond {
		t.Errorf("Close took %v", took)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if why := context.Cause(c.Context()); !errors.Is(why, ErrClosed) {
		t.Errorf("the cause is %v", why)
	}
}

// Close ends a client in whatever it is doing, and leaves nothing: the bubble would find a goroutine.
func TestCloseInEveryState(t *testing.T) {
	for _, tt := range []struct {
		name   string
		server func(t *testing.T, w http.ResponseWriter, r *http.Request) // nil: nobody listens
		dial   func(t *testing.T, o *DialOptions, l *memnet.Link)
		then   func(t *testing.T, c *Client, l *memnet.Link)
	}{
		{name: "nobody listens"},
		{name: "between attempts", server: func(_ *testing.T, w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
		}},
		{name: "dialling", dial: func(_ *testing.T, _ *DialOptions, l *memnet.Link) { l.Blackhole() }},
		{name: "in the handshake", server: func(_ *testing.T, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
		{name: "in the answer to the handshake", server: func(_ *testing.T, w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}},
		{name: "before the welcome", server: func(t *testing.T, w http.ResponseWriter, r *http.Request) {
			serveUntilEnd(accept(t, w, r))
		}},
		{name: "connected", server: func(t *testing.T, w http.ResponseWriter, r *http.Request) {
			serveUntilEnd(accept(t, w, r, plainWelcome))
		}},
		{name: "connected to one that does not read", server: func(t *testing.T, w http.ResponseWriter, r *http.Request) {
			ws := accept(t, w, r, plainWelcome)
			time.Sleep(10 * time.Second)
			ws.CloseNow()
		}},
		{name: "link is dead", server: func(t *testing.T, w http.ResponseWriter, r *http.Request) {
			serveUntilEnd(accept(t, w, r, plainWelcome))
		}, then: func(_ *testing.T, _ *Client, l *memnet.Link) { l.Blackhole() }},
		{name: "socket is full", server: func(t *testing.T, w http.ResponseWriter, r *http.Request) {
			serveUntilEnd(accept(t, w, r, plainWelcome))
		}, then: func(t *testing.T, c *Client, l *memnet.Link) {
			l.StallUp()
			for range 10 {
				go func() {
					if err := c.Publish(context.Background(), "a", strings.Repeat("x", 60_000)); !errors.Is(err, ErrClosed) {
						t.Errorf("Publish: %v", err)
					}
				}()
			}
		}},
		{name: "in Token", dial: func(_ *testing.T, o *DialOptions, _ *memnet.Link) {
			o.Token = func(ctx context.Context) (string, error) {
				<-ctx.Done()
				return "", ctx.Err()
			}
		}},
		{name: "in a Token that does not listen", dial: func(_ *testing.T, o *DialOptions, _ *memnet.Link) {
			o.Token = func(context.Context) (string, error) {
				time.Sleep(time.Hour)
				return "", nil
			}
		}},
		{name: "in an OnState that takes long", dial: func(_ *testing.T, o *DialOptions, _ *memnet.Link) {
			o.OnState = func(error) { time.Sleep(time.Hour) }
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for _, after := range []time.Duration{0, 3 * time.Second} {
					w := &world{t: t, net: memnet.New(nil)}
					if tt.server != nil {
						f := newFake(t, 1000, func(_ int, w http.ResponseWriter, r *http.Request) { tt.server(t, w, r) })
						w = f.world
					}
					link := w.net.Link()
					opts := w.options(link)
					opts.Background = true
					if tt.dial != nil {
						tt.dial(t, opts, link)
					}
					c, err := Dial(context.Background(), "ws://hub/", opts)
					if err != nil {
						t.Fatal(err)
					}
					time.Sleep(after)
					synctest.Wait()
					if tt.then != nil {
						tt.then(t, c, link)
						synctest.Wait()
					}
					wantClosed(t, c)
					link.Heal()
				}
				time.Sleep(3 * time.Hour) // for hooks that are not waited for
			})
		})
	}
}

// The hooks may do with the client what they like.
func TestClientInsideHooks(t *testing.T) {
	for _, hook := range []string{"Token", "OnState(nil)", "OnState(err)"} {
		t.Run(hook, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				var c *Client
				known, over := make(chan struct{}), make(chan struct{})
				var once sync.Once
				inside := func(ctx context.Context) {
					once.Do(func() {
						<-known
						if hook == "OnState(nil)" {
							if err := c.Publish(ctx, "chat.a", 1); err != nil {
								t.Error(err)
							}
							if _, err := c.Subscribe(ctx, "chat.*", nil); err != nil {
								t.Error(err)
							}
							if err := c.Signal("chat.a", 1); err != nil {
								t.Error(err)
							}
						} else {
							ctx, cancel := context.WithTimeout(ctx, time.Millisecond) // there is no connection
							defer cancel()
							if err := c.Publish(ctx, "chat.a", 1); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrUncertain) {
								t.Error(err)
							}
							if err := c.Signal("chat.a", 1); !errors.Is(err, ErrLimit) {
								t.Error(err)
							}
						}
						wantClosed(t, c)
						close(over)
					})
				}
				opts := w.options(w.net.Link())
				opts.Background = true
				switch hook {
				case "Token":
					opts.Token = func(ctx context.Context) (string, error) { inside(ctx); return "", nil }
				case "OnState(nil)":
					opts.OnState = func(err error) {
						if err == nil {
							inside(context.Background())
						}
					}
				default:
					opts.OnState = func(err error) {
						if err != nil {
							inside(context.Background())
						}
					}
					w.srv.Close()
				}
				c, _ = Dial(context.Background(), "ws://hub/", opts)
				close(known)
				<-over
				<-c.Context().Done()
			})
		})
	}
}

// A panic in a hook is logged and ends nothing but the attempt.
func TestPanicsInHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		var j journal
		var tokens, calls int
		c, link := w.connect(func(o *DialOptions) {
			o.Logger = j.logger()
			o.Token = func(context.Context) (string, error) {
				if tokens++; tokens < 3 {
					panic("no token today")
				}
				return "t", nil
			}
			o.OnState = func(error) { calls++; panic("in a bad state") }
		})
		s := w.follow(c, "chat.*", nil)
		link.Cut()
		w.publish("chat.a", 1)
		wantNext(t, s, "chat.a 1")
		synctest.Wait()
		if tokens != 4 || calls < 4 {
			t.Errorf("Token was called %d times, OnState %d times", tokens, calls)
		}
		if log := j.String(); !strings.Contains(log, "no token today") || !strings.Contains(log, "in a bad state") {
			t.Errorf("the log: %s", log)
		}
	})
}

// A Token that hangs is not called a second time meanwhile, and the client goes on when it ends.
func TestTokenHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		running, calls := 0, 0
		begin := time.Now()
		c, _ := w.connect(func(o *DialOptions) {
			o.Token = func(context.Context) (string, error) {
				if running++; running > 1 {
					t.Error("Token is called twice at once")
				}
				defer func() { running-- }()
				if calls++; calls == 1 {
					time.Sleep(10 * time.Minute)
				}
				return "t", nil
			}
		})
		if took := time.Since(begin); took < 10*time.Minute || took > 11*time.Minute || calls != 2 {
			t.Errorf("connected after %v, %d calls", took, calls)
		}
		c.Close()
	})
}

// logTo is a slog.Handler that publishes what is logged, as applications do.
type logTo struct{ publish func(string) }

func (l *logTo) Enabled(context.Context, slog.Level) bool { return true }
func (l *logTo) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *logTo) WithGroup(string) slog.Handler            { return l }
func (l *logTo) Handle(_ context.Context, r slog.Record) error {
	l.publish(r.Message)
	return nil
}

// A Logger that uses the client does not block it: no lock is held while something is logged.
func TestLoggerUsesClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		var c *Client
		known := make(chan struct{})
		h := &logTo{func(s string) {
			<-known
			_ = c.Signal("log", s)
		}}
		opts := w.options(w.net.Link())
		opts.Background, opts.Logger = true, slog.New(h)
		c, _ = Dial(context.Background(), "ws://hub/", opts)
		close(known)
		defer c.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := c.Publish(ctx, "chat.a", 1); err != nil {
			t.Error(err)
		}
	})
}
