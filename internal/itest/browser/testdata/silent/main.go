// Command silent serves nothing: it complains and ends, or, with -hang, waits for ever.
package main

import (
	"flag"
	"log"
	"time"
)

func main() {
	hang := flag.Bool("hang", false, "don't end")
	flag.Parse()
	if *hang {
		time.Sleep(time.Hour) // not select {}, which the runtime sees to be a deadlock
	}
	log.Fatal("no port to be had")
}
