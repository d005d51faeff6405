package arena

import (
	"encoding/json"
	"net/http"
	"slices"
)

// game is a world and who is in it. The loop owns it.
type game struct {
	world world
	ships map[string]uint16 // by the key of their players
	calls map[string]string // what they are called, likewise
	last  uint16            // the number that was given last
	names map[uint16]string // of ships that were not published yet; empty: the ship is gone
}

func newGame(seed uint64) *game {
	g := &game{
		world: newWorld(seed), ships: make(map[string]uint16), calls: make(map[string]string), names: make(map[uint16]string),
	}
	for i := range uint16(bots) {
		g.world.join(i+1, true)
		g.names[i+1] = botNames[i]
	}
	g.last = bots
	return g
}

// admit gives those who have come a ship, and takes it from those who were away for long. It returns the names that have
// changed, by ship; empty: it is gone.
func (g *game) admit(players map[string]*seat) map[uint16]string {
	for key, s := range players {
		if g.ships[key] == 0 {
			id := g.free()
			if !g.world.join(id, false) {
				continue
			}
			g.ships[key], g.last = id, id
		}
		if g.calls[key] != s.name { // it may have come back under another one
			g.calls[key], g.names[g.ships[key]] = s.name, s.name
		}
	}
	away := make(map[uint16]string) // the keys of ships that nobody flies
	for key, id := range g.ships {
		if players[key] == nil {
			away[id] = key
		}
	}
	g.world.ships = slices.DeleteFunc(g.world.ships, func(s ship) bool {
		key, isAway := away[s.id]
		if !isAway || s.away < awayFor {
			return false
		}
		delete(g.ships, key)
		delete(g.calls, key)
		g.names[s.id] = ""
		return true
	})
	for i := range g.world.ships {
		if s := &g.world.ships[i]; away[s.id] != "" {
			s.away++
		} else {
			s.away = 0
		}
	}
	news := g.names
	g.names = make(map[uint16]string)
	return news
}

// free returns a number that no ship has, and that none had for as long as possible.
func (g *game) free() uint16 {
	taken := func(id uint16) bool {
		return id <= bots || slices.ContainsFunc(g.world.ships, func(s ship) bool { return s.id == id })
	}
	id := g.last + 1
	for taken(id) { // there are far more numbers than ships
		id++
	}
	return id
}

// inputs is what all do now, bots included.
func (g *game) inputs(players map[string]*seat) map[uint16]input {
	all := make(map[uint16]input, len(g.world.ships))
	for i := range g.world.ships {
		if s := &g.world.ships[i]; s.bot {
			all[s.id] = steer(&g.world, s)
		}
	}
	for key, id := range g.ships {
		if s := players[key]; s != nil && s.input.Load() != nil {
			all[id] = *s.input.Load()
		}
	}
	return all
}

// rules tells the page what it has to know of them.
func rules(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(pageRules)
}

var pageRules = map[string]float64{
	"rate": rate, "size": size, "accel": accel, "drag": drag, "bounce": bounce, "dash": dash, "restFor": restFor,
	"maxShips": maxShips,
}
