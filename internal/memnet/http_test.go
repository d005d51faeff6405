package memnet

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
)

// echo echoes messages on /ws, and says hello elsewhere. ended gets what ended each WebSocket.
func echo(ended chan<- error) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello "+r.RemoteAddr) })
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			ended <- err
			return
		}
		defer conn.CloseNow()
		for {
			kind, data, err := conn.Read(context.Background())
			if err == nil {
				err = conn.Write(context.Background(), kind, data)
			}
			if err != nil {
				ended <- err
				return
			}
		}
	})
	return mux
}

// serve serves h on n. stop is like the end of a process, and waits for it.
func serve(n *Network, h http.Handler) (stop func()) {
	srv := &http.Server{Handler: h}
	var wg sync.WaitGroup
	ln := n.Listen()
	wg.Go(func() { srv.Serve(ln) })
	return func() {
		srv.Close()
		wg.Wait()
	}
}

// dialWS opens a WebSocket over l.
func dialWS(t *testing.T, l *Link) *websocket.Conn {
	t.Helper()
	tr := &http.Transport{DialContext: l.DialContext}
	t.Cleanup(tr.CloseIdleConnections)
	conn, _, err := websocket.Dial(t.Context(), "ws://example.com/ws", &websocket.DialOptions{HTTPClient: &http.Client{Transport: tr}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.CloseNow() })
	return conn
}

func roundTrip(t *testing.T, conn *websocket.Conn, msg string) {
	t.Helper()
	if err := conn.Write(t.Context(), websocket.MessageText, []byte(msg)); err != nil {
		t.Fatal(err)
	}
	if _, got, err := conn.Read(t.Context()); err != nil || string(got) != msg {
		t.Fatalf("got %.20q, %v; want %.20q", got, err, msg)
	}
}

func TestHTTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(nil)
		stop := serve(n, echo(nil))
		defer stop()
		l := n.Link()
		tr := &http.Transport{DialContext: l.DialContext}
		defer tr.CloseIdleConnections()
		client := &http.Client{Transport: tr}
		var bodies []string
		for range 2 {
			resp, err := client.Get("http://example.com/")
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			bodies = append(bodies, string(body))
		}
		if bodies[0] != bodies[1] || l.Conns() != 1 {
			t.Fatalf("got %q over %d connections, want one kept alive", bodies, l.Conns())
		}
		tr.CloseIdleConnections()
		synctest.Wait()
		if l.Conns() != 0 {
			t.Fatalf("%d connections left", l.Conns())
		}
	})
}

func TestWebSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(nil)
		ended := make(chan error, 1)
		stop := serve(n, echo(ended))
		defer stop()
		l := n.Link()
		conn := dialWS(t, l)
		conn.SetReadLimit(-1)
		for _, size := range []int{0, 1, 125, 126, 32 << 10} {
			roundTrip(t, conn, strings.Repeat("x", size))
		}
		if err := conn.Close(websocket.StatusNormalClosure, "done"); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; websocket.CloseStatus(err) != websocket.StatusNormalClosure {
			t.Fatalf("the server saw %v", err)
		}
		synctest.Wait()
		if l.Conns() != 0 {
			t.Fatalf("%d connections left", l.Conns())
		}
	})
}

func TestWebSocketFaults(t *testing.T) {
	start := func(t *testing.T) (l *Link, conn *websocket.Conn, ended chan error) {
		n := New(&Options{SendBuffer: 1 << 10, RecvBuffer: 1 << 10})
		ended = make(chan error, 1)
		t.Cleanup(serve(n, echo(ended)))
		l = n.Link()
		conn = dialWS(t, l)
		roundTrip(t, conn, "hello")
		return l, conn, ended
	}
	bubble(t, "Cut", func(t *testing.T) {
		l, conn, ended := start(t)
		l.Cut()
		wantErr(t, "the server's Read", <-ended, syscall.ECONNRESET)
		_, _, err := conn.Read(t.Context())
		wantErr(t, "the client's Read", err, syscall.ECONNRESET)
		roundTrip(t, dialWS(t, l), "again")
		conn.CloseNow()
		synctest.Wait()
		if l.Conns() != 1 {
			t.Fatalf("%d connections", l.Conns())
		}
	})
	// The server's Write blocks; it reads no more, so the client's blocks too.
	bubble(t, "Stall", func(t *testing.T) {
		l, conn, ended := start(t)
		l.Stall()
		write := started(func() (n int, err error) {
			for ; err == nil; n++ {
				err = conn.Write(context.Background(), websocket.MessageText, []byte(strings.Repeat("x", 100)))
			}
			return n, err
		})
		time.Sleep(time.Hour)
		pending(t, "Write", write)
		if l.Unread() != 2<<10 {
			t.Fatalf("%d bytes unread", l.Unread())
		}
		conn.CloseNow()
		wantErr(t, "the server's Write", <-ended, syscall.EPIPE)
		wantErr(t, "the client's Write", (<-write).err, net.ErrClosed)
	})
	// Nobody notices, until somebody's timeout.
	bubble(t, "Blackhole", func(t *testing.T) {
		l, conn, ended := start(t)
		l.Blackhole()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := conn.Ping(conn.CloseRead(ctx)); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Ping: %v", err)
		}
		conn.CloseNow()
		synctest.Wait()
		select {
		case err := <-ended:
			t.Fatalf("the server saw %v", err)
		default:
		}
		l.Heal()
		<-ended
	})
	bubble(t, "Throttle", func(t *testing.T) {
		l, conn, _ := start(t)
		l.Throttle(100)
		began := time.Now()
		roundTrip(t, conn, strings.Repeat("x", 120)) // and 2 bytes of header
		if took := time.Since(began).Round(time.Microsecond); took != 1220*time.Millisecond {
			t.Fatalf("took %v", took)
		}
	})
}

// A server that was stopped and started again on the same network.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(nil)
		ended := make(chan error, 2)
		stop := serve(n, echo(ended))
		l := n.Link()
		conn := dialWS(t, l)
		roundTrip(t, conn, "hello")
		stop()
		l.Cut() // net/http forgets what was hijacked; the end of its process would not
		if _, _, err := conn.Read(t.Context()); err == nil {
			t.Fatal("the connection outlived its server")
		}
		_, err := l.DialContext(t.Context(), "tcp", "x:80")
		wantErr(t, "DialContext", err, syscall.ECONNREFUSED)
		stop = serve(n, echo(ended))
		defer stop()
		roundTrip(t, dialWS(t, l), "again")
	})
}

// http.Server.Shutdown ends with idle connections, and Close with busy ones.
func TestServerShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(nil)
		busy := make(chan struct{})
		srv := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(busy)
			<-r.Context().Done() // net/http reads in the background to see the client go
		})}
		served := make(chan error, 1)
		ln := n.Listen()
		go func() { served <- srv.Serve(ln) }()
		conn, err := n.Link().DialContext(t.Context(), "tcp", "x:80")
		if err != nil {
			t.Fatal(err)
		}
		mustWrite(t, conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		<-busy
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		wantErr(t, "Shutdown", srv.Shutdown(ctx), context.DeadlineExceeded)
		wantErr(t, "Serve", <-served, http.ErrServerClosed)
		conn.Close()
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}
