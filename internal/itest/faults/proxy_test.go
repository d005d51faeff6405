//go:build unix

package faults

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"text/template"
	"time"

	"github.com/gohotline/hotline/internal/itest/need"
)

// proxyKind is a proxy that everybody knows.
type proxyKind struct {
	name, pkg string
	args      []string // {{dir}} is where its configuration is
	reload    syscall.Signal
	config    string
}

// Both close idle connections after 3 s, and what is left of an old configuration half a second after a reload. A second hub
// takes over from a first one that refuses or is gone.
var proxies = []proxyKind{
	{
		name: "nginx", pkg: "nginx-light", args: []string{"-p", "{{dir}}", "-e", "error.log", "-c", "config"}, reload: syscall.SIGHUP,
		config: `
daemon off;
user root;
pid nginx.pid;
worker_processes 1;
worker_shutdown_timeout 500ms;
events { worker_connections 512; }
http {
	access_log off;
	client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
	upstream hubs {
		{{range .Hubs}}server {{.}} max_fails=0;
		{{end}}
	}
	server {
		listen {{.Addr}}{{if .Cert}} ssl{{end}};
		{{if .Cert}}ssl_certificate {{.Cert}}; ssl_certificate_key {{.Cert}};{{end}}
		location / {
			proxy_pass http://hubs;
			proxy_http_version 1.1;
			proxy_set_header Upgrade $http_upgrade;
			proxy_set_header Connection "upgrade";
			proxy_set_header Host $host;
			proxy_read_timeout 3s;
			proxy_next_upstream error timeout http_503;
		}
	}
}
`,
	},
	{
		name: "haproxy", pkg: "haproxy", args: []string{"-W", "-db", "-f", "{{dir}}/config"}, reload: syscall.SIGUSR2,
		config: `
global
	maxconn 500
	hard-stop-after 500ms
defaults
	mode http
	timeout connect 2s
	timeout client 3s
	timeout server 3s
	timeout tunnel 3s
	retries 3
	option redispatch 1
	retry-on conn-failure empty-response 503
frontend clients
	bind {{.Addr}}{{if .Cert}} ssl crt {{.Cert}}{{end}}
	default_backend hubs
backend hubs
	{{range $i, $addr := .Hubs}}server hub{{$i}} {{$addr}}
	{{end}}
`,
	},
}

// proxy is one that runs, with a configuration of its own, in a folder of its own.
type proxy struct {
	// Static after construction.
	t    *testing.T
	kind proxyKind
	dir  string
	cmd  *exec.Cmd

	// Of the configuration.
	Addr string
	Cert string // file of certificate and key; empty: no TLS
	Hubs []string
	pool *x509.CertPool
}

// startProxy starts a proxy before hubs, until t ends.
func startProxy(t *testing.T, kind proxyKind, secure bool, hubs ...string) *proxy {
	t.Helper()
	path, err := exec.LookPath(kind.name)
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/" + kind.name); err != nil {
			need.Missing(t, "%s is missing: apt-get install %s", kind.name, kind.pkg)
		}
	}
	p := &proxy{t: t, kind: kind, dir: t.TempDir(), Hubs: hubs, Addr: ownAddr(t)}
	if secure {
		p.certify()
	}
	p.configure()
	var args []string
	for _, arg := range kind.args {
		args = append(args, strings.ReplaceAll(arg, "{{dir}}", p.dir))
	}
	var out bytes.Buffer
	p.cmd = exec.Command(path, args...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = p.dir, &out, &out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // with what it starts
	p.cmd.WaitDelay = 5 * time.Second
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.cmd.Process.Signal(syscall.SIGTERM) // it ends its workers, and waits for them
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
			<-ended
		}
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(p.dir, "error.log"))
			t.Logf("%s: %s%s", kind.name, &out, log)
		}
	})
	p.awaitListening(ended, &out)
	return p
}

// awaitListening waits until the proxy takes connections.
func (p *proxy) awaitListening(ended <-chan struct{}, out *bytes.Buffer) {
	p.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		if c, err := net.Dial("tcp", p.Addr); err == nil {
			c.Close()
			return
		}
		select {
		case <-tick.C:
		case <-ended:
			p.t.Fatalf("%s has ended: %s", p.kind.name, out)
		case <-deadline:
			p.t.Fatalf("%s does not listen on %s", p.kind.name, p.Addr)
		}
	}
}

// ownAddr is an address at which nobody else will listen: one of the many that a machine has for itself.
func ownAddr(t *testing.T) string {
	t.Helper()
	var b [3]byte
	rand.Read(b[:])
	addr := fmt.Sprintf("127.%d.%d.%d:8080", 1+b[0]%254, b[1], 1+b[2]%254)
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		need.Missing(t, "no listening on %s here: %v", addr, err)
	}
	ln.Close()
	return addr
}

// configure writes the configuration.
func (p *proxy) configure() {
	p.t.Helper()
	var b strings.Builder
	if err := template.Must(template.New("").Parse(p.kind.config)).Execute(&b, p); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.dir, "config"), []byte(b.String()), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// reload makes the proxy read its configuration again. What goes through it ends soon.
func (p *proxy) reload() {
	p.t.Helper()
	p.configure()
	if err := p.cmd.Process.Signal(p.kind.reload); err != nil {
		p.t.Error(err)
	}
}

// certify makes a certificate for the proxy.
func (p *proxy) certify() {
	p.t.Helper()
	host, _, err := net.SplitHostPort(p.Addr)
	key, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "proxy"}, IPAddresses: []net.IP{net.ParseIP(host)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	if err := errors.Join(err, err2); err != nil {
		p.t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	keyDER, err2 := x509.MarshalPKCS8PrivateKey(key)
	if err := errors.Join(err, err2); err != nil {
		p.t.Fatal(err)
	}
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	p.Cert = filepath.Join(p.dir, "cert.pem")
	file := append(bytes.Clone(chain), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})...)
	if err := os.WriteFile(p.Cert, file, 0o600); err != nil {
		p.t.Fatal(err)
	}
	p.pool = x509.NewCertPool()
	p.pool.AppendCertsFromPEM(chain)
}

// connect makes clients of a that come through the proxy.
func (p *proxy) connect(a *app, clients int) {
	for range clients {
		url, transport := "ws://"+p.Addr+"/", &http.Transport{DisableKeepAlives: true}
		if p.Cert != "" {
			url, transport.TLSClientConfig = "wss://"+p.Addr+"/", &tls.Config{RootCAs: p.pool}
		}
		a.connect(url, transport)
	}
}

// eachProxy runs f for each kind of proxy.
func eachProxy(t *testing.T, f func(t *testing.T, kind proxyKind)) {
	t.Parallel()
	for _, kind := range proxies {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			f(t, kind)
		})
	}
}

// after returns a context that is done after d.
func after(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}
