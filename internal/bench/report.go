//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
)

// markdown is a table a workload.
func markdown(results []result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s. Loopback, server and load on the same machine; server CPU is user and system time of the server's "+
		"process. Medians, and the worst round of what was lost or disconnected; the ratios in brackets are to hotline's figure.\n", machine())
	for _, r := range results {
		fmt.Fprintf(&b, "\n### %s\n\n|", r.work.title)
		rounds := 0
		for _, s := range r.samples {
			rounds = max(rounds, len(s))
		}
		for _, c := range r.work.columns {
			fmt.Fprintf(&b, " | %s", c.name)
		}
		b.WriteString(" |\n|---|" + strings.Repeat("---:|", len(r.work.columns)) + "\n")
		for _, name := range peerNames() {
			if len(r.samples[name]) == 0 {
				continue
			}
			fmt.Fprintf(&b, "| %s", name)
			for _, c := range r.work.columns {
				b.WriteString(" | " + r.cell(name, c))
			}
			b.WriteString(" |\n")
		}
		fmt.Fprintf(&b, "\nMedians of %d.\n", rounds)
	}
	return b.String()
}

func (r result) cell(name string, c column) string {
	v, ok := r.figure(name, c.name)
	if !ok || math.IsNaN(v) {
		return ""
	}
	text := fmt.Sprintf(c.format, v)
	if base, ok := r.figure("hotline", c.name); ok && c.ratio && name != "hotline" && base > 0 {
		text += fmt.Sprintf(" (%.2f)", v/base)
	}
	return text
}

// machine says where the figures are from, and of which versions.
func machine() string {
	model := runtime.GOARCH
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	var u syscall.Utsname
	_ = syscall.Uname(&u)
	var release []byte
	for _, c := range u.Release {
		if c == 0 {
			break
		}
		release = append(release, byte(c))
	}
	var versions []string
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			name := m.Path[strings.LastIndex(m.Path, "/")+1:]
			for _, lib := range []string{"centrifugal/centrifuge", "gorilla/websocket", "olahol/melody", "lxzan/gws", "lesismal/nbio", "coder/websocket"} {
				if m.Path == "github.com/"+lib {
					if name == "websocket" {
						name = lib
					}
					versions = append(versions, name+" "+m.Version)
				}
			}
		}
	}
	for _, name := range []string{"ws", "socket.io"} {
		var p struct{ Version string }
		if b, err := os.ReadFile("node/node_modules/" + name + "/package.json"); err == nil && json.Unmarshal(b, &p) == nil {
			versions = append(versions, name+" "+p.Version)
		}
	}
	if out, err := exec.Command("node", "--version").Output(); err == nil {
		versions = append(versions, "Node "+strings.TrimSpace(string(out)))
	}
	slices.Sort(versions)
	parts := strings.SplitN(string(release), ".", 3)
	return fmt.Sprintf("%d cores, %s, Linux %s, %s; %s", runtime.NumCPU(), model, strings.Join(parts[:min(2, len(parts))], "."), runtime.Version(), strings.Join(versions, ", "))
}

// chart is an SVG of what a delivery costs in a burst.
func chart(results []result) string {
	i := slices.IndexFunc(results, func(r result) bool { return r.work.name == "burst" })
	if i < 0 {
		return ""
	}
	r := results[i]
	const row, left, width = 26, 150, 420
	var names []string
	top := 0.0
	for _, name := range peerNames() {
		if v, ok := r.figure(name, cpuColumn.name); ok {
			names = append(names, name)
			top = max(top, v)
		}
	}
	var b strings.Builder
	height := row*len(names) + 40
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="system-ui, sans-serif" font-size="13" role="img" aria-label="%s">`+"\n",
		left+width+90, height, r.work.title)
	b.WriteString(`<style>text{fill:#57606a}.us{fill:#0a7d5a}.peer{fill:#9aa4af}.floor{fill:#d0d7de}@media(prefers-color-scheme:dark){text{fill:#9aa4af}.floor{fill:#444c56}}</style>` + "\n")
	fmt.Fprintf(&b, `<text x="0" y="16">Server CPU a delivery, µs: %s</text>`+"\n", strings.ToLower(r.work.title[:1])+r.work.title[1:])
	for i, name := range names {
		v, _ := r.figure(name, cpuColumn.name)
		class := "peer"
		switch {
		case name == "hotline":
			class = "us"
		case peers[name].floor:
			class = "floor"
		}
		y := 34 + row*i
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text><rect class="%s" x="%d" y="%d" width="%.1f" height="16" rx="2"/><text x="%.1f" y="%d">%.2f</text>`+"\n",
			left-10, y+13, name, class, left, y, math.Max(1, width*v/top), left+width*v/top+8, y+13, v)
	}
	b.WriteString("</svg>\n")
	return b.String()
}
