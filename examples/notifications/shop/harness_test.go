package shop

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gohotline/hotline"
	"github.com/gohotline/hotline/examples/internal/site"
	"github.com/gohotline/hotline/internal/leak"
	"github.com/gohotline/hotline/internal/memnet"
)

func TestMain(m *testing.M) { leak.Main(m) }

// world is the shop, on a network in memory, and beside it on the same hub an application in which everybody is who they
// say they are.
type world struct {
	*shop
	t   *testing.T
	net *memnet.Network
}

func inBubble(t *testing.T, test func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{shop: newShop(), t: t, net: memnet.New(nil)}
		other := &site.App{Name: "other", Handler: func(hub *hotline.Hub) http.Handler { return hub }}
		other.Options.Authenticate = func(_ *http.Request, token string) (hotline.Identity, error) {
			return hotline.Identity{User: token, Data: "a session"}, nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		ln := w.net.Listen()
		go func() { ended <- site.Serve(ctx, ln, w.app(), other) }()
		synctest.Wait()
		test(t, w)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// device is a browser: it has cookies, and any number of connections.
type device struct {
	t    *testing.T
	user string
	http *http.Client
}

// device returns one that nobody has logged in on.
func (w *world) device() *device {
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	tr := &http.Transport{DialContext: w.net.Link().DialContext, DisableKeepAlives: true}
	return &device{w.t, "", &http.Client{Transport: tr, Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}}
}

// login returns a device on which user has logged in.
func (w *world) login(user string) *device {
	w.t.Helper()
	d := w.device()
	d.user = user
	if status, body := d.post("login", "user", user); status != http.StatusSeeOther {
		w.t.Fatalf("login of %s: %d %s", user, status, body)
	}
	return d
}

const origin = "http://shop.example"

// post posts a form, given as names and values, and returns the answer.
func (d *device) post(action string, form ...string) (status int, body string) {
	d.t.Helper()
	values := url.Values{}
	for i := 0; i < len(form); i += 2 {
		values.Set(form[i], form[i+1])
	}
	r, err := http.NewRequestWithContext(d.t.Context(), http.MethodPost, origin+path+action, strings.NewReader(values.Encode()))
	if err != nil {
		d.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", origin)
	status, body, _ = d.do(r)
	return status, body
}

func (d *device) get(page string) (status int, body string, header http.Header) {
	d.t.Helper()
	r, err := http.NewRequestWithContext(d.t.Context(), http.MethodGet, origin+path+page, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	return d.do(r)
}

func (d *device) do(r *http.Request) (status int, body string, header http.Header) {
	d.t.Helper()
	resp, err := d.http.Do(r)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return resp.StatusCode, string(b), resp.Header
}

// notes is what a page begins with.
func (d *device) notes() (s snapshot) {
	d.t.Helper()
	status, body, _ := d.get("notes")
	if err := json.Unmarshal([]byte(body), &s); status != http.StatusOK || err != nil {
		d.t.Fatalf("notes: %d %s: %v", status, body, err)
	}
	return s
}

// connect opens the connection of one more tab.
func (d *device) connect() *hotline.Client {
	d.t.Helper()
	c, err := d.dial()
	if err != nil {
		d.t.Fatal(err)
	}
	return c
}

func (d *device) dial() (*hotline.Client, error) {
	ctx, cancel := context.WithTimeout(d.t.Context(), time.Minute)
	defer cancel()
	c, err := hotline.Dial(ctx, "ws://shop.example"+path+"ws", &hotline.DialOptions{HTTPClient: d.http})
	if err == nil {
		d.t.Cleanup(func() { c.Close() })
	}
	return c, err
}

// reader reads a subscription as the strings that its messages decode to.
type reader struct {
	t   *testing.T
	sub *hotline.Subscription
}

func (d *device) read(c *hotline.Client, topic string, opts *hotline.SubscribeOptions) *reader {
	d.t.Helper()
	sub, err := c.Subscribe(d.t.Context(), topic, opts)
	if err != nil {
		d.t.Fatalf("%s: %v", topic, err)
	}
	return &reader{d.t, sub}
}

// next returns the next message, or the zero one if none comes within a minute.
func (r *reader) next() hotline.Message {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	m, err := r.sub.Next(ctx)
	if err != nil && ctx.Err() == nil {
		r.t.Fatal(err)
	}
	if m.Missed > 0 {
		r.t.Errorf("%d messages are missed before %s", m.Missed, m.Data)
	}
	return m
}

func (r *reader) note() (n note) {
	r.t.Helper()
	if m := r.next(); m.Topic != "" {
		if err := m.Decode(&n); err != nil {
			r.t.Fatal(err)
		}
	}
	return n
}

// until reads State until it is value: of those before, the reader may have been sent any or none.
func (r *reader) until(value string) {
	r.t.Helper()
	var before []string
	for m := r.next(); string(m.Data) != value; m = r.next() {
		if m.Topic == "" {
			r.t.Fatalf("waiting for %s, after %q", value, before)
		}
		before = append(before, string(m.Data))
	}
}
