package hotline

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// TestPresencePublishedAgain: a Presence value whose publish was stored and not answered, because the connection broke, is
// published again with its key on the next one. It is that one's then, and not cleared because the first one ended.
func TestPresencePublishedAgain(t *testing.T) {
	for _, away := range []time.Duration{0, 5 * time.Second, time.Minute} { // Linger is 10 s
		t.Run(away.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, &HubOptions{Topics: map[string]TopicOptions{"here.*": {Delivery: Presence}}})
				values := []string{
					`{"op":"pub","ref":1,"topic":"here.ada","data":"busy","key":"k1"}`,
					`{"op":"pub","ref":2,"topic":"here.ada","data":"free","key":"k2"}`,
				}
				a := w.client()
				for i, v := range values {
					a.send(v)
					a.want(fmt.Sprintf("ok ref %d", i+1))
				}
				a.ws.CloseNow()
				time.Sleep(away)

				a = w.client()
				for i, v := range values {
					a.send(v)
					if f := a.next(); brief(f) != fmt.Sprintf("ok ref %d", i+1) || !f.Held {
						t.Fatalf("answered %+v", f)
					}
				}
				go a.read() // answers pings
				time.Sleep(time.Minute)
				if got := w.current("here.*"); got != `here.ada "free" ` {
					t.Fatalf("a minute later there is %q", got)
				}
				a.ws.CloseNow()
				time.Sleep(time.Minute)
				if got := w.current("here.*"); got != "" {
					t.Fatalf("a minute after she left there is %q", got)
				}
			})
		})
	}
}

// current is what Hub.Current yields.
func (w *world) current(pattern string) (s string) {
	w.t.Helper()
	for m, err := range w.hub.Current(context.Background(), pattern) {
		if err != nil {
			w.t.Fatal(err)
		}
		s += m.Topic + " " + string(m.Data) + " "
	}
	return s
}
