package hotline_test

import (
	"github.com/gohotline/hotline"
	"github.com/gohotline/hotline/internal/membroker"
)

type testStore struct{ *membroker.Store }

func (s testStore) Node() hotline.TestNode { return testNode{s.Store.Node()} }

func (s testStore) Snapshot() func() {
	old := s.Store.Snapshot()
	return func() { s.Restore(old) }
}

type testNode struct{ *membroker.Node }

func (n testNode) Fail(f hotline.TestFaults) { n.Node.Fail(membroker.Faults(f)) }

var _ = func() bool {
	hotline.NewTestStore = func(o hotline.TestStoreOptions) hotline.TestStore {
		return testStore{membroker.New(membroker.Options{Entries: o.Entries, PerTopic: o.PerTopic, CarryAll: o.CarryAll})}
	}
	return true
}()
