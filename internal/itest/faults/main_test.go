package faults

import (
	"flag"
	"fmt"
	"hash/fnv"
	"log"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/gohotline/hotline/internal/leak"
)

var (
	// length is how long each storm goes on.
	length = 3 * time.Second
	// seed decides what is published and which faults there are, and when.
	seed = rand.Uint64() >> 40
	// thorough says that somebody has asked for a run of its own, by make faults: tests that have to wait take their time.
	thorough bool
)

func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.parallel").Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		flag.Set("test.parallel", "32") // they wait, most of the time
	}
	zerolog.SetGlobalLevel(zerolog.Disabled) // toxiproxy's
	if err := configure(); err != nil {
		log.Fatal(err)
	}
	leak.MainOf(m, "github.com/gohotline/hotline.", "golang.org/x/sync/errgroup.") // by which hubs start theirs
}

// configure reads what make faults says.
func configure() (err error) {
	if s := os.Getenv("HOTLINE_FAULTS"); s != "" {
		if length, err = time.ParseDuration(s); err != nil {
			return fmt.Errorf("HOTLINE_FAULTS: %w", err)
		}
	}
	if s := os.Getenv("HOTLINE_SEED"); s != "" {
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			return fmt.Errorf("HOTLINE_SEED: %w", err)
		}
	}
	thorough = os.Getenv("HOTLINE_TABLE") != ""
	return nil
}

// random is a source of its own for everybody who has a name.
func random(name string) *rand.Rand {
	h := fnv.New64()
	fmt.Fprint(h, name)
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}
