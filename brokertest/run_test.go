package brokertest_test

import (
	"testing"

	"github.com/gohotline/hotline"
	"github.com/gohotline/hotline/brokertest"
	"github.com/gohotline/hotline/internal/membroker"
)

// cuttable is a node whose link can be cut.
type cuttable struct{ *membroker.Node }

func (c cuttable) Cut()  { c.Leave() }
func (c cuttable) Mend() { c.Return(false) }

func TestMembroker(t *testing.T) {
	for name, o := range map[string]membroker.Options{"what is followed": {}, "everything": {CarryAll: true}} {
		t.Run(name, func(t *testing.T) {
			s := membroker.New(o)
			brokertest.Run(t, func(*testing.T) hotline.Broker { return cuttable{s.Node()} })
		})
	}
}
