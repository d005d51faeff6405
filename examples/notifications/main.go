// Command notifications is a web shop that tells each customer, on all of their devices, what becomes of their orders.
//
// Everything that it asks of hotline is at the top of shop/shop.go.
package main

import (
	"github.com/gohotline/hotline/examples/internal/site"
	"github.com/gohotline/hotline/examples/notifications/shop"
)

func main() { site.Main(shop.New()) }
