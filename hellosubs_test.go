package hotline

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
)

// TestHelloOfManySubs: one message can't make the hub ask its hooks thousands of times, which may ask a database each
// time: what goes beyond the limit is refused unasked, also if all before it was denied.
func TestHelloOfManySubs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		w := newWorld(t, &HubOptions{AuthorizeSubscribe: func(context.Context, *Conn, string) error {
			asked++
			return ErrDenied
		}})
		c := w.client()
		c.close()
		c = w.dial(nil, "hotline.v1")
		const n = 1000
		var subs []string
		for i := range n {
			subs = append(subs, fmt.Sprintf(`{"sub":%d,"topic":"t.%d"}`, i+1, i))
		}
		c.send(`{"op":"hello","subs":[` + strings.Join(subs, ",") + `]}`)
		c.want("welcome")
		for i := range n {
			code := "denied"
			if i >= 128 {
				code = "limit"
			}
			c.want(fmt.Sprintf("end %d %s", i+1, code))
		}
		if asked != 128 {
			t.Errorf("AuthorizeSubscribe was asked %d times", asked)
		}
	})
}
