package brokertest

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/gohotline/hotline"
)

// followExact: every matching entry after the position that Follow returns is delivered, whoever stores it meanwhile.
func followExact(k *kit) {
	a, b := k.node(), k.node()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var stored []hotline.BrokerEntry
	stop := make(chan struct{})
	for i, n := range []*node{a, b} {
		wg.Go(func() {
			for j := 0; ; j++ {
				select {
				case <-stop:
					return
				case <-time.After(100 * time.Microsecond):
				}
				e := k.entry(fmt.Sprintf("x.%d", j%2), fmt.Sprintf(`"%d-%d"`, i, j))
				p, err := n.Publish(k.ctx, e)
				if err != nil {
					k.t.Errorf("Publish: %v", err)
					return
				}
				e.Position = p
				mu.Lock()
				stored = append(stored, *e)
				mu.Unlock()
			}
		})
	}
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(stored)
	}
	more := func() { // waits until some more were stored, so that every Follow stands among them
		n := count()
		for end := time.Now().Add(k.patience); time.Now().Before(end) && count() < n+20; runtime.Gosched() {
		}
	}
	type follower struct {
		n    *node
		from hotline.Position
	}
	var list []follower
	for i := range 10 {
		n := k.node()
		more()
		list = append(list, follower{n, n.follow([]string{"x.*", "x.0", ">"}[i%3])})
	}
	more()
	close(stop)
	wg.Wait()
	for _, f := range list {
		if f.from.Seq > 0 {
			if p, err := a.Replay(k.ctx, hotline.BrokerQuery{Patterns: []string{k.topic(">")}, After: f.from, UpTo: f.from.Seq}); err != nil {
				k.t.Errorf("Follow returned %v, which Replay does not know: %v, %v", f.from, p, err)
			}
		}
	}
	slices.SortFunc(stored, func(a, b hotline.BrokerEntry) int { return cmp.Compare(a.Seq, b.Seq) })
	for i, f := range list {
		var want []hotline.BrokerEntry
		for _, e := range stored {
			if e.Seq > f.from.Seq && (i%3 != 1 || e.Topic == k.topic("x.0")) {
				want = append(want, e)
			}
		}
		if len(want) == 0 {
			continue
		}
		f.n.hub.has(want[len(want)-1])
		got := make(map[uint64]bool)
		for _, e := range f.n.hub.entries(hotline.Events) {
			got[e.Seq] = true
		}
		for _, e := range want {
			if !got[e.Seq] {
				k.t.Fatalf("Follow returned %d, but the feed did not bring %d", f.from.Seq, e.Seq)
			}
		}
	}
}

// followDelivered: when Follow returns, whatever the feed carries up to the position has been delivered.
func followDelivered(k *kit) {
	a, b := k.node(), k.node()
	b.follow("x")
	for i := range 30 {
		e := a.publish(k.entry("x", fmt.Sprint(i)))
		p := b.follow(fmt.Sprintf("other.%d", i))
		if has := slices.ContainsFunc(b.hub.entries(hotline.Events), func(g hotline.BrokerEntry) bool {
			return g.Position == e.Position
		}); e.Seq <= p.Seq && !has {
			k.t.Errorf("Follow returned %d, but the feed has not brought %d", p.Seq, e.Seq)
		}
	}
}

// valuesFirst: before Follow returns, Values has given all that is present, and nothing else.
func valuesFirst(k *kit) {
	a, b := k.node(), k.node()
	set := func(topic, data string, gone bool) {
		e := k.entry(topic, data)
		if e.Delivery, e.Gone = hotline.State, gone; gone {
			e.Data = nil
		}
		a.publish(e)
	}
	for i := range 20 {
		set(fmt.Sprintf("s.%d", i), "0", false)
		set(fmt.Sprintf("s.%d", i), fmt.Sprint(i), false)
	}
	set("s.3", "", true)
	set("other", "1", false)
	for _, round := range []int{19, 18} { // also when it is followed again
		b.follow("s.*")
		b.hub.mu.Lock()
		values, called := b.hub.values[k.topic("s.*")]
		b.hub.mu.Unlock()
		if !called {
			k.t.Fatalf("Follow returned, and Values was not called")
		}
		got := make(map[string]string)
		for _, v := range values {
			if v.Gone {
				k.t.Errorf("Values has %s, which is gone", v.Topic)
			}
			got[v.Topic] = string(v.Data)
		}
		for i := range 20 {
			topic := k.topic(fmt.Sprintf("s.%d", i))
			if v, ok := got[topic]; i == 3 || i == 4 && round == 18 {
				if ok {
					k.t.Errorf("Values has %s of %s, which was cleared", v, topic)
				}
			} else if v != fmt.Sprint(i) {
				k.t.Errorf("Values has %q of %s, want %d", v, topic, i)
			}
		}
		if len(got) != round {
			k.t.Errorf("Values has %d topics, want %d", len(got), round)
		}
		set("s.4", "", true)
	}
}

// followAgain: following a pattern again returns a position that is good, too.
func followAgain(k *kit) {
	a, b := k.node(), k.node()
	p := b.follow("x")
	a.publish(k.entry("x", `1`))
	q := b.follow("x")
	if q.Seq < p.Seq {
		k.t.Errorf("Follow returned %d, and later %d", p.Seq, q.Seq)
	}
	b.hub.has(a.publish(k.entry("x", `2`)))
	if n := len(b.hub.entries(hotline.Events)); n != 2 {
		k.t.Errorf("%d entries were delivered, want 2: each once", n)
	}
}

// unfollow: the other patterns go on, and the pattern can be followed again.
func unfollow(k *kit) {
	a, b := k.node(), k.node()
	b.follow("x.*")
	b.follow("x.1")
	b.Unfollow(k.topic("x.*"))
	b.hub.has(a.publish(k.entry("x.1", `1`)))
	p := b.follow("x.*")
	e := a.publish(k.entry("x.2", `2`))
	if e.Seq <= p.Seq {
		k.t.Errorf("Follow returned %d, and the next entry is %d", p.Seq, e.Seq)
	}
	b.hub.has(e)
	b.Unfollow(k.topic("never followed"))
}

// fill stores 40 entries of two topics.
func fill(k *kit, n *node) (all []hotline.BrokerEntry, upTo uint64) {
	for i := range 40 {
		all = append(all, n.publish(k.entry([]string{"x.1", "x.2", "y"}[i%3], fmt.Sprintf(`"entry %d"`, i))))
	}
	return all, all[len(all)-1].Seq
}

// compare compares what was replayed with what of all it should be.
func compare(k *kit, what string, got, all []hotline.BrokerEntry, want func(e hotline.BrokerEntry) bool) {
	k.t.Helper()
	i := 0
	for _, e := range all {
		if !want(e) {
			continue
		}
		if i == len(got) {
			k.t.Errorf("%s: %d entries, then %d is missing", what, len(got), e.Seq)
			return
		}
		if g := got[i]; g.Position != e.Position || g.Topic != e.Topic || string(g.Data) != string(e.Data) {
			k.t.Errorf("%s: the entry number %d is %v of %s, want %v of %s", what, i, g.Position, g.Topic, e.Position, e.Topic)
			return
		}
		i++
	}
	if i < len(got) {
		k.t.Errorf("%s: %d entries, want %d", what, len(got), i)
	}
}

// replayPages: pages are as large as was asked for, at least one entry, and complete together.
func replayPages(k *kit) {
	n := k.node()
	all, upTo := fill(k, n)
	every := func(hotline.BrokerEntry) bool { return true }
	for _, limit := range []int{1, 7, 40, 1000} {
		got, pages := n.replay(hotline.BrokerQuery{Patterns: []string{k.topic(">")}, UpTo: upTo, Limit: limit, MaxBytes: 1 << 20})
		if compare(k, fmt.Sprint("limit ", limit), got, all, every); pages < 40/limit {
			k.t.Errorf("limit %d: %d pages", limit, pages)
		}
	}
	for _, size := range []int{1, 30, 100} {
		got, pages := n.replay(hotline.BrokerQuery{Patterns: []string{k.topic(">")}, UpTo: upTo, Limit: 1000, MaxBytes: size})
		if compare(k, fmt.Sprint(size, " bytes"), got, all, every); pages < 4 {
			k.t.Errorf("%d bytes: %d pages", size, pages)
		}
	}
}

// replayRange: only what matches one of the patterns, after After and not beyond UpTo, each once.
func replayRange(k *kit) {
	n := k.node()
	all, upTo := fill(k, n)
	for _, tt := range []struct {
		what     string
		patterns []string
		after    int // index in all; -1: from the oldest
		upTo     uint64
		want     func(e hotline.BrokerEntry) bool
	}{
		{"a topic", []string{"x.1"}, -1, upTo, func(e hotline.BrokerEntry) bool { return e.Topic == k.topic("x.1") }},
		{"patterns that overlap", []string{"x.1", "*.2", "x.*"}, -1, upTo, func(e hotline.BrokerEntry) bool { return e.Topic != k.topic("y") }},
		{"after", []string{">"}, 9, upTo, func(e hotline.BrokerEntry) bool { return e.Seq > all[9].Seq }},
		{"after another topic's", []string{"y"}, 9, upTo, func(e hotline.BrokerEntry) bool { return e.Seq > all[9].Seq && e.Topic == k.topic("y") }},
		{"up to", []string{">"}, 3, all[20].Seq, func(e hotline.BrokerEntry) bool { return e.Seq > all[3].Seq && e.Seq <= all[20].Seq }},
		{"after the newest", []string{">"}, 39, upTo, func(hotline.BrokerEntry) bool { return false }},
		{"nothing", []string{"z"}, -1, upTo, func(hotline.BrokerEntry) bool { return false }},
	} {
		q := hotline.BrokerQuery{UpTo: tt.upTo, Limit: 6, MaxBytes: 1 << 20}
		for _, p := range tt.patterns {
			q.Patterns = append(q.Patterns, k.topic(p))
		}
		if tt.after >= 0 {
			q.After = all[tt.after].Position
		}
		got, _ := n.replay(q)
		compare(k, tt.what, got, all, tt.want)
	}
}

// replayLast: the newest ones, oldest first, in pages too.
func replayLast(k *kit) {
	n := k.node()
	all, upTo := fill(k, n)
	for _, tt := range []struct{ last, limit int }{{1, 10}, {5, 100}, {12, 5}, {100, 7}} {
		got, _ := n.replay(hotline.BrokerQuery{
			Patterns: []string{k.topic(">")}, UpTo: upTo, Last: tt.last, Limit: tt.limit, MaxBytes: 1 << 20,
			After: hotline.Position{Seq: upTo + 100, Tag: 1}, // is ignored
		})
		first := all[max(0, len(all)-tt.last)].Seq
		compare(k, fmt.Sprint("last ", tt.last), got, all, func(e hotline.BrokerEntry) bool { return e.Seq >= first })
	}
	got, _ := n.replay(hotline.BrokerQuery{Patterns: []string{k.topic("y")}, UpTo: all[20].Seq, Last: 2, Limit: 10, MaxBytes: 1 << 20})
	compare(k, "last 2 of a topic", got, all, func(e hotline.BrokerEntry) bool { return e.Seq == all[17].Seq || e.Seq == all[20].Seq })
}

// replayUnknown: a position that does not name what is stored there is ErrPosition, and nothing else is.
func replayUnknown(k *kit) {
	n := k.node()
	all, upTo := fill(k, n)
	for what, after := range map[string]hotline.Position{
		"another tag":            {Seq: all[10].Seq, Tag: all[10].Tag + 2},
		"the tag of another":     {Seq: all[10].Seq, Tag: all[11].Tag},
		"no tag":                 {Seq: all[10].Seq},
		"a number not yet given": {Seq: upTo + 1_000_000, Tag: all[10].Tag},
		"another store's start":  {Tag: all[10].Tag},
	} {
		if _, err := n.Replay(k.ctx, hotline.BrokerQuery{
			Patterns: []string{k.topic(">")}, After: after, UpTo: max(upTo, after.Seq), Limit: 10, MaxBytes: 1 << 20,
		}); !errors.Is(err, hotline.ErrPosition) {
			k.t.Errorf("%s: Replay returns the error %v, want ErrPosition", what, err)
		}
	}
}

// replayElsewhere: what another node has stored is there as soon as that was answered.
func replayElsewhere(k *kit) {
	a, b := k.node(), k.node()
	for i := range 20 {
		e := a.publish(k.entry("x", fmt.Sprint(i)))
		got, _ := b.replay(hotline.BrokerQuery{Patterns: []string{k.topic("x")}, UpTo: e.Seq, Last: 1, Limit: 1, MaxBytes: 1 << 20})
		if len(got) != 1 || got[0].Position != e.Position {
			k.t.Errorf("%v was stored, and another node replays %v", e.Position, got)
		}
	}
}
