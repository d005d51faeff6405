package faults

import (
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/gohotline/hotline"
)

// slot is an address at which one hub after the other is served.
type slot struct {
	addr string
	now  atomic.Pointer[hotline.Hub]
}

func newSlot(t *testing.T) *slot {
	s := &slot{}
	s.addr = serve(t, listen(t), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.now.Load().ServeHTTP(w, r) }))
	return s
}

func (s *slot) put(hub *hotline.Hub) { s.now.Store(hub) }
func (s *slot) hub() *hotline.Hub    { return s.now.Load() }
