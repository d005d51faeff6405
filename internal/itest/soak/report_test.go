package soak

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// report writes what the soak has shown beside its package: a table and its curves.
func report(length time.Duration, clients int, seed uint64, l *load, base sample, curve []sample, end sample) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# A soak\n\nMade by `make soak`: %s with %d clients that come and go, subscribe, publish, stall, and are cut off. Seed %d.\n\n",
		length, clients, seed)
	fmt.Fprintf(&b, "%d connections, %d cut and %d stalled by their clients; %d messages published, %d received; %d gaps told of; %d errors.\n\n",
		end.Stats.Opened, l.cuts.Load(), l.stalls.Load(), l.published.Load(), l.received.Load(), end.Stats.Gaps, l.refused.Load())
	b.WriteString("![The curves](soak.svg)\n\nOf the process of the hub, the heap after a collection:\n\n")
	b.WriteString("| | connections | heap, MiB | RSS, MiB | goroutines | descriptors | log, entries |\n|---|---|---|---|---|---|---|\n")
	row := func(name string, s *sample) {
		fmt.Fprintf(&b, "| %s | %d | %.1f | %.1f | %d | %d | %d |\n", name, s.Stats.Conns, mib(s.Heap), mib(s.RSS), s.Goroutines, s.Files, s.Stats.LogEntries)
	}
	row("before, after a warm-up", &base)
	for i := range 10 {
		if k := (i + 1) * (len(curve) - 1) / 11; k < len(curve)-1 {
			row(fmt.Sprint("after ", curve[k].At.Round(time.Second)), &curve[k])
		}
	}
	row("at the end, when idempotency keys are still remembered", &curve[len(curve)-1])
	row("5 minutes later", &end)
	if err := os.WriteFile("../soak.md", []byte(b.String()), 0o644); err != nil {
		return err
	}
	return os.WriteFile("../soak.svg", []byte(draw(append(curve, end))), 0o644)
}

func mib(n uint64) float64 { return float64(n) / (1 << 20) }

// draw makes the curves, each between 0 and its maximum.
func draw(curve []sample) string {
	const width, height, left, gap = 640.0, 70.0, 90.0, 28.0
	curves := []struct {
		name, unit string
		of         func(*sample) float64
	}{
		{"connections", "", func(s *sample) float64 { return float64(s.Stats.Conns) }},
		{"heap", " MiB", func(s *sample) float64 { return mib(s.Heap) }},
		{"RSS", " MiB", func(s *sample) float64 { return mib(s.RSS) }},
		{"goroutines", "", func(s *sample) float64 { return float64(s.Goroutines) }},
		{"descriptors", "", func(s *sample) float64 { return float64(s.Files) }},
	}
	total := float64(len(curves)) * (height + gap)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="sans-serif" font-size="12">`+"\n"+
		`<rect width="100%%" height="100%%" fill="white"/>`+"\n", left+width+20, total+20)
	first, last := curve[0].At.Seconds(), curve[len(curve)-1].At.Seconds()
	for i, c := range curves {
		top, most := float64(i)*(height+gap)+10, 0.0
		for k := range curve {
			most = max(most, c.of(&curve[k]))
		}
		fmt.Fprintf(&b, `<text x="4" y="%.0f">%s</text><text x="4" y="%.0f" fill="#666">%.0f%s</text>`+"\n", top+12, c.name, top+28, most, c.unit)
		fmt.Fprintf(&b, `<path d="M%.0f %.0fh%.0f" stroke="#ccc"/><polyline fill="none" stroke="#1b6ac9" points="`, left, top+height, width)
		for k := range curve {
			x := left + width*(curve[k].At.Seconds()-first)/max(last-first, 1)
			fmt.Fprintf(&b, "%.1f,%.1f ", x, top+height-height*c.of(&curve[k])/max(most, 1))
		}
		b.WriteString(`"/>` + "\n")
	}
	fmt.Fprintf(&b, `<text x="%.0f" y="%.0f" fill="#666" text-anchor="end">%.0f s</text>`+"\n</svg>\n", left+width, total+10, last-first)
	return b.String()
}
