package memnet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// model is what a connection and its link must do, said as plainly as it can be: what was sent is one slice, and what
// may be read of it follows from the faults. Index 0 is the direction towards the client, and the client's reading end.
type model struct {
	size                    int
	sent                    [2][]byte
	read                    [2]int
	readerClosed, finished  [2]bool
	stalled                 [2]bool
	dark, broken, throttled bool
}

// readable returns how many bytes a Read into p may return at most, and its error if that is none.
func (m *model) readable(dir int, p []byte) (int, error) {
	n := min(len(p), len(m.sent[dir])-m.read[dir])
	switch {
	case m.readerClosed[dir]:
		return 0, net.ErrClosed
	case len(p) == 0:
		return 0, nil
	case m.broken:
		return 0, syscall.ECONNRESET
	case m.dark, m.stalled[dir]:
		return 0, os.ErrDeadlineExceeded
	case n > 0:
		return n, nil
	case m.finished[dir]:
		return 0, io.EOF
	}
	return 0, os.ErrDeadlineExceeded
}

// writable is the same for a Write of n bytes.
func (m *model) writable(dir, n int) (int, error) {
	room := m.size - (len(m.sent[dir]) - m.read[dir])
	switch {
	case m.readerClosed[1-dir]: // one end reads one direction and writes the other
		return 0, net.ErrClosed
	case m.broken:
		return 0, syscall.ECONNRESET
	case m.finished[dir], m.readerClosed[dir] && !m.dark:
		return 0, syscall.EPIPE
	case room < n:
		return room, os.ErrDeadlineExceeded
	}
	return n, nil
}

// FuzzModel runs a program of operations on a connection and on the model of it. Each call has a deadline, so that
// all of them end.
func FuzzModel(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		program := make([]byte, 400)
		for i := range program {
			program[i] = byte(r.Uint32())
		}
		f.Add(program)
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		synctest.Test(t, func(t *testing.T) { runProgram(t, program) })
	})
}

func runProgram(t *testing.T, program []byte) {
	m := &model{size: 100}
	l, client, server := newPair(t, &Options{SendBuffer: 70, RecvBuffer: 30})
	readers, writers := [2]net.Conn{client, server}, [2]net.Conn{server, client}
	for i := 0; i+1 < len(program); i += 2 {
		op, arg := program[i], int(program[i+1])
		dir := int(op >> 7)
		switch op := op & 31; {
		case op < 12:
			modelWrite(t, m, dir, writers[dir], arg%128)
		case op < 24:
			modelRead(t, m, dir, readers[dir], arg%128)
		default:
			modelFault(t, m, l, client, server, op, dir, arg)
		}
	}
}

func modelWrite(t *testing.T, m *model, dir int, c net.Conn, n int) {
	wantN, want := m.writable(dir, n)
	p := pattern(len(m.sent[dir]), n)
	c.SetWriteDeadline(time.Now().Add(time.Millisecond))
	n, err := c.Write(p)
	if n != wantN || !errors.Is(err, want) {
		t.Fatalf("Write of %d bytes in direction %d: %d, %v; want %d, %v", len(p), dir, n, err, wantN, want)
	}
	m.sent[dir] = append(m.sent[dir], p[:n]...)
}

func modelRead(t *testing.T, m *model, dir int, c net.Conn, n int) {
	p := make([]byte, n)
	most, want := m.readable(dir, p)
	c.SetReadDeadline(time.Now().Add(time.Hour))
	n, err := c.Read(p)
	if !errors.Is(err, want) || n > most || n < most && (!m.throttled || n == 0 || dir != 0) {
		t.Fatalf("Read in direction %d: %d, %v; want %d, %v", dir, n, err, most, want)
	}
	if got := m.sent[dir][m.read[dir]:][:n]; !bytes.Equal(p[:n], got) {
		t.Fatalf("Read in direction %d at %d: %x, want %x", dir, m.read[dir], p[:n], got)
	}
	m.read[dir] += n
}

func modelFault(t *testing.T, m *model, l *Link, client, server net.Conn, op byte, dir, arg int) {
	end := [2]net.Conn{client, server}[dir]
	switch op {
	case 24:
		l.Stall()
		m.stalled[0] = true
	case 25:
		l.StallUp()
		m.stalled[1] = true
	case 26:
		l.Blackhole()
		m.dark = true
	case 27:
		l.Throttle(arg)
		m.throttled = arg > 0
	case 28, 29:
		l.Heal()
		m.stalled, m.dark, m.throttled = [2]bool{}, false, false
	case 30: // the rarer the later, for they end the fun
		if arg < 32 {
			end.(interface{ CloseWrite() error }).CloseWrite()
			m.finished[1-dir] = m.finished[1-dir] || !m.readerClosed[dir]
		}
	case 31:
		if arg < 8 {
			l.Cut()
			m.broken = true
		} else if arg < 24 {
			end.Close()
			m.readerClosed[dir], m.finished[1-dir] = true, true
		}
	}
	if gone := m.readerClosed == [2]bool{true, true}; gone != (l.Conns() == 0) {
		t.Fatalf("%d connections, ends closed: %v", l.Conns(), m.readerClosed)
	}
}

// TestRandomFaults has a reader and a writer in each direction while faults come and go. What is read is what was
// written, in order, and all of it if the connection wasn't cut.
func TestRandomFaults(t *testing.T) {
	seeds := 20
	if testing.Short() {
		seeds = 4
	}
	for seed := range uint64(seeds) {
		bubble(t, fmt.Sprint("seed ", seed), func(t *testing.T) {
			randomFaults(t, rand.New(rand.NewPCG(seed, 0)), seed%4 == 3)
		})
	}
}

func randomFaults(t *testing.T, r *rand.Rand, cut bool) {
	l, client, server := newPair(t, &Options{SendBuffer: 500, RecvBuffer: 500})
	done := make(chan struct{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	random := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return r.IntN(n)
	}
	for _, ends := range [][2]net.Conn{{client, server}, {server, client}} {
		sent := started(func() (int, error) { return randomWriter(t, ends[0], random, done), nil })
		wg.Go(func() {
			got, err := randomReader(t, ends[1], random)
			all := (<-sent).n
			if cut && (!errors.Is(err, syscall.ECONNRESET) || got > all) || !cut && (err != io.EOF || got != all) || got == 0 {
				t.Errorf("read %d of %d bytes, then %v", got, all, err)
			}
		})
	}
	faults := []func(){l.Stall, l.StallUp, l.Blackhole, l.Heal, l.Heal, func() { l.Throttle(1 + random(100_000)) }}
	for range 50 {
		time.Sleep(time.Duration(random(100)) * time.Millisecond)
		faults[random(len(faults))]()
	}
	if cut {
		l.Cut()
	}
	close(done)
	l.Heal()
	wg.Wait()
}

// randomWriter writes the pattern until done, then ends its direction, and returns how much it wrote. After a partial
// write it goes on where that ended.
func randomWriter(t *testing.T, c net.Conn, random func(int) int, done <-chan struct{}) (sent int) {
	for {
		select {
		case <-done:
			c.(interface{ CloseWrite() error }).CloseWrite()
			return sent
		default:
		}
		if random(10) == 0 {
			time.Sleep(time.Duration(random(20)) * time.Millisecond)
		}
		c.SetWriteDeadline(time.Now().Add(time.Duration(1+random(50)) * time.Millisecond))
		p := pattern(sent, random(3000))
		n, err := c.Write(p)
		sent += n
		switch {
		case errors.Is(err, syscall.ECONNRESET):
			return sent
		case err == nil && n != len(p) || err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
			t.Errorf("Write of %d bytes: %d, %v", len(p), n, err)
			return sent
		}
	}
}

// randomReader checks the pattern until the end, and returns what ended it.
func randomReader(t *testing.T, c net.Conn, random func(int) int) (got int, err error) {
	for {
		c.SetReadDeadline(time.Now().Add(time.Duration(1+random(50)) * time.Millisecond))
		p := make([]byte, 1+random(2000))
		n, err := c.Read(p)
		if want := pattern(got, n); !bytes.Equal(p[:n], want) {
			t.Errorf("at %d: %x, want %x", got, p[:n], want)
			return got, nil
		}
		got += n
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return got, err
		}
		if random(10) == 0 {
			time.Sleep(time.Duration(random(20)) * time.Millisecond)
		}
	}
}
