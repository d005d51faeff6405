package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gohotline/hotline"
	"github.com/gohotline/hotline/internal/leak"
	"github.com/gohotline/hotline/internal/memnet"
)

const (
	token    = "only the tests know it"
	childEnv = "PRICEWATCH_TEST_MAIN" // this process is not the tests, but the program
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		main()
		os.Exit(0)
	}
	if os.Getenv("PRICEWATCH_TEST_LOG") == "" {
		log.SetOutput(io.Discard)
	}
	leak.Main(m)
}

// quote is one price that was published.
type quote struct {
	symbol string
	v      any
}

// first are the first n quotes.
func first(n int) (list []quote) {
	for symbol, v := range quotes(7) {
		if list = append(list, quote{symbol, v}); len(list) == n {
			break
		}
	}
	return list
}

// want are the alerts for quotes, had nothing ever failed.
func want(list []quote, move int) (alerts []string) {
	last := make(map[string]int)
	for _, q := range list {
		p, ok := q.v.(price)
		if !ok {
			continue
		}
		was, known := last[q.symbol]
		switch d := p.Cents - was; {
		case !known:
			last[q.symbol] = p.Cents
		case d*100 >= move*was || -d*100 >= move*was:
			alerts = append(alerts, fmt.Sprint(q.symbol, was, p.Cents))
			last[q.symbol] = p.Cents
		}
	}
	return alerts
}

// reader reads the alerts that an exchange has stored.
type reader struct {
	t   *testing.T
	ctx context.Context
	hub *hotline.Hub
	sub *hotline.Subscription
}

func newReader(t *testing.T, hub *hotline.Hub) *reader {
	t.Helper()
	sub, err := alerts.Subscribe(t.Context(), hub, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &reader{t, t.Context(), hub, sub}
}

// want reads alerts and compares them.
func (r *reader) want(list ...string) {
	r.t.Helper()
	for i, x := range list {
		msg, err := r.sub.Next(r.ctx)
		if err != nil {
			r.t.Fatal(err)
		}
		a, err := alerts.Decode(msg)
		if err != nil {
			r.t.Fatal(err)
		}
		if got := fmt.Sprint(alerts.Params(msg.Topic)[0], a.Was, a.Is); got != x {
			r.t.Fatalf("alert %d of %d is %q, want %q", i+1, len(list), got, x)
		}
	}
}

// wantNoMore: what is published now is the next that is read.
func (r *reader) wantNoMore() {
	r.t.Helper()
	if err := alerts.With("end").Publish(r.t.Context(), r.hub, alert{}); err != nil {
		r.t.Fatal(err)
	}
	r.want("end0 0")
}

func publish(t *testing.T, hub *hotline.Hub, list ...quote) {
	t.Helper()
	for _, q := range list {
		if err := hub.Publish(t.Context(), prices.With(q.symbol).String(), q.v); err != nil {
			t.Fatal(err)
		}
	}
}

// place is an exchange's address on a network in memory.
type place struct {
	t   *testing.T
	net *memnet.Network
}

// open serves a new hub there until the returned function is called.
func (p place) open() (hub *hotline.Hub, end func()) {
	hub = newHub(token)
	srv := &http.Server{Handler: hub}
	ln := p.net.Listen()
	served := make(chan struct{})
	go func() {
		defer close(served)
		srv.Serve(ln)
	}()
	return hub, func() {
		srv.Close()
		hub.Close()
		<-served
	}
}

// watch starts a watcher, and returns how to stop it and hear why it has ended.
func (p place) watch(file string, move int) (stop func() error) {
	w := &watcher{url: "ws://exchange/", token: token, file: file, move: move, http: &http.Client{Transport: &http.Transport{
		DialContext: p.net.Link().DialContext, DisableKeepAlives: true,
	}}}
	ctx, cancel := context.WithCancel(p.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.run(ctx) }()
	synctest.Wait()
	return func() error {
		cancel()
		return <-ended
	}
}

// begin makes the file of a watcher that has read the hub so far, so that nothing is published before it listens.
func begin(t *testing.T, hub *hotline.Hub) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "state.json")
	if err := (&state{Position: hub.Position()}).save(file); err != nil {
		t.Fatal(err)
	}
	return file
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestAnyPlace runs a watcher again from files that it has had. It reads on from there, comes to the same state, and
// publishes again what it published then: nothing of that is stored twice.
func TestAnyPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := place{t, memnet.New(nil)}
		hub, end := p.open()
		defer end()
		r := newReader(t, hub)
		const move = 1
		list := first(45)
		alerts := want(list, move)
		if len(alerts) < 15 {
			t.Fatalf("there are only %d alerts", len(alerts))
		}
		file := begin(t, hub)
		files := []string{read(t, file)}
		stop := p.watch(file, move)
		for _, q := range list {
			publish(t, hub, q)
			synctest.Wait()
			files = append(files, read(t, file))
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		r.want(alerts...)
		r.wantNoMore()
		at := func(s *state, err error) string { return fmt.Sprint(s.Cents, s.Missed, err) }
		last := at(load(file))
		for i := 0; i < len(files); i += 3 { // each save waits for the disk
			f := files[i]
			if err := os.WriteFile(file, []byte(f), 0o600); err != nil {
				t.Fatal(err)
			}
			stop := p.watch(file, move)
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			if got := at(load(file)); got != last {
				t.Fatalf("from file %d: %s, want %s", i, got, last)
			}
			r.wantNoMore()
		}
	})
}

// TestExchangeRestarts: the prices of an exchange that has gone are lost, the watcher is told so and goes on.
func TestExchangeRestarts(t *testing.T) {
	for _, stopped := range []bool{false, true} { // with the watcher running meanwhile, or not
		t.Run(fmt.Sprint("stopped=", stopped), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := place{t, memnet.New(nil)}
				hub, end := p.open()
				file := begin(t, hub)
				stop := p.watch(file, 0)
				list := first(30)
				publish(t, hub, list[:10]...)
				synctest.Wait()
				if stopped {
					if err := stop(); err != nil {
						t.Fatal(err)
					}
				}
				end()

				hub, end = p.open()
				defer end()
				r := newReader(t, hub)
				if stopped {
					stop = p.watch(file, 0)
				}
				time.Sleep(time.Minute) // it comes back
				publish(t, hub, list[10:]...)
				r.want(want(list[10:], 0)...) // which are compared with nothing older
				synctest.Wait()
				if err := stop(); err != nil {
					t.Fatal(err)
				}
				r.wantNoMore()
				if s, err := load(file); err != nil || s.Missed != 1 {
					t.Errorf("%+v, %v: want one missed, at least", s, err)
				}
			})
		})
	}
}

// TestStoppedBeforeItIsTold: who is stopped between the exchange's restart and the next price is told after all.
func TestStoppedBeforeItIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := place{t, memnet.New(nil)}
		hub, end := p.open()
		file := begin(t, hub)
		stop := p.watch(file, 0)
		end()
		hub, end = p.open()
		defer end()
		time.Sleep(time.Minute)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		stop = p.watch(file, 0)
		publish(t, hub, first(3)...)
		synctest.Wait()
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if s, err := load(file); err != nil || s.Missed == 0 {
			t.Errorf("%+v, %v: want some missed", s, err)
		}
	})
}

func TestWrongToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := place{t, memnet.New(nil)}
		hub := newHub("another")
		srv := &http.Server{Handler: hub}
		go srv.Serve(p.net.Listen())
		defer hub.Close()
		defer srv.Close()
		stop := p.watch(filepath.Join(t.TempDir(), "state.json"), 0)
		if err := stop(); !errors.Is(err, hotline.ErrDenied) {
			t.Errorf("%v, want ErrDenied", err)
		}
	})
}

// TestDamagedFile: what is no state is not taken for none.
func TestDamagedFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.json")
	if err := os.WriteFile(file, []byte(`{"Position":"1a.`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (&watcher{file: file}).run(t.Context()); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("%v, want an error that names the file", err)
	}
}

// program starts this program in a process of its own.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), childEnv+"=1", "PRICEWATCH_TOKEN="+token)
	return cmd
}

// TestKilled kills the watcher, a process, again and again: most often just when an alert was stored, before its answer
// or its place in the file are. In the end each price was looked at in order, and each alert published once.
func TestKilled(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	rnd := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	hub := newHub(token)
	defer hub.Close()
	srv := httptest.NewServer(hub)
	defer srv.Close()
	r := newReader(t, hub)
	file := begin(t, hub)
	const total = 8 * 19 // the last one has an alert, after which the place is kept though the watcher is told to end
	var list []quote
	done := 0 // alerts read
	for len(list) < total {
		list = first(len(list) + 19)
		batch := list[len(list)-19:]
		before := rnd.IntN(len(batch) + 1) // is published while nobody listens
		publish(t, hub, batch[:before]...)
		cmd := program(t, "-exchange", srv.URL, "-state", file, "-move", "0")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		alive, died := context.WithCancelCause(t.Context())
		ended := make(chan error, 1)
		go func() {
			err := cmd.Wait()
			died(fmt.Errorf("the watcher has ended, %v:\n%s", err, &stderr))
			ended <- err
		}()
		r.ctx = alive
		publish(t, hub, batch[before:]...)
		all := want(list, 0) // with a move of 0 each price but the first of its symbol is an alert
		n := rnd.IntN(len(all) - done + 1)
		if len(list) == total {
			n = len(all) - done
		}
		r.want(all[done : done+n]...)
		done += n
		if len(list) < total {
			cmd.Process.Kill()
			<-ended
			continue
		}
		cmd.Process.Signal(os.Interrupt)
		if err := <-ended; err != nil {
			t.Fatalf("it was asked to end, and did with %v:\n%s", err, &stderr)
		}
	}
	r.ctx = t.Context()
	r.wantNoMore()
	s, err := load(file)
	if err != nil || s.Missed != 0 {
		t.Errorf("%+v, %v: want none missed", s, err)
	}
	// The last ones are processed too: whoever goes on from there has nothing to read.
	sub, err := prices.Subscribe(t.Context(), hub, &hotline.SubscribeOptions{After: s.Position})
	if err != nil {
		t.Fatal(err)
	}
	publish(t, hub, quote{"end", price{}})
	if msg, err := sub.Next(t.Context()); err != nil || msg.Topic != "prices.end" || msg.Missed != 0 {
		t.Errorf("after the position in the file comes %+v, %v", msg, err)
	}
}

// TestProgram runs both parts with one command, until there is an alert, and once more: it goes on, and says what it missed.
func TestProgram(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.json")
	for i := range 2 {
		cmd := program(t, "-state", file, "-every", "1ms", "-move", "2")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.HasPrefix(line, "watcher: ") {
			t.Errorf("it printed %q, %v", line, err)
		}
		cmd.Process.Signal(syscall.SIGTERM)
		io.Copy(io.Discard, out)
		if err := cmd.Wait(); err != nil {
			t.Fatalf("it was asked to end, and did with %v:\n%s", err, &stderr)
		}
		if told := strings.Contains(stderr.String(), "lost at least"); told != (i == 1) {
			t.Errorf("run %d: lost: %t:\n%s", i+1, told, &stderr)
		}
	}
}
