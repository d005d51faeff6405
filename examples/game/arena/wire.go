package arena

import (
	"encoding/binary"
	"errors"
	"math"
)

// All numbers are little endian.
//
// An input is 5 bytes: its number, uint16; the direction, x and y, int8 each, of 1/127; how often the player has dashed,
// uint8. The counts go round.
//
// A world is a head of 9 bytes: 1, the version, uint8; the tick, uint32; how many ships and how many sparks, uint16 each.
// Then each ship in 18 bytes:
//
//	 0  number                           uint16
//	 2  x, y                             uint16, of 1/16
//	 6  speed: x, y                      int16, of 1/8 a second
//	10  score                            uint16
//	12  the last input that it obeyed    uint16
//	14  dashes, rest, stun               uint8 each
//	17  1: a bot, 2: its player is away
//
// and each spark in 4: x and y, uint16, of 1/16. Both 0xffff: it is not there. A world of 60 ships is 1.7 KB.
const (
	version    = 1
	headBytes  = 9
	shipBytes  = 18
	sparkBytes = 4
	inputBytes = 5

	isBot, isAway = 1, 2
)

func (w *world) encode() []byte {
	le := binary.LittleEndian
	b := make([]byte, 0, headBytes+len(w.ships)*shipBytes+len(w.sparks)*sparkBytes)
	b = append(b, version)
	b = le.AppendUint32(b, w.tick)
	b = le.AppendUint16(b, uint16(len(w.ships)))
	b = le.AppendUint16(b, uint16(len(w.sparks)))
	for i := range w.ships {
		s := &w.ships[i]
		var flags byte
		if s.bot {
			flags |= isBot
		}
		if s.away > 0 {
			flags |= isAway
		}
		b = le.AppendUint16(b, s.id)
		b = appendPlace(b, s.pos)
		b = le.AppendUint16(b, uint16(fixed(s.vel.x*8, math.MinInt16, math.MaxInt16)))
		b = le.AppendUint16(b, uint16(fixed(s.vel.y*8, math.MinInt16, math.MaxInt16)))
		b = le.AppendUint16(b, uint16(s.score))
		b = le.AppendUint16(b, s.ack)
		b = append(b, s.dashes, s.rest, s.stun, flags)
	}
	for _, k := range w.sparks {
		if k == nowhere {
			b = append(b, 0xff, 0xff, 0xff, 0xff)
		} else {
			b = appendPlace(b, k.pos)
		}
	}
	return b
}

func appendPlace(b []byte, p vec) []byte {
	b = binary.LittleEndian.AppendUint16(b, uint16(fixed(p.x*16, 0, math.MaxUint16-1)))
	return binary.LittleEndian.AppendUint16(b, uint16(fixed(p.y*16, 0, math.MaxUint16-1)))
}

// fixed rounds x to a whole number of a range.
func fixed(x, lo, hi float64) int { return int(math.Round(min(max(x, lo), hi))) }

var errInput = errors.New("no input")

func parseInput(b []byte) (in input, err error) {
	if len(b) != inputBytes {
		return in, errInput
	}
	in = input{
		seq:    binary.LittleEndian.Uint16(b),
		dir:    vec{float64(int8(b[2])) / 127, float64(int8(b[3])) / 127},
		dashes: b[4],
	}
	if in.dir.length() > 1.02 { // it was rounded
		return in, errInput
	}
	return in, nil
}
