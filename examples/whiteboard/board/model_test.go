package board

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// done is an op that is in the log.
type done struct {
	From string `json:"from"`
	Op   op     `json:"op"`
}

func draw(id string, points ...uint16) op {
	if points == nil {
		points = []uint16{1, 2, 128}
	}
	return op{Draw: &stroke{ID: "stroke-" + id, Width: 20, Points: points}}
}

func undo(id string) op { return op{Undo: "stroke-" + id} }

func applied(log []done) model {
	var m model
	for _, d := range log {
		m.apply(d.From, d.Op)
	}
	return m
}

// interleavings calls f with every order of what several people do, each in their own order.
func interleavings(f func([]done), before []done, each ...[]done) {
	over := true
	for i, rest := range each {
		if len(rest) == 0 {
			continue
		}
		over = false
		next := slices.Clone(each)
		next[i] = rest[1:]
		interleavings(f, append(slices.Clip(before), rest[0]), next...)
	}
	if over {
		f(before)
	}
}

// TestEveryInterleaving: in whatever order the log has what three people do, whoever began with a snapshot of any moment and
// read on has the picture of who read all, and the order of the strokes is that of the log.
func TestEveryInterleaving(t *testing.T) {
	ada := []done{{"ada", draw("1")}, {"ada", draw("2")}, {"ada", undo("2")}, {"ada", draw("1", 9, 9, 9)}}
	bob := []done{{"bob", draw("1")}, {"bob", op{Clear: true}}, {"bob", draw("2")}}
	eve := []done{{"eve", undo("2")}, {"eve", draw("3")}}
	n := 0
	interleavings(func(log []done) {
		n++
		want := picture(applied(log).strokes)
		if strings.Contains(want, "ada/stroke-2") || !strings.Contains(want, "bob/stroke-2") {
			t.Fatalf("%v: %s", log, want)
		}
		for k := range log {
			at := applied(log[:k])
			later := model{strokes: at.copy(), points: at.points} // a snapshot
			for _, d := range log[k:] {
				later.apply(d.From, d.Op)
			}
			if got := picture(later.strokes); got != want {
				t.Fatalf("%v, snapshot after %d:\n got %s\nwant %s", log, k, got, want)
			}
		}
	}, nil, ada, bob, eve)
	if n != 1260 { // 9! / (4! 3! 2!)
		t.Errorf("%d interleavings", n)
	}
}

// TestUndo: it takes one's own stroke away, once, and nobody else's.
func TestUndo(t *testing.T) {
	m := applied([]done{{"ada", draw("1")}, {"bob", draw("1")}, {"ada", draw("2")}, {"bob", undo("2")}, {"eve", undo("1")}, {"ada", undo("1")}, {"ada", undo("1")}})
	if got, want := picture(m.strokes), "bob/stroke-1:0,20,[1 2 128] ada/stroke-2:0,20,[1 2 128] "; got != want || m.points != 2 {
		t.Errorf("got %s (%d points), want %s", got, m.points, want)
	}
}

// TestOldestGoFirst: a board that is full drops what was drawn first, by strokes and by points.
func TestOldestGoFirst(t *testing.T) {
	var m model
	for i := range maxStrokes + 10 {
		m.apply("ada", draw(fmt.Sprint(i)))
	}
	if len(m.strokes) != maxStrokes || m.points != maxStrokes || m.strokes[0].ID != "stroke-10" {
		t.Errorf("%d strokes, %d points, the first is %s", len(m.strokes), m.points, m.strokes[0].ID)
	}
	long := make([]uint16, 3*strokePoints)
	for i := range 3 * maxPoints / strokePoints {
		m.apply("bob", draw(fmt.Sprint(i), long...))
	}
	if len(m.strokes) != maxPoints/strokePoints || m.points != maxPoints || m.strokes[0].ID != "stroke-200" {
		t.Errorf("%d strokes, %d points, the first is %s", len(m.strokes), m.points, m.strokes[0].ID)
	}
}

func TestChecks(t *testing.T) {
	good := []string{
		`{"draw":{"id":"12345678","pen":7,"width":400,"points":[0,0,0,8000,5000,255]}}`, `{"undo":"a-b-c-d-e-f"}`, `{"clear":true}`,
	}
	bad := []string{
		`{}`, `null`, `[]`, `"x"`, `{"draw":null}`, `{"clear":false}`, `{"undo":""}`, `{"undo":"short"}`, `{"undo":"../../../.."}`,
		`{"clear":true,"undo":"12345678"}`, `{"draw":{"id":"12345678","pen":1,"width":5,"points":[]}}`,
		`{"draw":{"id":"12345678","pen":1,"width":5,"points":[1,2]}}`, `{"draw":{"id":"12345678","pen":8,"width":5,"points":[1,2,3]}}`,
		`{"draw":{"id":"12345678","pen":-1,"width":5,"points":[1,2,3]}}`, `{"draw":{"id":"12345678","pen":1,"width":0,"points":[1,2,3]}}`,
		`{"draw":{"id":"12345678","pen":1,"width":401,"points":[1,2,3]}}`, `{"draw":{"id":"12345678","pen":1,"width":5,"points":[8001,2,3]}}`,
		`{"draw":{"id":"12345678","pen":1,"width":5,"points":[1,5001,3]}}`, `{"draw":{"id":"12345678","pen":1,"width":5,"points":[1,2,256]}}`,
		`{"draw":{"id":"12345678","pen":1,"width":5,"points":[1,2,-3]}}`, `{"draw":{"id":"12345678","pen":1,"width":5,"points":[1,2,0.5]}}`,
		`{"draw":{"id":"<script>","pen":1,"width":5,"points":[1,2,3]}}`, `{"draw":{"id":"12345678","by":"bob","pen":1,"width":5,"points":[1,2,3]}}`,
		`{"draw":{"id":"12345678","pen":1,"width":5,"points":[` + strings.Repeat("1,", 3*strokePoints) + `1,1,1]}}`,
	}
	for i, text := range append(good, bad...) {
		var o op
		err := json.Unmarshal([]byte(text), &o)
		if err == nil {
			err = o.check()
		}
		if (err == nil) != (i < len(good)) {
			t.Errorf("%.100s: %v", text, err)
		}
	}
}

// FuzzOp: what is let through keeps the model within its bounds, and is still let through when it has travelled.
func FuzzOp(f *testing.F) {
	f.Add([]byte(`{"draw":{"id":"12345678","pen":1,"width":5,"points":[1,2,3]}}`), []byte(`{"undo":"12345678"}`))
	f.Add([]byte(`{"clear":true}`), []byte(`{"draw":{"id":"12345678","points":[]}}`))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		var m model
		for _, b := range [][]byte{first, second} {
			var o, again op
			if json.Unmarshal(b, &o) != nil || o.check() != nil {
				continue
			}
			b, err := json.Marshal(o)
			if err != nil || json.Unmarshal(b, &again) != nil || again.check() != nil {
				t.Fatalf("%s: %v", b, err)
			}
			m.apply("ada", o)
		}
		points := 0
		for _, s := range m.strokes {
			points += len(s.Points) / 3
		}
		if points != m.points || len(m.strokes) > 2 {
			t.Fatalf("%d points, counted as %d", points, m.points)
		}
	})
}

// hash is the page's Model.hash.
func hash(strokes []stroke) string {
	h := fnv.New32a()
	for _, s := range strokes {
		fmt.Fprintf(h, "%s %s %d %d %s\n", s.By, s.ID, s.Pen, s.Width, strings.Trim(strings.ReplaceAll(fmt.Sprint(s.Points), " ", ","), "[]"))
	}
	return fmt.Sprintf("%08x", h.Sum32())
}

var update = flag.Bool("update", false, "write testdata/vectors.json")

// TestVectors: the log in the tree makes these pictures. The page's model is tested with it.
func TestVectors(t *testing.T) {
	const file = "testdata/vectors.json"
	type vector struct {
		Limits map[string]int
		Log    []done
		Hashes []string // after each
	}
	v := vector{Limits: pageLimits}
	r := rand.New(rand.NewPCG(1, 2))
	var m model
	for range 120 {
		d := done{From: []string{"ada", "bob"}[r.IntN(2)]}
		switch n, id := r.IntN(20), fmt.Sprint(r.IntN(30)); {
		case n == 0:
			d.Op.Clear = true
		case n < 6:
			d.Op = undo(id)
		default:
			points := make([]uint16, 3*(1+r.IntN(4)))
			for i := range points {
				points[i] = uint16(r.IntN(256))
			}
			d.Op = draw(id, points...)
			d.Op.Draw.Pen, d.Op.Draw.Width = r.IntN(pens), 1+r.IntN(widest)
		}
		m.apply(d.From, d.Op)
		v.Log, v.Hashes = append(v.Log, d), append(v.Hashes, hash(m.strokes))
	}
	want, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
	if *update {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v; run it with -update (-want +got):\n%s", err, cmp.Diff(string(want), string(got)))
	}
}
