// Command chat is a chat: rooms, names, who is here, who is typing, and the last 50 messages for whoever comes in.
//
// All of it is in the package chat beside it, and what it asks of hotline is the first thing there.
package main

import (
	"github.com/gohotline/hotline/examples/chat/chat"
	"github.com/gohotline/hotline/examples/internal/site"
)

func main() { site.Main(chat.New()) }
