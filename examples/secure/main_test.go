package main

import (
	"bufio"
	"context"
	"crypto/x509"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/gohotline/hotline/examples/secure/selfsigned"
	"github.com/gohotline/hotline/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

// TestSecure runs the program until its client has read the time twice.
func TestSecure(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, w)
		w.Close()
		ended <- err
	}()
	lines := bufio.NewScanner(r)
	for _, want := range []string{
		`^hub: wss://127\.0\.0\.1:\d+/ws$`,
		`^who does not trust the certificate: .*(x509|certificate)`,
		`^who has another token: .*denied.*wrong token`,
		`^who speaks no TLS: hotline: dial ws://.* 400`,
		`^time: "\d\d:\d\d:\d\d"$`,
		`^time: "\d\d:\d\d:\d\d"$`,
	} {
		if !lines.Scan() || !regexp.MustCompile(want).MatchString(lines.Text()) {
			stop()
			t.Fatalf("it printed %q, want %s", lines.Text(), want)
		}
	}
	stop()
	for lines.Scan() {
		if !strings.HasPrefix(lines.Text(), "time: ") {
			t.Errorf("it printed %q", lines.Text())
		}
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestCertificate: it is this machine's, under each of its names and no other, and trusting one is not trusting the next.
func TestCertificate(t *testing.T) {
	cert, err := selfsigned.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert.Leaf)
	for name, ok := range map[string]bool{"localhost": true, "127.0.0.1": true, "::1": true, "example.com": false, "127.0.0.2": false} {
		if _, err := cert.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots}); (err == nil) != ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	other, err := selfsigned.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Leaf.Verify(x509.VerifyOptions{DNSName: "localhost", Roots: roots}); err == nil {
		t.Error("another certificate is trusted")
	}
}
