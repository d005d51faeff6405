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
// What needs a server that fails is for the implementation's own tests: Lost, Status, Values after an interruption, and
// ErrUncertain within the time of ctx.
func Run(t *testing.T, newBroker func(t *testing.T) hotline.Broker) {
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			run(t, c, func(testing.TB) hotline.Broker { return newBroker(t) })
		})
	}
}

// check is one promise.
type check struct {
	name string
	f    func(k *kit)
}

var checks = []check{
	{"deliver/order", order},
	{"deliver/fields", fields},
	{"deliver/state", state},
	{"deliver/signals", signals},
	{"deliver/blocked hub", blockedHub},
	{"publish/position", position},
	{"publish/key", key},
	{"publish/happens before", happensBefore},
	{"publish/no reference kept", noReference},
	{"follow/exact", followExact},
	{"follow/delivered up to there", followDelivered},
	{"follow/values first", valuesFirst},
	{"follow/again", followAgain},
	{"unfollow", unfollow},
	{"replay/pages", replayPages},
	{"replay/range", replayRange},
	{"replay/last", replayLast},
	{"replay/unknown position", replayUnknown},
	{"replay/what another node stored", replayElsewhere},
	{"context", contextEnds},
	{"close", closeIsSilent},
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
