package board

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
)

// The limits. The page gets them, see limits.
const (
	width, height = 8000, 5000 // of the board, in its own units
	pens          = 8          // colours, and the last one erases
	widest        = 400        // a pen
	strokePoints  = 1000       // of one stroke
	livePoints    = 200        // of what is told of one that is not finished
	maxStrokes    = 2000       // on the board; the oldest go first
	maxPoints     = 100_000    // likewise, of all strokes together
)

// stroke is a line that was drawn. The points are x, y and the pressure, 0 to 255, of one after the other.
type stroke struct {
	ID     string   `json:"id"`           // unique among those of one user, who makes it up
	By     string   `json:"by,omitempty"` // the user; the hub knows it, and no client says it
	Pen    int      `json:"pen"`
	Width  int      `json:"width"`
	Points []uint16 `json:"points"`
}

// op is what somebody does to the picture: one of these.
type op struct {
	Draw  *stroke `json:"draw,omitempty"`
	Undo  string  `json:"undo,omitempty"`  // a stroke of one's own, by ID
	Clear bool    `json:"clear,omitempty"` //
}

// gesture is where somebody's pen is, and the newest points of a stroke that they are about to draw.
type gesture struct {
	X      uint16  `json:"x"`
	Y      uint16  `json:"y"`
	Stroke *stroke `json:"stroke,omitempty"`
	From   int     `json:"from,omitempty"` // how many points came before these
}

var idRule = regexp.MustCompile(`^[0-9a-zA-Z-]{8,40}$`)

func (s *stroke) check(most int) error {
	switch {
	case !idRule.MatchString(s.ID):
		return fmt.Errorf("a stroke's id is 8 to 40 letters, digits and dashes")
	case s.By != "":
		return errors.New("who draws a stroke is not for them to say")
	case s.Pen < 0 || s.Pen >= pens:
		return fmt.Errorf("pen %d is none of 0 to %d", s.Pen, pens-1)
	case s.Width < 1 || s.Width > widest:
		return fmt.Errorf("a stroke is 1 to %d wide, not %d", widest, s.Width)
	case len(s.Points) == 0 || len(s.Points)%3 != 0 || len(s.Points) > 3*most:
		return fmt.Errorf("a stroke has 1 to %d points of 3 numbers, not %d numbers", most, len(s.Points))
	}
	for p := range slices.Chunk(s.Points, 3) {
		if p[0] > width || p[1] > height || p[2] > 255 {
			return fmt.Errorf("the point %v is not on the board, or pressed with more than 255", p)
		}
	}
	return nil
}

func (o op) check() error {
	n := 0
	for _, set := range []bool{o.Draw != nil, o.Undo != "", o.Clear} {
		if set {
			n++
		}
	}
	switch {
	case n != 1:
		return errors.New("one does one of draw, undo and clear")
	case o.Draw != nil:
		return o.Draw.check(strokePoints)
	case o.Undo != "" && !idRule.MatchString(o.Undo):
		return errors.New("there can't be a stroke of that id")
	}
	return nil
}

func (g gesture) check() error {
	if g.X > width || g.Y > height || g.From < 0 || g.From > strokePoints {
		return fmt.Errorf("%d, %d is not on the board, or %d points are too many", g.X, g.Y, g.From)
	}
	if g.Stroke == nil {
		return nil
	}
	return g.Stroke.check(livePoints)
}

// model is the picture. Whoever applies the same operations in the same order has the same one: the page's Model does
// exactly this.
type model struct {
	strokes []stroke // the later ones on top
	points  int      // of all
}

func (m *model) apply(from string, o op) {
	switch {
	case o.Draw != nil:
		if m.find(from, o.Draw.ID) >= 0 {
			return
		}
		s := *o.Draw
		s.By = from
		m.strokes = append(m.strokes, s)
		m.points += len(s.Points) / 3
		for len(m.strokes) > maxStrokes || m.points > maxPoints {
			m.remove(0)
		}
	case o.Undo != "":
		if i := m.find(from, o.Undo); i >= 0 {
			m.remove(i)
		}
	case o.Clear:
		m.strokes, m.points = nil, 0
	}
}

func (m *model) find(by, id string) int {
	return slices.IndexFunc(m.strokes, func(s stroke) bool { return s.By == by && s.ID == id })
}

func (m *model) remove(i int) {
	m.points -= len(m.strokes[i].Points) / 3
	m.strokes = slices.Delete(m.strokes, i, i+1)
}

func (m *model) copy() []stroke { return append([]stroke{}, m.strokes...) }

// limits tells the page what it has to know of them.
func limits(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(pageLimits)
}

var pageLimits = map[string]int{
	"width": width, "height": height, "pens": pens, "widest": widest,
	"strokePoints": strokePoints, "livePoints": livePoints, "maxStrokes": maxStrokes, "maxPoints": maxPoints,
}
