package hotline

import "time"

// What follows lets this package's tests use internal/membroker, which imports this package: the external tests fill in
// NewTestStore.

// TestStore is a membroker.Store.
type TestStore interface {
	Node() TestNode
	Snapshot() func() // restores it
	Wipe()
}

// TestNode is a membroker.Node.
type TestNode interface {
	Broker
	Leave()
	Return(heal bool)
	Lag(upTo uint64)
	Fail(f TestFaults)
}

// TestFaults are membroker.Faults.
type TestFaults struct {
	Drop                func(e *BrokerEntry) bool
	Late, Silent, Blunt bool
	Unanswered          func(e *BrokerEntry) bool
	Delay               time.Duration
}

// TestStoreOptions are membroker.Options.
type TestStoreOptions struct {
	Entries, PerTopic int
	CarryAll          bool
}

// NewTestStore makes a store.
var NewTestStore func(TestStoreOptions) TestStore
