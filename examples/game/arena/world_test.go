package arena

import (
	"math"
	"testing"
)

const dt = 1.0 / rate

// check finds what no world may be.
func check(t *testing.T, w world) {
	t.Helper()
	wild := 0
	for i, k := range w.sparks {
		if i < wildSparks && k != nowhere {
			wild++
		}
		if k != nowhere && (k.pos.x < 0 || k.pos.y < 0 || k.pos.x > size || k.pos.y > size) {
			t.Fatalf("tick %d: a spark at %v", w.tick, k.pos)
		}
	}
	if wild != wildSparks || len(w.sparks) > maxSparks {
		t.Fatalf("tick %d: %d wild sparks, %d in all", w.tick, wild, len(w.sparks))
	}
	for _, s := range w.ships {
		if r := s.radius(); !(s.pos.x >= r-1 && s.pos.y >= r-1 && s.pos.x <= size-r+1 && s.pos.y <= size-r+1) && w.tick > 0 {
			// Pushed by another one, a ship may stand in the wall until the next step.
			if s.pos.x < 0 || s.pos.y < 0 || s.pos.x > size || s.pos.y > size {
				t.Fatalf("tick %d: ship %d is at %v", w.tick, s.id, s.pos)
			}
		}
		if v := s.vel.length(); !(v < 4000) { // NaN as well
			t.Fatalf("tick %d: ship %d has the speed %v", w.tick, s.id, s.vel)
		}
		if s.score < 0 || s.score > maxScore {
			t.Fatalf("tick %d: ship %d has %d sparks", w.tick, s.id, s.score)
		}
	}
}

// TestStepIsPure: the same world and inputs make the same next world, and are what they were.
func TestStepIsPure(t *testing.T) {
	g := newGame(7)
	for range 200 {
		inputs := g.inputs(nil)
		before := world{tick: g.world.tick, random: g.world.random}
		before.ships = append(before.ships, g.world.ships...)
		before.sparks = append(before.sparks, g.world.sparks...)
		first := step(g.world, inputs, dt)
		sameWorld(t, g.world, before)
		second := step(before, inputs, dt)
		sameWorld(t, second, first)
		if first.random != second.random {
			t.Fatal("chance has gone apart")
		}
		g.world = first
	}
}

// TestWorldHolds: what is always so is so through 600 steps of bots that chase each other, from several beginnings.
func TestWorldHolds(t *testing.T) {
	for seed := range uint64(3) {
		g := newGame(seed)
		rich := 0
		for range 600 {
			g.world = step(g.world, g.inputs(nil), dt)
			check(t, g.world)
		}
		for _, s := range g.world.ships {
			rich += s.score
		}
		if rich == 0 || len(g.world.ships) != bots {
			t.Errorf("seed %d: %d ships have %d sparks", seed, len(g.world.ships), rich)
		}
	}
}

// alone is a world without bots, and sparks only where a test puts them.
func alone(ships ...ship) world {
	w := world{ships: ships}
	for range wildSparks {
		w.sparks = append(w.sparks, spark{vec{10, size - 10}})
	}
	return w
}

func fly(w world, steps int, inputs map[uint16]input) world {
	for range steps {
		w = step(w, inputs, dt)
	}
	return w
}

func TestFlying(t *testing.T) {
	east := map[uint16]input{1: {seq: 9, dir: vec{1, 0}}}
	w := fly(alone(ship{id: 1, pos: vec{1000, 1000}}), rate, east)
	s := w.ships[0]
	if s.pos.x < 1200 || s.pos.y != 1000 || s.ack != 9 || w.tick != rate {
		t.Errorf("after a second: %+v", s)
	}
	fastest := fly(alone(ship{id: 1, pos: vec{100, 1000}}), 4*rate, east).ships[0].vel.x
	if want := accel / drag; math.Abs(fastest-want) > want/5 {
		t.Errorf("its speed becomes %.0f, want about %.0f", fastest, want)
	}
	if s = fly(w, 3*rate, nil).ships[0]; s.vel.length() > 1 || s.ack != 9 {
		t.Errorf("nobody flies it, and it goes on: %+v", s)
	}
	if s = fly(w, 10*rate, east).ships[0]; s.pos.x > size-s.radius() || s.pos.x < size-200 {
		t.Errorf("at the wall: %+v", s)
	}
}

func TestDash(t *testing.T) {
	dashes := func(n uint8) map[uint16]input { return map[uint16]input{1: {dir: vec{0, 1}, dashes: n}} }
	w := fly(alone(ship{id: 1, pos: vec{1000, 300}}), 1, dashes(1))
	if v := w.ships[0].vel.y; v < dash*0.8 {
		t.Errorf("a dash makes it %.0f fast", v)
	}
	slow := fly(w, restFor-1, dashes(1))
	if v := fly(slow, 1, dashes(2)).ships[0].vel.y; v < dash*0.8 {
		t.Errorf("after %d steps it can't dash again: %.0f", restFor, v)
	}
	early := fly(w, restFor-2, dashes(1))
	if v := fly(early, 1, dashes(2)).ships[0].vel.y; v > accel/drag*1.1 {
		t.Errorf("it dashes again too early: %.0f", v)
	}
	if v := fly(slow, 1, dashes(1)).ships[0].vel.y; v > accel/drag*1.1 {
		t.Errorf("it dashes again by itself: %.0f", v)
	}
	if v := fly(slow, 1, map[uint16]input{1: {dashes: 2}}).ships[0].vel.length(); v > accel/drag {
		t.Errorf("it dashes in no direction: %.0f", v)
	}
}

// TestRam: who is hit fast loses a quarter of its sparks, which then lie about, and can't steer for a moment.
func TestRam(t *testing.T) {
	w := alone(ship{id: 1, pos: vec{1000, 1000}, vel: vec{900, 0}, score: 8}, ship{id: 2, pos: vec{1045, 1000}, score: 20})
	w = step(w, nil, dt)
	a, b := w.ships[0], w.ships[1]
	if b.score != 15 || len(w.sparks) != wildSparks+5 || b.stun != stunFor {
		t.Errorf("rammed: %+v, %d sparks lie about", b, len(w.sparks)-wildSparks)
	}
	if a.score != 8 || a.stun != 0 || a.vel.x > 100 || b.vel.x < 500 {
		t.Errorf("it was the other one: %+v, %+v", a, b)
	}
	from := b.pos
	west := fly(w, 5, map[uint16]input{2: {dir: vec{-1, 0}}}).ships[1]
	if west.pos.x < from.x {
		t.Errorf("stunned it steers: %+v", west)
	}

	w = step(alone(ship{id: 1, pos: vec{1000, 1000}, vel: vec{200, 0}}, ship{id: 2, pos: vec{1039, 1000}, score: 20}), nil, dt)
	if b := w.ships[1]; b.score != 20 || b.stun != 0 || b.vel.x == 0 {
		t.Errorf("bumped: %+v", b)
	}
	w = step(alone(ship{id: 1, pos: vec{1000, 1000}}, ship{id: 2, pos: vec{1000, 1000}}), nil, dt)
	if d := w.ships[0].pos.minus(w.ships[1].pos).length(); d < 39 {
		t.Errorf("one on the other they stay %.0f apart", d)
	}
}

// TestCollect: who touches a spark has it, wild ones appear elsewhere, those that were knocked out don't.
func TestCollect(t *testing.T) {
	w := alone(ship{id: 1, pos: vec{1000, 1000}}, ship{id: 2, pos: vec{2000, 2000}, away: 1}, ship{id: 3, pos: vec{500, 500}, stun: 9})
	w.sparks[0].pos = vec{1010, 1000}
	w.sparks[1].pos = vec{2000, 2000}
	w.sparks[2].pos = vec{500, 500}
	w.sparks = append(w.sparks, spark{vec{990, 1000}}, nowhere, spark{vec{1000, 1010}}, nowhere)
	w = step(w, nil, dt)
	if w.ships[0].score != 3 || len(w.sparks) != wildSparks || w.sparks[0].pos.minus(vec{1010, 1000}).length() < 1 {
		t.Errorf("%+v, %d sparks, the first at %v", w.ships[0], len(w.sparks), w.sparks[0])
	}
	if w.ships[1].score != 0 || w.ships[2].score != 0 {
		t.Errorf("away or stunned they collect: %+v", w.ships[1:])
	}
	check(t, w)
}

// TestRichLoseSlowly: nobody grows for ever.
func TestRichLoseSlowly(t *testing.T) {
	w := fly(alone(ship{id: 1, pos: vec{1000, 1000}, score: 100}, ship{id: 2, pos: vec{2000, 1000}, score: 19}), 3*rate, nil)
	if w.ships[0].score != 95 || w.ships[1].score != 19 {
		t.Errorf("%+v", w.ships)
	}
}

func TestArenaIsFull(t *testing.T) {
	g := newGame(1)
	players := make(map[string]*seat)
	for i := range maxShips - bots + 3 {
		key := string(rune('a' + i))
		players[key] = &seat{key: key, name: key}
	}
	g.admit(players)
	if len(g.world.ships) != maxShips || len(g.ships) != maxShips-bots {
		t.Errorf("%d ships, %d of players", len(g.world.ships), len(g.ships))
	}
	if n := len(g.world.encode()); n > 8<<10 {
		t.Errorf("a full world has %d bytes", n)
	}
}
