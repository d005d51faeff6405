package hotline

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		a, b := w.client("chat.*"), w.client("chat.lobby", "news")
		a.want("ok 1")
		b.want("ok 1", "ok 2")
		w.publish("chat.lobby", "hello")
		w.publish("news", 1)
		w.publish("chat.x", nil)
		a.want(`chat.lobby "hello"`, `chat.x null`)
		b.want(`chat.lobby "hello"`, `news 1`)
		a.send(`{"op":"pub","ref":7,"topic":"chat.lobby","data":{"a":1}}`)
		b.want(`chat.lobby {"a":1}`)
	})
}

func TestResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		a := w.client("chat.a", "chat.b")
		at := a.next().At
		a.want("ok 2")
		a.close()
		for i := range 1000 {
			w.publish("chat.a", i)
			w.publish("chat.b", i)
			w.publish("other", i)
		}
		a = w.client("chat.a "+at, "chat.b")
		a.want("ok 1")
		for i := range 1000 {
			a.want(fmt.Sprintf("chat.a %d", i))
		}
		a.want("ok 2")
		w.publish("chat.b", "end")
		a.want(`chat.b "end"`)
	})
}

func TestState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Topics: map[string]TopicOptions{"price.*": {Delivery: State}}})
		w.publish("price.a", 1)
		w.publish("price.b", 1)
		w.publish("price.b", 2)
		a := w.client("price.*")
		a.want("1: price.a 1", "1: price.b 2", "ok 1")
		w.publish("price.a", 3)
		w.publish("price.b", nil)
		a.want("price.a 3", "price.b gone")
	})
}

func TestSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		a := w.client("chat.a")
		a.want("ok 1")
		a.link.Stall()
		for i := range 20000 {
			w.publish("chat.a", i)
		}
		time.Sleep(time.Second)
		a.link.Heal()
		for i := range 20000 {
			a.want(fmt.Sprintf("chat.a %d", i))
		}
	})
}

func TestInProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		s, err := w.hub.Subscribe(t.Context(), "chat.*", nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			w.publish("chat.a", i)
		}
		for i := range 100 {
			m, err := s.Next(t.Context())
			if err != nil || string(m.Data) != fmt.Sprint(i) {
				t.Fatal(m, err)
			}
		}
		s.Close()
	})
}
