// Command dashboard shows 200 prices that change 20 times a second, scores, and how the hub that delivers them is doing.
//
// Everything that it asks of hotline is at the top of board/board.go.
package main

import (
	"github.com/gohotline/hotline/examples/dashboard/market"
	"github.com/gohotline/hotline/examples/internal/site"
)

func main() { site.Main(market.New()) }
