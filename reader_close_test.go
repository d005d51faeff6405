package hotline

import (
	"errors"
	"log/slog"
	"sync"
	"testing"
)

// TestSubscribeWhileClosing: a Subscribe that meets the hub's end returns, with an error if it came too late.
func TestSubscribeWhileClosing(t *testing.T) {
	for range 200 {
		h := NewHub(&HubOptions{Logger: slog.New(slog.DiscardHandler)})
		var g, begun sync.WaitGroup
		begun.Add(4)
		for range 4 {
			g.Go(func() {
				for i := 0; ; i++ {
					if i == 3 {
						begun.Done()
					}
					s, err := h.Subscribe(t.Context(), "a.*", nil)
					if err != nil {
						if !errors.Is(err, ErrClosed) {
							t.Error(err)
						}
						return
					}
					s.Close()
				}
			})
		}
		begun.Wait()
		h.Close()
		g.Wait()
	}
}
