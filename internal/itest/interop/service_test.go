package interop

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gohotline/hotline"
)

// service is a hub on loopback with a tap in front of it.
type service struct {
	hub   *hotline.Hub
	tap   *tap
	url   string
	ends  chan error  // why connections ended, as the application is told
	heard chan string // what plain connections sent
}

// serve starts a hub that lets anybody subscribe and publish to test.>, until t ends.
func serve(t *testing.T, change func(*service, *hotline.HubOptions)) *service {
	t.Helper()
	return serveWith(t, change, func(h http.Handler) *httptest.Server { return httptest.NewUnstartedServer(h) })
}

func serveWith(t *testing.T, change func(*service, *hotline.HubOptions), server func(http.Handler) *httptest.Server) *service {
	t.Helper()
	s := &service{ends: make(chan error, 100), heard: make(chan string, 100)}
	opts := &hotline.HubOptions{
		AuthorizeSubscribe: hotline.Allow("test.>"),
		AuthorizePublish:   hotline.Allow("test.>"),
		OnDisconnect:       func(_ context.Context, _ *hotline.Conn, err error) { s.ends <- err },
		Logger:             slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(s, opts)
	}
	s.hub = hotline.NewHub(opts)
	srv := server(s.hub)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that trust no certificate
	if srv.TLS == nil {
		srv.Start()
	} else {
		srv.StartTLS()
	}
	t.Cleanup(func() {
		s.hub.Close()
		srv.Close()
	})
	s.tap = newTap(t, srv.Listener.Addr().String())
	_, port, _ := net.SplitHostPort(s.tap.ln.Addr().String())
	s.url = "ws://localhost:" + port + "/"
	if srv.TLS != nil {
		s.url = "wss://localhost:" + port + "/"
	}
	return s
}

// plain makes a hub take plain connections, which it subscribes to test.news.
func (s *service) plain(o *hotline.HubOptions) {
	o.OnConnect = func(_ context.Context, c *hotline.Conn) { c.Subscribe("test.news") }
	o.OnMessage = func(_ context.Context, _ *hotline.Conn, data []byte) { s.heard <- string(data) }
}

// publish publishes as server code does.
func (s *service) publish(t *testing.T, topic string, v any) {
	t.Helper()
	if err := s.hub.Publish(t.Context(), topic, v); err != nil {
		t.Fatal(err)
	}
}

// conn returns the only connection of the hub that has not ended.
func (s *service) conn(t *testing.T) *hotline.Conn {
	t.Helper()
	for c := range s.hub.Conns() {
		if c.Context().Err() == nil {
			return c
		}
	}
	t.Fatal("the hub has no connection")
	return nil
}

// ended waits until the application is told why a connection ended.
func (s *service) ended(t *testing.T) error {
	t.Helper()
	select {
	case err := <-s.ends:
		return err
	case <-time.After(patience):
		t.Fatal("OnDisconnect is not called")
		return nil
	}
}

// hears waits for what a plain connection sends.
func (s *service) hears(t *testing.T) string {
	t.Helper()
	select {
	case got := <-s.heard:
		return got
	case <-time.After(patience):
		t.Fatal("OnMessage is not called")
		return ""
	}
}

// authority makes a certificate for localhost that is its own authority, and writes it to a file.
func authority(t *testing.T) (cert tls.Certificate, file string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "localhost"},
		DNSNames:              []string{"localhost"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "authority.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

// trust is a pool of the certificates in a file: of none, if there is no file.
func trust(file string) *x509.CertPool {
	pool := x509.NewCertPool()
	if pemCerts, err := os.ReadFile(file); err == nil {
		pool.AppendCertsFromPEM(pemCerts)
	}
	return pool
}

// long is data that compresses well.
var long = strings.Repeat("all work and no play makes jack a dull boy. ", 200)
