//go:build linux

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/gohotline/hotline/internal/child"
)

// The runner tells its two processes what to do: an order a line on their standard input, an answer a line on their
// output. The first line of a server is its address.

type order struct {
	Do         string  `json:"do"`
	N          int     `json:"n,omitempty"`          // messages, or connections
	Size       int     `json:"size,omitempty"`       // bytes of a payload
	Rate       float64 `json:"rate,omitempty"`       // messages a second, or bytes that a slow connection reads
	Topics     int     `json:"topics,omitempty"`     // there are so many
	Each       int     `json:"each,omitempty"`       // topics a connection
	Wild       bool    `json:"wild,omitempty"`       // topics are subscribed to as patterns
	Goroutines int     `json:"goroutines,omitempty"` // that publish
	Percent    int     `json:"percent,omitempty"`    // of the connections
	Healthy    bool    `json:"healthy,omitempty"`    // those of slow connections don't count
	Seconds    float64 `json:"seconds,omitempty"`    // to wait at most
}

type answer struct {
	Error string `json:"error,omitempty"`

	// Of a server.
	CPU  int64 `json:"cpu,omitempty"`  // nanoseconds since it began
	Heap int64 `json:"heap,omitempty"` // bytes, with the stacks
	RSS  int64 `json:"rss,omitempty"`

	Kernel int64   `json:"kernel,omitempty"` // bytes of all TCP sockets of the machine
	Took   float64 `json:"took,omitempty"`   // seconds that connecting took

	Call50 float64 `json:"call50,omitempty"` // of a call that publishes, µs
	Call99 float64 `json:"call99,omitempty"`

	// Of the load.
	Got    int64   `json:"got,omitempty"`    // messages
	Slow   int64   `json:"slow,omitempty"`   // of them those of connections that were slow
	Bytes  int64   `json:"bytes,omitempty"`  // received
	Closed int     `json:"closed,omitempty"` // connections that the server has ended
	P50    float64 `json:"p50,omitempty"`    // latency of those that were not slow, ms
	P99    float64 `json:"p99,omitempty"`
}

// obey answers orders until there are no more.
func obey(do func(o order) (answer, error)) error {
	in := bufio.NewScanner(os.Stdin)
	out := json.NewEncoder(os.Stdout)
	for in.Scan() {
		var o order
		if err := json.Unmarshal(in.Bytes(), &o); err != nil {
			return err
		}
		a, err := do(o)
		if err != nil {
			a.Error = err.Error()
		}
		if err := out.Encode(a); err != nil {
			return err
		}
	}
	return in.Err()
}

// process is the other end of obey.
type process struct{ *child.Process }

func start(name string, args ...string) (process, error) {
	p, err := child.Start(exec.Command(name, args...))
	return process{p}, err
}

func (p process) do(o order) (answer, error) {
	b, err := json.Marshal(o)
	if err != nil {
		return answer{}, err
	}
	if _, err := p.In.Write(append(b, '\n')); err != nil {
		return answer{}, err
	}
	line, err := p.Line()
	if err != nil {
		return answer{}, err
	}
	var a answer
	if err := json.Unmarshal([]byte(line), &a); err != nil {
		return answer{}, fmt.Errorf("%v: %q: %w", p, line, err)
	}
	if a.Error != "" {
		return a, fmt.Errorf("%v: %s: %s", p, o.Do, a.Error)
	}
	return a, nil
}

// A payload is JSON that says when it was published, which is how the load finds messages in whatever a protocol wraps
// around them: {"t":1764000000000000000,"x":"..."}.
const (
	mark      = `"t":`
	stampSize = 19
)

// payload makes one of at least 32 bytes.
func payload(size int) []byte {
	b := make([]byte, 0, size)
	b = append(b, `{"t":`...)
	b = strconv.AppendInt(b, time.Now().UnixNano(), 10)
	b = append(b, `,"x":"`...)
	for i := 0; len(b) < size-2; i++ {
		b = append(b, "the quick brown fox jumps over the lazy dog; "[i%45])
	}
	return append(b, `"}`...)
}

// stamps calls f with the time in each payload that b holds.
func stamps(b []byte, f func(sent int64)) {
	for {
		i := bytes.Index(b, []byte(mark))
		if i < 0 || len(b) < i+len(mark)+stampSize {
			return
		}
		b = b[i+len(mark):]
		if t, err := strconv.ParseInt(string(b[:stampSize]), 10, 64); err == nil {
			f(t)
		}
		b = b[stampSize:]
	}
}

// subscribed is what a connection asks for to get topic number i.
func (o order) subscribed(i int) string {
	if o.Wild {
		return "t" + strconv.Itoa(i) + ".*"
	}
	return o.topic(i)
}

// topic is that of message number i.
func (o order) topic(i int) string {
	name := "t" + strconv.Itoa(i%o.Topics)
	if o.Wild {
		name += ".x"
	}
	return name
}
