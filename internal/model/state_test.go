package model

import (
	"fmt"
	"math"
	"testing"
)

const (
	valueTopics = 3
	valueWindow = 2
)

// value is a topic's newest one; rev 0 is none. gone is a tombstone: the value was cleared, and readers are to be told.
type value struct {
	rev  uint16
	gone bool
}

type valueFrameKind uint8

const (
	valueSent valueFrameKind = iota + 1
	valuesBegin
	valuesSent // the subscription's ok: all present values have been sent
)

type valueFrame struct {
	kind  valueFrameKind
	topic uint8
	value value
}

// valueState is a hub's table of State values, one connection that subscribes to all of them, and its client.
type valueState struct {
	// The table.
	table     [valueTopics]value
	revisions uint16 // how many changes there were
	forgotten uint16 // tombstones up to this change are forgotten

	// The connection.
	up      bool
	live    bool
	joining bool   // the values present are being sent, the ok has not been
	read    uint16 // the change up to which it has read
	began   uint16 // what was forgotten when it began to read
	list    [valueTopics]value
	window  [valueWindow]valueFrame
	used    uint8
	drops   uint8

	// The client.
	held  [valueTopics]value
	again uint8 // topics that were sent since the subscription began, as bits
}

// valueRules say how much happens, and which rules the hub and the client follow.
type valueRules struct {
	changes uint16
	drops   uint8
	// Naive readings.
	listed   bool // B2: what is current when the client subscribes is put on a list; live values don't wait for it
	unreset  bool // B3: no reader is begun again
	keepsOld bool // B3: the client keeps what was not sent again
}

func (r *valueRules) machine() machine[valueState] {
	m := machine[valueState]{check: r.atRest, show: showNextValue}
	possible := func(name string, do func(*valueState) bool) {
		m.actions = append(m.actions, action[valueState]{name, func(s *valueState) (bool, error) { return do(s), nil }})
	}
	for topic := range valueTopics {
		possible(fmt.Sprintf("publish on %c", 'A'+topic), func(s *valueState) bool { return r.change(s, topic, false) })
		possible(fmt.Sprintf("clear %c", 'A'+topic), func(s *valueState) bool { return r.change(s, topic, true) })
	}
	possible("hub forgets the oldest tombstone", r.forget)
	possible("client connects", r.connect)
	possible("connection drops", r.drop)
	possible("conn reads on", r.readOn)
	m.actions = append(m.actions, action[valueState]{"client gets ", r.clientGets})
	return m
}

func (r *valueRules) change(s *valueState, topic int, gone bool) bool {
	room := s.used < valueWindow
	switch {
	case s.revisions == r.changes, gone && (s.table[topic].rev == 0 || s.table[topic].gone):
		return false
	case r.listed && s.up && !room:
		return false // this reading has no answer to a full window; it is broken without one
	}
	s.revisions++
	s.table[topic] = value{s.revisions, gone}
	switch {
	case !s.up || !s.live && !r.listed:
	case room:
		s.send(valueFrame{valueSent, uint8(topic), s.table[topic]})
		s.read = s.revisions
	default: // behind: it reads on from just before this change
		s.live, s.read = false, s.revisions-1
	}
	return true
}

// forget stands for the 5 minutes that a tombstone is kept. Here they may pass at any moment.
func (r *valueRules) forget(s *valueState) bool {
	topic, oldest := -1, uint16(math.MaxUint16)
	for i, v := range s.table {
		if v.gone && v.rev < oldest {
			topic, oldest = i, v.rev
		}
	}
	if topic < 0 {
		return false
	}
	s.table[topic], s.forgotten = value{}, oldest
	return true
}

func (r *valueRules) connect(s *valueState) bool {
	if s.up {
		return false
	}
	s.up, s.joining, s.began, s.again = true, true, s.forgotten, 0
	if r.listed {
		s.list = s.table
	}
	return true
}

func (r *valueRules) drop(s *valueState) bool {
	if !s.up || s.drops == r.drops {
		return false
	}
	s.drops++
	s.up, s.live, s.joining, s.read, s.began = false, false, false, 0, 0
	s.window, s.used, s.list = [valueWindow]valueFrame{}, 0, [valueTopics]value{}
	return true
}

func (s *valueState) send(f valueFrame) {
	s.window[s.used] = f
	s.used++
}

// oldest returns the topic that changed first after a change, or -1.
func oldest(values *[valueTopics]value, after uint16) int {
	topic := -1
	for i, v := range values {
		if v.rev > after && (topic < 0 || v.rev < values[topic].rev) {
			topic = i
		}
	}
	return topic
}

// readOn is one step of a connection that is not live: the next topic in the order of change, with its value of now.
func (r *valueRules) readOn(s *valueState) bool {
	if !s.up || s.live || s.used == valueWindow {
		return false
	}
	if r.listed {
		if topic := oldest(&s.list, 0); topic >= 0 {
			s.send(valueFrame{valueSent, uint8(topic), s.list[topic]})
			s.list[topic] = value{}
			return true
		}
		s.finish()
		return true
	}
	// A tombstone that this reader needs is gone, unless it reads everything and began after that.
	if !r.unreset && s.read < s.forgotten && (!s.joining || s.forgotten > s.began) {
		s.joining, s.read, s.began = true, 0, s.forgotten
		s.send(valueFrame{kind: valuesBegin})
		return true
	}
	if topic := oldest(&s.table, s.read); topic >= 0 {
		s.send(valueFrame{valueSent, uint8(topic), s.table[topic]})
		s.read = s.table[topic].rev
		return true
	}
	s.finish()
	return true
}

// finish makes a connection live that has read everything.
func (s *valueState) finish() {
	if s.joining {
		s.send(valueFrame{kind: valuesSent})
	}
	s.joining, s.live, s.read, s.began = false, true, s.revisions, 0
}

func (r *valueRules) clientGets(s *valueState) (bool, error) {
	if s.used == 0 {
		return false, nil
	}
	f := s.window[0]
	s.used--
	copy(s.window[:], s.window[1:])
	s.window[s.used] = valueFrame{}
	switch f.kind {
	case valuesBegin:
		s.again = 0
	case valuesSent:
		for i := range s.held {
			if s.again&(1<<i) == 0 && !r.keepsOld {
				s.held[i] = value{}
			}
		}
	case valueSent:
		if had := s.held[f.topic]; f.value.rev < had.rev {
			return true, fmt.Errorf("P1: topic %c: value %d after %d", 'A'+f.topic, f.value.rev, had.rev)
		}
		s.held[f.topic] = f.value
		s.again |= 1 << f.topic
	}
	return true, nil
}

// atRest checks the states in which the client has been sent everything.
func (r *valueRules) atRest(s *valueState) error {
	if !s.live || s.used > 0 {
		return nil
	}
	for i := range s.table {
		table, held := s.table[i], s.held[i]
		switch present := table.rev != 0 && !table.gone; {
		case present && held != table:
			return fmt.Errorf("P8: at rest topic %c has value %d, the client holds %d", 'A'+i, table.rev, held.rev)
		case !present && held.rev != 0 && !held.gone:
			return fmt.Errorf("P8: at rest topic %c has no value, the client still holds %d", 'A'+i, held.rev)
		}
	}
	return nil
}

func showNextValue(s *valueState) string {
	switch f := s.window[0]; {
	case f.kind == valuesSent:
		return "ok"
	case f.kind == valuesBegin:
		return "reset"
	case f.value.gone:
		return fmt.Sprintf("%c gone at %d", 'A'+f.topic, f.value.rev)
	default:
		return fmt.Sprintf("%c = %d", 'A'+f.topic, f.value.rev)
	}
}

func TestStateHolds(t *testing.T) {
	t.Parallel()
	rules := valueRules{changes: 4, drops: 2}
	if reduced() {
		rules.changes = 3
	}
	mustHold(t, rules.machine())
}

// The same rules over thousands of changes, on random ways.
func TestStateHoldsOnLongWalks(t *testing.T) {
	t.Parallel()
	walks := 200
	if reduced() {
		walks = 20
	}
	rules := valueRules{changes: math.MaxUint16, drops: math.MaxUint8}
	m := rules.machine()
	for seed := range uint64(walks) {
		if v := m.walk(seed, 20_000); v != nil {
			t.Fatalf("seed %d: %v", seed, v)
		}
	}
}

func TestStateNaive(t *testing.T) {
	for _, c := range []struct {
		name   string
		breaks string
		rules  valueRules
	}{
		{"B2 list of current values", "P1:", valueRules{changes: 3, listed: true}},
		{"B3 never reset", "P8:", valueRules{changes: 4, unreset: true}},
		{"B3 client keeps old values", "P8:", valueRules{changes: 3, drops: 1, keepsOld: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			mustBreak(t, c.rules.machine(), c.breaks)
		})
	}
}

// The walker sees too: what breaks in four changes breaks on a long walk.
func TestStateWalkFindsViolations(t *testing.T) {
	t.Parallel()
	rules := valueRules{changes: math.MaxUint16, unreset: true}
	for seed := range uint64(20) {
		if v := rules.machine().walk(seed, 20_000); v != nil {
			t.Logf("seed %d: %v", seed, v)
			return
		}
	}
	t.Fatal("no walk broke a promise: the walks can't see what the rule is for")
}
