package oracle

import (
	"strings"
	"testing"
)

// Each of these breaks one promise. What breaks between a hub and a client is in the root's TestOracleFails.
func TestVerdict(t *testing.T) {
	type step func(o *Oracle, l *Sub)
	publish := func(data, id string) step {
		return func(o *Oracle, _ *Sub) { o.Attempt("a", data); o.Accepted("a", data, id) }
	}
	begin := func(_ *Oracle, l *Sub) { l.Begin("", 0); l.OK("1.7") }
	message := func(data, id string) step { return func(_ *Oracle, l *Sub) { l.Message("a", id, data) } }
	missing := func(before string, n int) step { return func(_ *Oracle, l *Sub) { l.Missing(before, n) } }
	for _, tt := range []struct {
		name  string
		want  string // "" if nothing is wrong
		whole bool
		steps []step
	}{
		{"all is well", "", true, []step{begin, publish("x", "2.1"), message("x", "2.1"), publish("y", "3.1"), message("y", "3.1")}},
		{"a gap", "", false, []step{begin, publish("x", "2.1"), publish("y", "3.1"), missing("3.1", 1), message("y", "3.1")}},
		{"begun earlier than it knew", "", true, []step{
			publish("x", "2.1"), func(_ *Oracle, l *Sub) { l.Begin("", 0); l.OK("2.1"); l.BeginsBefore("2.1") }, message("x", "2.1"),
		}},
		{"ended", "", true, []step{begin, func(_ *Oracle, l *Sub) { l.Finish() }, publish("x", "2.1")}},
		{"not yet shown", "lost: 1 ", true, []step{begin, publish("x", "2.1")}},
		{"passed over", "lost: 1 ", true, []step{begin, publish("x", "2.1"), publish("y", "3.1"), message("y", "3.1")}},
		{"acked and never seen", "lost: x ", true, []step{func(o *Oracle, _ *Sub) { o.Attempt("a", "x"); o.Acked("x") }}},
		{"acked and seen", "", true, []step{begin, func(o *Oracle, _ *Sub) { o.Attempt("a", "x"); o.Acked("x") }, message("x", "2.1")}},
		{"twice", "duplicated", true, []step{begin, publish("x", "2.1"), message("x", "2.1"), message("x", "2.1")}},
		{"stored twice", "duplicated", true, []step{begin, publish("x", "2.1"), message("x", "2.1"), message("x", "3.1")}},
		{"out of order", "reordered", true, []step{begin, publish("x", "2.1"), publish("y", "3.1"), message("y", "3.1"), message("x", "2.1")}},
		{"never published", "unexpected", true, []step{begin, message("x", "2.1")}},
		{"another's", "unexpected", true, []step{func(o *Oracle, _ *Sub) {
			l := o.Sub("another", "b.*")
			l.Begin("", 0)
			l.OK("1.7")
			o.Attempt("a", "x")
			l.Message("a", "2.1", "x")
		}}},
		{"nothing is missing, and a publish failed", "false gap", false, []step{
			func(o *Oracle, _ *Sub) { o.Witnessed = true; o.Attempt("a", "failed") },
			begin, publish("x", "2.1"), missing("2.1", 1), message("x", "2.1"),
		}},
		{"nothing is missing", "false gap", false, []step{begin, publish("x", "2.1"), missing("2.1", 1), message("x", "2.1")}},
		{"a log that has everything", "a gap, but", true, []step{begin, publish("x", "2.1"), publish("y", "3.1"), missing("3.1", 1), message("y", "3.1")}},
		{"too many", "says 2, but only 1", false, []step{begin, publish("x", "2.1"), publish("y", "3.1"), missing("3.1", 2), message("y", "3.1")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := New()
			o.Whole = tt.whole
			l := o.Sub("somebody", "*")
			for _, f := range tt.steps {
				f(o, l)
			}
			got := strings.Join(o.Verdict(), "\n")
			if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("the oracle says %q, want %q", got, tt.want)
			}
		})
	}
}

// Of two hubs one after the other the second knows no position of the first: a gap there is none too many.
func TestVerdictOverRestart(t *testing.T) {
	for _, told := range []bool{true, false} {
		o := New()
		o.Whole = true
		l := o.Sub("somebody", "*")
		o.NextLife("1.7")
		l.Begin("", 0)
		l.OK("1.7")
		o.Attempt("a", "x")
		o.Accepted("a", "x", "2.7") // the first ends before it is sent
		o.NextLife("1.8")
		o.Attempt("a", "y")
		o.Accepted("a", "y", "2.8")
		if told {
			l.Missing("2.8", 1)
		}
		l.Message("a", "2.8", "y")
		if got := o.Verdict(); (len(got) == 0) != told {
			t.Errorf("told: %v, the oracle says %q", told, got)
		}
		if n := o.Counts(); n.Attempted != 2 || n.Accepted != 2 || n.Stored != 2 || n.Delivered != 1 {
			t.Errorf("counts %+v", n)
		}
	}
}
