// Command examples runs all applications of this folder in one process, on one hub, and prints where they are.
package main

import (
	"github.com/gohotline/hotline/examples/chat/chat"
	"github.com/gohotline/hotline/examples/dashboard/market"
	"github.com/gohotline/hotline/examples/game/arena"
	"github.com/gohotline/hotline/examples/internal/home"
	"github.com/gohotline/hotline/examples/internal/site"
	"github.com/gohotline/hotline/examples/notifications/shop"
	"github.com/gohotline/hotline/examples/whiteboard/board"
)

func main() { site.Main(all()...) }

// all are the applications, after the page that links to them.
func all() []*site.App {
	apps := []*site.App{
		chat.New(),
		shop.New(),
		market.New(),
		arena.New(),
		board.New(),
	}
	return append([]*site.App{home.New(apps...)}, apps...)
}
