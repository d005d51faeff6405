//go:build linux

// Command bench does the same work with hotline and with other ways to send messages to many WebSocket connections, on
// this machine, and prints what it cost. The server, which publishes by itself, is one process, the load that connects to
// it and counts every message another; both are this program, or a script for what runs in Node.
//
//	go run . -rounds 5 -md results.md -svg burst.svg
//	go run . -only burst,latency -peers hotline,centrifuge
//
// Figures of one run may be compared with each other and with nothing else.
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
)

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "serve":
			exit(runServer(os.Args[2:]))
		case "load":
			exit(runLoad(os.Args[2:]))
		}
	}
	rounds := flag.Int("rounds", 5, "how often each sample is taken; the medians count")
	only := flag.String("only", "", "workloads, separated by commas; all if empty")
	peers := flag.String("peers", "", "peers, separated by commas; all if empty")
	scale := flag.Float64("scale", 1, "of connections and messages: less for a look whether it works")
	md := flag.String("md", "", "a file to write the tables to, as Markdown")
	grow := flag.String("grow", "", "a folder to write a chart and a table to of how hotline's cost grows, instead of all else")
	profile := flag.String("profile", "", "a folder for profiles of the last server; profiling costs a little")
	svg := flag.String("svg", "", "a file to write the chart of the burst to")
	flag.Parse()
	if *profile != "" {
		if err := os.Setenv(profileEnv, *profile); err != nil {
			exit(err)
		}
	}
	r := &runner{rounds: *rounds, scale: *scale, peers: chosen(*peers, peerNames()), works: chosen(*only, workNames())}
	if *grow != "" {
		exit(r.grow(*grow))
	}
	results, err := r.run()
	if err == nil && *md != "" {
		err = os.WriteFile(*md, []byte(markdown(results)), 0o644)
	}
	if err == nil && *svg != "" {
		err = os.WriteFile(*svg, []byte(chart(results)), 0o644)
	}
	if err == nil {
		fmt.Print(markdown(results))
	}
	exit(err)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// chosen returns those of all that a list names.
func chosen(list string, all []string) []string {
	if list == "" {
		return all
	}
	names := strings.Split(list, ",")
	for _, name := range names {
		if !slices.Contains(all, name) {
			exit(fmt.Errorf("%q is none of %s", name, strings.Join(all, ", ")))
		}
	}
	return names
}
