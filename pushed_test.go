package hotline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/gohotline/hotline/internal/wire"
)

// readsUntilEnd returns the data of what arrives up to the message "end", and the ops of the frames that are no messages.
func (c *testClient) readsUntilEnd() (data []string, notices string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	for !slices.Contains(data, "end") {
		_, b, err := c.ws.Read(ctx)
		if err != nil {
			c.t.Fatalf("%v, after %q", err, data)
		}
		var f struct{ Op, Data string }
		switch {
		case json.Unmarshal(b, &f) != nil:
			data = append(data, string(b)) // plain
		case f.Op == "":
			data = append(data, f.Data)
		default:
			notices += f.Op + " "
		}
	}
	return data, notices
}

// What is published after OnConnect was called is sent to who is subscribed in it, so that it can subscribe, load what
// there is, and send that.
func TestPushedFromOnConnectOn(t *testing.T) {
	for _, plain := range []bool{false, true} {
		t.Run(fmt.Sprint("plain=", plain), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var w *world
				w = newWorld(t, &HubOptions{
					Limits: calm,
					Topics: map[string]TopicOptions{"now.*": {Delivery: State}},
					OnConnect: func(ctx context.Context, c *Conn) {
						_ = c.Subscribe("a")
						_ = c.Subscribe("now.*")
						w.publish("a", "one")
						time.Sleep(time.Second) // the database
						w.publish("a", "two")
						_ = c.Subscribe("b")
						w.publish("b", "three")
						w.publish("now.x", "state")
						_ = c.Send("a", "snapshot")
					},
					OnMessage: func(context.Context, *Conn, []byte) {},
				})
				w.publish("a", "before")
				w.publish("b", "before")
				cl := w.dial(nil, map[bool][]string{false: {wire.Protocol}}[plain]...)
				if !plain {
					cl.send(`{"op":"hello"}`)
				}
				time.Sleep(2 * time.Second)
				w.publish("a", "end")
				data, notices := cl.readsUntilEnd()
				data = slices.DeleteFunc(data, func(s string) bool { return s == "snapshot" || s == "state" }) // have no order with Events
				if want := []string{"one", "two", "three", "end"}; !slices.Equal(data, want) || strings.Contains(notices, "gap") {
					t.Errorf("read %q, want %q; notices %s", data, want, notices)
				}
			})
		})
	}
}

// Later, too, what is published once Subscribe has returned is sent, however busy the shard is.
func TestPushedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		var w *world
		w = newWorld(t, &HubOptions{
			Limits: calm,
			OnMessage: func(_ context.Context, c *Conn, data []byte) {
				busy := make(chan struct{})
				c.shard.do(func() { close(busy); <-gate })
				<-busy
				_ = c.Subscribe("room")
				w.publish("room", "end")
			},
		})
		cl := w.dial(nil)
		if err := cl.ws.Write(t.Context(), websocket.MessageText, []byte("join")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.publish("noise", 1)
		close(gate)
		if data, _ := cl.readsUntilEnd(); len(data) != 1 {
			t.Errorf("read %q", data)
		}
	})
}

// Who is told that a connection has ended while the shard is busy does not wait for it.
func TestPushedClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		subscribed := make(chan error, 1)
		w := newWorld(t, &HubOptions{
			Limits: calm,
			OnMessage: func(_ context.Context, c *Conn, data []byte) {
				busy := make(chan struct{})
				c.shard.do(func() { close(busy); <-gate })
				<-busy
				subscribed <- c.Subscribe("room")
			},
		})
		cl := w.dial(nil)
		if err := cl.ws.Write(t.Context(), websocket.MessageText, []byte("join")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for c := range w.hub.Conns() {
			c.Close(CloseFinal, "enough")
		}
		synctest.Wait()
		select {
		case err := <-subscribed:
			if !errors.Is(err, ErrClosed) {
				t.Errorf("Subscribe: %v", err)
			}
		default:
			t.Error("Subscribe still waits")
		}
		close(gate)
	})
}

// Of a position that is not known the server's topics are told, each, before anything else can be.
func TestPushedUnknownPosition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Limits: calm, OnConnect: func(_ context.Context, c *Conn) {
			_ = c.Subscribe("a")
			_ = c.Subscribe("b")
		}})
		w.publish("a", 1)
		c := w.dial(nil, wire.Protocol)
		c.send(`{"op":"hello","after":"none.1"}`)
		c.want("welcome", "push -1 a", "-1: gap [-1] restart", "push -2 b", "-2: gap [-2] restart", "ok -1", "ok -2")
	})
}

// The stream begins where the server's topics go on, whatever the client has asked for beside them: for those it can present
// nothing else.
func TestPushedBeginTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Limits: calm, OnConnect: func(_ context.Context, c *Conn) { _ = c.Subscribe("a") }})
		w.publish("a", 0)
		pos := w.hub.Position()
		w.publish("a", 1)
		w.publish("b", 1)
		own := w.hub.Position()
		w.publish("a", 2)
		c := w.dial(nil, wire.Protocol)
		c.send(fmt.Sprintf(`{"op":"hello","after":%q,"subs":[{"sub":1,"topic":"b","after":%q}]}`, pos, own))
		c.want("welcome", "push -1 a", "ok -1", "a 1", "ok 1", "a 2")
	})
}
