package faults

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/gohotline/hotline/internal/oracle"
)

// row is what one run has come to.
type row struct {
	order      int // in the table
	fault      string
	faults     int // that were made
	reconnects int
	counts     oracle.Counts
	failures   []string
}

// row asks the oracle.
func (a *app) row() *row {
	r := &row{fault: a.name, faults: int(a.faults.Load()), failures: a.o.Verdict()}
	r.counts = a.o.Counts()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range a.clients {
		r.reconnects += c.reconnects
	}
	return r
}

// broken are the promises, by the words that the oracle has for what breaks them.
var broken = []struct {
	title string
	words []string
}{
	{"lost", []string{"lost:"}},
	{"duplicated", []string{"duplicated:"}},
	{"reordered", []string{"reordered:"}},
	{"unexpected", []string{"unexpected:"}},
	{"false gaps", []string{"false gap:", "a gap, but", "a gap says", "a gap up to"}},
	{"wrong State", []string{"State:"}},
}

// count is how many failures have one of the words.
func (r *row) count(words ...string) (n int) {
	for _, f := range r.failures {
		line, _, _ := strings.Cut(f, "\n")
		if slices.ContainsFunc(words, func(word string) bool { return strings.Contains(line, word) }) {
			n++
		}
	}
	return n
}

var table struct {
	sync.Mutex
	rows []*row
}

// check fails the test for every broken promise, and puts r into the table.
func (a *app) check(order int, r *row) {
	a.t.Helper()
	for _, f := range r.failures {
		a.t.Error(f)
	}
	if r.counts.Delivered == 0 {
		a.t.Error("nothing was delivered: there is nothing to judge")
	}
	if a.t.Failed() {
		a.t.Logf("repeat with make faults SEED=%d", seed)
	}
	a.t.Logf("%v, %d accepted, %d faults, %d reconnects", r.counts, r.counts.Accepted, r.faults, r.reconnects)
	r.order = order
	table.Lock()
	defer table.Unlock()
	table.rows = append(table.rows, r)
	if os.Getenv("HOTLINE_TABLE") == "" {
		return
	}
	slices.SortFunc(table.rows, func(a, b *row) int {
		return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.fault, b.fault))
	})
	if err := os.WriteFile("../faults.md", []byte(markdown(table.rows)), 0o644); err != nil {
		a.t.Error(err)
	}
}

// markdown is the table.
func markdown(rows []*row) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# Faults and promises

Made by `+"`make faults FAULTS_TIME=%v SEED=%d`"+`, over real sockets. In each run server code and several Go clients publish, and
clients subscribe, while the faults last and after them. Accepted is what was answered; delivered counts all subscriptions.
The columns from "lost" on are what the oracle has against the hub and the client: all must be zero. A gap says that messages
are missing, and where; a log of 64 KiB forgets some on purpose, the others none. Missed is what clients were told, at least so
many; missing is what the oracle knows of it. TestSabotage is the control: there one
message is kept from one client, and the oracle has to find it.

| fault | faults made | reconnects | attempted | accepted | delivered | gaps | missed | missing |`, length, seed)
	for _, p := range broken {
		fmt.Fprintf(&b, " %s |", p.title)
	}
	b.WriteString("\n|---|" + strings.Repeat("---:|", 8+len(broken)) + "\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %d | %d | %d | %d |", r.fault, r.faults, r.reconnects, r.counts.Attempted,
			r.counts.Accepted, r.counts.Delivered, r.counts.Gaps, r.counts.Missed, r.counts.Missing)
		for _, p := range broken {
			fmt.Fprintf(&b, " %d |", r.count(p.words...))
		}
		b.WriteString("\n")
	}
	return b.String()
}
