package interop

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A sabotage has clients report something else than what they have received, when HOTLINE_SABOTAGE is its name. The tests must
// not pass then: a judge that can't say no is none.
type sabotage struct {
	name    string
	feature string                       // where it must show
	kind    string                       // of the events that it is about
	do      func(n int, e event) []event // what is reported of the n-th of a connection
}

var sabotages = []sabotage{
	{"drop one message", "1,000 messages in order", evText, func(n int, e event) []event {
		if n == 500 {
			return nil
		}
		return []event{e}
	}},
	{"one message twice", "1,000 messages in order", evText, func(n int, e event) []event {
		if n == 500 {
			return []event{e, e}
		}
		return []event{e}
	}},
	{"a message of before the cut again", "resume after a cut: nothing lost, nothing twice", evText, repeatAfterResume()},
	{"swap two messages", "1,000 messages in order", evText, swap()},
	{"one character less", "publish: the answer, and the message", evText, func(n int, e event) []event {
		e.data = strings.Replace(e.data, "ž", "", 1)
		return []event{e}
	}},
	{"another byte", "binary payloads both ways", evBinary, func(n int, e event) []event {
		e.data = strings.Replace(e.data, "\xfe", "\xff", 1)
		return []event{e}
	}},
	{"text for bytes", "plain: messages both ways", evBinary, func(n int, e event) []event {
		e.kind = evText
		return []event{e}
	}},
	{"another close code", "every close code, with its reason", evClose, func(n int, e event) []event {
		e.code++
		return []event{e}
	}},
	{"no reason", "every close code, with its reason", evClose, func(n int, e event) []event {
		e.data = ""
		return []event{e}
	}},
	{"another status", "refused over HTTP: 400, 403, 500, 503", evRefused, func(n int, e event) []event {
		e.code = 404
		return []event{e}
	}},
	{"another subprotocol", "hello, welcome, and a subscription", evOpen, func(n int, e event) []event {
		e.data = "chat.v9"
		return []event{e}
	}},
}

// repeatAfterResume repeats the last message that came before a cut.
func repeatAfterResume() func(int, event) []event {
	var last event
	return func(n int, e event) []event {
		again := last
		last = e
		if strings.Contains(e.data, `"op":"welcome"`) && strings.Contains(again.data, `"id"`) {
			return []event{e, again}
		}
		return []event{e}
	}
}

// swap holds one message back until the next has been reported.
func swap() func(int, event) []event {
	var held event
	return func(n int, e event) []event {
		switch n {
		case 500:
			held = e
			return nil
		case 501:
			return []event{e, held}
		}
		return []event{e}
	}
}

// sabotaged returns report, or what HOTLINE_SABOTAGE makes of it. It is called for one client, and for one connection after
// the other.
func sabotaged(report func(event)) func(event) {
	name := os.Getenv("HOTLINE_SABOTAGE")
	i := slices.IndexFunc(sabotages, func(s sabotage) bool { return s.name == name })
	if i < 0 {
		return report
	}
	n := 0
	return func(e event) {
		if e.kind != sabotages[i].kind {
			report(e)
			return
		}
		n++
		for _, e := range sabotages[i].do(n, e) {
			report(e)
		}
	}
}

// TestSabotage runs the feature that each sabotage is about, without it and with it.
func TestSabotage(t *testing.T) {
	if os.Getenv("HOTLINE_SABOTAGE") != "" {
		t.Fatal("a sabotage of a sabotage")
	}
	// verdict is PASS or FAIL.
	verdict := func(t *testing.T, sabotage, feature string) string {
		name := strings.ReplaceAll(feature, " ", "_")
		cmd := exec.Command(os.Args[0], "-test.run", "^TestClients$/^coder$/^"+regexp.QuoteMeta(name)+"$", "-test.v")
		cmd.Env = append(os.Environ(), "HOTLINE_TABLE=", "HOTLINE_SABOTAGE="+sabotage)
		out, _ := cmd.CombinedOutput()
		_, after, found := strings.Cut(string(out), ": TestClients/coder/"+name+" (")
		if !found || strings.Contains(after, "panic:") {
			t.Fatalf("%q came to no end: %s", feature, out)
		}
		before, _, _ := strings.Cut(string(out), ": TestClients/coder/"+name+" (")
		return before[len(before)-len("PASS"):]
	}
	for _, s := range sabotages {
		t.Run(s.name, func(t *testing.T) {
			if got := verdict(t, "", s.feature); got != "PASS" {
				t.Errorf("%q without any sabotage: %s", s.feature, got)
			}
			if got := verdict(t, s.name, s.feature); got != "FAIL" {
				t.Errorf("%q: %s", s.feature, got)
			}
		})
	}
}
