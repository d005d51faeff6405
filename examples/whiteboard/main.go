// Command whiteboard is a board on which everybody draws at once: strokes are events in one order, so that all see the same
// picture, also who comes later or was away.
package main

import (
	"github.com/gohotline/hotline/examples/internal/site"
	"github.com/gohotline/hotline/examples/whiteboard/board"
)

func main() { site.Main(board.New()) }
