package eventlog

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// set stores a number as the value of a topic, or clears it if n is negative.
func set(t testing.TB, l *Log, topic string, n int, now time.Time) *Value {
	t.Helper()
	v, _, err := l.Set(&Set{Topic: topic, Data: fmt.Append(nil, n), Gone: n < 0, When: now})
	if err != nil {
		t.Fatalf("set %s: %v", topic, err)
	}
	return v
}

// changes reads on from a change until nothing is left, and returns it in words; "reset" ends it.
func changes(t testing.TB, l *Log, f *Filter, after, present uint64) (got []string, upTo uint64) {
	t.Helper()
	for {
		u := l.Changes(f, after, present, 1, nil)
		for _, v := range u.Values {
			word := v.Topic.Name + "=" + string(v.Payload())
			if v.Gone {
				word = v.Topic.Name + " gone"
			}
			got = append(got, word)
		}
		if u.Reset {
			return append(got, "reset"), u.UpTo
		}
		if after = u.UpTo; u.Done {
			return got, after
		}
	}
}

func TestChanges(t *testing.T) {
	l := small(nil)
	set(t, l, "price.a", 1, epoch)
	set(t, l, "price.b", 2, epoch)
	set(t, l, "score.a", 3, epoch)
	a := filter(exact(l, "price.a"))
	prices := filter(wild("price.*"))
	got, at := changes(t, l, prices, 0, l.Changed())
	if diff := cmp.Diff([]string{"price.a=1", "price.b=2"}, got); diff != "" || at != 3 {
		t.Fatalf("all: up to %d, -want +got\n%s", at, diff)
	}
	set(t, l, "price.a", 4, epoch)
	set(t, l, "price.a", 5, epoch)
	set(t, l, "price.b", -1, epoch)
	set(t, l, "price.c", 6, epoch)
	for _, tt := range []struct {
		name           string
		f              *Filter
		after, present uint64
		want           []string
	}{
		{"from the beginning", prices, 0, l.Changed(), []string{"price.a=5", "price.c=6"}},
		{"from there", prices, at, 0, []string{"price.a=5", "price.b gone", "price.c=6"}},
		{"a topic", a, at, 0, []string{"price.a=5"}},
		{"both", filter(wild("score.>"), exact(l, "price.c")), 0, 0, []string{"score.a=3", "price.c=6"}},
		{"nothing", a, l.Changed(), 0, nil},
	} {
		got, at := changes(t, l, tt.f, tt.after, tt.present)
		if diff := cmp.Diff(tt.want, got); diff != "" || at != l.Changed() {
			t.Errorf("%s: up to %d of %d, -want +got\n%s", tt.name, at, l.Changed(), diff)
		}
	}
	if v := set(t, l, "price.b", -1, epoch); v != nil {
		t.Errorf("clearing what has no value makes %v", v)
	}
	if v := l.Value("price.a"); string(v.Payload()) != "5" || v.Rev != (Pos{Seq: 5, Tag: 7}) {
		t.Errorf("price.a is %s, %v", v.Payload(), v.Rev)
	}
	if l.Value("price.b") != nil || l.Value("nothing") != nil || len(l.Values("price.*")) != 2 {
		t.Error("a cleared topic has a value")
	}
}

// TestTombstones lets readers read on after one was forgotten: who may need it begins again, nobody else does.
func TestTombstones(t *testing.T) {
	l := small(nil)
	f := filter(wild("here.*"))
	set(t, l, "here.a", 1, epoch)
	set(t, l, "here.b", 2, epoch)
	set(t, l, "here.a", -1, epoch)
	present := l.Changed() // a reader begins here
	set(t, l, "here.c", 3, epoch)
	l.Expire(epoch.Add(l.opts.Tombstones - 1))
	if got, _ := changes(t, l, f, 1, 0); !cmp.Equal(got, []string{"here.b=2", "here.a gone", "here.c=3"}) {
		t.Errorf("a tombstone that is young: %q", got)
	}
	l.Expire(epoch.Add(l.opts.Tombstones))
	for _, tt := range []struct {
		name           string
		after, present uint64
		want           []string
	}{
		{"before it", 1, 0, []string{"reset"}},
		{"at it", present, 0, []string{"here.c=3"}},
		{"begun after it", 0, present, []string{"here.b=2", "here.c=3"}},
		{"begun after it, midway", 2, present, []string{"here.c=3"}},
		{"begun before it, without having read", 0, 1, []string{"here.b=2", "here.c=3"}},
		{"begun before it, midway", 1, 1, []string{"reset"}},
	} {
		if got, _ := changes(t, l, f, tt.after, tt.present); !cmp.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	if l.Topics() != 2 {
		t.Errorf("%d topics are left, want 2", l.Topics())
	}
}

func TestValuesExpire(t *testing.T) {
	rows := map[string]*Row{"short": {State: true, MaxAge: 10 * time.Second}, "long": {State: true, MaxAge: time.Minute}}
	var live []string
	l := small(func(o *Options) {
		o.Row = rowsOf(rows)
		o.Live = func(_ uint64, m Live) { live = append(live, fmt.Sprintf("%s %t", m.Topic.Name, m.Value.Gone)) }
	})
	set(t, l, "short.a", 1, epoch)
	set(t, l, "short.b", 1, epoch)
	set(t, l, "long.a", 1, epoch)
	set(t, l, "ever.a", 1, epoch)
	set(t, l, "short.a", 2, epoch.Add(5*time.Second))
	live = nil
	steps := []struct {
		after time.Duration
		want  []string
	}{
		{9 * time.Second, nil}, {10 * time.Second, []string{"short.b true"}}, {15 * time.Second, []string{"short.a true"}},
		{59 * time.Second, nil}, {time.Minute, []string{"long.a true"}}, {time.Hour, nil},
	}
	for _, tt := range steps {
		live = nil
		l.Expire(epoch.Add(tt.after))
		if diff := cmp.Diff(tt.want, live); diff != "" {
			t.Errorf("after %s: -want +got\n%s", tt.after, diff)
		}
	}
	if n := l.Topics(); n != 1 {
		t.Errorf("%d topics are left, want 1", n)
	}
	if z := l.Size(); z.Values != 1 || z.StateBytes != l.Value("ever.a").cost() {
		t.Errorf("%+v", z)
	}
}

// TestExpireGivesWay clears more than one piece of work's values: the lock is free between two of them.
func TestExpireGivesWay(t *testing.T) {
	l := small(func(o *Options) { o.Row = func(string) *Row { return &Row{State: true, MaxAge: time.Second} } })
	row := &Row{State: true, MaxAge: time.Second}
	l.opts.Row = func(string) *Row { return row }
	for i := range 3 * expireValues {
		set(t, l, fmt.Sprint("a.", i), i, epoch)
	}
	if _, more := l.expire(epoch.Add(time.Second)); !more || l.Size().Values != 2*expireValues {
		t.Errorf("one piece leaves %d values, want %d", l.Size().Values, 2*expireValues)
	}
	l.Expire(epoch.Add(time.Second))
	if l.Size().Values != 0 {
		t.Errorf("%d values are left", l.Size().Values)
	}
	if _, more := l.expire(epoch.Add(time.Hour)); !more {
		t.Error("all tombstones were forgotten in one piece")
	}
	if l.Expire(epoch.Add(time.Hour)); l.Topics() != 0 {
		t.Errorf("%d topics are left", l.Topics())
	}
}

func TestStateLimits(t *testing.T) {
	l := small(func(o *Options) { o.Values, o.StateBytes = 3, 8<<10 })
	for i := range 3 {
		set(t, l, fmt.Sprint("a.", i), i, epoch)
	}
	if _, _, err := l.Set(&Set{Topic: "a.3", Data: []byte("1"), When: epoch}); !errors.Is(err, ErrTopics) {
		t.Errorf("a value too many: %v, want %v", err, ErrTopics)
	}
	if l.Topics() != 3 {
		t.Errorf("a refused value's topic is held: %d", l.Topics())
	}
	big := []byte(`"` + strings.Repeat("x", 4<<10) + `"`)
	if _, _, err := l.Set(&Set{Topic: "a.1", Data: big, When: epoch}); err != nil {
		t.Error(err)
	}
	if _, _, err := l.Set(&Set{Topic: "a.2", Data: big, When: epoch}); !errors.Is(err, ErrFull) {
		t.Errorf("too many bytes: %v, want %v", err, ErrFull)
	}
	if string(l.Value("a.2").Payload()) != "2" {
		t.Error("a refused value has changed the topic")
	}
	for i := range 3 {
		set(t, l, fmt.Sprint("a.", i), -1, epoch)
	}
	if z := l.Size(); z.Values != 0 || z.StateBytes == 0 {
		t.Errorf("after clearing: %+v", z)
	}
}

// TestTombstonesAreBounded clears one topic after the other: their tombstones take no room from values, and there are
// not more of them than there may be values.
func TestTombstonesAreBounded(t *testing.T) {
	l := small(func(o *Options) { o.Values, o.StateBytes = 50, 16<<10 })
	f := filter(wild("a.*"))
	set(t, l, "a.first", 1, epoch)
	for i := range 1000 {
		set(t, l, fmt.Sprint("a.", i), i, epoch)
		set(t, l, fmt.Sprint("a.", i), -1, epoch)
		if n := l.Topics(); n > 51 || l.Size().StateBytes > 16<<10 {
			t.Fatalf("after %d: %d topics, %d bytes", i, n, l.Size().StateBytes)
		}
	}
	if got, _ := changes(t, l, f, 1, 0); !cmp.Equal(got, []string{"reset"}) {
		t.Errorf("who has read little: %d words, want a reset", len(got))
	}
	if got, _ := changes(t, l, f, l.Changed()-4, 0); !cmp.Equal(got, []string{"a.998 gone", "a.999 gone"}) {
		t.Errorf("who has read nearly everything: %q", got)
	}
	if len(l.state.changes) > 300 {
		t.Errorf("%d changes are remembered", len(l.state.changes))
	}
	// A value of the very topic whose tombstone is the oldest fits too.
	l = small(func(o *Options) { o.Values, o.StateBytes = 50, 1300 })
	set(t, l, "a.a", 1, epoch)
	set(t, l, "a.a", -1, epoch)
	big := []byte(`"` + strings.Repeat("x", 600) + `"`)
	if _, _, err := l.Set(&Set{Topic: "a.a", Data: big, When: epoch}); err != nil || l.Topics() != 1 {
		t.Errorf("%v, %d topics", err, l.Topics())
	}
}

func TestSetAfterClose(t *testing.T) {
	l := small(nil)
	l.Close()
	if _, _, err := l.Set(&Set{Topic: "a", Data: []byte("1"), When: epoch}); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// TestChangesGoOn steps over more changes than one call looks at.
func TestChangesGoOn(t *testing.T) {
	l := small(func(o *Options) { o.Values, o.StateBytes = 1<<20, 1<<30 })
	for i := range scanEntries + 100 {
		set(t, l, fmt.Sprint("here.", i), i, epoch)
	}
	set(t, l, "price.a", 1, epoch)
	f := filter(wild("price.*"))
	u := l.Changes(f, 0, 0, 1<<20, nil)
	if len(u.Values) != 0 || u.UpTo != scanEntries || u.Done {
		t.Errorf("the first call: %d values, up to %d, done %t", len(u.Values), u.UpTo, u.Done)
	}
	if got, _ := changes(t, l, f, 0, 0); !cmp.Equal(got, []string{"price.a=1"}) {
		t.Errorf("got %q", got)
	}
	if got, _ := changes(t, l, filter(exact(l, "price.a")), 0, 0); !cmp.Equal(got, []string{"price.a=1"}) {
		t.Errorf("by name: %q", got)
	}
}
