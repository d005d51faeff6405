// Command examples runs all applications of this folder in one process, on one hub, and prints where they are.
package main

import (
	"github.com/gohotline/hotline/examples/chat/chat"
	"github.com/gohotline/hotline/examples/internal/home"
	"github.com/gohotline/hotline/examples/internal/site"
)

func main() { site.Main(all()...) }

// all are the applications, after the page that links to them.
func all() []*site.App {
	apps := []*site.App{
		chat.New(),
	}
	return append([]*site.App{home.New(apps...)}, apps...)
}
