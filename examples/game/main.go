// Command game is a game for many: everybody flies in one arena, collects sparks, and knocks them out of the others. The
// server owns the world and sends it 30 times a second.
package main

import (
	"github.com/gohotline/hotline/examples/game/arena"
	"github.com/gohotline/hotline/examples/internal/site"
)

func main() { site.Main(arena.New()) }
