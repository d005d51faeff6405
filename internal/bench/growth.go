//go:build linux

package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// A curve is how one figure of hotline's grows with one quantity, over several points.
type curve struct {
	name, title, x, y string
	at                []int
	point             func(r *runner, n int) (float64, error)
	why               string // it bends where it does
}

var curves = []curve{
	{
		"subscribers", "One message at a time to the subscribers of a topic", "subscribers", "server CPU µs a delivery",
		[]int{1, 10, 100, 1000, 5000, 15000},
		func(r *runner, n int) (float64, error) {
			s, err := r.once("hotline", n, order{Do: "paced", N: 40, Rate: 20, Size: 128, Topics: 1})
			return s[cpuColumn.name], err
		},
		"It falls while more subscribers share what waking the process costs, half a millisecond a message where nothing else happens for 50 ms. From 1,000 on it is one system call each. At 15,000 a message to all takes longer than the 50 ms to the next one, so that several go into one write.",
	},
	{
		"burst", "A burst of 50 messages to the subscribers of a topic", "subscribers", "server CPU µs a delivery",
		[]int{1, 10, 100, 1000, 5000, 15000},
		func(r *runner, n int) (float64, error) {
			s, err := r.bursts("hotline", order{Do: "burst", N: 50, Size: 128, Topics: 1}, n, 1)
			return s[cpuColumn.name], err
		},
		"It falls as long as a burst is over before the shards have woken, and is flat from 1,000 on: one write a connection, for 50 messages.",
	},
	{
		"publish", "Publish, called 2,000 times in a row by one goroutine", "subscribers", "µs a call",
		[]int{0, 1, 10, 100, 1000, 5000, 15000},
		func(r *runner, n int) (float64, error) {
			return r.publishes(order{Do: "burst", N: 2000, Size: 128, Topics: 1, Goroutines: 1}, n, 1)
		},
		"It does not depend on the subscribers: the log is appended to, and the shards follow it. What is seen here is noise.",
	},
	{
		"topics", "Publish to so many topics, which 100 connections have subscribed to 10 of", "topics", "µs a call",
		[]int{1, 1000, 10_000, 100_000, 1_000_000},
		func(r *runner, n int) (float64, error) {
			return r.publishes(order{Do: "burst", N: max(n, 50_000), Size: 128, Topics: n, Goroutines: 1}, min(n, 100), min(n, 10))
		},
		"A map of interned names, and a list of entries for each. It grows slowly as they outgrow the caches; of 1,000,000 topics the log of 64 MiB holds the last few hundred thousand messages only, so most topics are made again each time.",
	},
	{
		"patterns", "20,000 messages to so many patterns, one of which matches each", "patterns", "server CPU µs a delivery",
		[]int{1, 100, 1000, 10_000, 100_000},
		func(r *runner, n int) (float64, error) {
			each := min(n, 100)
			s, err := r.bursts("hotline", order{Do: "burst", N: 20_000, Size: 128, Topics: n, Wild: true}, n/each, each)
			return s[cpuColumn.name], err
		},
		"A trie: what matching costs does not depend on the patterns that don't match. Each message goes to one connection here, so most of the figure are its writes, which join little.",
	},
	{
		"size", "A burst of 20 messages to 200 connections", "bytes of a payload", "server CPU µs a delivery",
		[]int{32, 128, 512, 2048, 8192, 32768, 65536},
		func(r *runner, n int) (float64, error) {
			s, err := r.bursts("hotline", order{Do: "burst", N: 20, Size: n, Topics: 1}, 200, 1)
			return s[cpuColumn.name], err
		},
		"It doubles from 32 bytes to 2 KiB, where the system call is most of the cost, and is in proportion to the bytes from 8 KiB on, which the kernel copies. From 8 KiB on the 20 messages are more than a window of 64 KiB, and a connection takes several writes.",
	},
}

// publishes is the median of what a call of Publish takes, in µs.
func (r *runner) publishes(o order, conns, each int) (float64, error) {
	s, err := connected("hotline", conns, o.Topics, each, o.Wild)
	if err != nil {
		return 0, err
	}
	defer s.close()
	if _, _, err := s.measured(o, o.N*conns*each/o.Topics, 30); err != nil { // topics are new only once
		return 0, err
	}
	a, _, err := s.measured(o, o.N*conns*each/o.Topics, 30)
	return a.Call50, err
}

// grow writes a table and a chart of each curve to a folder.
func (r *runner) grow(dir string) error {
	var md strings.Builder
	md.WriteString(machine() + fmt.Sprintf(". Loopback; medians of %d.\n", r.rounds))
	for _, c := range curves {
		values := make([]float64, len(c.at))
		for i, n := range c.at {
			fmt.Fprintf(os.Stderr, "%s: %d %s\n", c.name, n, c.x)
			var samples []float64
			for range r.rounds {
				v, err := c.point(r, n)
				if err != nil {
					return fmt.Errorf("%s at %d: %w", c.name, n, err)
				}
				samples = append(samples, v)
			}
			values[i] = median(samples)
		}
		fmt.Fprintf(&md, "\n### %s\n\n![%s](growth-%s.svg)\n\n%s\n\n| %s | %s |\n|---:|---:|\n", c.title, c.title, c.name, c.why, c.x, c.y)
		for i, n := range c.at {
			fmt.Fprintf(&md, "| %d | %.3g |\n", n, values[i])
		}
		if err := os.WriteFile(filepath.Join(dir, "growth-"+c.name+".svg"), []byte(c.svg(values)), 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, "growth.md"), []byte(md.String()), 0o644)
}

// svg draws the values over the logarithm of what they grow with.
func (c curve) svg(values []float64) string {
	const left, top, width, height = 56, 40, 420, 160
	highest := 0.0
	for _, v := range values {
		highest = max(highest, v)
	}
	x := func(n int) float64 {
		first, last := math.Log1p(float64(c.at[0])), math.Log1p(float64(c.at[len(c.at)-1]))
		return left + width*(math.Log1p(float64(n))-first)/(last-first)
	}
	y := func(v float64) float64 { return top + height*(1-v/(1.1*highest)) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="system-ui, sans-serif" font-size="12" role="img" aria-label="%s">`+"\n",
		left+width+90, top+height+40, c.title)
	b.WriteString(`<style>text{fill:#57606a}.axis{fill:none;stroke:#d0d7de}.line{fill:none;stroke:#0a7d5a;stroke-width:2}circle{fill:#0a7d5a}@media(prefers-color-scheme:dark){text{fill:#9aa4af}.axis{stroke:#444c56}}</style>` + "\n")
	fmt.Fprintf(&b, `<text x="0" y="16">%s: %s</text><path class="axis" d="M%d %dV%dH%d"/>`+"\n", c.title, c.y, left, top, top+height, left+width)
	var path strings.Builder
	for i, n := range c.at {
		op := "L"
		if i == 0 {
			op = "M"
		}
		fmt.Fprintf(&path, "%s%.1f %.1f", op, x(n), y(values[i]))
		fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="3"/><text x="%.1f" y="%.1f" text-anchor="middle">%.3g</text><text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n",
			x(n), y(values[i]), x(n), y(values[i])-8, values[i], x(n), top+height+16, short(n))
	}
	fmt.Fprintf(&b, `<path class="line" d="%s"/><text x="%d" y="%d" text-anchor="end">%s</text>`+"\n</svg>\n", path.String(), left+width, top+height+32, c.x)
	return b.String()
}

// short writes a number for an axis.
func short(n int) string {
	switch {
	case n >= 1000_000 && n%1000_000 == 0:
		return fmt.Sprintf("%dM", n/1000_000)
	case n >= 1000 && n%1000 == 0:
		return fmt.Sprintf("%dk", n/1000)
	case n >= 1024 && n%1024 == 0:
		return fmt.Sprintf("%dKi", n/1024)
	}
	return fmt.Sprint(n)
}
