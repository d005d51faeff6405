package market

import (
	"fmt"
	"math/rand/v2"
)

// This file makes the games up.

// game is one of basketball, with its clock ten times as fast.
type game struct {
	Home   string `json:"home"`
	Away   string `json:"away"`
	Score  [2]int `json:"score"`
	Period int    `json:"period"`
	Clock  string `json:"clock"`
	Last   string `json:"last"` // who has scored last

	left int // of the period, seconds; below zero: the break after it
}

const (
	gameCount     = 8
	gameTicks     = 10 // a game moves on every tenth step of the market, each at another one
	periodSeconds = 600
	breakSeconds  = 40
)

type league struct {
	rnd   *rand.Rand
	games []*game
}

func newLeague(seed uint64) *league {
	l := &league{rnd: rand.New(rand.NewPCG(seed, 1))}
	for range gameCount {
		l.games = append(l.games, new(game))
	}
	for _, g := range l.games {
		l.begin(g)
		g.Period = 1 + l.rnd.IntN(4)
		g.left = l.rnd.IntN(periodSeconds)
		for i := range g.Score {
			g.Score[i] = ((g.Period-1)*periodSeconds + periodSeconds - g.left) / 30
		}
		g.show()
	}
	return l
}

// begin lets two teams play that don't play elsewhere.
func (l *league) begin(g *game) {
	teams := []string{
		"Owls", "Foxes", "Herons", "Wolves", "Otters", "Bears", "Hawks", "Lynxes",
		"Rams", "Stags", "Crows", "Moles", "Seals", "Toads", "Wrens", "Elks",
	}
	busy := make(map[string]bool)
	for _, other := range l.games {
		if other != g {
			busy[other.Home], busy[other.Away] = true, true
		}
	}
	next := func() string {
		for {
			if team := teams[l.rnd.IntN(len(teams))]; !busy[team] {
				busy[team] = true
				return team
			}
		}
	}
	*g = game{Home: next(), Away: next(), Period: 1, left: periodSeconds}
	g.show()
}

// step moves a game on by five seconds.
func (l *league) step(g *game) {
	g.left -= 5
	switch {
	case g.left > 0:
		if l.rnd.IntN(6) == 0 {
			side := l.rnd.IntN(2)
			g.Score[side] += 1 + min(l.rnd.IntN(4), 2)
			g.Last = []string{g.Home, g.Away}[side]
		}
	case g.left > -breakSeconds:
	case g.Period == 4 && g.Score[0] != g.Score[1]:
		l.begin(g)
	default:
		g.Period++
		g.left = periodSeconds
	}
	g.show()
}

func (g *game) show() {
	switch {
	case g.left > 0:
		g.Clock = fmt.Sprintf("%d:%02d", g.left/60, g.left%60)
	case g.Period >= 4 && g.Score[0] != g.Score[1]:
		g.Clock = "final"
	default:
		g.Clock = "break"
	}
}
