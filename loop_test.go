package hotline

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// TestNextAfterEnd: a loop ends when its ctx does, however much there is to read, and what it has not read stays.
func TestNextAfterEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		c, _ := w.connect(nil)
		for name, by := range map[string]Subscriber{"client": c, "hub": w.hub} {
			s, err := by.Subscribe(t.Context(), "chat.*", nil)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 3 {
				w.publish("chat.a", i)
			}
			synctest.Wait()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			n := 0
			for _, err := range s.Messages(ctx) {
				if err != nil {
					if !errors.Is(err, context.Canceled) {
						t.Error(name, err)
					}
					break
				}
				n++
				cancel()
			}
			if n != 1 {
				t.Errorf("%s: the loop was ended in its first turn, and had %d", name, n)
			}
			wantNext(t, s, "chat.a 1", "chat.a 2")
			s.Close()
		}
	})
}
