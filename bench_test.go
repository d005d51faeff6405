package hotline

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// The benchmarks of the fast path. Server CPU is measured with getrusage; the clients are another process. Run them
// alone on the machine:
//
//	go test -run - -bench Fanout -benchtime 20x -count 5

func benchHub(b *testing.B, secure bool) (h *Hub, addr string) {
	b.Helper()
	h = NewHub(&HubOptions{
		AuthorizeSubscribe: anyone, AuthorizePublish: anyone, Logger: slog.New(slog.DiscardHandler),
		Limits: Limits{PingInterval: -1, PublishRate: -1}, // the load answers no pings
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	srv := &http.Server{Handler: h, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	if secure {
		ts := httptest.NewUnstartedServer(nil)
		ts.StartTLS()
		cert := ts.TLS.Certificates[0]
		ts.Close()
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}})
	}
	go srv.Serve(l)
	b.Cleanup(func() {
		srv.Close()
		h.Close()
	})
	return h, l.Addr().String()
}

var benchPayload = []byte(`{"text":"` + strings.Repeat("x", 117) + `"}`) // 128 bytes

// BenchmarkFanout: 1,000 connections; a burst of 200 messages, or one message at a time, 40 a second. The figures are
// medians of the server's CPU a delivery, and beside them the floor: write(2) of ready-made frames by one goroutine, one
// write a connection, to as many sockets. The two take turns, because the machine's mood changes.
func BenchmarkFanout(b *testing.B) {
	for _, burst := range []int{200, 1} {
		for _, secure := range []bool{false, true} {
			name := fmt.Sprintf("burst=%d/%s", burst, map[bool]string{false: "tcp", true: "tls"}[secure])
			b.Run(name, func(b *testing.B) { benchFanout(b, burst, secure) })
		}
	}
}

func benchFanout(b *testing.B, burst int, secure bool) {
	const conns = 1000
	h, addr := benchHub(b, secure)
	viaHub := startBenchClients(b, addr, conns, secure, "bench")
	l, socks := benchSockets(b, conns)
	viaWrite := startBenchClients(b, l.Addr().String(), conns, false, "bench")
	var all []*socket
	for range conns {
		all = append(all, <-socks)
	}
	frames := []byte(strings.Repeat(string(benchFrame()), burst))
	var w writer
	publish := func() {
		for range burst {
			if err := h.Publish(context.Background(), "bench", benchPayload); err != nil {
				b.Fatal(err)
			}
		}
	}
	write := func() {
		for _, s := range all {
			if n, err := w.writeNow(s, frames); n != len(frames) || err != nil {
				b.Fatal(n, err)
			}
		}
	}
	var hub, floor []float64
	for b.Loop() {
		for _, x := range []struct {
			c    *benchClients
			send func()
			took *[]float64
		}{{viaHub, publish, &hub}, {viaWrite, write, &floor}} {
			begin := cpu()
			x.c.expect(burst)
			x.send()
			x.c.done()
			*x.took = append(*x.took, float64((cpu()-begin).Nanoseconds())/1e3/float64(conns*burst))
			time.Sleep(25 * time.Millisecond)
		}
	}
	slices.Sort(hub)
	slices.Sort(floor)
	b.ReportMetric(hub[len(hub)/2], "hub-cpu-µs")
	b.ReportMetric(floor[len(floor)/2], "write-cpu-µs")
	b.ReportMetric(hub[len(hub)/2]/floor[len(floor)/2], "ratio")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkPublish is what Publish costs its caller: the CPU time of the calling thread, because on a machine with few
// cores the shards take the rest of the time that passes. The figure is the median over bursts of 50.
func BenchmarkPublish(b *testing.B) {
	for _, subs := range []int{0, 1, 1000, 10_000} {
		b.Run(fmt.Sprintf("subs=%d", subs), func(b *testing.B) {
			h, addr := benchHub(b, false)
			var c *benchClients
			if subs > 0 {
				c = startBenchClients(b, addr, subs, false, "bench")
			}
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			ctx := context.Background()
			const burst = 50
			var took []time.Duration
			b.ReportAllocs()
			for b.Loop() {
				if c != nil {
					c.expect(burst)
				}
				begin := threadCPU()
				for range burst {
					if err := h.Publish(ctx, "bench", benchPayload); err != nil {
						b.Fatal(err)
					}
				}
				took = append(took, (threadCPU()-begin)/burst)
				if c != nil {
					c.done()
				}
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "p50-cpu-ns/publish")
		})
	}
}

// BenchmarkLatency is one subscriber, in another process, of an idle hub, against a bare write to such a socket. The
// two take turns, because the machine's mood changes.
func BenchmarkLatency(b *testing.B) {
	h, addr := benchHub(b, false)
	viaHub := startBenchClients(b, addr, 1, false, "latency")
	l, bare := benchSockets(b, 1)
	viaWrite := startBenchClients(b, l.Addr().String(), 1, false, "latency")
	sock := <-bare
	frame := benchFrame()
	var hub, write []time.Duration
	for b.Loop() {
		begin := time.Now()
		h.Publish(context.Background(), "latency", benchPayload)
		hub = append(hub, viaHub.stamp().Sub(begin))
		time.Sleep(time.Millisecond)
		begin = time.Now()
		sock.Write(frame)
		write = append(write, viaWrite.stamp().Sub(begin))
		time.Sleep(time.Millisecond)
	}
	slices.Sort(hub)
	slices.Sort(write)
	us := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
	b.ReportMetric(us(hub[len(hub)/2]), "hub-p50-µs")
	b.ReportMetric(us(hub[len(hub)*99/100]), "hub-p99-µs")
	b.ReportMetric(us(write[len(write)/2]), "write-p50-µs")
	b.ReportMetric(us(write[len(write)*99/100]), "write-p99-µs")
	b.ReportMetric(0, "ns/op")
}

// benchSockets accepts the load's connections without a hub.
func benchSockets(b *testing.B, n int) (net.Listener, chan *socket) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	socks := make(chan *socket, n)
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				buf := make([]byte, 4096)
				nc.Read(buf) // the request
				io.WriteString(nc, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
				nc.Read(buf) // the hello
				nc.Write([]byte{0x81, 2, '{', '}', 0x81, 2, '{', '}'})
				b.Cleanup(func() { nc.Close() })
				socks <- newSocket(nc, 64<<10)
			}()
		}
	}()
	return l, socks
}

// benchFrame is what the hub would send.
func benchFrame() []byte {
	return appendFrame(nil, 1, fmt.Appendf(nil, `{"topic":"bench","id":"1q2w3e.3w5e11264sgsf","data":%s}`, benchPayload))
}

// BenchmarkIdle is the memory of idle subscribed connections, once each has sent something since the last collection, as all do that answer pings.
// How large stacks begin is set by the collector, and large while many connections are made.
func BenchmarkIdle(b *testing.B) {
	_, addr := benchHub(b, false)
	const conns = 9000
	memory := func() (heap, stack float64) {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc), float64(m.StackInuse)
	}
	heap, stack := memory()
	clients := startBenchClients(b, addr, conns, false, "bench")
	time.Sleep(500 * time.Millisecond)
	memory()
	clients.pong()
	time.Sleep(500 * time.Millisecond)
	heap2, stack2 := memory()
	for b.Loop() {
	}
	b.ReportMetric((heap2-heap)/conns, "heap-B/conn")
	b.ReportMetric((stack2-stack)/conns, "stack-B/conn")
	b.ReportMetric((heap2-heap+stack2-stack)/conns, "B/conn")
	b.ReportMetric(0, "ns/op")
}
