package site

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	neturl "net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/gohotline/hotline"
	"github.com/gohotline/hotline/internal/leak"
)

const childEnv = "SITE_TEST_MAIN" // this process is not the tests, but a program with this app

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		Main(open("one"))
		os.Exit(0)
	}
	leak.Main(m)
}

func answer(h http.Handler, path string) *http.Response {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Result()
}

// TestProgram runs a program in a process of its own, over http and https: it prints where it is, serves, and ends in peace.
func TestProgram(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			args := []string{"-addr", "localhost:0"}
			if scheme == "https" {
				args = append(args, "-tls")
			}
			cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
			cmd.Env = append(os.Environ(), childEnv+"=1")
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(out).ReadString('\n')
			if err != nil {
				t.Fatalf("it printed %q, %v\n%s", line, err, &stderr)
			}
			u, err := neturl.Parse(strings.TrimSpace(line))
			if err != nil || u.Scheme != scheme || u.Hostname() != "localhost" {
				t.Fatalf("it printed %q", line)
			}
			tr := &http.Transport{DisableKeepAlives: true}
			if scheme == "https" {
				tr.TLSClientConfig = &tls.Config{RootCAs: shown(t, u.Host)}
			}
			c, err := hotline.Dial(t.Context(), u.JoinPath("one/ws").String(), &hotline.DialOptions{HTTPClient: &http.Client{Transport: tr}})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.Publish(t.Context(), "one.a", 1); err != nil {
				t.Error(err)
			}
			cmd.Process.Signal(syscall.SIGTERM)
			if err := cmd.Wait(); err != nil {
				t.Errorf("it was asked to end, and did with %v:\n%s", err, &stderr)
			}
		})
	}
}

// shown is a pool with the certificate that a server at addr shows.
func shown(t *testing.T, addr string) *x509.CertPool {
	t.Helper()
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}
	c, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	pool := x509.NewCertPool()
	pool.AddCert(c.(*tls.Conn).ConnectionState().PeerCertificates[0])
	return pool
}

// TestListen: the usual port is taken, so there is another one; but who names a port gets that, or an error.
func TestListen(t *testing.T) {
	var ports []string
	for range 2 {
		ln, err := listen("")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		_, port, _ := net.SplitHostPort(ln.Addr().String())
		ports = append(ports, port)
	}
	if ports[0] == ports[1] {
		t.Errorf("ports %q", ports)
	}
	if ln, err := listen("localhost:" + ports[1]); err == nil {
		ln.Close()
		t.Error("a port was given away twice")
	}
}
