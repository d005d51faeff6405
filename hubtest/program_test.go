package hubtest_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/gohotline/hotline"
	"github.com/gohotline/hotline/hubtest"
)

// TestExample runs what the documentation shows.
func TestExample(t *testing.T) {
	synctest.Test(t, testTunnel)
}

// A test that forgets to close its hub, and the bodies of its responses, leaks nothing.
func TestForgetful(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, _ := shop()
		srv := hubtest.Serve(t, app)
		ada, _ := srv.Dial("/ws", &hotline.DialOptions{Token: func(context.Context) (string, error) { return "ada", nil }})
		if _, err := ada.Subscribe(t.Context(), "orders.bob", nil); !errors.Is(err, hotline.ErrDenied) {
			t.Errorf("ada reads bob's orders: %v", err)
		}
		sub, err := ada.Subscribe(t.Context(), "orders.ada", nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := srv.HTTPClient().Post("http://shop/ship/ada", "", http.NoBody); err != nil {
				t.Fatal(err)
			}
			if _, err := sub.Next(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
}
