// Package brokertest tests implementations of [hotline.Broker].
package brokertest

import (
	"context"
	"testing"
	"time"

	"github.com/gohotline/hotline"
)

// Run runs the conformance suite: one subtest for each promise of [hotline.Broker] that a test can see from outside. Each
// call of newBroker joins the same store as another process would, with a broker that was not started yet; Run closes it.
// The topics that it uses begin with "brokertest-" and something random, so the store may be in use. It takes seconds.
//
// What happens while the server is away is checked too if the brokers are [Interrupter]. A store that was restored from an
// older copy, and a publish whose answer is lost, are for the implementation's own tests.
func Run(t *testing.T, newBroker func(t *testing.T) hotline.Broker) {
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			if c.cuts {
				b := newBroker(t)
				_, ok := b.(Interrupter)
				if err := b.Close(); err != nil {
					t.Errorf("Close of a broker that was not started: %v", err)
				}
				if !ok {
					t.Skip("the broker is not an Interrupter")
				}
			}
			run(t, c, func(testing.TB) hotline.Broker { return newBroker(t) })
		})
	}
}

// check is one promise.
type check struct {
	name string
	f    func(k *kit)
	cuts bool // needs an Interrupter
}

var checks = []check{
	{name: "deliver/order", f: order},
	{name: "deliver/fields", f: fields},
	{name: "deliver/state", f: state},
	{name: "deliver/signals", f: signals},
	{name: "deliver/blocked hub", f: blockedHub},
	{name: "publish/position", f: position},
	{name: "publish/key", f: key},
	{name: "publish/happens before", f: happensBefore},
	{name: "publish/no reference kept", f: noReference},
	{name: "follow/exact", f: followExact},
	{name: "follow/delivered up to there", f: followDelivered},
	{name: "follow/values first", f: valuesFirst},
	{name: "follow/again", f: followAgain},
	{name: "unfollow", f: unfollow},
	{name: "replay/pages", f: replayPages},
	{name: "replay/range", f: replayRange},
	{name: "replay/last", f: replayLast},
	{name: "replay/unknown position", f: replayUnknown},
	{name: "replay/what another node stored", f: replayElsewhere},
	{name: "context", f: contextEnds},
	{name: "close", f: closeIsSilent},
	{name: "interruption/events", f: interrupted, cuts: true},
	{name: "interruption/values", f: interruptedValues, cuts: true},
	{name: "interruption/status", f: interruptedStatus, cuts: true},
	{name: "interruption/calls", f: interruptedCalls, cuts: true},
}

// patience is how long something is waited for that has to happen.
const patience = 10 * time.Second

func run(t testing.TB, c check, newBroker func(testing.TB) hotline.Broker) {
	ctx, cancel := context.WithTimeout(context.Background(), 6*patience)
	defer cancel()
	k := &kit{t: t, ctx: ctx, newBroker: newBroker, name: "brokertest-" + randomText(), patience: patience}
	defer k.close()
	c.f(k)
}
