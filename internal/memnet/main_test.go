package memnet

import (
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"

	"github.com/gohotline/hotline/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

// dialPair connects over the link and accepts. Both ends are closed when t ends.
func dialPair(t testing.TB, ln net.Listener, l *Link) (client, server net.Conn) {
	t.Helper()
	client, err := l.DialContext(t.Context(), "tcp", "example.com:80")
	if err != nil {
		t.Fatal(err)
	}
	server, err = ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		server.Close()
	})
	return client, server
}

// newPair is dialPair on a network of its own.
func newPair(t testing.TB, opts *Options) (l *Link, client, server net.Conn) {
	t.Helper()
	n := New(opts)
	ln := n.Listen()
	t.Cleanup(func() { ln.Close() })
	l = n.Link()
	client, server = dialPair(t, ln, l)
	return l, client, server
}

// bubble runs f in a synctest bubble.
func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// pattern is what the tests write: n bytes that tell their offset in the stream, which starts at from.
func pattern(from, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		at := from + i
		p[i] = byte(at ^ at>>8 ^ at>>16)
	}
	return p
}

func mustWrite(t testing.TB, c net.Conn, p string) {
	t.Helper()
	if n, err := io.WriteString(c, p); n != len(p) || err != nil {
		t.Fatalf("Write: %d, %v; want %d", n, err, len(p))
	}
}

func mustRead(t testing.TB, c net.Conn, want string) {
	t.Helper()
	p := make([]byte, len(want))
	if n, err := io.ReadFull(c, p); err != nil || string(p) != want {
		t.Fatalf("Read: %q, %v; want %q", p[:n], err, want)
	}
}

func wantErr(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("%s: %v, want %v", what, err, want)
	}
}

// started runs f and returns a channel that gets its result.
func started(f func() (int, error)) <-chan result {
	done := make(chan result, 1)
	go func() {
		n, err := f()
		done <- result{n, err}
	}()
	return done
}

type result struct {
	n   int
	err error
}

// pending fails t if the call has returned, once nothing else can happen.
func pending(t testing.TB, what string, call <-chan result) {
	t.Helper()
	synctest.Wait()
	select {
	case r := <-call:
		t.Fatalf("%s returned %d, %v; it must block", what, r.n, r.err)
	default:
	}
}
