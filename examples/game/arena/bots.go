package arena

import "math"

var botNames = [bots]string{
	"Acrux", "Adhara", "Alcor", "Aldebaran", "Algol", "Alioth", "Alkaid", "Altair", "Antares", "Arcturus",
	"Atria", "Bellatrix", "Betelgeuse", "Canopus", "Capella", "Castor", "Deneb", "Dubhe", "Electra", "Elnath",
	"Enif", "Fomalhaut", "Gacrux", "Hadar", "Hamal", "Izar", "Kochab", "Maia", "Menkar", "Merak",
	"Mimosa", "Mira", "Mirach", "Mizar", "Naos", "Nunki", "Polaris", "Pollux", "Procyon", "Regulus",
	"Rigel", "Sabik", "Shaula", "Sirius", "Spica", "Tarazed", "Thuban", "Vega", "Wezen", "Zaurak",
}

// steer is how a bot plays: it flies to the nearest spark. One in four rams the rich, one in four flees from whoever is near.
func steer(w *world, s *ship) input {
	in := input{seq: s.ack, dashes: s.dashes}
	temper := s.id % 4
	goal, best := s.pos, math.Inf(1)
	for _, k := range w.sparks {
		if d := k.pos.minus(s.pos).length(); k != nowhere && d < best {
			goal, best = k.pos, d
		}
	}
	for i := range w.ships {
		o := &w.ships[i]
		d := o.pos.minus(s.pos)
		l := d.length()
		switch {
		case o.id == s.id || l == 0:
		case temper == 0 && l < 500 && o.score > 4 && s.rest == 0:
			goal = o.pos.plus(o.vel.times(0.2))
			if ahead := s.vel.dot(d) / l; l < 260 && ahead > 150 {
				in.dashes = s.dashes + 1
			}
		case temper == 1 && l < 160:
			goal = s.pos.minus(d)
		}
	}
	way := goal.minus(s.pos)
	if l := way.length(); l > 1 {
		in.dir = way.times(0.7 / l)
	}
	return in
}
