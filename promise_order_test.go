package hotline

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gohotline/hotline/internal/wire"
)

// P1: every subscriber sees a topic's messages in the order of their ids, whoever publishes at the same time, through
// wildcards, overlapping subscriptions, slow links and reconnects; and what one goroutine publishes one after the other
// is stored in that order.
func TestP1Order(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const publishers, each = 8, 300
		s := newStorm(t, Limits{LogBytes: 8 << 20})
		topics := []string{"chat.a", "chat.b", "chat.c", "news.x"}
		for i, subs := range [][]string{
			{"chat.a"}, {"chat.*"}, {">"}, {"chat.*", "chat.a", "*.a", ">"}, {"news.x", "chat.b"}, {"chat.>", "news.*"},
		} {
			c := newStrict(s.w, s.o, fmt.Sprint("client", i))
			for _, topic := range subs {
				c.subscribe(topic, "", 0)
			}
			if i%3 == 1 {
				c.link.Throttle(50_000)
			}
			s.clients = append(s.clients, c)
		}
		inProcess := s.w.subscribe(">", nil)
		time.Sleep(time.Second)
		var wg sync.WaitGroup
		for p := range publishers {
			wg.Go(func() {
				for i := range each {
					pad := strings.Repeat("x", (p*37+i*11)%300)
					publishFor(s.o, s.w, topics[(p+i)%len(topics)], fmt.Sprintf(`"%d %d %s"`, p, i, pad))
					if i%100 == 99 {
						time.Sleep(time.Second) // so that there are bursts, and calms in which everybody is live again
						s.clients[(p+i/100)%len(s.clients)].link.Cut()
					}
				}
			})
		}
		wg.Wait()
		s.settle()
		for _, c := range s.clients {
			c.stop()
		}
		s.judge()
		if n := s.o.Counts().Gaps; n > 0 {
			t.Errorf("%d gaps", n)
		}

		next := make(map[string]int) // by publisher and topic
		var last uint64
		for range publishers * each {
			m := s.w.next(inProcess, 1)[0]
			var p, i int
			fmt.Sscanf(string(m.Data), `"%d %d`, &p, &i)
			if seq := seqOf(m.ID); seq <= last {
				t.Fatalf("%s after %d", m.ID, last)
			} else {
				last = seq
			}
			if key := fmt.Sprint(p, m.Topic); i < next[key] {
				t.Fatalf("publisher %d: %d of %s comes after %d", p, i, m.Topic, next[key])
			} else {
				next[key] = i + 1
			}
		}
		s.w.idle(inProcess)
	})
}

// Subscriptions that overlap get one frame together.
func TestOverlapDeliversOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Topics: map[string]TopicOptions{"price.*": {Delivery: State}, "typing.*": {Delivery: Signals}}})
		c := w.client("*.a", "chat.a", ">", "price.a", "chat.a", "typing.>")
		for range 6 {
			if f := c.next(); f.Op != "ok" {
				t.Fatal(brief(f))
			}
		}
		w.publish("chat.a", 1)
		w.publish("price.a", 2)
		w.publish("typing.a", 3)
		seen := map[string]int{}
		for range 3 {
			seen[brief(c.next())]++
		}
		if len(seen) != 3 {
			t.Errorf("got %v", seen)
		}
		for i, num := range []int{2, 3, 1} { // it stays once as they go
			c.send(fmt.Sprintf(`{"op":"unsub","sub":%d}`, num))
			c.want(fmt.Sprintf("end %d", num))
			w.publish("chat.a", i)
			c.want(fmt.Sprintf("chat.a %d", i))
		}
		c.send(`{"op":"unsub","sub":5}`)
		c.want("end 5")
		w.publish("chat.a", "nobody")
		w.publish("price.a", 4)
		c.want("price.a 4")
		// While one of them catches up, what the others have already is tagged for it alone.
		c.send(`{"op":"sub","sub":7,"topic":"chat.*","replay":2}`)
		c.want("7: chat.a 2", `7: chat.a "nobody"`, "ok 7")
	})
}

// What a subscriber was told to have is never sent again, and what comes while it subscribes is sent exactly once:
// messages are published at every point of a subscription with replay, in every combination of few.
func TestSubscribeAtEveryPoint(t *testing.T) {
	// Each schedule is a word over: p publish, s subscribe (replay 3), w wait until all is quiet.
	const length = 6
	var words []string
	var grow func(string)
	grow = func(word string) {
		if len(word) == length {
			words = append(words, word)
			return
		}
		for _, step := range "psw" {
			if step == 's' && strings.Count(word, "s") == 2 || step == 'w' && strings.HasSuffix(word, "w") {
				continue
			}
			grow(word + string(step))
		}
	}
	grow("")
	if testing.Short() {
		words = words[:len(words)/4]
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Limits: Limits{PublishRate: -1}})
		for _, word := range words {
			for before := range 5 {
				subscribeSchedule(t, w, word, before)
			}
		}
	})
}

func subscribeSchedule(t *testing.T, w *world, word string, before int) {
	topic := fmt.Sprintf("t.%s%d", word, before)
	n := 0
	publish := func() { w.publish(topic, n); n++ }
	for range before {
		publish()
	}
	c := w.client()
	defer c.close()
	subs, began, ended := int64(0), map[int64]int{}, map[int64]int{}
	quiet := func() {
		synctest.Wait()
		for num := int64(1); num <= subs; num++ {
			if _, ok := ended[num]; !ok {
				ended[num] = n
			}
		}
	}
	for _, step := range word {
		switch step {
		case 'p':
			publish()
		case 's':
			subs++
			began[subs] = n
			c.send(fmt.Sprintf(`{"op":"sub","sub":%d,"topic":%q,"replay":3}`, subs, topic))
		case 'w':
			quiet()
		}
	}
	quiet()
	w.publish(topic, "end")
	got := map[int64][]string{}
	joined := map[int64]bool{}
	for end := subs == 0; !end; {
		f := c.next()
		switch {
		case f.Op == "ok":
			joined[f.Sub] = true
		case f.Op != "":
			t.Fatalf("%s: got %s", word, brief(f))
		default:
			for num := int64(1); num <= subs; num++ {
				if f.Sub == num || f.Sub == 0 && joined[num] {
					got[num] = append(got[num], string(f.Data))
				}
			}
			end = string(f.Data) == `"end"`
		}
	}
	for num := int64(1); num <= subs; num++ {
		// It began somewhere between the request and the answer, three messages back; from there on nothing is missing.
		list := got[num]
		first := n - len(list) + 1
		want := append(count(first, n), `"end"`)
		if fmt.Sprint(list) != fmt.Sprint(want) || first < max(0, began[num]-3) || first > max(0, ended[num]-3) {
			t.Fatalf("%s, %d before, subscription %d, made from %d to %d: got %v", word, before, num, began[num], ended[num], list)
		}
	}
}

// The publisher's own subscription gets its messages too, and the ack has their ids (D4).
func TestAckHasID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		c := w.client("chat.a")
		c.want("ok 1")
		for i := range 100 {
			c.send(fmt.Sprintf(`{"op":"pub","ref":%d,"topic":"chat.a","data":%d}`, i, i))
			var ack, msg wire.ServerFrame
			for range 2 {
				if f := c.next(); f.HasRef {
					ack = f
				} else {
					msg = f
				}
			}
			if ack.ID == "" || ack.ID != msg.ID || ack.Ref != uint64(i) || string(msg.Data) != fmt.Sprint(i) {
				t.Fatalf("ack %+v, message %+v", ack, msg)
			}
		}
		if s, err := w.hub.Subscribe(context.Background(), "chat.a", &SubscribeOptions{Replay: 1}); err != nil {
			t.Fatal(err)
		} else if m := w.next(s, 1)[0]; m.ID != w.hub.Position() {
			t.Errorf("the last message is %s, the position %s", m.ID, w.hub.Position())
		}
	})
}
