package soak

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gohotline/hotline"
	"github.com/gohotline/hotline/internal/child"
)

// This file is the process of the hub: the test's own binary, started once more.

const hubVar = "HOTLINE_SOAK_HUB" // how long its log reaches back

func TestMain(m *testing.M) {
	if age := os.Getenv(hubVar); age != "" {
		if err := serve(age); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// serve is a hub until standard input ends.
func serve(age string) error {
	logAge, err := time.ParseDuration(age)
	if err != nil {
		return err
	}
	anybody := hotline.Allow("room.*", "state.*", "here.*", "now.*")
	hub := hotline.NewHub(&hotline.HubOptions{
		AuthorizeSubscribe: anybody, AuthorizePublish: anybody,
		Topics: map[string]hotline.TopicOptions{
			"room.*":  {Keep: 5, MaxAge: time.Minute},
			"state.*": {Delivery: hotline.State, MaxAge: time.Minute},
			"here.*":  {Delivery: hotline.Presence, Linger: 2 * time.Second},
			"now.*":   {Delivery: hotline.Signals},
		},
		Limits: hotline.Limits{LogAge: logAge, LogBytes: 16 << 20, PingInterval: 5 * time.Second},
		Logger: slog.New(slog.DiscardHandler),
	})
	defer hub.Close()
	mux := http.NewServeMux()
	mux.Handle("/ws", hub)
	mux.HandleFunc("/sample", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("free") != "" {
			debug.FreeOSMemory()
		}
		_ = json.NewEncoder(w).Encode(take(hub))
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	defer srv.Close()
	go func() { _ = srv.Serve(ln) }()
	fmt.Fprintln(os.Stdout, ln.Addr())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// sample is what the hub's process uses at one moment.
type sample struct {
	At         time.Duration // since the soak began
	Heap       uint64        // in use, after a collection
	RSS        uint64        // 0: not known here
	Goroutines int
	Files      int
	Stats      hotline.Stats
}

func take(hub *hotline.Hub) (s sample) {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s = sample{Heap: m.HeapAlloc, Goroutines: runtime.NumGoroutine(), Stats: hub.Stats()}
	if list, err := os.ReadDir("/proc/self/fd"); err == nil {
		s.Files = len(list)
	}
	if text, err := os.ReadFile("/proc/self/statm"); err == nil {
		pages, _ := strconv.ParseUint(strings.Fields(string(text))[1], 10, 64)
		s.RSS = pages * uint64(os.Getpagesize())
	}
	return s
}

// process is the hub as the test sees it.
type process struct {
	addr string
	http http.Client
}

func start(t *testing.T, logAge time.Duration) *process {
	cmd, err := child.Self(hubVar + "=" + logAge.String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := child.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{http: http.Client{Transport: &http.Transport{}}}
	t.Cleanup(func() {
		p.http.CloseIdleConnections()
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	if p.addr, err = c.Line(); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *process) sample(t *testing.T, free bool) (s sample) {
	t.Helper()
	url := "http://" + p.addr + "/sample"
	if free {
		url += "?free=1"
	}
	resp, err := p.http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
		t.Fatal(err)
	}
	return s
}
