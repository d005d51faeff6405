// Command secure is a hub on wss://, and a Go client of it. By the certificate the client knows the server, by the token the
// server knows the client; who lacks either of them gets nowhere.
package main

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/gohotline/hotline"
	"github.com/gohotline/hotline/examples/secure/selfsigned"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // who sends a second signal doesn't want to wait
	if err := run(ctx, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// run is the server, three strangers and a client, until ctx is done.
func run(ctx context.Context, out io.Writer) error {
	cert, err := selfsigned.Certificate() // a real one: tls.LoadX509KeyPair("cert.pem", "key.pem")
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		return err
	}
	token := rand.Text()
	hub := newHub(token)
	mux := http.NewServeMux()
	mux.Handle("GET /ws", hub)
	srv := &http.Server{
		Handler:           mux,
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{cert}},
		ErrorLog:          log.New(io.Discard, "", 0), // of strangers: here they are told of below
		ReadHeaderTimeout: 5 * time.Second,
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.ServeTLS(ln, "", "") }()
	ticking, cancel := context.WithCancel(ctx)
	ticked := make(chan struct{})
	go func() {
		defer close(ticked)
		tick(ticking, hub)
	}()

	addr := ln.Addr().String()
	fmt.Fprintf(out, "hub: wss://%s/ws\n", addr)
	roots := x509.NewCertPool()
	roots.AddCert(cert.Leaf)
	strangers(ctx, out, addr, token, roots)
	err = client(ctx, out, addr, token, roots)

	cancel()
	<-ticked
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err = errors.Join(err, srv.Shutdown(end), hub.Shutdown(end))
	if why := <-ended; why != http.ErrServerClosed {
		err = errors.Join(err, why)
	}
	return err
}

// newHub lets in who has the token, to read the time.
func newHub(token string) *hotline.Hub {
	return hotline.NewHub(&hotline.HubOptions{
		Authenticate: func(_ *http.Request, t string) (hotline.Identity, error) {
			if subtle.ConstantTimeCompare([]byte(t), []byte(token)) != 1 {
				return hotline.Identity{}, fmt.Errorf("%w: wrong token", hotline.ErrDenied)
			}
			return hotline.Identity{User: "reader"}, nil
		},
		AuthorizeSubscribe: hotline.Allow("time"),
		Topics:             map[string]hotline.TopicOptions{"time": {Delivery: hotline.State}},
	})
}

// tick publishes the time, once a second.
func tick(ctx context.Context, hub *hotline.Hub) {
	for ctx.Err() == nil {
		if err := hub.Publish(ctx, "time", time.Now().Format(time.TimeOnly)); err != nil && ctx.Err() == nil {
			log.Print("publish: ", err)
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

// dial connects to the hub, and trusts the certificates of roots alone; nil: those of the system.
func dial(ctx context.Context, url, token string, roots *x509.CertPool) (*hotline.Client, error) {
	return hotline.Dial(ctx, url, &hotline.DialOptions{
		Token:      func(context.Context) (string, error) { return token, nil },
		HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}},
	})
}

// client prints what arrives.
func client(ctx context.Context, out io.Writer, addr, token string, roots *x509.CertPool) error {
	c, err := dial(ctx, "wss://"+addr+"/ws", token, roots)
	if err != nil {
		return unless(ctx, err)
	}
	defer c.Close()
	sub, err := c.Subscribe(ctx, "time", nil)
	if err != nil {
		return unless(ctx, err)
	}
	for msg, err := range sub.Messages(ctx) {
		if err != nil {
			return unless(ctx, err)
		}
		fmt.Fprintf(out, "%s: %s\n", msg.Topic, msg.Data)
	}
	return nil
}

// strangers are refused, and each is told why.
func strangers(ctx context.Context, out io.Writer, addr, token string, roots *x509.CertPool) {
	for _, s := range []struct {
		who, url, token string
		roots           *x509.CertPool
	}{
		{"who does not trust the certificate", "wss://" + addr + "/ws", token, nil},
		{"who has another token", "wss://" + addr + "/ws", "a guess", roots},
		{"who speaks no TLS", "ws://" + addr + "/ws", token, roots},
	} {
		c, err := dial(ctx, s.url, s.token, s.roots)
		if err == nil {
			c.Close()
		}
		fmt.Fprintf(out, "%s: %v\n", s.who, err)
	}
}

// unless is err, unless the end was asked for.
func unless(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
