// Package site is what the examples share, so that each of them shows little but its use of hotline: one look, one way to
// serve, and a hub that several of them can be on.
package site

import (
	"context"
	"crypto/tls"
	"embed"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/gohotline/hotline"
	"github.com/gohotline/hotline/examples/secure/selfsigned"
	"github.com/gohotline/hotline/js"
)

// App is an example.
type App struct {
	// Name is its path, and the first segment of each of its topics; not "site", which is the path of what all share.
	Name string
	// Title and About say what it is, on the page that links to all.
	Title, About string
	// Options is what it asks of its hub: hooks, topics, and limits of messages, subscriptions and publishes. Authenticate is
	// called for its own connections, the other hooks for those of other examples, too, which Identity.Data tells apart: see Only.
	Options hotline.HubOptions
	// Handler serves its pages, and hub at "ws". Its paths are those below "/Name".
	Handler func(hub *hotline.Hub) http.Handler
	// Run is what goes on without anybody asking, until ctx is done. Nil: nothing.
	Run func(ctx context.Context, hub *hotline.Hub)
}

//go:embed web
var files embed.FS

// Main serves apps until SIGINT or SIGTERM. It does not return.
func Main(apps ...*App) {
	addr := flag.String("addr", "", "address to listen on (default localhost:8080, or a free port if that is taken)")
	secure := flag.Bool("tls", false, "serve https and wss, with a certificate made for this run")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // who sends a second signal doesn't want to wait
	ln, err := listen(*addr)
	if err != nil {
		log.Fatal(err)
	}
	scheme := "http"
	if *secure {
		cert, err := selfsigned.Certificate() // browsers warn of it
		if err != nil {
			log.Fatal(err)
		}
		ln, scheme = withTLS(ln, cert), "https"
	}
	fmt.Println(url(scheme, ln, *addr))
	if err := Serve(ctx, ln, apps...); err != nil {
		log.Fatal(err)
	}
}

// Serve serves apps on one hub until ctx is done, then lets everybody go in peace: they are told when to come back, and
// resume there.
func Serve(ctx context.Context, ln net.Listener, apps ...*App) error {
	hub := hotline.NewHub(join(apps))
	srv := &http.Server{ // the hub has limits of its own, and takes its connections out of these
		Handler:     handler(hub, apps),
		ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute, IdleTimeout: time.Minute,
	}
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	var group sync.WaitGroup
	for _, app := range apps {
		if app.Run != nil {
			group.Go(func() { app.Run(running, hub) })
		}
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	cancel()
	group.Wait()
	if err != nil {
		return errors.Join(err, hub.Close())
	}
	ctx, cancel = context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return errors.Join(srv.Shutdown(ctx), hub.Shutdown(ctx))
}

// handler serves each app under its name, and what they share beside them. "/" leads to the first one.
func handler(hub *hotline.Hub, apps []*App) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /hotline.js", js.Handler())
	mux.Handle("GET /site/", http.StripPrefix("/site", Pages(files)))
	for _, app := range apps {
		h := http.StripPrefix("/"+app.Name, app.Handler(hub))
		mux.HandleFunc("/"+app.Name+"/", func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), appKey{}, app)))
		})
	}
	mux.Handle("GET /{$}", http.RedirectHandler("/"+apps[0].Name+"/", http.StatusFound))
	return mux
}

// Pages serves the folder web of files.
func Pages(files fs.FS) http.Handler {
	web, err := fs.Sub(files, "web")
	if err != nil {
		panic(err) // the folder is embedded
	}
	pages := http.FileServerFS(web)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		head(w.Header())
		pages.ServeHTTP(w, r)
	})
}

// head sets what every page says: it takes everything from here, and is in nobody's frame.
func head(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cache-Control", "no-cache")
}

func listen(addr string) (net.Listener, error) {
	if addr != "" {
		return net.Listen("tcp", addr)
	}
	ln, err := net.Listen("tcp", "localhost:8080")
	if err != nil {
		log.Printf("%v: taking a free port", err)
		return net.Listen("tcp", "localhost:0")
	}
	return ln, nil
}

// withTLS serves TLS. A WebSocket is an upgrade of HTTP/1.1, so HTTP/2 is not offered.
func withTLS(ln net.Listener, cert tls.Certificate) net.Listener {
	return tls.NewListener(ln, &tls.Config{
		Certificates: []tls.Certificate{cert}, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12,
	})
}

// url is where the page is: under the host that was asked for, so that localhost does not become 127.0.0.1.
func url(scheme string, ln net.Listener, addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil || host == "" {
		host = "localhost"
	}
	_, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		return ln.Addr().String()
	}
	return scheme + "://" + net.JoinHostPort(host, port) + "/"
}
