package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gohotline/hotline/internal/itest/need"
)

// network is two network namespaces, of a hub and of its clients, and the link between them: this process carries each packet
// from one to the other, or does not. It needs no netem, which few kernels in sandboxes have, and its die has a seed.
type network struct {
	hub, clients *namespace

	weather atomic.Pointer[weather]
	up      packets // from the clients to the hub
	down    packets
}

// weather is what happens to packets.
type weather struct {
	loss, duplicate, reorder float64       // how likely: dropped, sent twice, sent before those that wait
	delay, jitter            time.Duration // each waits for delay ± jitter
	cutUp, cutDown           bool          // none gets through
}

// packets counts.
type packets struct{ all, dropped, duplicated, reordered atomic.Int64 }

const (
	hubIP     = "10.9.0.1"
	clientsIP = "10.9.0.2"
)

// newNetwork makes a network that ends with t.
func newNetwork(t *testing.T) *network {
	t.Helper()
	n := &network{}
	n.weather.Store(&weather{})
	n.hub, n.clients = newNamespace(t, hubIP), newNamespace(t, clientsIP)
	var wg sync.WaitGroup
	wg.Go(func() {
		n.carry(n.clients, n.hub, &n.up, func(w *weather) bool { return w.cutUp }, random(t.Name()+"up"))
	})
	wg.Go(func() {
		n.carry(n.hub, n.clients, &n.down, func(w *weather) bool { return w.cutDown }, random(t.Name()+"down"))
	})
	t.Cleanup(func() {
		n.hub.device.Close()
		n.clients.device.Close()
		wg.Wait()
	})
	return n
}

// carry takes packets from one end to the other until a device is closed.
func (n *network) carry(from, to *namespace, count *packets, cut func(*weather) bool, rng *rand.Rand) {
	buf := make([]byte, 64<<10)
	for {
		size, err := from.device.Read(buf)
		if err != nil {
			return
		}
		if size == 0 || buf[0]>>4 != 4 {
			continue // the kernel looks for neighbours of IPv6
		}
		w := n.weather.Load()
		if count.all.Add(1); cut(w) || rng.Float64() < w.loss {
			count.dropped.Add(1)
			continue
		}
		packet := append([]byte(nil), buf[:size]...)
		delay := w.delay
		if w.jitter > 0 {
			delay += time.Duration(rng.Int64N(2*int64(w.jitter))) - w.jitter
		}
		if rng.Float64() < w.reorder {
			count.reordered.Add(1)
			delay = 0
		}
		copies := 1
		if rng.Float64() < w.duplicate {
			count.duplicated.Add(1)
			copies = 2
		}
		send := func() {
			for range copies {
				to.device.Write(packet) // a link that has ended loses packets
			}
		}
		if delay <= 0 {
			send()
		} else {
			time.AfterFunc(delay, send)
		}
	}
}

// faults is how many packets something has happened to, beside delay.
func (n *network) faults() (sum int64) {
	for _, p := range []*packets{&n.up, &n.down} {
		sum += p.dropped.Load() + p.duplicated.Load() + p.reordered.Load()
	}
	return sum
}

// listen listens in the hub's namespace.
func (n *network) listen(t *testing.T) net.Listener {
	t.Helper()
	var ln net.Listener
	if err := n.hub.in(func() (err error) {
		ln, err = net.Listen("tcp4", hubIP+":80")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return ln
}

// dial dials from the clients' namespace.
func (n *network) dial(ctx context.Context) (conn net.Conn, err error) {
	err = n.clients.in(func() (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, "tcp4", hubIP+":80")
		return err
	})
	return conn, err
}

// namespace is a network namespace with one device, whose other end this process holds.
type namespace struct {
	id     int      // descriptor
	device *os.File // reads what is sent there, and writes what is to be received
}

// newNamespace makes one, which is gone when nothing of it is open any more. It skips where that is not allowed.
func newNamespace(t *testing.T, ip string) *namespace {
	t.Helper()
	ns := &namespace{id: -1}
	err := onThread(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		if ns.id, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
			return fmt.Errorf("/proc/thread-self/ns/net: %w", err)
		}
		ns.device, err = tun(ip)
		return err
	})
	t.Cleanup(func() {
		if ns.id >= 0 {
			unix.Close(ns.id)
		}
	})
	if errors.Is(err, os.ErrPermission) || errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		need.Missing(t, "network namespaces with a tun device need root, or CAP_SYS_ADMIN and CAP_NET_ADMIN, and /dev/net/tun: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return ns
}

// in runs f in the namespace. Sockets stay where they were made.
func (ns *namespace) in(f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(ns.id, unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("setns: %w", err)
		}
		return f()
	})
}

// onThread runs f on a thread that nobody uses afterwards.
func onThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		done <- f()
	}()
	return <-done
}

// tun makes a device with an address in this thread's namespace, and brings it up.
func tun(ip string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("/dev/net/tun: %w", err)
	}
	device := func() error {
		r, err := unix.NewIfreq("hotline0")
		if err != nil {
			return err
		}
		r.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, r); err != nil {
			return fmt.Errorf("TUNSETIFF: %w", err)
		}
		return configureDevice(ip)
	}
	if err := device(); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "tun "+ip), nil
}

func configureDevice(ip string) error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	for _, set := range []struct {
		request uint
		value   func(*unix.Ifreq) error
	}{
		{unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(net.ParseIP(ip).To4()) }},
		{unix.SIOCSIFNETMASK, func(r *unix.Ifreq) error { return r.SetInet4Addr([]byte{255, 255, 255, 0}) }},
		{unix.SIOCSIFMTU, func(r *unix.Ifreq) error { r.SetUint32(1400); return nil }},
		{unix.SIOCSIFFLAGS, func(r *unix.Ifreq) error { r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING); return nil }},
	} {
		r, err := unix.NewIfreq("hotline0")
		if err != nil {
			return err
		}
		if err := errors.Join(set.value(r), unix.IoctlIfreq(s, set.request, r)); err != nil {
			return fmt.Errorf("hotline0, ioctl %#x: %w", set.request, err)
		}
	}
	return nil
}
