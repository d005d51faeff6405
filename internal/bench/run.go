//go:build linux

package main

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
)

type runner struct {
	rounds int
	scale  float64
	peers  []string
	works  []string
}

// sample is what one run of a workload with one peer has shown, by the name of the column.
type sample map[string]float64

// result is all samples of a workload, by peer.
type result struct {
	work    work
	samples map[string][]sample
}

func (r *runner) run() ([]result, error) {
	var results []result
	for _, w := range works {
		if !slices.Contains(r.works, w.name) {
			continue
		}
		res := result{w, make(map[string][]sample)}
		var names []string
		for _, name := range r.peers {
			if w.fits(peers[name]) {
				names = append(names, name)
			}
		}
		rounds := r.rounds
		if w.long {
			rounds = 1
		}
		for round := range rounds {
			for i := range names {
				name := names[(i+round)%len(names)] // nobody is always the first
				fmt.Fprintf(os.Stderr, "%s, round %d of %d: %s\n", w.name, round+1, rounds, name)
				s, err := w.run(r, name)
				if err != nil {
					return nil, fmt.Errorf("%s, %s: %w", w.name, name, err)
				}
				res.samples[name] = append(res.samples[name], s)
			}
		}
		results = append(results, res)
	}
	return results, nil
}

// of scales a number of connections or messages.
func (r *runner) of(n int) int { return max(1, int(math.Round(float64(n)*r.scale))) }

// session is a server and its load.
type session struct{ server, load process }

func open(name string, flags ...string) (*session, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var s session
	if script := peers[name].script; script != "" {
		s.server, err = start("node", "--expose-gc", "node/"+script)
	} else {
		s.server, err = start(self, append([]string{"serve", name}, flags...)...)
	}
	if err != nil {
		return nil, err
	}
	addr, err := s.server.Line()
	if err != nil {
		_ = s.server.Stop()
		return nil, err
	}
	if s.load, err = start(self, append([]string{"load", addr, name}, flags...)...); err != nil {
		_ = s.server.Stop()
		return nil, err
	}
	return &s, nil
}

// connected is open, with so many connections, each subscribed to so many of so many topics.
func connected(name string, conns, topics, each int, wild bool, flags ...string) (*session, error) {
	s, err := open(name, flags...)
	if err != nil {
		return nil, err
	}
	if _, err := s.load.do(order{Do: "connect", N: conns, Topics: topics, Each: each, Wild: wild}); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *session) close() {
	_ = s.load.Stop() // how they end is no part of the figures
	_ = s.server.Stop()
}

// measured publishes and waits for what the load expects. It returns what the load saw, and the server's CPU
// nanoseconds.
func (s *session) measured(publish order, expected int, seconds float64) (a answer, cpu float64, err error) {
	before, err := s.server.do(order{Do: "mark"})
	if err != nil {
		return a, 0, err
	}
	published, err := s.server.do(publish)
	if err != nil {
		return a, 0, err
	}
	if a, err = s.load.do(order{Do: "expect", N: expected, Seconds: seconds}); err != nil {
		return a, 0, err
	}
	after, err := s.server.do(order{Do: "mark"})
	a.Call50, a.Call99 = published.Call50, published.Call99
	return a, float64(after.CPU - before.CPU), err
}

// worst are the columns of which the worst round counts, and no median: what is lost in one round is lost.
var worst = []string{"not delivered", "disconnected", "missed for good", "changes not seen"}

// figure of a column, and whether there is any.
func (r result) figure(name, column string) (float64, bool) {
	var values []float64
	for _, s := range r.samples[name] {
		if v, ok := s[column]; ok {
			values = append(values, v)
		}
	}
	if len(values) > 0 && slices.Contains(worst, column) {
		return slices.Max(values), true
	}
	return median(values), len(values) > 0
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	values = slices.Sorted(slices.Values(values))
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// kernel is what TCP sockets hold, of sockstat in proc(5).
func kernel() int64 {
	b, err := os.ReadFile("/proc/net/sockstat")
	if err != nil {
		return 0
	}
	_, tcp, _ := strings.Cut(string(b), "TCP:")
	_, mem, _ := strings.Cut(tcp, " mem ")
	n, _, _ := strings.Cut(mem, "\n")
	pages, _ := strconv.ParseInt(n, 10, 64)
	return pages * int64(os.Getpagesize())
}
