package hubtest_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gohotline/hotline"
	"github.com/gohotline/hotline/hubtest"
)

// shop is the application: customers are told when their orders are on the way.
func shop() (http.Handler, *hotline.Hub) {
	hub := hotline.NewHub(&hotline.HubOptions{
		Authenticate: func(_ *http.Request, token string) (hotline.Identity, error) {
			return hotline.Identity{User: token}, nil // a real one verifies it
		},
		AuthorizeSubscribe: hotline.Allow("orders.{user}"),
	})
	mux := http.NewServeMux()
	mux.Handle("/ws", hub)
	mux.HandleFunc("POST /ship/{user}", func(w http.ResponseWriter, r *http.Request) {
		if err := hub.Publish(r.Context(), "orders."+hotline.Escape(r.PathValue("user")), "shipped"); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	return mux, hub
}

// testTunnel is the test of a customer whose train is in a tunnel while the order is shipped.
func testTunnel(t *testing.T) {
	app, hub := shop()
	defer hub.Close()
	srv := hubtest.Serve(t, app)
	ada, link := srv.Dial("/ws", &hotline.DialOptions{
		Token: func(context.Context) (string, error) { return "ada", nil },
	})
	sub, err := ada.Subscribe(t.Context(), "orders.ada", nil)
	if err != nil {
		t.Fatal(err)
	}

	link.Blackhole()
	time.Sleep(2 * time.Minute) // takes no time: the bubble's clock is fake
	resp, err := srv.HTTPClient().Post("http://shop/ship/ada", "", nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp, err)
	}
	link.Heal()

	msg, err := sub.Next(t.Context())
	if err != nil || string(msg.Data) != `"shipped"` || msg.Missed > 0 {
		t.Fatalf("got %+v, %v", msg, err)
	}
}

// The whole application is served in memory, and the test decides what the network does to a client.
func ExampleServe() {
	var t *testing.T // that of func TestTunnel(t *testing.T)
	synctest.Test(t, testTunnel)
}
