package hotline

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gohotline/hotline/internal/wire"
)

// The control: an oracle that can't fail proves nothing. Each of these breaks one promise in one place, between the hub
// and the client.
func TestOracleFails(t *testing.T) {
	for _, tt := range []struct {
		want string
		// f sees the 21st message; what it returns is handled in its place.
		f func(f *wire.ServerFrame, next func() *wire.ServerFrame) []*wire.ServerFrame
	}{
		{"lost: 1 ", func(*wire.ServerFrame, func() *wire.ServerFrame) []*wire.ServerFrame { return nil }},
		{"duplicated", func(f *wire.ServerFrame, _ func() *wire.ServerFrame) []*wire.ServerFrame {
			return []*wire.ServerFrame{f, f}
		}},
		{"reordered", func(f *wire.ServerFrame, next func() *wire.ServerFrame) []*wire.ServerFrame {
			return []*wire.ServerFrame{next(), f}
		}},
		{"unexpected", func(f *wire.ServerFrame, _ func() *wire.ServerFrame) []*wire.ServerFrame {
			forged := *f
			forged.Data = []byte(`"forged"`)
			return []*wire.ServerFrame{&forged}
		}},
		{"unexpected", func(f *wire.ServerFrame, _ func() *wire.ServerFrame) []*wire.ServerFrame {
			forged := *f
			forged.ID = f.ID[:1] + ".0"
			return []*wire.ServerFrame{&forged}
		}},
		{"nobody is subscribed", func(f *wire.ServerFrame, _ func() *wire.ServerFrame) []*wire.ServerFrame {
			forged := *f
			forged.Topic = "news"
			return []*wire.ServerFrame{&forged}
		}},
		{"false gap", func(f *wire.ServerFrame, _ func() *wire.ServerFrame) []*wire.ServerFrame {
			return []*wire.ServerFrame{f, {Op: "gap", Subs: []int64{1}, At: f.ID}}
		}},
		{"says 2, but only 1", func(f *wire.ServerFrame, _ func() *wire.ServerFrame) []*wire.ServerFrame {
			return []*wire.ServerFrame{{Op: "gap", Subs: []int64{1}, At: f.ID, Missed: 2}}
		}},
		{"lost: 1 ", func(f *wire.ServerFrame, next func() *wire.ServerFrame) []*wire.ServerFrame { // the gap comes too late
			return []*wire.ServerFrame{next(), {Op: "gap", Subs: []int64{1}, At: f.ID}}
		}},
		{"lost: 1 ", func(f *wire.ServerFrame, _ func() *wire.ServerFrame) []*wire.ServerFrame { // a position that it has not reached
			return []*wire.ServerFrame{{Op: "at", At: f.ID}}
		}},
	} {
		t.Run(tt.want, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStorm(t, Limits{LogBytes: 1 << 20})
				c := newStrict(s.w, s.o, "client")
				n := 0
				var queue []*wire.ServerFrame
				c.mu.Lock()
				c.sabotage = func(f *wire.ServerFrame) []*wire.ServerFrame {
					if f.ID == "" {
						return []*wire.ServerFrame{f}
					}
					n++
					own := *f
					own.Data = []byte(string(f.Data))
					switch queue = append(queue, &own); {
					case n < 21:
					case n == 21:
						return nil
					case n == 22:
						i := 0
						list := tt.f(queue[0], func() *wire.ServerFrame { i = 1; return queue[1] })
						list = append(list, queue[1+i:]...)
						queue = nil
						return list
					}
					list := queue
					queue = nil
					return list
				}
				c.mu.Unlock()
				c.subscribe("chat.*", "", 0)
				time.Sleep(time.Second)
				for i := range 100 {
					publishFor(s.o, s.w, "chat.a", fmt.Sprintf(`"%d"`, i))
				}
				time.Sleep(time.Second)
				c.stop()
				if v := strings.Join(s.o.Verdict(), "\n"); !strings.Contains(v, tt.want) {
					t.Errorf("the oracle says %q", v)
				}
			})
		})
	}
}
