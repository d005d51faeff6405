package arena

import (
	"math"
	"math/rand/v2"
	"slices"
)

// The rules. The page gets those that it needs to foresee its own ship, see rules.
const (
	rate = 30     // steps a second
	size = 3000.0 // the arena's side

	accel   = 1500.0 // of a ship that is steered
	drag    = 2.8    // its speed dies away so fast
	bounce  = 0.6    // of its speed, when it hits the wall
	dash    = 950.0  // speed that a dash adds
	restFor = 40     // steps until the next dash
	stunFor = 14     // steps in which who was rammed can't steer

	ramSpeed = 420.0 // a hit with less is only a bump
	awayFor  = 10 * rate

	maxShips   = 200
	bots       = 50
	wildSparks = 150 // that are always there
	maxSparks  = 256 // with those that were knocked out of ships
	maxScore   = math.MaxUint16
)

type vec struct{ x, y float64 }

func (a vec) plus(b vec) vec        { return vec{a.x + b.x, a.y + b.y} }
func (a vec) minus(b vec) vec       { return vec{a.x - b.x, a.y - b.y} }
func (a vec) times(f float64) vec   { return vec{a.x * f, a.y * f} }
func (a vec) dot(b vec) float64     { return a.x*b.x + a.y*b.y }
func (a vec) length() float64       { return math.Hypot(a.x, a.y) }
func (a vec) within(lo, hi vec) vec { return vec{min(max(a.x, lo.x), hi.x), min(max(a.y, lo.y), hi.y)} }

// input is what a player does. dashes counts how often they have dashed, so that a lost input loses no dash.
type input struct {
	seq    uint16 // the page's, told back in the world
	dir    vec    // at most 1 long
	dashes uint8
}

type ship struct {
	id       uint16
	bot      bool
	pos, vel vec
	score    int
	ack      uint16 // the last input that it has obeyed
	dashes   uint8  // likewise
	rest     uint8  // steps until it may dash
	stun     uint8  // steps in which it does not obey
	away     int    // steps since its player was last seen
}

// radius grows with what a ship has collected.
func (s *ship) radius() float64 { return 20 + 0.15*float64(min(s.score, 120)) }

// spark is a place in the table of sparks, which a page can tell by its number; nowhere: it is free.
type spark struct{ pos vec }

var nowhere = spark{vec{-1, -1}}

type world struct {
	tick   uint32
	ships  []ship
	sparks []spark
	random rand.PCG // part of the world: the same world and inputs make the same next one
}

func newWorld(seed uint64) world {
	w := world{random: *rand.NewPCG(seed, 0)}
	for range wildSparks {
		w.sparks = append(w.sparks, spark{w.somewhere()})
	}
	return w
}

// join adds a ship. It reports whether there is room.
func (w *world) join(id uint16, bot bool) bool {
	if len(w.ships) >= maxShips {
		return false
	}
	w.ships = append(w.ships, ship{id: id, bot: bot, pos: w.somewhere()})
	return true
}

func (w *world) somewhere() vec {
	r := rand.New(&w.random)
	return vec{60 + r.Float64()*(size-120), 60 + r.Float64()*(size-120)}
}

// step returns the world one step later. It changes nothing that w refers to.
func step(w world, inputs map[uint16]input, dt float64) world {
	w.tick++
	w.ships = slices.Clone(w.ships)
	w.sparks = slices.Clone(w.sparks)
	for i := range w.ships {
		s := &w.ships[i]
		in, steered := inputs[s.id]
		if !steered { // whoever flew it has gone
			in = input{seq: s.ack, dashes: s.dashes}
		}
		move(s, in, dt)
	}
	for i := range w.ships {
		for j := range w.ships[:i] {
			w.bump(&w.ships[i], &w.ships[j])
		}
	}
	w.collect()
	if w.tick%(3*rate) == 0 {
		for i := range w.ships { // the rich lose a little all the time
			w.ships[i].score -= w.ships[i].score / 20
		}
	}
	return w
}

// move is what the page does, too, to show its own ship where it will be: foresee in world.js.
func move(s *ship, in input, dt float64) {
	s.ack = in.seq
	dir := in.dir
	if s.stun > 0 {
		s.stun--
		dir = vec{}
	}
	if s.rest > 0 {
		s.rest--
	}
	if in.dashes != s.dashes {
		s.dashes = in.dashes
		if l := dir.length(); s.rest == 0 && l > 0 {
			s.vel = s.vel.plus(dir.times(dash / l))
			s.rest = restFor
		}
	}
	s.vel = s.vel.plus(dir.times(accel * dt))
	s.vel = s.vel.minus(s.vel.times(drag * dt))
	s.pos = s.pos.plus(s.vel.times(dt))
	r := s.radius()
	inside := s.pos.within(vec{r, r}, vec{size - r, size - r})
	if inside.x != s.pos.x {
		s.vel.x *= -bounce
	}
	if inside.y != s.pos.y {
		s.vel.y *= -bounce
	}
	s.pos = inside
}

// bump lets two ships that touch push each other away. Who is rammed loses sparks.
func (w *world) bump(a, b *ship) {
	between := b.pos.minus(a.pos)
	d, reach := between.length(), a.radius()+b.radius()
	if d >= reach {
		return
	}
	n := vec{1, 0} // from a to b
	if d > 0 {
		n = between.times(1 / d)
	}
	va, vb := a.vel.dot(n), b.vel.dot(n)
	a.pos = a.pos.minus(n.times((reach - d) / 2))
	b.pos = b.pos.plus(n.times((reach - d) / 2))
	closing := va - vb
	if closing <= 0 {
		return
	}
	a.vel = a.vel.minus(n.times(closing * 0.95))
	b.vel = b.vel.plus(n.times(closing * 0.95))
	if closing < ramSpeed {
		return
	}
	if va > -vb {
		w.spill(b)
	} else {
		w.spill(a)
	}
}

// spill knocks a quarter of its sparks out of a ship, a dozen at most.
func (w *world) spill(s *ship) {
	s.stun = stunFor
	r := rand.New(&w.random)
	for range min((s.score+3)/4, 12) {
		s.score--
		at := vec{1, 0}.times(60 + r.Float64()*90)
		sin, cos := math.Sincos(r.Float64() * 2 * math.Pi)
		at = s.pos.plus(vec{at.x * cos, at.x * sin}).within(vec{20, 20}, vec{size - 20, size - 20})
		if free := slices.Index(w.sparks, nowhere); free >= 0 {
			w.sparks[free].pos = at
		} else if len(w.sparks) < maxSparks {
			w.sparks = append(w.sparks, spark{at})
		}
	}
}

// collect gives ships the sparks that they touch.
func (w *world) collect() {
	for i := range w.sparks {
		at := w.sparks[i].pos
		if w.sparks[i] == nowhere {
			continue
		}
		for j := range w.ships {
			s := &w.ships[j]
			if s.stun > 0 || s.away > 0 || at.minus(s.pos).length() > s.radius()+10 {
				continue
			}
			s.score = min(s.score+1, maxScore)
			if i < wildSparks {
				w.sparks[i].pos = w.somewhere()
			} else {
				w.sparks[i] = nowhere
			}
			break
		}
	}
	for len(w.sparks) > wildSparks && w.sparks[len(w.sparks)-1] == nowhere {
		w.sparks = w.sparks[:len(w.sparks)-1]
	}
}
