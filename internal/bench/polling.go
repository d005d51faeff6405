//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// pollingPeer is what a page does that knows no WebSocket: it asks for all values each second, over a connection that is
// kept.
type pollingPeer struct {
	mu     sync.RWMutex
	values map[string]json.RawMessage
}

func newPolling(options) (peer, error) {
	return &pollingPeer{values: make(map[string]json.RawMessage)}, nil
}

func (p *pollingPeer) serve(l net.Listener) error {
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p.mu.RLock()
		b, err := json.Marshal(p.values)
		p.mu.RUnlock()
		if err != nil {
			exit(err)
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write(b)
	}))
}

func (p *pollingPeer) publish(topic string, payload []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.values[topic] = payload
}

const pollEvery = time.Second

// askPoll is a small request: browsers send several times as much.
const askPoll = "GET /prices HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\nUser-Agent: load\r\n\r\n"

// pollAll makes o.N viewers that ask each second, and not all at once.
func (l *load) pollAll(o order) error {
	var dialed sync.WaitGroup
	errs := make(chan error, o.N)
	for i := range o.N {
		dialed.Go(func() {
			nc, err := net.Dial("tcp", l.addr)
			if err != nil {
				errs <- err
				return
			}
			go l.viewer(nc, pollEvery*time.Duration(i)/time.Duration(o.N))
		})
	}
	dialed.Wait()
	close(errs)
	return <-errs
}

func (l *load) viewer(nc net.Conn, first time.Duration) {
	time.Sleep(first)
	r := bufio.NewReaderSize(nc, 16<<10)
	newest := int64(0) // what was changed up to then has been seen
	for range time.Tick(pollEvery) {
		if _, err := io.WriteString(nc, askPoll); err != nil {
			exit(err)
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			exit(fmt.Errorf("polling: %w", err))
		}
		b, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			exit(fmt.Errorf("polling: %w", err))
		}
		head := int64(len("HTTP/1.1 200 OK\r\n"))
		for name, values := range resp.Header {
			for _, v := range values {
				head += int64(len(name) + len(v) + len(": \r\n"))
			}
		}
		l.bytes.Add(int64(len(askPoll)+len(b)) + head)
		l.mu.Lock()
		now, seen := time.Now().UnixNano(), newest
		stamps(b, func(sent int64) {
			if sent > seen {
				l.got.Add(1)
				l.waits = append(l.waits, now-sent)
			}
			newest = max(newest, sent)
		})
		l.mu.Unlock()
	}
}
