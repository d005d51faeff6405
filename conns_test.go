package hotline

import (
	"net/http"
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
