package hotline

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gohotline/hotline/internal/eventlog"
)

// TestSince asks for the time that AuthorizeHistory is told: no message that the subscription will be sent is older,
// though it be one that is kept beyond the log.
func TestSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub(&HubOptions{Topics: map[string]TopicOptions{"chat.*": {Keep: 10}}})
		defer h.Close()
		publish := func(topic string) (eventlog.Pos, time.Time) {
			time.Sleep(time.Second)
			if err := h.Publish(context.Background(), topic, 1); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			return h.log.Head(), time.Now()
		}
		first, _ := publish("chat.a")
		second, secondAt := publish("chat.a")
		_, thirdAt := publish("chat.a")
		h.log.Expire(time.Now().Add(time.Hour))
		publish("news")
		for _, name := range []string{"chat.a", "chat.*"} {
			for _, tt := range []struct {
				what string
				r    subscribing
				want time.Time
			}{
				{"after the first", subscribing{after: first, known: true}, secondAt},
				{"after the second", subscribing{after: second, known: true}, thirdAt},
				{"after the last", subscribing{after: h.log.Head(), known: true}, time.Now()},
				{"the newest two", subscribing{replay: 2}, secondAt},
				{"the newest", subscribing{replay: 1}, thirdAt},
			} {
				tt.r.name = name
				if got := tt.r.since(h); !got.Equal(tt.want) {
					t.Errorf("%s, %s: %v, want %v", name, tt.what, got, tt.want)
				}
			}
		}
		quiet := subscribing{name: "chat.quiet", replay: 5}
		if got := quiet.since(h); !got.Equal(time.Now()) {
			t.Errorf("a topic without messages: %v, want now, %v", got, time.Now())
		}
	})
}
