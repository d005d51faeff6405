package hotline

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gohotline/hotline/internal/wire"
)

// least are the least values that Limits takes.
var least = Limits{
	MessageBytes: minMessageBytes, Subscriptions: 1, PublishRate: 1, Conns: 1, WindowBytes: minWindowBytes, LogBytes: minLogBytes,
	LogAge: minDuration, StateTopics: 1, HelloTimeout: minDuration, PingInterval: minDuration, WriteTimeout: minDuration, Drain: minDuration,
}

// Whatever a limit is set to, none at all, the least or the greatest, a hub with it works.
func TestLimits(t *testing.T) {
	fields := reflect.TypeFor[Limits]()
	for i := range fields.NumField() {
		for name, n := range map[string]int64{
			"no limit": -1, "lowest": math.MinInt64, "least": reflect.ValueOf(least).Field(i).Int(),
			"greatest": math.MaxInt64, "great": math.MaxInt64 - 1,
		} {
			var l Limits
			reflect.ValueOf(&l).Elem().Field(i).SetInt(n)
			t.Run(fields.Field(i).Name+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { worksWith(t, l) })
			})
		}
	}
}

// worksWith goes through the life of a connection: messages and State both ways, a while in which it reads nothing,
// pings, a reconnect, the end.
func worksWith(t *testing.T, l Limits) {
	w := newWorld(t, &HubOptions{Limits: l, Topics: map[string]TopicOptions{"price.*": {Delivery: State}}})
	c := w.client("chat.a")
	at := c.next().At
	w.publish("price.a", 1)
	for i := range 3 {
		w.publish("chat.a", i)
		c.want(fmt.Sprintf("chat.a %d", i))
		c.send(`{"op":"pub","ref":1,"topic":"chat.b","data":1,"key":"k"}`)
		c.want("ok ref 1")
	}
	c.link.Stall()
	for i := range 5 {
		w.publish("chat.a", i)
	}
	synctest.Wait()
	c.link.Heal()
	for i := range 5 {
		c.want(fmt.Sprintf("chat.a %d", i))
	}
	time.Sleep(5 * time.Millisecond)
	w.publish("chat.a", "end")
	c.want(`chat.a "end"`)
	c.ws.CloseNow()
	for len(w.hub.snapshot()) > 0 {
		time.Sleep(time.Millisecond)
	}
	c = w.client("chat.a "+at, "price.a")
	if code, _ := refusalOf(c, 2); l.Subscriptions != 1 && code != "" {
		t.Errorf("the second subscription is refused: %s", code)
	}
	done := make(chan int)
	go func() {
		code, _, _ := c.closed()
		done <- code
	}()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := w.hub.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if code := <-done; code != wire.CloseRestart {
		t.Errorf("closed with %d", code)
	}
}

// refusalOf reads until subscription n has joined or is refused.
func refusalOf(c *testClient, n int64) (code string, frames []string) {
	c.t.Helper()
	for {
		f := c.next()
		frames = append(frames, brief(f))
		if f.Sub == n && (f.Op == "ok" || f.Op == "end") {
			return f.Code, frames
		}
	}
}

// A duration below a millisecond is a number that was taken for seconds.
func TestLimitsValidate(t *testing.T) {
	fields := reflect.TypeFor[Limits]()
	for i := range fields.NumField() {
		name, low := fields.Field(i).Name, reflect.ValueOf(least).Field(i).Int()
		for n, ok := range map[int64]bool{low: true, low - 1: low == 1, -1: true, 0: true} {
			var o HubOptions
			reflect.ValueOf(&o.Limits).Elem().Field(i).SetInt(n)
			switch err := o.Validate(); {
			case ok && err != nil:
				t.Errorf("%s = %d: %v", name, n, err)
			case !ok && (!errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "Limits."+name)):
				t.Errorf("%s = %d: %v", name, n, err)
			}
		}
	}
}

// What has no limit isn't there in welcome: a client would set its clocks by it.
func TestWelcomeWithoutLimits(t *testing.T) {
	for name, tt := range map[string]struct {
		limits Limits
		want   string
	}{
		"default":  {Limits{}, `"ping":25000,"grace":10000,"max":{"in":65536,"out":1056768,"subs":128}}`},
		"least":    {least, `"ping":1,"grace":10000,"max":{"in":256,"out":1056768,"subs":1}}`},
		"no limit": {Limits{PingInterval: -1, MessageBytes: -1, Subscriptions: -1}, `,"max":{"out":1056768}}`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tt.limits.HelloTimeout = 0
				w := newWorld(t, &HubOptions{Limits: tt.limits})
				c := w.dial(nil, wire.Protocol)
				c.send(helloFrame(""))
				_, msg, err := c.ws.Read(t.Context())
				if err != nil || !strings.HasSuffix(string(msg), tt.want) || name == "no limit" && strings.Contains(string(msg), "ping") {
					t.Errorf("%s %v", msg, err)
				}
			})
		})
	}
}

// What welcome says of messages is what is read of them.
func TestInbound(t *testing.T) {
	for _, limit := range []int{256, 64 << 10, 1 << 30, math.MaxInt32} {
		l := Limits{MessageBytes: limit}.withDefaults()
		most, sent := l.inbound(false)
		deflated, more := l.inbound(true)
		if in := l.welcome("").In; in != limit || most != in || sent != in || deflated != in || more <= sent {
			t.Errorf("welcome says %d; %d of %d bytes are read, and %d of %d deflated ones", in, most, sent, deflated, more)
		}
	}
}

// Without a write timeout and pings a connection that reads nothing lives, and has everything when it reads on.
func TestNoWriteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Limits: Limits{WriteTimeout: -1, PingInterval: -1, LogAge: -1}})
		c := w.client("a")
		c.want("ok 1")
		c.link.Stall()
		const n = 1000
		for i := range n {
			w.publish("a", fmt.Sprint(i, strings.Repeat("x", 1000)))
		}
		time.Sleep(time.Hour)
		c.link.Heal()
		for i := range n {
			if f := c.next(); !strings.HasPrefix(string(f.Data), fmt.Sprintf(`"%dx`, i)) {
				t.Fatalf("got %.40s, want %d", f.Data, i)
			}
		}
	})
}

// However large a message may be that clients send, none is stored that is larger than welcome says that they will be
// sent: it would break the connection of each subscriber, and again when that resumes.
func TestPublishFitsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Limits: Limits{MessageBytes: -1}})
		c := w.client("a")
		c.want("ok 1")
		for n, want := range map[int]string{maxMessage: "ok ref 1", maxMessage + 1: "err ref 1 too_large"} {
			c.send(fmt.Sprintf(`{"op":"pub","ref":1,"topic":"b","data":"%s"}`, strings.Repeat("x", n-2)))
			c.want(want)
		}
	})
}
