package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// MaxDepth is how many arrays and objects deep the data of a message may nest. The frame around it adds one. Decoders
// that recurse set limits of their own, encoding/json at 10,000, and could not read a frame that exceeds them.
const MaxDepth = 1000

// What CheckJSON finds wrong.
var (
	ErrUTF8   = errors.New("not valid UTF-8")
	ErrSyntax = errors.New("not JSON")
	ErrDepth  = fmt.Errorf("JSON nested deeper than %d", MaxDepth)
)

// CheckJSON returns nil if data is one JSON value in UTF-8 that nests no deeper than MaxDepth. Otherwise the error wraps
// ErrUTF8, ErrSyntax or ErrDepth. It does not allocate for data that is valid.
func CheckJSON(data []byte) error {
	if !utf8.Valid(data) { // encoding/json takes "\xff" for a string
		return ErrUTF8
	}
	end, depth := skip(data, space(data, 0))
	switch {
	case end < 0 || space(data, end) != len(data):
		var v json.RawMessage
		if err := json.Unmarshal(data, &v); err != nil { // what is wrong and where, which the scanner does not say
			return fmt.Errorf("%w: %v", ErrSyntax, err)
		}
		return ErrSyntax
	case depth > MaxDepth:
		return ErrDepth
	}
	return nil
}
