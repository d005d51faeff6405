package arena

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// decode is the inverse of encode, as far as a world travels: what the page's decodeWorld does.
func decode(b []byte) (w world, err error) {
	le := binary.LittleEndian
	if len(b) < headBytes || b[0] != version {
		return w, errors.New("no world")
	}
	w.tick = le.Uint32(b[1:])
	ships, sparks := int(le.Uint16(b[5:])), int(le.Uint16(b[7:]))
	b = b[headBytes:]
	if len(b) != ships*shipBytes+sparks*sparkBytes {
		return w, fmt.Errorf("%d ships and %d sparks in %d bytes", ships, sparks, len(b))
	}
	place := func(b []byte) vec {
		x, y := le.Uint16(b), le.Uint16(b[2:])
		if max(x, y) == math.MaxUint16 { // is kept for what is not there
			err = errors.New("nothing can be at 0xffff")
		}
		return vec{float64(x) / 16, float64(y) / 16}
	}
	for ; ships > 0; ships-- {
		w.ships = append(w.ships, ship{
			id: le.Uint16(b), pos: place(b[2:]), vel: vec{float64(int16(le.Uint16(b[6:]))) / 8, float64(int16(le.Uint16(b[8:]))) / 8},
			score: int(le.Uint16(b[10:])), ack: le.Uint16(b[12:]), dashes: b[14], rest: b[15], stun: b[16],
			bot: b[17]&isBot != 0, away: int(b[17]&isAway) / isAway,
		})
		b = b[shipBytes:]
	}
	for ; sparks > 0; sparks-- {
		k := nowhere
		if le.Uint32(b) != math.MaxUint32 {
			k.pos = place(b)
		}
		w.sparks = append(w.sparks, k)
		b = b[sparkBytes:]
	}
	return w, err
}

func find(w world, id uint16) *ship {
	for i := range w.ships {
		if w.ships[i].id == id {
			return &w.ships[i]
		}
	}
	return nil
}

// travels is what is left of a world that has travelled: places of a sixteenth, speeds of an eighth.
func travels(w world) world {
	round := func(x, of float64) float64 { return math.Round(x*of) / of }
	out := world{tick: w.tick}
	for _, s := range w.ships {
		s.pos, s.vel, s.away = vec{round(s.pos.x, 16), round(s.pos.y, 16)}, vec{round(s.vel.x, 8), round(s.vel.y, 8)}, min(s.away, 1)
		out.ships = append(out.ships, s)
	}
	for _, k := range w.sparks {
		if k != nowhere {
			k.pos = vec{round(k.pos.x, 16), round(k.pos.y, 16)}
		}
		out.sparks = append(out.sparks, k)
	}
	return out
}

func sameWorld(t *testing.T, got, want world) {
	t.Helper()
	if got.tick == want.tick && slices.Equal(got.ships, want.ships) && slices.Equal(got.sparks, want.sparks) {
		return
	}
	t.Errorf("worlds differ (-want +got):\n%s", cmp.Diff(want, got, cmp.AllowUnexported(world{}, ship{}, vec{}, spark{}), cmpopts.IgnoreFields(world{}, "random")))
}

// TestWorldTravels: what is decoded is what was encoded, at each of many worlds.
func TestWorldTravels(t *testing.T) {
	g := newGame(1)
	for range 300 {
		g.world = step(g.world, g.inputs(nil), 1.0/rate)
		got, err := decode(g.world.encode())
		if err != nil {
			t.Fatal(err)
		}
		sameWorld(t, got, travels(g.world))
	}
}

// FuzzWorld: bytes are a world, and then the only ones that are this world, or an error.
func FuzzWorld(f *testing.F) {
	g := newGame(1)
	f.Add(g.world.encode())
	f.Add((&world{ships: []ship{{id: 65535, away: 3, score: 65535, vel: vec{-4096, 4095}}}, sparks: []spark{nowhere, {}}}).encode())
	f.Add([]byte{version, 0, 0, 0, 0, 255, 255, 255, 255})
	f.Add([]byte{version, 0, 0, 0, 0, 0, 0, 1, 0, 255, 255, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := decode(b)
		if err != nil {
			return
		}
		again, err := decode(w.encode())
		if err != nil {
			t.Fatal(err)
		}
		sameWorld(t, again, travels(w))
	})
}

// FuzzInput: whatever a client sends is refused, or an input with which a world stays one.
func FuzzInput(f *testing.F) {
	f.Add([]byte{1, 0, 127, 0, 0})
	f.Add([]byte{255, 255, 90, 166, 255})
	f.Add([]byte{0, 0, 128, 128, 0})
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		in, err := parseInput(b)
		if err != nil {
			return
		}
		if in.dir.length() > 1.02 {
			t.Errorf("%x steers with %v", b, in.dir)
		}
		w := newWorld(1)
		w.join(1, false)
		for range 40 {
			in.dashes++
			w = step(w, map[uint16]input{1: in}, 1.0/rate)
			check(t, w)
		}
	})
}

// TestInputsRefused: an input that is too short, too long, or faster than a ship can fly.
func TestInputsRefused(t *testing.T) {
	for _, b := range [][]byte{nil, {}, {0, 0, 0, 0}, {0, 0, 0, 0, 0, 0}, {0, 0, 127, 127, 0}, {0, 0, 128, 128, 0}, []byte("12345678")} {
		if in, err := parseInput(b); err == nil {
			t.Errorf("%x is taken as %+v", b, in)
		}
	}
}

var update = flag.Bool("update", false, "write testdata/vectors.json")

// flying is a ship in the vectors.
type flying struct{ X, Y, VX, VY float64 }

// vectors is what the page has to do as the server does: decodeWorld, encodeInput and foresee. Its browser test reads them.
type vectors struct {
	Rules  map[string]float64
	World  []byte // in base64
	Tick   uint32
	Ships  []any // as decodeWorld has them
	Sparks []any
	Input  []byte
	Flight struct {
		Start  flying
		Inputs [][3]float64 // dx, dy, dashes
		Ways   []flying
	}
}

func makeVectors() (v vectors) {
	v.Rules = pageRules
	w := world{tick: 1 << 31, sparks: []spark{{vec{1.5, 2999.0625}}, nowhere, {vec{0, 0}}}, ships: []ship{
		{id: 7, pos: vec{20, 2980}, vel: vec{-537.5, 1487.125}, score: 300, ack: 65535, dashes: 255, rest: restFor, stun: stunFor},
		{id: 50, bot: true, pos: vec{1500.0625, 0.5}},
		{id: 65535, away: 5, pos: vec{3, 4}, score: maxScore},
	}}
	v.World, v.Tick = w.encode(), w.tick
	for _, s := range w.ships {
		v.Ships = append(v.Ships, map[string]any{
			"id": s.id, "x": s.pos.x, "y": s.pos.y, "vx": s.vel.x, "vy": s.vel.y, "score": s.score, "ack": s.ack,
			"dashes": s.dashes, "rest": s.rest, "stun": s.stun, "bot": s.bot, "away": s.away > 0,
		})
	}
	for _, k := range w.sparks {
		if k == nowhere {
			v.Sparks = append(v.Sparks, nil)
		} else {
			v.Sparks = append(v.Sparks, map[string]float64{"x": k.pos.x, "y": k.pos.y})
		}
	}
	v.Input = []byte{0x34, 0x12, 127, 0x81, 9} // number 0x1234, direction 1, -1, 9 dashes
	s := ship{id: 1, pos: vec{2700, 300}, stun: 5}
	v.Flight.Start = flying{s.pos.x, s.pos.y, s.vel.x, s.vel.y}
	for i := range 200 {
		sin, cos := math.Sincos(float64(i/40) * 1.3)
		in := input{dir: vec{math.Trunc(cos*127) / 127, math.Trunc(-sin*127) / 127}, dashes: uint8(i / 25)}
		move(&s, in, 1.0/rate)
		v.Flight.Inputs = append(v.Flight.Inputs, [3]float64{in.dir.x, in.dir.y, float64(in.dashes)})
		v.Flight.Ways = append(v.Flight.Ways, flying{s.pos.x, s.pos.y, s.vel.x, s.vel.y})
	}
	return v
}

// TestVectors: the vectors in the tree, with which the page is tested, are of these rules and this layout.
func TestVectors(t *testing.T) {
	const file = "testdata/vectors.json"
	want, err := json.Marshal(makeVectors())
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
	if *update {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(got, want) {
		return
	}
	// Another processor may round the last bit otherwise.
	var g, w vectors
	if err := errors.Join(json.Unmarshal(got, &g), json.Unmarshal(want, &w)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(w, g, cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-6 })); diff != "" {
		t.Errorf("run it with -update (-want +got):\n%s", diff)
	}
}
