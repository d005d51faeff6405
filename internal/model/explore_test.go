package model

import (
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"strings"
	"testing"
)

// An action is something that can happen to the modelled system.
type action[S comparable] struct {
	name string
	// do changes the state. It returns false if the action can't happen in this state, and an error if what happened
	// breaks a promise.
	do func(*S) (bool, error)
}

// A machine is a system as a set of states and what can happen in each.
type machine[S comparable] struct {
	start   S
	actions []action[S]
	check   func(*S) error  // whether a promise is broken by being in this state
	show    func(*S) string // what the next frame is, for the trail; "" if there is none
}

// A violation is a promise broken, with the shortest way there.
type violation struct {
	err   error
	trail []string
}

func (v *violation) String() string {
	return fmt.Sprintf("%v\n\t%s", v.err, strings.Join(v.trail, "\n\t"))
}

// explore visits every state that can be reached, nearest first, and returns how many there are, or the first violation.
func (m machine[S]) explore() (int, *violation) {
	type origin struct{ state, action int32 }
	var (
		reached = newSet(m.start)
		origins = []origin{{-1, -1}}
	)
	trail := func(last origin) (names []string) {
		for o := last; o.state >= 0; o = origins[o.state] {
			names = append(names, m.name(int(o.action), reached.members[o.state]))
		}
		for i, j := 0, len(names)-1; i < j; i, j = i+1, j-1 {
			names[i], names[j] = names[j], names[i]
		}
		return names
	}
	for i := 0; i < len(reached.members); i++ {
		if err := m.check(&reached.members[i]); err != nil {
			return i, &violation{err, trail(origins[i])}
		}
		for a := range m.actions {
			next := reached.members[i]
			possible, err := m.actions[a].do(&next)
			if err != nil {
				return i, &violation{err, trail(origin{int32(i), int32(a)})}
			}
			if possible && reached.add(next) {
				origins = append(origins, origin{int32(i), int32(a)})
			}
		}
	}
	return len(reached.members), nil
}

// walk takes steps at random, for bounds that are too wide to explore.
func (m machine[S]) walk(seed uint64, steps int) *violation {
	var (
		r     = rand.New(rand.NewPCG(seed, 0))
		state = m.start
		trail []string
	)
	for range steps {
		a, before := r.IntN(len(m.actions)), state
		possible, err := m.actions[a].do(&state)
		if !possible {
			state = before
			continue
		}
		trail = append(trail, m.name(a, before))
		if err == nil {
			err = m.check(&state)
		}
		if err != nil {
			return &violation{err, trail[max(0, len(trail)-30):]}
		}
	}
	return nil
}

func (m machine[S]) name(a int, before S) string {
	name := m.actions[a].name
	if strings.HasSuffix(name, " ") {
		name += m.show(&before)
	}
	return name
}

// A set remembers the states reached, in the order in which they were reached. It hashes to indexes, so that a state is
// stored once: half the memory of a map, and twice as fast.
type set[S comparable] struct {
	members []S
	table   []int32 // index into members + 1, open addressing; 0 is free
	seed    maphash.Seed
}

func newSet[S comparable](first S) *set[S] {
	s := &set[S]{table: make([]int32, 1<<16), seed: maphash.MakeSeed()}
	s.add(first)
	return s
}

// add says whether m is new.
func (s *set[S]) add(m S) bool {
	if len(s.members) >= len(s.table)/2 {
		s.table = make([]int32, 2*len(s.table))
		for i := range s.members {
			s.table[s.slot(&s.members[i])] = int32(i + 1)
		}
	}
	slot := s.slot(&m)
	if s.table[slot] != 0 {
		return false
	}
	s.members = append(s.members, m)
	s.table[slot] = int32(len(s.members))
	return true
}

// slot finds the place of m in the table, or the free one where it belongs.
func (s *set[S]) slot(m *S) uint64 {
	mask := uint64(len(s.table) - 1)
	i := maphash.Comparable(s.seed, *m) & mask
	for s.table[i] != 0 && s.members[s.table[i]-1] != *m {
		i = (i + 1) & mask
	}
	return i
}

// reduced says whether the bounds are to be small: with -short, and under the race detector, which makes this code ten
// times slower and has nothing to find in it.
func reduced() bool { return testing.Short() || raceEnabled }

// mustHold fails unless the system keeps its promises in every state.
func mustHold[S comparable](t *testing.T, m machine[S]) {
	t.Helper()
	states, v := m.explore()
	if v != nil {
		t.Fatalf("broken after %d states: %v", states, v)
	}
	t.Logf("holds in all %d states", states)
}

// mustBreak fails unless the system is found to break a promise with an error that starts with promise.
func mustBreak[S comparable](t *testing.T, m machine[S], promise string) {
	t.Helper()
	states, v := m.explore()
	if v == nil {
		t.Fatalf("holds in all %d states: the model can't see what the rule is for", states)
	}
	if !strings.HasPrefix(v.err.Error(), promise) {
		t.Fatalf("breaks another promise than %q: %v", promise, v)
	}
	t.Logf("found after %d states: %v", states, v)
}
