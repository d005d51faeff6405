package market

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
)

// This file makes the prices up.

// market is 200 prices. It is one goroutine's.
type market struct {
	rnd    *rand.Rand
	tick   uint32
	stocks []stock
}

type stock struct {
	topic string
	open  uint32 // cents
	price float64
}

func newMarket(seed uint64) *market {
	m := &market{rnd: rand.New(rand.NewPCG(seed, 0))}
	for _, symbol := range symbols() {
		price := 800 * math.Exp(3.5*m.rnd.Float64()) // cents: 8 to 265 of whatever the currency is
		m.stocks = append(m.stocks, stock{prices.With(symbol).String(), uint32(price), price})
	}
	return m
}

// symbols returns 200 names that no stock exchange has to itself.
func symbols() []string {
	var all []string
	for _, a := range []string{
		"AL", "BR", "CO", "DE", "EL", "FA", "GR", "HO", "IN", "JO", "KA", "LU", "MO", "NO", "OR", "PA", "RO", "SO", "TE", "VE",
	} {
		for _, b := range []string{"DA", "KO", "LO", "MI", "NE", "NX", "RA", "SK", "TE", "VO"} {
			all = append(all, a+b)
		}
	}
	return all
}

// step moves all prices on: a little, and once a second one of them by a lot.
func (m *market) step() {
	m.tick++
	for i := range m.stocks {
		s := &m.stocks[i]
		move := 4e-4 * m.rnd.NormFloat64()
		if m.rnd.IntN(20*len(m.stocks)) == 0 {
			move = 0.03 * m.rnd.NormFloat64()
		}
		pull := 2e-4 * math.Log(float64(s.open)/s.price) // back to where they were, or they would be anywhere after a day
		s.price = min(max(s.price*math.Exp(move+pull), 100), 1e7)
	}
}

const priceSize = 8 + 4 + 4 + 4

// appendPrice appends a price as it travels: when it was made in Unix milliseconds, as a float64; then, as uint32, in which
// step of the market, so that a page can count those that it was spared; cents; and cents when the market began. All big endian.
func appendPrice(b []byte, at int64, tick uint32, s *stock) []byte {
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(float64(at)))
	b = binary.BigEndian.AppendUint32(b, tick)
	b = binary.BigEndian.AppendUint32(b, uint32(math.Round(s.price)))
	return binary.BigEndian.AppendUint32(b, s.open)
}
