package interop

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

// table is what the run found: a column a client, a row a feature.
type table struct {
	mu      sync.Mutex
	columns []*column
}

type column struct {
	c     *client
	cells map[string]cell
}

type cell struct {
	ok, na bool
	notes  []string
}

func newTable() *table { return &table{} }

func (tb *table) column(c *client) *column {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	col := &column{c: c, cells: make(map[string]cell)}
	tb.columns = append(tb.columns, col)
	return col
}

// add is called by one goroutine a column.
func (col *column) add(feature string, c cell) { col.cells[feature] = c }

// write writes the table to interop.md, if it was asked for.
func (tb *table) write(t *testing.T) {
	if os.Getenv("HOTLINE_TABLE") != "1" {
		return
	}
	if err := os.WriteFile("../interop.md", []byte(tb.markdown()), 0o644); err != nil {
		t.Error(err)
	}
}

func (tb *table) markdown() string {
	order := clients()
	slices.SortFunc(tb.columns, func(a, b *column) int {
		at := func(c *client) int { return slices.IndexFunc(order, func(o *client) bool { return o.name == c.name }) }
		return at(a.c) - at(b.c)
	})
	var b, foot strings.Builder
	numbers := map[string]int{}
	mark := func(c cell, ran bool) string {
		text := "✗"
		switch {
		case !ran:
			text = "not run"
		case c.ok && c.na:
			text = "–"
		case c.ok:
			text = "✓"
		}
		for i, note := range c.notes {
			if numbers[note] == 0 {
				numbers[note] = len(numbers) + 1
				fmt.Fprintf(&foot, "%d. %s\n", numbers[note], note)
			}
			sep := " "
			if i > 0 {
				sep = ","
			}
			text += fmt.Sprintf("%s<sup>%d</sup>", sep, numbers[note])
		}
		return text
	}
	b.WriteString(preface)
	names, versions, rule := "| |", "| |", "|---|"
	for _, col := range tb.columns {
		names += " " + col.c.name + " |"
		versions += " " + col.c.about + " |"
		rule += "---|"
	}
	fmt.Fprintf(&b, "%s\n%s\n%s\n", names, rule, versions)
	for _, f := range features {
		fmt.Fprintf(&b, "| %s |", f.name)
		for _, col := range tb.columns {
			c, ran := col.cells[f.name]
			fmt.Fprintf(&b, " %s |", mark(c, ran))
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "\n%s", foot.String())
	return b.String()
}

const preface = `# Clients that others wrote

Made by ` + "`make interop`" + `: each of these WebSocket clients has spoken ` + "`hotline.v1`" + ` with a hub on loopback, and [the tests](interop)
have judged what it reported and what passed on the wire. ✓: all assertions held. –: it does not apply, for the reason given
below. ✗: it failed. Of the close codes those that a hub sends by itself to a client that reads and sends sound frames were brought
about, the others sent with ` + "`Conn.Close`" + `.

`
