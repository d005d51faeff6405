package market

import (
	"context"
	"log"
	"runtime/metrics"
	"strconv"
	"time"

	"github.com/gohotline/hotline"
)

// trading says whether the market is open.
type trading struct {
	Open bool  `json:"open"`
	At   int64 `json:"at"` // closed: of the last prices, Unix milliseconds
}

// load is how the hub has been doing in the last second.
type load struct {
	At        int64 `json:"at"`
	Published int64 `json:"published"` // values, a second
	Delivered int64 `json:"delivered"` // messages to all connections, a second
	Conflated int64 `json:"conflated"` // values that were due and not sent, because a newer one was; a second
	Bytes     int64 `json:"bytes"`     // to all connections, a second
	Conns     int   `json:"conns"`
	Behind    int   `json:"behind"` // connections that can't keep up
	Log       int   `json:"log"`    // bytes
	Heap      int64 `json:"heap"`   // bytes
}

const (
	tickEvery  = 50 * time.Millisecond
	loadsEvery = 20 // ticks
)

// run is the simulator, and all that publishes here.
func (b *board) run(ctx context.Context, hub *hotline.Hub) {
	s := &simulator{board: b, hub: hub, market: newMarket(b.seed), league: newLeague(b.seed), last: hub.Stats(), at: time.Now()}
	ticker := time.NewTicker(tickEvery)
	defer ticker.Stop()
	for n := 0; ; n++ {
		if err := s.step(ctx, n); err != nil && ctx.Err() == nil {
			log.Print("dashboard: ", err) // the next value makes up for this one
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// simulator is what run holds. It is one goroutine's.
type simulator struct {
	board  *board
	hub    *hotline.Hub
	market *market
	league *league
	open   bool
	begun  bool
	made   int64 // of the last prices
	value  []byte

	// Of the load that was published last.
	last hotline.Stats
	at   time.Time
	due  int64 // values since, times the pages that they were for
	sent int64 // values since
}

func (s *simulator) step(ctx context.Context, n int) error {
	now := time.Now()
	if n > 0 && n%loadsEvery == 0 { // first: what the last step has published is on its way by now
		if err := loads.Publish(ctx, s.hub, s.load(now)); err != nil {
			return err
		}
	}
	if open := now.UnixMilli() >= s.board.closed.Load(); open != s.open || !s.begun {
		s.open, s.begun = open, true
		if err := status.Publish(ctx, s.hub, trading{Open: open, At: s.made}); err != nil {
			return err
		}
	}
	pages := s.board.pages.Load()
	if s.open {
		s.market.step()
		s.made = now.UnixMilli()
		for i := range s.market.stocks {
			stock := &s.market.stocks[i]
			s.value = appendPrice(s.value[:0], s.made, s.market.tick, stock)
			if err := s.hub.Publish(ctx, stock.topic, hotline.Binary(s.value)); err != nil {
				return err
			}
		}
		s.published(len(s.market.stocks), pages)
	}
	for i, g := range s.league.games {
		if (n+i)%gameTicks != 0 {
			continue
		}
		s.league.step(g)
		if err := games.With(strconv.Itoa(i)).Publish(ctx, s.hub, *g); err != nil {
			return err
		}
		s.published(1, pages)
	}
	return nil
}

func (s *simulator) published(n int, pages int64) {
	s.sent += int64(n)
	s.due += int64(n) * pages
}

// load says how the hub has been doing since it was last asked. The hub counts what it sends, not what it is spared: that
// is the difference to what it would have had to send. Other applications' messages make it look smaller.
func (s *simulator) load(now time.Time) load {
	stats := s.hub.Stats()
	seconds := max(now.Sub(s.at).Seconds(), 0.001)
	rate := func(n int64) int64 { return int64(float64(n)/seconds + 0.5) }
	delivered := stats.MessagesOut - s.last.MessagesOut
	l := load{
		At:        now.UnixMilli(),
		Published: rate(s.sent),
		Delivered: rate(delivered),
		Conflated: rate(max(s.due-delivered, 0)),
		Bytes:     rate(stats.BytesOut - s.last.BytesOut),
		Conns:     stats.Conns,
		Behind:    stats.Behind,
		Log:       stats.LogBytes,
		Heap:      heap(),
	}
	s.last, s.at, s.due, s.sent = stats, now, 0, 0
	return l
}

// heap is what live objects take, with those that nobody has collected yet.
func heap() int64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64())
}
