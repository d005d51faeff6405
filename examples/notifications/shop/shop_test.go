package shop

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gohotline/hotline"
)

// TestToldOnAllDevices: each step of an order is told on all of its customer's devices, in order, and to nobody else; what
// is read on one is read on all.
func TestToldOnAllDevices(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		staff, bob := w.login("staff"), w.login("bob")
		bobs := bob.read(bob.connect(), "notifications.user.bob.notes", nil)
		ada := w.login("ada")
		var devices []struct{ notes, unread *reader }
		for _, d := range []*device{ada, w.login("ada")} {
			c := d.connect()
			devices = append(devices, struct{ notes, unread *reader }{
				d.read(c, "notifications.user.ada.notes", nil), d.read(c, "notifications.user.ada.unread", nil),
			})
		}
		for _, d := range devices {
			d.unread.until("1")
		}
		if status, body := ada.post("order", "product", "lamp"); status != http.StatusSeeOther {
			t.Fatal(status, body)
		}
		for _, from := range steps[:3] {
			if status, body := staff.post("step", "id", "1045", "from", from); status != http.StatusSeeOther {
				t.Fatal(status, body)
			}
		}
		for _, d := range devices {
			for i, step := range steps {
				n := d.notes.note()
				if n.N != i+2 || n.Order != 1045 || n.Step != step || n.Name != "Desk lamp" {
					t.Errorf("note %d is %+v", i, n)
				}
			}
			d.unread.until("5")
		}
		if status, body := ada.post("read", "n", "4"); status != http.StatusSeeOther {
			t.Fatal(status, body)
		}
		for _, d := range devices {
			d.unread.until("1")
		}
		if m := bobs.next(); m.Topic != "" {
			t.Errorf("bob is told %s", m.Data)
		}
	})
}

// TestSentTwice: a form that is posted twice, also at the same time, moves the order once, and its customer is told once.
func TestSentTwice(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		staff, ada := w.login("staff"), w.login("ada")
		got := ada.read(ada.connect(), "notifications.user.ada.notes", nil)
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				if status, body := staff.post("step", "id", "1042", "from", "received"); status != http.StatusSeeOther {
					t.Error(status, body)
				}
			})
		}
		group.Wait()
		if status, _ := staff.post("step", "id", "1042", "from", "packed"); status != http.StatusSeeOther {
			t.Error(status)
		}
		if status, _ := staff.post("step", "id", "1042", "from", "received"); status != http.StatusSeeOther { // an old window
			t.Error(status)
		}
		for _, step := range []string{"packed", "shipped", ""} {
			if n := got.note(); n.Step != step {
				t.Errorf("told of %q, not of %q", n.Step, step)
			}
		}
		for _, tt := range []struct {
			id, from string
			status   int
		}{
			{"1042", "delivered", 404}, {"1042", "", 404}, {"0", "received", 404}, {"x", "received", 404}, {"1043", "packed", 409},
		} {
			if status, _ := staff.post("step", "id", tt.id, "from", tt.from); status != tt.status {
				t.Errorf("step of order %s from %q: %d", tt.id, tt.from, status)
			}
		}
		news := ada.read(ada.connect(), "notifications.news", nil)
		for range 2 {
			staff.post("news", "text", "Sale!", "key", "k")
		}
		staff.post("news", "text", "Over!", "key", "k2")
		for _, want := range []string{"Sale!", "Over!"} {
			if m := news.next(); !strings.Contains(string(m.Data), want) {
				t.Errorf("news: %s, not %s", m.Data, want)
			}
		}
	})
}

// TestToldLater: an order that was moved on and not told, because the hub failed in between, is told by the second try.
func TestToldLater(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		staff, ada := w.login("staff"), w.login("ada")
		got := ada.read(ada.connect(), "notifications.user.ada.notes", nil)
		if _, _, err := w.store.advance(1042, "received", time.Now()); err != nil { // and then the power went off
			t.Fatal(err)
		}
		if status, _ := staff.post("step", "id", "1042", "from", "received"); status != http.StatusSeeOther {
			t.Error(status)
		}
		if n := got.note(); n.Step != "packed" || n.Order != 1042 {
			t.Errorf("told %+v", n)
		}
	})
}

// TestPrivate: nobody reads what is another's: no stranger, no other customer, and nobody of another application on the
// same hub, whatever they call themselves there. And nobody but the shop publishes.
func TestPrivate(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		if _, err := w.device().dial(); !errors.Is(err, hotline.ErrDenied) {
			t.Errorf("a stranger connects: %v", err)
		}
		forged := w.device()
		forged.http.Jar.SetCookies(urlOf(t, origin+path), []*http.Cookie{{Name: cookieName, Value: "guess", Path: path}})
		if _, err := forged.dial(); !errors.Is(err, hotline.ErrDenied) {
			t.Errorf("with a guessed cookie: %v", err)
		}
		elsewhere := func(user string) *hotline.Client {
			c, err := hotline.Dial(t.Context(), "ws://shop.example/other/", &hotline.DialOptions{
				HTTPClient: w.device().http, Token: func(context.Context) (string, error) { return user, nil },
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			return c
		}
		ada, bob, staff := w.login("ada").connect(), w.login("bob").connect(), w.login("staff").connect()
		every := []string{
			"notifications.user.ada.notes", "notifications.user.ada.unread", "notifications.user.ada.order.1042", "notifications.user.ada.order.*",
			"notifications.user.ada.*", "notifications.user.ada.>", "notifications.user.*.notes", "notifications.user.*.order.*",
			"notifications.user.>", "notifications.>", "*.user.ada.notes", ">", "notifications.online.*", "notifications.news", "notifications.*",
		}
		for _, tt := range []struct {
			who  string
			c    *hotline.Client
			may  []string
			data bool
		}{
			{"ada", ada, []string{every[0], every[1], every[2], every[3], every[4], "notifications.news"}, true},
			{"bob", bob, []string{"notifications.news"}, false},
			{"staff", staff, []string{every[2], every[3], "notifications.user.*.order.*", "notifications.online.*", "notifications.news"}, true},
			{"ada of elsewhere", elsewhere("ada"), nil, false},
			{"staff of elsewhere", elsewhere("staff"), nil, false},
			{"nobody of elsewhere", elsewhere(""), nil, false},
		} {
			for _, topic := range every {
				may := false
				for _, m := range tt.may {
					may = may || m == topic
				}
				sub, err := tt.c.Subscribe(t.Context(), topic, &hotline.SubscribeOptions{Replay: 10})
				if may != (err == nil) || err != nil && !errors.Is(err, hotline.ErrDenied) {
					t.Errorf("%s subscribes to %s: %v", tt.who, topic, err)
				}
				if err == nil {
					sub.Close()
				}
				if err := tt.c.Publish(t.Context(), strings.NewReplacer("*", "x", ">", "x").Replace(topic), 1); !errors.Is(err, hotline.ErrDenied) {
					t.Errorf("%s publishes on %s: %v", tt.who, topic, err)
				}
			}
		}
	})
}

func urlOf(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestLogout: logging out ends the connections of this device, for good and at once, and no others: those go on without
// a break.
func TestLogout(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		phone, laptop, staff := w.login("ada"), w.login("ada"), w.login("staff")
		tabs := []*hotline.Client{phone.connect(), phone.connect()}
		other := laptop.connect()
		got := laptop.read(other, "notifications.user.ada.notes", nil)
		synctest.Wait()        // all of them are kept under their sessions
		var conn *hotline.Conn // of the laptop
		for c := range w.hub.Conns() {
			if ses := c.Identity().Data.(*session); len(ses.conns) == 1 && ses.user.Name == "ada" {
				conn = c
			}
		}
		if status, _ := phone.post("logout"); status != http.StatusSeeOther {
			t.Error(status)
		}
		synctest.Wait()
		for i, tab := range tabs {
			<-tab.Context().Done()
			var closed *hotline.CloseError
			if err := context.Cause(tab.Context()); !errors.As(err, &closed) || closed.Code != hotline.CloseFinal || closed.Reason != loggedOut {
				t.Errorf("tab %d: %v", i, err)
			}
		}
		if _, err := phone.dial(); !errors.Is(err, hotline.ErrDenied) {
			t.Errorf("the phone comes back: %v", err)
		}
		if status, _, _ := phone.get("notes"); status != http.StatusUnauthorized {
			t.Errorf("the phone reads notes: %d", status)
		}
		staff.post("step", "id", "1042", "from", "received")
		if n := got.note(); n.Step != "packed" {
			t.Errorf("the laptop is told %+v", n)
		}
		if conn == nil || conn.Context().Err() != nil {
			t.Error("the laptop's connection was broken")
		}
	})
}

// TestLogoutWhileConnecting: a session that ends between a connection's authentication and its being kept under the session
// ends that connection, too.
func TestLogoutWhileConnecting(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		phone := w.login("ada")
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, origin+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range phone.http.Jar.Cookies(urlOf(t, origin+path)) {
			r.AddCookie(c)
		}
		id, err := w.authenticate(r, "")
		if err != nil {
			t.Fatal(err)
		}
		phone.post("logout")
		if w.sessions.attach(id.Data.(*session), new(hotline.Conn)) {
			t.Error("the connection is kept under a session that has ended, and nobody closes it")
		}
		if _, err := w.authenticate(r, ""); !errors.Is(err, hotline.ErrDenied) {
			t.Errorf("the session still counts: %v", err)
		}
	})
}

// TestExpiry: a session lasts for twelve hours, and then its connections end.
func TestExpiry(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		c := w.login("ada").connect()
		time.Sleep(sessionLife - time.Second)
		if err := c.Context().Err(); err != nil {
			t.Error(context.Cause(c.Context()))
		}
		time.Sleep(time.Minute)
		if err := context.Cause(c.Context()); !errors.Is(err, hotline.ErrDenied) {
			t.Errorf("after %v: %v", sessionLife, err)
		}
	})
}

// TestAway: what happened while no tab was open is in what the next one begins with, marked as new; the stream goes on from
// there, and repeats nothing.
func TestAway(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		staff, ada := w.login("staff"), w.login("ada")
		ada.post("read", "n", "1")
		staff.post("step", "id", "1042", "from", "received")
		time.Sleep(time.Hour) // longer than the log
		staff.post("step", "id", "1042", "from", "packed")

		begin := ada.notes()
		var got []string
		for _, n := range begin.Notes {
			got = append(got, fmt.Sprint(n.Step, " ", n.New))
		}
		if s := strings.Join(got, ", "); s != "received false, packed true, shipped true" {
			t.Errorf("on coming back: %s", s)
		}
		// Between the snapshot and the subscription something happens, too.
		staff.post("step", "id", "1042", "from", "shipped")
		stream := ada.read(ada.connect(), "notifications.user.ada.notes", &hotline.SubscribeOptions{After: begin.Position})
		for _, want := range []string{"delivered", ""} {
			if n := stream.note(); n.Step != want {
				t.Errorf("then %q, not %q", n.Step, want)
			}
		}
	})
}

// TestNewsSince: news since the last that a browser has shown arrive by its id, hours later; a new browser gets the last.
func TestNewsSince(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		staff, ada := w.login("staff"), w.login("ada")
		say := func(text string) {
			if status, body := staff.post("news", "text", text, "key", text); status != http.StatusSeeOther {
				t.Fatal(status, body)
			}
		}
		c := ada.connect()
		first := ada.read(c, "notifications.news", nil)
		say("one")
		seen := first.next().ID
		c.Close()
		for _, text := range []string{"two", "three"} {
			say(text)
			time.Sleep(time.Hour)
		}
		for _, tt := range []struct{ after, want string }{{seen, "two three"}, {"", "three"}} {
			sub := ada.read(ada.connect(), "notifications.news", &hotline.SubscribeOptions{After: tt.after, Replay: 1})
			var got []string
			for m := sub.next(); m.Topic != ""; m = sub.next() {
				var n notice
				if err := m.Decode(&n); err != nil {
					t.Fatal(err)
				}
				got = append(got, n.Text)
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("after %q: %s", tt.after, s)
			}
		}
	})
}

// TestForms: nothing is done for other sites, for strangers, for customers who pass for staff, or with nonsense.
func TestForms(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		ada, stranger := w.login("ada"), w.device()
		for _, header := range []string{"Origin: http://evil.example", "Origin: null", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site"} {
			name, value, _ := strings.Cut(header, ": ")
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, origin+path+"order", strings.NewReader("product=lamp"))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set(name, value)
			if status, body, _ := ada.do(r); status != http.StatusForbidden {
				t.Errorf("%s: %d %s", header, status, body)
			}
		}
		for _, tt := range []struct {
			d      *device
			action string
			form   []string
			status int
		}{
			{stranger, "order", []string{"product", "lamp"}, 401},
			{stranger, "read", []string{"n", "1"}, 401},
			{stranger, "step", []string{"id", "1042", "from", "received"}, 401},
			{stranger, "login", []string{"user", "eve"}, 401},
			{ada, "step", []string{"id", "1042", "from", "received"}, 403},
			{ada, "news", []string{"text", "hi", "key", "k"}, 403},
			{ada, "order", []string{"product", "moon"}, 404},
			{ada, "read", []string{"n", "all"}, 400},
			{w.login("staff"), "news", []string{"text", " ", "key", "k"}, 400},
			{w.login("staff"), "news", []string{"text", strings.Repeat("é", 201), "key", "k"}, 400},
		} {
			if status, body := tt.d.post(tt.action, tt.form...); status != tt.status {
				t.Errorf("%s %s: %d %s", tt.action, tt.form, status, body)
			}
		}
		if n := len(w.store.ordersOf("ada")); n != 1 {
			t.Errorf("ada has %d orders", n)
		}
	})
}

// TestBounds: whatever customers do, the shop keeps so much of it and no more.
func TestBounds(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		ada := w.login("ada")
		c := ada.connect()
		for range 2 * maxNotes {
			ada.post("order", "product", "mug")
		}
		values := 0
		for _, err := range w.hub.Current(t.Context(), "notifications.user.ada.order.*") {
			if err != nil {
				t.Fatal(err)
			}
			values++
		}
		if values != maxOrders || len(w.store.ordersOf("ada")) != maxOrders || len(ada.notes().Notes) != maxNotes {
			t.Errorf("the hub has %d orders, the store %d, and %d notes", values, len(w.store.ordersOf("ada")), len(ada.notes().Notes))
		}
		for range maxSessions { // so that it is the oldest of hers
			w.sessions.open(w.store.user("ada"), time.Now())
		}
		<-c.Context().Done()
		if n := len(w.sessions.all); n != maxSessions {
			t.Errorf("%d sessions", n)
		}
	})
}

// TestOthersComeAndGo: however often somebody logs in, nobody else's session ends, and those that have ended are forgotten.
func TestOthersComeAndGo(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		c := w.login("ada").connect()
		bob := w.store.user("bob")
		for range 20 * maxSessions {
			w.sessions.end(w.sessions.open(bob, time.Now()))
		}
		if n := len(w.sessions.all) + len(w.sessions.of[bob]); n != 1 {
			t.Errorf("%d sessions are kept, of which hers goes on", n)
		}
		for range 20 * maxSessions {
			w.sessions.open(bob, time.Now())
		}
		synctest.Wait()
		if err := context.Cause(c.Context()); err != nil {
			t.Errorf("her connection has ended: %v", err)
		}
	})
}

// TestPages: who sees which page, and what the browser is told about it.
func TestPages(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		for _, tt := range []struct {
			d    *device
			want string
		}{
			{w.device(), `action="login"`}, {w.login("ada"), `src="shop.js"`}, {w.login("staff"), `src="staff.js"`},
		} {
			status, body, header := tt.d.get("")
			if status != http.StatusOK || !strings.Contains(body, tt.want) || header.Get("Cache-Control") != "no-store" ||
				!strings.Contains(header.Get("Content-Security-Policy"), "default-src 'self'") {
				t.Errorf("%d %v without %s", status, header, tt.want)
			}
		}
		for _, name := range []string{"shop.js", "staff.js", "view.js", "shop.css", "goods.svg"} {
			if status, _, _ := w.device().get(name); status != http.StatusOK {
				t.Errorf("%s: %d", name, status)
			}
		}
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, origin+path+"login", strings.NewReader("user=ada"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		_, _, header := w.device().do(r)
		cookie := header.Get("Set-Cookie")
		for _, want := range []string{"Path=/notifications/", "HttpOnly", "SameSite=Lax"} {
			if !strings.Contains(cookie, want) {
				t.Errorf("the cookie is %s, without %s", cookie, want)
			}
		}
	})
}
