package chat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/gohotline/hotline/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

// TestSaid: everybody in the room gets what somebody says, with the name that the server knows and the time that it was.
func TestSaid(t *testing.T) {
	inBubble(t, func(t *testing.T, c *chat) {
		ada, bob, eve := c.join("Ada", "lobby"), c.join("Bob", "lobby"), c.join("Eve", "other")
		ada.send(`{"op":"pub","ref":1,"topic":"chat.lobby","data":"<b>hé</b>","from":"Bob"}`)
		got, _ := bob.until(`Ada chat.lobby "\u003cb\u003ehé\u003c/b\u003e"`)
		var l line
		if err := json.Unmarshal(got.Data, &l); err != nil || l.Text != "<b>hé</b>" || l.At != time.Now().UnixMilli() {
			t.Errorf("got %s, %v", got.Data, err)
		}
		ack := frame{}
		for range 2 { // the answer and the message come in any order
			f, err := ada.read()
			if err != nil {
				t.Fatal(err)
			}
			if f.Ref == 1 {
				ack = f
			} else if f.Topic != "chat.lobby" || f.ID != got.ID {
				t.Errorf("her own window got %+v", f)
			}
		}
		if ack.ID != got.ID {
			t.Errorf("the answer is %+v, the message has the id %q", ack, got.ID)
		}
		eve.send(`{"op":"pub","ref":1,"topic":"chat.other","data":"alone"}`)
		if _, before := eve.until(`Eve chat.other "alone"`); len(before) > 1 || len(before) == 1 && before[0] != "ok ref 1" {
			t.Errorf("another room got %q", before)
		}
	})
}

// TestNumbers: what is said in a room has numbers without a gap, until there were too many rooms to count in.
func TestNumbers(t *testing.T) {
	inBubble(t, func(t *testing.T, c *chat) {
		ada := c.join("Ada", "lobby")
		for i := range 3 {
			ada.send(`{"op":"pub","ref":1,"topic":"chat.lobby","data":"%d"}`, i)
			got, _ := ada.until(fmt.Sprintf(`Ada chat.lobby "%d"`, i))
			var l line
			if err := json.Unmarshal(got.Data, &l); err != nil || l.N != i+1 || l.Run == "" {
				t.Errorf("got %s, %v", got.Data, err)
			}
		}
	})
	var count counter
	first, _ := count.next("lobby")
	for i := range mostCounts - 1 {
		if run, n := count.next(fmt.Sprint(i)); run != first || n != 1 {
			t.Fatalf("room %d: %s, %d", i, run, n)
		}
	}
	if run, n := count.next("lobby"); run != first || n != 2 {
		t.Errorf("full: %s, %d", run, n)
	}
	if run, n := count.next("one more"); run == first || n != 1 || len(count.rooms) != 1 {
		t.Errorf("beyond: %s, %d, %d rooms", run, n, len(count.rooms))
	}
}

// TestNewcomer: who comes in is sent the last 50 messages, in order and marked as earlier ones, and then what is new.
func TestNewcomer(t *testing.T) {
	inBubble(t, func(t *testing.T, c *chat) {
		ada := c.join("Ada", "lobby")
		for i := range 60 {
			ada.send(`{"op":"pub","ref":%d,"topic":"chat.lobby","data":"%d"}`, i+1, i)
		}
		ada.until(`Ada chat.lobby "59"`)
		ada.ws.CloseNow()
		time.Sleep(10 * time.Minute) // by now the log alone would have forgotten them
		ada = c.join("Ada", "lobby")
		bob := c.open("Bob", `"topic":"chat.lobby","replay":50`)
		_, before := bob.until("ok sub 1")
		want := []string{"welcome"}
		for i := 10; i < 60; i++ {
			want = append(want, fmt.Sprintf(`Ada chat.lobby sub 1 "%d"`, i))
		}
		if got := strings.Join(before, "\n"); got != strings.Join(want, "\n") {
			t.Errorf("replayed:\n%s", got)
		}
		ada.send(`{"op":"pub","ref":61,"topic":"chat.lobby","data":"new"}`)
		if _, between := bob.until(`Ada chat.lobby "new"`); len(between) > 0 {
			t.Errorf("before what is new came %q", between)
		}
	})
}

// TestResume: who was away is sent what was said meanwhile, once, and a message sent again with its key is said once.
func TestResume(t *testing.T) {
	inBubble(t, func(t *testing.T, c *chat) {
		ada, bob := c.join("Ada", "lobby"), c.join("Bob", "lobby")
		ada.send(`{"op":"pub","ref":1,"topic":"chat.lobby","data":"one","key":"k1"}`)
		one, _ := bob.until(`Ada chat.lobby "one"`)
		bob.ws.CloseNow()
		for _, ref := range []int{2, 3} {
			ada.send(`{"op":"pub","ref":%d,"topic":"chat.lobby","data":"two","key":"k2"}`, ref)
			ada.until(fmt.Sprintf("ok ref %d", ref))
		}
		bob = c.open("Bob", `"topic":"chat.lobby","after":"`+one.ID+`","replay":50`)
		ada.send(`{"op":"pub","ref":4,"topic":"chat.lobby","data":"three","key":"k3"}`)
		_, before := bob.until(`Ada chat.lobby "three"`)
		said := strings.Join(before, "; ")
		if strings.Count(said, `"two"`) != 1 || strings.Contains(said, `"one"`) || strings.Contains(said, "gap") {
			t.Errorf("after coming back: %s", said)
		}
	})
}

// TestHere: who is in a room is shown until the last of their windows has left it, or has been gone for the Linger.
func TestHere(t *testing.T) {
	inBubble(t, func(t *testing.T, c *chat) {
		bob := c.join("Bob", "lobby")
		const here = `{"op":"pub","ref":1,"topic":"chat.lobby.here.Ada","data":{}}`
		enter := func() *window {
			ada := c.join("Ada", "lobby")
			ada.send(here)
			ada.until("ok ref 1 held")
			return ada
		}
		first := enter()
		bob.until("Ada chat.lobby.here.Ada {}")
		second := enter()
		bob.until("Ada chat.lobby.here.Ada {}") // with a newer rev

		// A newcomer sees them at once.
		eve := c.open("Eve", `"topic":"chat.*.here.*"`)
		if _, before := eve.until("ok sub 1"); strings.Join(before, "; ") != "welcome; Ada chat.lobby.here.Ada sub 1 {}" {
			t.Errorf("the newcomer is sent %q", before)
		}

		// One window leaves, by the button; the other is still there.
		first.send(`{"op":"pub","ref":2,"topic":"chat.lobby.here.Ada","data":null}`)
		first.until("ok ref 2")
		time.Sleep(15 * time.Second)
		bob.send(`{"op":"pub","ref":1,"topic":"chat.lobby.here.Bob","data":{}}`)
		if _, before := bob.until("Bob chat.lobby.here.Bob {}"); strings.Contains(strings.Join(before, "; "), "gone") {
			t.Errorf("she has a window left, but: %q", before)
		}

		// The other crashes: she is there for ten seconds more, and not longer.
		second.ws.CloseNow()
		since := time.Now()
		if bob.until("chat.lobby.here.Ada gone"); time.Since(since) != 10*time.Second {
			t.Errorf("gone after %v", time.Since(since))
		}

		// A reload takes less.
		first = enter()
		bob.until("Ada chat.lobby.here.Ada {}")
		first.ws.CloseNow()
		time.Sleep(5 * time.Second)
		enter()
		time.Sleep(15 * time.Second)
		bob.send(`{"op":"pub","ref":2,"topic":"chat.lobby.here.Bob","data":{}}`)
		if _, before := bob.until("Bob chat.lobby.here.Bob {}"); strings.Contains(strings.Join(before, "; "), "gone") {
			t.Errorf("she only reloaded, but: %q", before)
		}
	})
}

// TestInManyRooms: whoever is here says no more than that, and is in so many rooms at once: the values are the hub's memory,
// which others need, too.
func TestInManyRooms(t *testing.T) {
	inBubble(t, func(t *testing.T, c *chat) {
		ada := c.join("Ada", "lobby")
		here := func(ref int, data string) {
			ada.send(`{"op":"pub","ref":%d,"topic":"chat.r%[1]d.here.Ada","data":%s}`, ref, data)
		}
		for i, data := range []string{`"` + strings.Repeat("x", 10_000) + `"`, `{"a":1}`, `true`} {
			here(i+1, data)
			ada.until(fmt.Sprintf(`err ref %d "invalid"`, i+1))
		}
		for ref := 101; ref <= 100+mostRooms; ref++ {
			here(ref, "{}")
			ada.until(fmt.Sprintf("ok ref %d held", ref))
		}
		here(200, "{}")
		if f, _ := ada.until(`err ref 200 "limit"`); !strings.Contains(f.Reason, fmt.Sprint(mostRooms)) {
			t.Errorf("the reason is %q", f.Reason)
		}
		here(101, "{}") // where they are
		ada.until("ok ref 101 held")
		here(102, "null")
		ada.until("ok ref 102")
		here(200, "{}")
		ada.until("ok ref 200 held")
	})
}

// TestTyping: who is in the room sees it now, and who comes later does not.
func TestTyping(t *testing.T) {
	inBubble(t, func(t *testing.T, c *chat) {
		ada, bob := c.join("Ada", "lobby"), c.join("Bob", "lobby")
		ada.send(`{"op":"pub","topic":"chat.lobby.typing","data":true}`)
		if f, _ := bob.until("Ada chat.lobby.typing true"); f.ID != "" || f.Rev != "" {
			t.Errorf("a signal with a position: %+v", f)
		}
		eve := c.open("Eve", `"topic":"chat.lobby.typing","replay":50`)
		if _, before := eve.until("ok sub 1"); strings.Join(before, "; ") != "welcome" {
			t.Errorf("a newcomer is sent %q", before)
		}
	})
}

// TestRefused: what is not to be is answered with a reason that a person understands, and the connection lives.
func TestRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, c *chat) {
		ada := c.join("Ada", "lobby")
		const length = "a message is text of 1 to 2000 characters"
		for i, tt := range []struct{ topic, data, code, reason string }{
			{"chat.lobby", `""`, "invalid", length},
			{"chat.lobby", `" \n "`, "invalid", length},
			{"chat.lobby", `"` + strings.Repeat("é", 2001) + `"`, "invalid", length},
			{"chat.lobby", `{"text":"hi","at":1}`, "invalid", length},
			{"chat.lobby", `null`, "invalid", length},
			{"chat.*", `"hi"`, "invalid", "is a pattern"},
			{"chat.a.b", `"hi"`, "denied", "denied"},
			{"chat.lobby.here.Bob", `{}`, "denied", "denied"},
			{"news", `"hi"`, "denied", "denied"},
		} {
			ada.send(`{"op":"pub","ref":%d,"topic":%q,"data":%s}`, i+1, tt.topic, tt.data)
			f, _ := ada.until(fmt.Sprintf("err ref %d %q", i+1, tt.code))
			if !strings.Contains(f.Reason, tt.reason) {
				t.Errorf("%s %.40s: the reason is %q", tt.topic, tt.data, f.Reason)
			}
		}
		for i, topic := range []string{">", "*.*", "chat.>", "news"} {
			ada.send(`{"op":"sub","sub":%d,"topic":%q}`, i+4, topic)
			ada.until(fmt.Sprintf(`end sub %d "denied"`, i+4))
		}
		ada.send(`{"op":"pub","ref":99,"topic":"chat.lobby","data":"%s"}`, strings.Repeat("é", 2000))
		if _, before := ada.until("ok ref 99"); len(before) > 1 {
			t.Errorf("of what was refused something was said: %.200q", before)
		}
	})
}

// TestNames: the token is the name; one that can't be shown is refused for good.
func TestNames(t *testing.T) {
	inBubble(t, func(t *testing.T, c *chat) {
		for _, name := range []string{"A", "Ada Lovelace", "李", "<script>", "🦊", "a.b*c>", strings.Repeat("é", 30)} {
			if _, before := c.open(name, `"topic":"chat.lobby"`).until("ok sub 1"); len(before) != 1 {
				t.Errorf("%q: %q", name, before)
			}
		}
		for _, name := range []string{"", strings.Repeat("x", 31), " Ada", "Ada ", "A\nda", "Ada\u202e", "\u200b", "A\tda"} {
			w := c.open(name)
			bye, _ := w.until("bye 3500")
			_, err := w.read()
			var closed websocket.CloseError
			if !errors.As(err, &closed) || closed.Code != 3500 || !strings.Contains(closed.Reason, "1 to 30 visible characters") ||
				closed.Reason != bye.Reason {
				t.Errorf("%q: %v, after %+v", name, err, bye)
			}
		}
	})
}

// TestForeignPage: a page of another site can't speak in its visitor's name.
func TestForeignPage(t *testing.T) {
	inBubble(t, func(t *testing.T, c *chat) {
		for _, origin := range []string{"http://evil.example", "http://localhost:8081", "null"} {
			if _, resp, err := c.dial(origin); err == nil || resp == nil || resp.StatusCode != http.StatusForbidden {
				t.Errorf("%s: %v, %v", origin, resp, err)
			}
		}
	})
}

// TestDrain: on SIGINT everybody is sent all that was accepted, then told when to come back, and closed with 1012.
func TestDrain(t *testing.T) {
	inBubble(t, func(t *testing.T, c *chat) {
		windows := []*window{c.join("Ada", "lobby"), c.join("Bob", "lobby"), c.join("Eve", "lobby")}
		const n = 100
		for i := range n {
			windows[0].send(`{"op":"pub","ref":%d,"topic":"chat.lobby","data":"%d"}`, i+1, i)
		}
		windows[0].until(fmt.Sprintf("ok ref %d", n)) // all are accepted
		windows[0] = c.join("Ada", "lobby")
		stopped := make(chan error, 1)
		go func() { stopped <- c.stop() }()
		for i, w := range windows {
			var got bytes.Buffer
			var bye frame
			f, err := w.read()
			for ; err == nil; f, err = w.read() {
				if f.Op == "bye" {
					bye = f
				} else if f.Topic == "chat.lobby" {
					fmt.Fprintf(&got, "%s ", text(f.Data))
				}
			}
			if bye.String() != "bye 1012" || bye.Retry <= 0 || websocket.CloseStatus(err) != websocket.StatusServiceRestart {
				t.Errorf("window %d ended with %v after %+v", i, err, bye)
			}
			if all := regexp.MustCompile(`^("\d+" ){100}$`); i > 0 && !all.MatchString(got.String()) {
				t.Errorf("window %d got only %s", i, &got)
			}
		}
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		if _, _, err := c.dial("http://localhost:8080"); err == nil {
			t.Error("it still takes connections")
		}
	})
}

// TestPage: the page is small, comes from here alone, and runs nothing that a message could bring along.
func TestPage(t *testing.T) {
	handler := newHandler(nil) // of the hub it needs nothing
	total := 0
	err := fs.WalkDir(files, "web", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		w := httptest.NewRecorder()
		name := strings.TrimSuffix(strings.TrimPrefix(path, "web"), "index.html")
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, name, nil))
		body, _ := io.ReadAll(w.Body)
		total += len(body)
		if csp := w.Header().Get("Content-Security-Policy"); w.Code != http.StatusOK || !strings.HasPrefix(csp, "default-src 'self';") {
			t.Errorf("%s: %d, policy %q", name, w.Code, csp)
		}
		for _, bad := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", " style=\"", " onclick=", "eval("} {
			if bytes.Contains(body, []byte(bad)) {
				t.Errorf("%s has %s", name, bad)
			}
		}
		urls := regexp.MustCompile(`(?:https?:)?//[a-z0-9.]+\.[a-z]+`).FindAllString(string(body), -1)
		for _, url := range urls {
			if url != "http://www.w3.org" { // which is a namespace
				t.Errorf("%s names %s", name, url)
			}
		}
		return nil
	})
	if err != nil || total == 0 || total > 100<<10 {
		t.Errorf("the page has %d bytes, %v", total, err)
	}
}
