//go:build linux

package main

import (
	"fmt"
	"slices"
	"time"
)

// A work is one thing that is done with every peer that can.
type work struct {
	name    string
	title   string
	columns []column
	fits    func(candidate) bool
	run     func(r *runner, peer string) (sample, error)
	long    bool // it takes so long that it is done once
}

// A column is a figure of each peer.
type column struct {
	name   string
	format string
	ratio  bool // to hotline's is shown too
}

var cpuColumn = column{"CPU µs a delivery", "%.3f", true}

// troubles are what a peer that drops or disconnects is shown with.
var troubles = []column{{"not delivered", "%.0f", false}, {"disconnected", "%.0f", false}}

var works = []work{
	{
		name: "burst", title: "A burst: 200 messages of 128 bytes to 1,000 connections",
		columns: append([]column{cpuColumn}, troubles...),
		fits:    func(c candidate) bool { return !c.polls },
		run: func(r *runner, peer string) (sample, error) {
			return r.bursts(peer, order{Do: "burst", N: 200, Size: 128, Topics: 1}, r.of(1000), 1)
		},
	},
	{
		name: "paced", title: "One at a time: 40 messages of 128 bytes a second to 1,000 connections",
		columns: append([]column{cpuColumn, {"p50 ms", "%.2f", false}, {"p99 ms", "%.2f", true}}, troubles...),
		fits:    sends,
		run: func(r *runner, peer string) (sample, error) {
			return r.once(peer, r.of(1000), order{Do: "paced", N: r.of(80), Rate: 40, Size: 128, Topics: 1})
		},
	},
	{
		name: "topics", title: "Many topics: 1,000 connections with 50 of 5,000 topics each, 20,000 messages of 128 bytes",
		columns: append([]column{cpuColumn}, troubles...),
		fits:    func(c candidate) bool { return c.topics },
		run: func(r *runner, peer string) (sample, error) {
			return r.bursts(peer, order{Do: "burst", N: r.of(20000), Size: 128, Topics: r.of(5000)}, r.of(1000), 50)
		},
	},
	{
		name: "latency", title: "One subscriber, an idle server: 200 messages of 128 bytes a second",
		columns: []column{{"p50 ms", "%.3f", true}, {"p99 ms", "%.3f", true}},
		fits:    sends,
		run: func(r *runner, peer string) (sample, error) {
			return r.once(peer, 1, order{Do: "paced", N: r.of(400), Rate: 200, Size: 128, Topics: 1})
		},
	},
	{
		name: "idle", title: "9,000 idle connections, each subscribed to one topic",
		columns: []column{{"heap and stack KiB each", "%.1f", true}, {"resident KiB each", "%.1f", true}},
		fits:    func(c candidate) bool { return !c.floor },
		run:     (*runner).idle,
	},
	{
		name: "connect", title: "5,000 connections and subscriptions, 64 at a time",
		columns: []column{{"seconds", "%.2f", true}, {"CPU µs each", "%.0f", true}},
		fits:    func(c candidate) bool { return !c.floor },
		run:     (*runner).connects,
	},
	{
		name: "resume", title: "5,000 connections are cut, miss 20 messages of 128 bytes, and come back",
		columns: []column{{"seconds", "%.2f", true}, {"CPU µs each", "%.0f", true}, {"missed for good", "%.0f", false}},
		fits:    func(c candidate) bool { return c.dialect.again != nil },
		run:     (*runner).resumes,
	},
	{
		name: "behind", title: "1,000 connections with 50 of 5,000 topics each come back 100,000 messages of 128 bytes later, 1,000 of them theirs",
		columns: []column{{"seconds", "%.2f", false}, {"CPU s", "%.2f", false}, {"CPU s beyond connecting", "%.2f", false}, {"missed for good", "%.0f", false}},
		fits:    func(c candidate) bool { return c.dialect.whole },
		run:     (*runner).behind,
	},
	{
		name: "slow", title: "500 connections, 150 of which read 40 KB a second: 800 messages of 16 KiB, 40 a second; then all read as they can",
		columns: []column{
			{"p99 ms without them", "%.2f", false}, {"p99 ms beside them", "%.2f", true}, {"MiB more, process", "%.1f", false}, {"MiB more, kernel", "%.1f", false},
			{"the slow got %", "%.1f", false}, {"disconnected", "%.0f", false},
		},
		fits: func(c candidate) bool { return !c.floor },
		run:  (*runner).slow,
		long: true,
	},
	{
		// Go's TLS sends the first 128 KiB of a connection in small records.
		name: "tls", title: "A burst over TLS: 200 messages of 128 bytes to 500 connections that have had 128 KiB before",
		columns: append([]column{cpuColumn}, troubles...),
		fits:    func(c candidate) bool { return c.tls },
		run: func(r *runner, peer string) (sample, error) {
			return r.bursts(peer, order{Do: "burst", N: 200, Size: 128, Topics: 1}, r.of(500), 1, "tls")
		},
	},
	{
		name: "deflate", title: "Compression: a burst of 50 messages of 1 KiB of JSON to 500 connections",
		columns: append([]column{cpuColumn, {"times uncompressed", "%.2f", false}, {"bytes a delivery", "%.0f", true}}, troubles...),
		fits:    func(c candidate) bool { return c.deflate },
		run:     (*runner).deflate,
	},
	{
		name: "publishers", title: "Publishing 2,000 messages of 128 bytes to one topic with 1,000 subscribers, from 1, 2 and 8 goroutines",
		columns: []column{
			{"p50 µs a call, 1", "%.2f", true}, {"2", "%.2f", true}, {"8", "%.2f", true}, {"p99 µs, 1", "%.0f", false}, {"p99, 2", "%.0f", false},
			{"p99, 8", "%.0f", false},
		},
		fits: func(c candidate) bool { return c.topics && c.script == "" },
		run:  (*runner).publishers,
	},
	{
		name: "polling", title: "A dashboard of 50 prices and 500 viewers, 10 changes a second: pushed, or asked for each second",
		columns: []column{
			{"server CPU % of a core", "%.1f", true}, {"bytes a viewer a second", "%.0f", true}, {"age p50 ms", "%.1f", false}, {"age p99 ms", "%.1f", false},
			{"changes not seen", "%.0f", false},
		},
		fits: func(c candidate) bool { return c.topics || c.polls },
		run:  (*runner).polling,
		long: true,
	},
}

// sends is whoever can send one message.
func sends(c candidate) bool { return !c.joins && !c.polls }

func workNames() []string {
	var names []string
	for _, w := range works {
		names = append(names, w.name)
	}
	return names
}

// figures of a measurement.
func figures(a answer, cpu float64, expected int) sample {
	s := sample{
		"not delivered": float64(expected) - float64(a.Got), "disconnected": float64(a.Closed),
		"p50 ms": a.P50, "p99 ms": a.P99,
	}
	if a.Got > 0 {
		s[cpuColumn.name] = cpu / 1e3 / float64(a.Got)
		s["bytes a delivery"] = float64(a.Bytes) / float64(a.Got)
	}
	return s
}

// bursts does the same three times, over TLS eight times, of which the last two count.
func (r *runner) bursts(peer string, o order, conns, each int, flags ...string) (sample, error) {
	s, err := connected(peer, conns, o.Topics, each, o.Wild, flags...)
	if err != nil {
		return nil, err
	}
	defer s.close()
	expected := o.N * conns * each / o.Topics
	var sum answer
	var cpu float64
	times := 3
	if slices.Contains(flags, "tls") {
		times = 8 // six bursts of 200 messages are 128 KiB also where a frame adds nothing but its header
	}
	for i := range times {
		a, c, err := s.measured(o, expected, 20)
		if err != nil {
			return nil, err
		}
		if i < times-2 {
			continue
		}
		sum.Got += a.Got
		sum.Bytes += a.Bytes
		sum.Closed = a.Closed
		cpu += c
	}
	return figures(sum, cpu, 2*expected), nil
}

// once does something once, after a few messages that don't count.
func (r *runner) once(peer string, conns int, o order, flags ...string) (sample, error) {
	s, err := connected(peer, conns, 1, 1, false, flags...)
	if err != nil {
		return nil, err
	}
	defer s.close()
	warm := o
	warm.N = 10
	if _, _, err := s.measured(warm, 10*conns, 10); err != nil {
		return nil, err
	}
	a, cpu, err := s.measured(o, o.N*conns, 10)
	return figures(a, cpu, o.N*conns), err
}

func (r *runner) idle(peer string) (sample, error) {
	s, err := open(peer)
	if err != nil {
		return nil, err
	}
	defer s.close()
	before, err := s.server.do(order{Do: "settle"})
	if err != nil {
		return nil, err
	}
	n := r.of(9000)
	if _, err := s.load.do(order{Do: "connect", N: n, Topics: 1, Each: 1}); err != nil {
		return nil, err
	}
	after, err := s.server.do(order{Do: "settle"})
	kib := func(bytes int64) float64 { return float64(bytes) / 1024 / float64(n) }
	return sample{"heap and stack KiB each": kib(after.Heap - before.Heap), "resident KiB each": kib(after.RSS - before.RSS)}, err
}

func (r *runner) slow(peer string) (sample, error) {
	conns := r.of(500)
	s, err := connected(peer, conns, 1, 1, false)
	if err != nil {
		return nil, err
	}
	defer s.close()
	few := order{Do: "paced", N: r.of(80), Rate: 40, Size: 16 << 10, Topics: 1}
	if _, _, err := s.measured(few, few.N*conns, 10); err != nil { // it warms up
		return nil, err
	}
	without, _, err := s.measured(few, few.N*conns, 10)
	if err != nil {
		return nil, err
	}
	sockets := kernel()
	before, err := s.server.do(order{Do: "settle"})
	if err != nil {
		return nil, err
	}
	if _, err := s.load.do(order{Do: "slow", Percent: 30, Rate: 40_000}); err != nil {
		return nil, err
	}
	slow := conns * 30 / 100
	many := few
	many.N = r.of(800)
	if _, err := s.server.do(many); err != nil {
		return nil, err
	}
	beside, err := s.load.do(order{Do: "expect", N: many.N * (conns - slow), Healthy: true, Seconds: 10})
	if err != nil {
		return nil, err
	}
	sockets = kernel() - sockets
	after, err := s.server.do(order{Do: "settle"})
	if err != nil {
		return nil, err
	}
	if _, err := s.load.do(order{Do: "hurry"}); err != nil {
		return nil, err
	}
	late, err := s.load.do(order{Do: "expect", N: many.N*slow - int(beside.Slow), Seconds: 10})
	out := sample{
		"p99 ms without them": without.P99, "p99 ms beside them": beside.P99, "disconnected": float64(late.Closed),
		"MiB more, process": float64(after.RSS-before.RSS) / (1 << 20), "MiB more, kernel": float64(sockets) / (1 << 20),
	}
	if slow > 0 {
		out["the slow got %"] = 100 * float64(beside.Slow+late.Slow) / float64(many.N*slow)
	}
	return out, err
}

func (r *runner) deflate(peer string) (sample, error) {
	o := order{Do: "burst", N: 50, Size: 1024, Topics: 1}
	with, err := r.bursts(peer, o, r.of(500), 1, "deflate")
	if err != nil {
		return nil, err
	}
	without, err := r.bursts(peer, o, r.of(500), 1)
	with["times uncompressed"] = with[cpuColumn.name] / without[cpuColumn.name]
	return with, err
}

func (r *runner) publishers(peer string) (sample, error) {
	conns, n := r.of(1000), r.of(2000)
	s, err := connected(peer, conns, 1, 1, false)
	if err != nil {
		return nil, err
	}
	defer s.close()
	out := make(sample)
	for i, g := range []int{1, 1, 2, 8} {
		a, _, err := s.measured(order{Do: "burst", N: n, Size: 128, Topics: 1, Goroutines: g}, n*conns, 30)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			continue
		}
		p50, p99 := fmt.Sprint(g), fmt.Sprintf("p99, %d", g)
		if g == 1 {
			p50, p99 = "p50 µs a call, 1", "p99 µs, 1"
		}
		out[p50], out[p99] = a.Call50, a.Call99
	}
	return out, nil
}

func (r *runner) polling(peer string) (sample, error) {
	const prices = 50
	viewers, changes := r.of(500), r.of(200)
	s, err := connected(peer, viewers, prices, prices, false)
	if err != nil {
		return nil, err
	}
	defer s.close()
	prime := order{Do: "paced", N: prices, Rate: 100, Size: 64, Topics: prices} // all have a value
	if _, _, err := s.measured(prime, prices*viewers, 3); err != nil {
		return nil, err
	}
	o := order{Do: "paced", N: changes, Rate: 10, Size: 64, Topics: prices}
	begin := time.Now()
	a, cpu, err := s.measured(o, changes*viewers, 3)
	seconds := time.Since(begin).Seconds()
	return sample{
		"server CPU % of a core": 100 * cpu / 1e9 / seconds, "bytes a viewer a second": float64(a.Bytes) / float64(viewers) / seconds,
		"age p50 ms": a.P50, "age p99 ms": a.P99, "changes not seen": float64(changes*viewers) - float64(a.Got),
	}, err
}
