package hotline

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gohotline/hotline/internal/child"
)

// The load of the benchmarks runs in a process of its own, so that getrusage tells the server's CPU alone. It is this
// test binary, run again with the address in its environment.
const benchEnv = "HOTLINE_BENCH_ADDR"

// benchClients is the other process: so many raw connections, each with a hello that subscribes to its topics. It
// counts frames; a line "expect n" on its input is answered by "done" once every connection has had n more messages.
type benchClients struct {
	*child.Process
	t testing.TB
}

func startBenchClients(b *testing.B, addr string, conns int, secure bool, subs string) *benchClients {
	b.Helper()
	c := &benchClients{startChild(b, fmt.Sprintf("%s=%s %d %t %s", benchEnv, addr, conns, secure, subs), "GOMAXPROCS=1"), b}
	c.wait("ready")
	return c
}

// startChild starts this test binary once more, until the benchmark ends.
func startChild(b *testing.B, env ...string) *child.Process {
	b.Helper()
	cmd, err := child.Self(env...)
	if err != nil {
		b.Fatal(err)
	}
	p, err := child.Start(cmd)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := p.Stop(); err != nil {
			b.Error(err)
		}
	})
	return p
}

func (c *benchClients) wait(want string) {
	c.t.Helper()
	if line, err := c.Line(); err != nil || line != want {
		c.t.Fatalf("load process: %q, %v, want %q", line, err, want)
	}
}

// stamp is when the only connection got its next message.
func (c *benchClients) stamp() time.Time {
	c.t.Helper()
	line, err := c.Line()
	if err != nil {
		c.t.Fatal(err)
	}
	n, err := strconv.ParseInt(line, 10, 64)
	if err != nil {
		c.t.Fatal(err)
	}
	return time.Unix(0, n)
}

func (c *benchClients) expect(messages int) { fmt.Fprintf(c.In, "expect %d\n", messages) }

// pong has every connection send a Pong (RFC 6455 §5.5.3).
func (c *benchClients) pong() { fmt.Fprintln(c.In, "pong"); c.done() }

func (c *benchClients) done() { c.t.Helper(); c.wait("done") }

// runBenchClients is main of the other process.
func runBenchClients(arg string) {
	f := strings.SplitN(arg, " ", 4)
	conns, _ := strconv.Atoi(f[1])
	var got, ready sync.WaitGroup
	var left atomic.Int64
	done := make(chan struct{}, 1)
	counts := make([]atomic.Int64, conns)
	socks := make([]net.Conn, conns)
	ready.Add(conns)
	for i := range conns {
		got.Go(func() {
			c, err := benchDial(f[0], f[2] == "true")
			if err != nil {
				fmt.Fprintln(os.Stderr, "load process:", err)
				os.Exit(1)
			}
			socks[i] = c
			subs := strings.Split(f[3], ",")
			io.WriteString(c, benchHello(subs, i))
			benchRead(c, len(subs), ready.Done, func(n int64) {
				if f[3] == "latency" { // the clock is the same in both processes
					fmt.Println(time.Now().UnixNano())
				}
				if counts[i].Add(n) >= left.Load() && counts[i].Load()-n < left.Load() {
					select {
					case done <- struct{}{}:
					default:
					}
				}
			})
		})
		if i%100 == 99 {
			time.Sleep(10 * time.Millisecond)
		}
	}
	ready.Wait()
	fmt.Println("ready")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		if in.Text() == "pong" {
			for _, c := range socks {
				c.Write([]byte{0x8a, 0x80, 0, 0, 0, 0})
			}
			fmt.Println("done")
			continue
		}
		n, _ := strconv.ParseInt(strings.TrimPrefix(in.Text(), "expect "), 10, 64)
		left.Add(n)
		for i := range counts {
			for counts[i].Load() < left.Load() {
				select {
				case <-done:
				case <-time.After(time.Millisecond):
				}
			}
		}
		fmt.Println("done")
	}
	os.Exit(0)
}

func benchDial(addr string, secure bool) (net.Conn, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	if secure {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	}
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: hotline.v1\r\n\r\n")
	var b [1]byte
	for end := 0; end < 4; { // up to the empty line
		if _, err := c.Read(b[:]); err != nil {
			return nil, err
		}
		if b[0] == '\r' || b[0] == '\n' {
			end++
		} else {
			end = 0
		}
	}
	return c, nil
}

// benchHello is a masked frame (with a mask of zero). A % in a topic becomes the connection's number.
func benchHello(subs []string, conn int) string {
	var list []string
	for i, s := range subs {
		list = append(list, fmt.Sprintf(`{"sub":%d,"topic":%q}`, i+1, strings.ReplaceAll(s, "%", strconv.Itoa(conn))))
	}
	return maskedText(`{"op":"hello","subs":[` + strings.Join(list, ",") + `]}`)
}

func maskedText(s string) string {
	n := len(s)
	head := []byte{0x81, 0x80 | 126, byte(n >> 8), byte(n), 0, 0, 0, 0}
	if n < 126 {
		head = []byte{0x81, 0x80 | byte(n), 0, 0, 0, 0}
	}
	return string(head) + s
}

// benchRead counts message frames; the welcome and one ok a subscription come first.
func benchRead(c net.Conn, subs int, ready func(), got func(n int64)) {
	before := subs + 1
	r := bufio.NewReaderSize(c, 32<<10)
	for {
		n := int64(0)
		for {
			size, err := benchSkip(r)
			if err != nil {
				return
			}
			_ = size
			if before > 0 {
				if before--; before == 0 {
					ready()
				}
			} else {
				n++
			}
			if r.Buffered() == 0 {
				break
			}
		}
		if n > 0 {
			got(n)
		}
	}
}

// benchSkip reads one frame.
func benchSkip(r *bufio.Reader) (int, error) {
	h, err := r.Peek(2)
	if err != nil {
		return 0, err
	}
	size, head := int(h[1]&127), 2
	if size == 126 {
		if h, err = r.Peek(4); err != nil {
			return 0, err
		}
		size, head = int(binary.BigEndian.Uint16(h[2:])), 4
	}
	_, err = r.Discard(head + size)
	return size, err
}
