package wire

import (
	"bytes"
	"encoding/json"
	"slices"
)

// walk goes over the members of a JSON object or the elements of an array, in the manner of bufio.Scanner: while next
// returns true, key and val are one of them.
type walk struct {
	b     []byte
	i     int
	end   byte // the bracket that ends it, 0 before the first call of next
	array bool
	done  bool
	bad   bool // ended because b is no such object or array, or has more after it

	key   []byte // the member's key, unescaped
	val   []byte // the value's JSON, a sub-slice of b
	depth int    // of val
}

// next goes to the next member or element, if there is one.
func (w *walk) next() bool {
	if w.done {
		return false
	}
	w.i = space(w.b, w.i)
	first := w.end == 0
	if first {
		w.open()
	}
	switch {
	case w.done:
		return false
	case at(w.b, w.i) == w.end:
		w.stop(space(w.b, w.i+1) != len(w.b))
		return false
	case !first && at(w.b, w.i) != ',':
		return w.stop(true)
	case !first:
		w.i = space(w.b, w.i+1)
	}
	if !w.array && !w.readKey() {
		return w.stop(true)
	}
	end, depth := skip(w.b, w.i)
	if end < 0 {
		return w.stop(true)
	}
	w.val, w.depth, w.i = w.b[w.i:end:end], depth, end
	return true
}

// open reads the opening bracket.
func (w *walk) open() {
	want := byte('{')
	if w.array {
		want = '['
	}
	if at(w.b, w.i) != want {
		w.stop(true)
		return
	}
	w.end = want + 2
	w.i = space(w.b, w.i+1)
}

// stop ends the walk and returns false, for next to return.
func (w *walk) stop(bad bool) bool {
	w.done, w.bad = true, bad
	return false
}

// readKey reads the key at i, and goes to its value.
func (w *walk) readKey() bool {
	from := w.i
	if w.i = skipKey(w.b, from); w.i < 0 {
		return false
	}
	to := bytes.LastIndexByte(w.b[from:w.i], '"') + from
	w.key = w.b[from+1 : to]
	if bytes.IndexByte(w.key, '\\') >= 0 {
		s, ok := text(w.b[from : to+1])
		w.key = []byte(s)
		return ok
	}
	return true
}

// null reports whether a member's value is null, which everywhere but in "data" means that it is not there: what it is
// decoded to is what it would be without it.
func null(val []byte) bool { return string(val) == "null" }

// faults are the members of a wrong type. One that is there again, as it should be, is none: the last one counts.
type faults []string

func (f *faults) note(key []byte, ok bool) {
	i := slices.Index(*f, string(key))
	switch {
	case !ok && i < 0:
		*f = append(*f, string(key))
	case ok && i >= 0:
		*f = slices.Delete(*f, i, i+1)
	}
}

func (f faults) any() bool { return len(f) > 0 }

// text decodes a JSON string.
func text(val []byte) (s string, ok bool) {
	switch {
	case val[0] != '"':
		return "", null(val)
	case bytes.IndexByte(val, '\\') >= 0:
		return escapedText(val)
	}
	return string(val[1 : len(val)-1]), true
}

// escapedText decodes a JSON string with escapes. What a lone surrogate becomes is left to encoding/json: U+FFFD.
func escapedText(val []byte) (s string, ok bool) {
	err := json.Unmarshal(val, &s)
	return s, err == nil
}

// maxInt is the greatest integer up to which every one is exact in JavaScript.
const maxInt = 1<<53 - 1

// integer decodes an integer from low to maxInt, written without fraction and exponent.
func integer(val []byte, low int64) (v int64, ok bool) {
	digits := val
	if val[0] == '-' {
		digits = val[1:]
	}
	if len(digits) > len("9007199254740991") {
		return 0, false
	}
	for _, c := range digits {
		if !digit(c) {
			return 0, null(val)
		}
		v = v*10 + int64(c-'0')
	}
	if val[0] == '-' {
		v = -v
	}
	if v < low || v > maxInt {
		return 0, false
	}
	return v, true
}

// natural decodes an integer that is not negative.
func natural(val []byte) (v uint64, ok bool) {
	n, ok := integer(val, 0)
	return uint64(n), ok
}

// boolean decodes true or false.
func boolean(val []byte) (v, ok bool) {
	return string(val) == "true", val[0] == 't' || val[0] == 'f' || null(val)
}
