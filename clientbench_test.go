package hotline

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"testing"
)

// The hub of the client's benchmarks runs in a process of its own: this test binary, with this in its environment.
const benchHubEnv = "HOTLINE_BENCH_HUB"

// runBenchHub is main of the other process. It prints its address, and publishes as many messages as each line says.
func runBenchHub() {
	h := NewHub(&HubOptions{AuthorizeSubscribe: anyone, AuthorizePublish: anyone, Logger: slog.New(slog.DiscardHandler)})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go http.Serve(l, h)
	fmt.Println(l.Addr())
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		n := 0
		fmt.Sscan(in.Text(), &n)
		for range n {
			if err := h.Publish(context.Background(), "bench", benchPayload); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		}
	}
	os.Exit(0)
}

func startBenchHub(b *testing.B) (in io.Writer, url string) {
	b.Helper()
	p := startChild(b, benchHubEnv+"=1")
	addr, err := p.Line()
	if err != nil {
		b.Fatal(err)
	}
	return p.In, "ws://" + addr + "/"
}

// BenchmarkClient is what one client takes through Messages from a hub in another process, in bursts that the log holds.
//
//	go test -run - -bench Client$ -benchtime 20x
func BenchmarkClient(b *testing.B) {
	in, url := startBenchHub(b)
	c, err := Dial(context.Background(), url, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	s, err := c.Subscribe(context.Background(), "bench", nil)
	if err != nil {
		b.Fatal(err)
	}
	const burst = 100_000
	total := 0
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for b.Loop() {
		fmt.Fprintln(in, burst)
		n := 0
		for m, err := range s.Messages(context.Background()) {
			if err != nil || m.Missed > 0 {
				b.Fatal(m.Missed, err)
			}
			if n++; n == burst {
				break
			}
		}
		total += n
	}
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(total)/b.Elapsed().Seconds(), "messages/s")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(total), "allocs/message")
	b.ReportMetric(0, "ns/op")
}
