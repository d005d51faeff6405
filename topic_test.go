package hotline

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
)

type testOrder struct{ N int }

func TestTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		orders := NewTopic[testOrder]("shop.*.orders.*")
		mine := orders.With("a.b")
		if got := mine.String(); got != "shop.a%2Eb.orders.*" {
			t.Fatal(got)
		}
		sub, err := mine.Subscribe(t.Context(), w.hub, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		if err := mine.With("7").Publish(t.Context(), w.hub, testOrder{7}); err != nil {
			t.Fatal(err)
		}
		m, err := sub.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if v, err := orders.Decode(m); err != nil || v.N != 7 {
			t.Error(v, err)
		}
		if diff := cmp.Diff([]string{"a.b", "7"}, orders.Params(m.Topic)); diff != "" {
			t.Error(diff)
		}
		m.Data = []byte(`"seven"`)
		if _, err := orders.Decode(m); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), m.Topic) {
			t.Error(err)
		}
		for name, topic := range map[string]Topic[testOrder]{
			"wildcards left":  mine,
			"too many params": mine.With("1", "2"),
			"too long":        mine.With(strings.Repeat("x", 300)),
			"later params":    mine.With("1", "2").With("3"),
		} {
			if err := topic.Publish(t.Context(), w.hub, testOrder{}); !errors.Is(err, ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestNewTopicPanics(t *testing.T) {
	defer func() {
		if err, ok := recover().(error); !ok || !errors.Is(err, ErrInvalid) {
			t.Error(err)
		}
	}()
	NewTopic[int]("a..b")
}
