package hotline

import (
	"net/http"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gohotline/hotline/internal/wire"
)

// TestConnsLimit: who comes when there are as many connections as may be is told to come back, also while those before
// have not said hello yet; when one of them has ended there is room.
func TestConnsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &HubOptions{Limits: Limits{Conns: 2}})
		a := w.client("a")
		a.want("ok 1")
		silent := w.dial(nil, wire.Protocol)
		if _, err := w.tryDial(nil, wire.Protocol); err == nil {
			t.Error("a third connection is accepted")
		}
		link := w.net.Link()
		resp, err := (&http.Client{Transport: &http.Transport{DialContext: link.DialContext, DisableKeepAlives: true}}).Get("http://hub/")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
			t.Errorf("it is answered %s, to come back after %q", resp.Status, resp.Header.Get("Retry-After"))
		}
		if n := w.hub.Stats().Refused; n != 2 {
			t.Errorf("%d were refused", n)
		}
		silent.ws.CloseNow()
		time.Sleep(time.Second)
		w.client("a").want("ok 1")
	})
}

// TestConnsAreSpread: who comes while many others are being authenticated, as after a deploy, is not put where all of them
// are; and who is refused takes no place.
func TestConnsAreSpread(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	synctest.Test(t, func(t *testing.T) {
		asked := make(chan struct{})
		w := newWorld(t, &HubOptions{Authenticate: func(_ *http.Request, token string) (id Identity, err error) {
			<-asked
			if token == "bad" {
				err = ErrDenied
			}
			return id, err
		}})
		const each = 5
		for _, token := range []string{"", "bad"} {
			for range each * len(w.hub.shards) {
				w.dial(nil, wire.Protocol).send(helloFrame(token))
			}
		}
		w.dial(nil, wire.AnyVersion)
		close(asked)
		synctest.Wait()
		got := make(map[*shard]int)
		for c := range w.hub.Conns() {
			got[c.shard]++
		}
		for _, sh := range w.hub.shards {
			if n := got[sh]; n != each || n != int(sh.placed.Load()) {
				t.Errorf("shard %d has %d connections, and counts %d", sh.n, n, sh.placed.Load())
			}
		}
		for c := range w.hub.Conns() {
			c.Close(CloseFinal, "")
		}
		synctest.Wait()
		for _, sh := range w.hub.shards {
			if n := sh.placed.Load(); n != 0 {
				t.Errorf("shard %d counts %d that have ended", sh.n, n)
			}
		}
	})
}
