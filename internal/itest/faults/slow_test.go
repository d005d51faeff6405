//go:build unix

package faults

import (
	"bufio"
	"context"
	"encoding/csv"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gohotline/hotline"
	"github.com/gohotline/hotline/internal/itest/need"
	"github.com/gohotline/hotline/internal/oracle"
)

// attacks are requests that never end, 200 at once of each kind, by slowhttptest.
var attacks = map[string][]string{
	"headers":             {"-H", "-u", "/chat/ws"},
	"bodies":              {"-B", "-u", "/chat/ws"},
	"bodies of the pages": {"-B", "-t", "GET", "-u", "/chat/"},
	"reads":               {"-X", "-n", "1", "-z", "5", "-w", "1", "-y", "64", "-u", "/hotline.js"},
}

// TestSlowHTTP: the chat example is full of requests that never end. Those who chat notice nothing of it: nobody is
// disconnected, and what is said comes at once.
func TestSlowHTTP(t *testing.T) {
	t.Parallel()
	path, err := exec.LookPath("slowhttptest")
	if err != nil {
		need.Missing(t, "slowhttptest is missing: apt-get install slowhttptest")
	}
	for try := 1; ; try++ {
		lag := watchLag(t)
		c := startChat(t)
		c.join("Ada", "Bob", "Eve", "Mia")
		var wg sync.WaitGroup
		connections := make([]int, len(attacks))
		names := sortedKeys(attacks)
		for i, name := range names {
			wg.Go(func() { connections[i] = c.attack(path, attacks[name]) })
		}
		over := make(chan struct{})
		go func() {
			wg.Wait()
			close(over)
		}()
		c.talk(over)
		row := c.row()
		for i, name := range names {
			if row.faults += connections[i]; connections[i] == 0 {
				t.Errorf("no connection was made for slow %s", name)
			}
		}
		p99 := c.latency(0.99)
		if late := lag(); (p99 > time.Second || row.reconnects > 0) && late > 200*time.Millisecond && try < 5 {
			t.Logf("once more: this process stood still for %v", late)
			continue
		}
		if row.reconnects > 0 || p99 > time.Second {
			t.Errorf("%d reconnects, 99 %% of the messages came within %v", row.reconnects, p99)
		}
		t.Logf("connections: %d of %q, messages came after %v, 99 %% within %v", connections, names, c.latency(0.5), p99)
		c.a.check(8, row)
		return
	}
}

func sortedKeys(m map[string][]string) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// chat is the example, as a process, and people in its lobby.
type chat struct {
	// Static after construction.
	a      *app // only its oracle, and what may be waited for
	addr   string
	people []*hotline.Client

	// Guarded by a.mu.
	sent       map[string]time.Time
	received   map[string]int // by how many
	latencies  []time.Duration
	reconnects int
}

// startChat builds the example and starts it, until t ends.
func startChat(t *testing.T) *chat {
	t.Helper()
	c := &chat{
		a: &app{t: t, name: "slowhttptest: headers, bodies, reads, before the chat example", o: oracle.New()}, addr: ownAddr(t),
		sent: make(map[string]time.Time), received: make(map[string]int),
	}
	c.a.changed = sync.NewCond(&c.a.mu)
	c.a.o.Whole = true
	bin := filepath.Join(t.TempDir(), "chat")
	if out, err := exec.Command("go", "build", "-o", bin, "github.com/gohotline/hotline/examples/chat").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	cmd := exec.Command(bin, "-addr", c.addr)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGKILL)
		cmd.Wait()
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		t.Fatalf("the chat says %q: %v", line, err)
	}
	return c
}

// join lets people in.
func (c *chat) join(names ...string) {
	c.a.t.Helper()
	for _, name := range names {
		first := true
		client, err := hotline.Dial(c.a.t.Context(), "ws://"+c.addr+"/chat/ws", &hotline.DialOptions{
			Token:  func(context.Context) (string, error) { return name, nil },
			Logger: slog.New(slog.DiscardHandler),
			OnState: func(err error) {
				c.a.change(func() {
					if err == nil && !first {
						c.reconnects++
					}
					first = false
				})
			},
		})
		if err != nil {
			c.a.t.Fatal(err)
		}
		c.people = append(c.people, client)
		log := c.a.o.Sub(name, "chat.lobby")
		log.Begin("", 0)
		sub, err := client.Subscribe(c.a.t.Context(), "chat.lobby", nil)
		if err != nil {
			c.a.t.Fatal(err)
		}
		log.OK(sub.Position())
		done := make(chan struct{})
		go func() {
			defer close(done)
			c.listen(sub, log)
		}()
		c.a.t.Cleanup(func() {
			client.Close()
			<-done
		})
	}
}

// listen tells the oracle what one of them hears.
func (c *chat) listen(sub *hotline.Subscription, log *oracle.Sub) {
	for m, err := range sub.Messages(context.Background()) {
		if err != nil {
			return // the client is closed
		}
		var line struct{ Text string }
		if err := m.Decode(&line); err != nil {
			c.a.o.Fail("%v", err)
		}
		if m.Missed > 0 {
			log.Missing(m.ID, m.Missed)
		}
		log.Message(m.Topic, m.ID, line.Text)
		c.a.change(func() {
			c.received[line.Text]++
			c.latencies = append(c.latencies, time.Since(c.sent[line.Text]))
		})
	}
}

// talk lets everybody say something now and then, until over, and waits until everybody has heard everything.
func (c *chat) talk(over <-chan struct{}) {
	var wg sync.WaitGroup
	for i, client := range c.people {
		wg.Go(func() {
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			for j := 0; ; j++ {
				select {
				case <-over:
					return
				case <-tick.C:
				}
				text := fmt.Sprintf("%d says %d", i, j)
				c.a.o.Attempt("chat.lobby", text)
				c.a.change(func() { c.sent[text] = time.Now() })
				if err := client.Publish(context.Background(), "chat.lobby", text); err != nil {
					c.a.o.Fail("Publish: %v", err)
					continue
				}
				c.a.o.Acked(text)
			}
		})
	}
	wg.Wait()
	if !c.a.await(func() bool {
		for text := range c.sent {
			if c.received[text] < len(c.people) {
				return false
			}
		}
		return true
	}) {
		c.a.o.Fail("not everybody has heard everything")
	}
}

// attack runs slowhttptest, and returns how many connections it had.
func (c *chat) attack(path string, args []string) (most int) {
	stats := filepath.Join(c.a.t.TempDir(), "stats")
	list := append([]string{"-c", "200", "-r", "200", "-i", "1", "-l", fmt.Sprint(max(3, int(length.Seconds()))), "-g", "-o", stats}, args...)
	i := slices.Index(list, "-u") + 1
	list[i] = "http://" + c.addr + list[i]
	cmd := exec.Command(path, list...)
	if out, err := cmd.CombinedOutput(); err != nil {
		c.a.t.Errorf("slowhttptest %q: %v\n%s", list, err, out)
		return 0
	}
	f, err := os.Open(stats + ".csv")
	if err != nil {
		c.a.t.Error(err)
		return 0
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		c.a.t.Error(err)
	}
	for _, row := range rows[min(1, len(rows)):] { // seconds, closed, pending, connected, …
		closed, err1 := strconv.Atoi(row[1])
		connected, err2 := strconv.Atoi(row[3])
		if err1 == nil && err2 == nil {
			most = max(most, closed+connected)
		}
	}
	return most
}

// latency is that which a part of the messages did not exceed.
func (c *chat) latency(part float64) time.Duration {
	c.a.mu.Lock()
	defer c.a.mu.Unlock()
	if len(c.latencies) == 0 {
		return 0
	}
	slices.Sort(c.latencies)
	return c.latencies[int(part*float64(len(c.latencies)-1))].Round(10 * time.Microsecond)
}

func (c *chat) row() *row {
	r := c.a.row()
	c.a.mu.Lock()
	defer c.a.mu.Unlock()
	r.reconnects = c.reconnects
	return r
}
