package hostile

import (
	"encoding/binary"
	"math/rand/v2"
)

// source decides what a session does: from a seed, or from what a fuzzer found. One that has ended says 0, which
// everywhere is the tame choice.
type source struct {
	rng  *rand.Rand
	data []byte
	fuzz bool
}

func seeded(seed uint64) *source { return &source{rng: rand.New(rand.NewPCG(seed, 0))} }

func fuzzed(data []byte) *source {
	return &source{data: data, fuzz: true, rng: rand.New(rand.NewPCG(0, uint64(len(data))))}
}

// n returns a number from 0 to k-1.
func (s *source) n(k int) int {
	switch {
	case !s.fuzz:
		return s.rng.IntN(k)
	case len(s.data) == 0:
		return 0
	case k <= 256:
		v := int(s.data[0]) % k
		s.data = s.data[1:]
		return v
	}
	var b [4]byte
	s.data = s.data[copy(b[:], s.data):]
	return int(binary.LittleEndian.Uint32(b[:])) % k
}

// one reports true once in k times.
func (s *source) one(k int) bool { return s.n(k) == k-1 }

// bytes returns n bytes that mean nothing.
func (s *source) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(s.rng.Uint32())
	}
	return b
}

func pick[T any](s *source, list ...T) T { return list[s.n(len(list))] }
