// Package model holds no code of the library. Its tests are two small models of the hub, walked through in every
// interleaving, and they are the reason for the rules of behaviour that DESIGN.md lists: each rule is on the list because
// the hub without it breaks a promise, and here is the sequence of steps that does it.
//
// # The hub (hub_test.go)
//
// One publisher and two topics, a log that keeps two entries, one shard, one connection whose window holds one frame, a
// client with two subscriptions (the second made at any moment, with or without replay), drops and reconnects, a
// subscription that is parked and continued. At each delivery and at rest it checks
//
//   - P1, order, and P3, no duplicates: what a subscription gets is always newer than what it had;
//   - P2, no silent loss: between two messages of a subscription none is missing unless a gap stood there;
//   - no false gap: a gap is only ever told to a subscription that has lost something.
//
// Each configuration of the right rules holds in all of its states. Each naive reading puts one rule back:
//
//	A1  one `after` for all subscriptions of a connection; the same, also for those that are new
//	A2  a client that takes positions from messages alone
//	A3  `ok`, or a position, that overtakes messages in the control lane
//	A4  replayed messages that are not tagged
//	A5  a gap that states no position; one gap a subscription; a gap of a subscription that has yet to join that
//	    moves the position of the whole connection
//	A6  a subscription made again that keeps its number
//	A7  a subscription that starts at the shard's cursor though its connection is further
//	A12 a gap because the log was cut, not because something of the subscription was in what was cut
//	F1  a live connection whose cursor is the last entry delivered to it; one that goes behind with its cursor at the
//	    entry that was refused
//	F2  an entry offered to a connection that has read past it
//
// # State topics (state_test.go)
//
// A table of values in the order of their last change, a connection with a small window that walks it, tombstones that
// are forgotten, drops. At each delivery it checks that no older value follows a newer one, and at rest that the client
// holds what the table holds (P8, for both values and their absence). The naive readings:
//
//	B2  a list of the current values made at the subscription, live values sent beside it
//	B3  a reader that isn't begun again (`reset`) when tombstones that it has yet to read are forgotten
//	B3  a subscription after which the client keeps what was not among the values sent
//
// A naive reading that is not found broken fails the test: that is the control which shows that the models can see.
package model
