//go:build linux

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// runServer is main of a server: its arguments are the name of a peer and what is to be switched on, tls, deflate or history.
func runServer(args []string) error {
	var opts options
	for _, a := range args[1:] {
		switch a {
		case "tls":
			opts.tls = true
		case "deflate":
			opts.deflate = true
		case "history":
			opts.history = true
		}
	}
	p, err := peers[args[0]].make(opts)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	if opts.tls {
		cert, err := selfSigned()
		if err != nil {
			return err
		}
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}})
	}
	go func() { exit(p.serve(l)) }()
	end, err := profiled()
	if err != nil {
		return err
	}
	err = obey(func(o order) (answer, error) { return serverDo(p, o) })
	return errors.Join(err, end())
}

func serverDo(p peer, o order) (answer, error) {
	var a answer
	switch o.Do {
	case "mark":
	case "settle": // memory that nobody needs is not counted
		for range 3 {
			runtime.GC()
		}
	case "burst":
		a.Call50, a.Call99 = publishAll(p, o)
	case "paced":
		tick := time.NewTicker(time.Duration(float64(time.Second) / o.Rate))
		for i := range o.N {
			<-tick.C
			p.publish(o.topic(i), payload(o.Size))
		}
		tick.Stop()
	default:
		return a, fmt.Errorf("unknown order %q", o.Do)
	}
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return a, err
	}
	a.CPU = u.Utime.Nano() + u.Stime.Nano()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	a.Heap = int64(m.HeapAlloc + m.StackInuse)
	a.RSS = rss()
	return a, nil
}

// publishAll returns the median and the 99th percentile of what a call took, in microseconds.
func publishAll(p peer, o order) (p50, p99 float64) {
	if b, ok := p.(burster); ok {
		var all [][]byte
		for range o.N {
			all = append(all, payload(o.Size))
		}
		b.burst(all)
		return 0, 0
	}
	n := max(o.Goroutines, 1)
	took := make([]time.Duration, o.N)
	var wg sync.WaitGroup
	for g := range n {
		wg.Go(func() {
			for i := g; i < o.N; i += n {
				msg := payload(o.Size)
				begin := time.Now()
				p.publish(o.topic(i), msg)
				took[i] = time.Since(begin)
			}
		})
	}
	wg.Wait()
	slices.Sort(took)
	us := func(p int) float64 { return took[len(took)*p/100].Seconds() * 1e6 }
	return us(50), us(99)
}

// rss is the resident set, of proc(5).
func rss() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	pages, _ := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
