package hotline

import (
	"context"

	"github.com/gohotline/hotline/internal/oracle"
	"github.com/gohotline/hotline/internal/wire"
)

// publishFor publishes as server code does, and tells the oracle, also the id, which server code is not told.
func publishFor(o *oracle.Oracle, w *world, topic, data string) {
	o.Attempt(topic, data)
	p, err := w.hub.publication(topic, []byte(data))
	if err != nil {
		panic(err)
	}
	pos, _, err := w.hub.store(context.Background(), p)
	if err != nil {
		panic(err)
	}
	o.Accepted(topic, data, pos.String())
}

// seqOf is the number of the entry at a position.
func seqOf(pos string) uint64 {
	p, err := wire.ParsePos(pos)
	if err != nil {
		panic(err)
	}
	return p.Seq
}
