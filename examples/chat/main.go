// Command chat is a chat: rooms, names, who is here, who is typing, and the last 50 messages for whoever comes in.
//
// Everything that it asks of hotline is in newHub. The page is in the folder web, plain JavaScript without a build.
package main

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gohotline/hotline"
	"github.com/gohotline/hotline/js"
)

//go:embed web
var files embed.FS

func main() {
	addr := flag.String("addr", "", "address to listen on (default localhost:8080, or a free port if that is taken)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // who sends a second signal doesn't want to wait
	ln, err := listen(*addr)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(url(ln, *addr))
	if err := serve(ctx, ln); err != nil {
		log.Fatal(err)
	}
}

// newHub makes the hub. A room has three topics: what is said in it, who is typing, and one for each person who is here.
func newHub() *hotline.Hub {
	return hotline.NewHub(&hotline.HubOptions{
		Authenticate:       authenticate,
		AuthorizeSubscribe: hotline.Allow("chat.*", "typing.*", "here.*.*"),
		AuthorizePublish:   hotline.Allow("chat.*", "typing.*", "here.*.{user}"),
		Topics: map[string]hotline.TopicOptions{
			"chat.*":   {Keep: 50, OnPublish: stamp},
			"typing.*": {Delivery: hotline.Signals},
			"here.*.*": {Delivery: hotline.Presence},
		},
		Limits: hotline.Limits{MessageBytes: 16 << 10},
	})
}

// authenticate takes the token for the name: this chat has no accounts, and whoever says that they are Ada is.
func authenticate(_ *http.Request, name string) (hotline.Identity, error) {
	hidden := func(r rune) bool { return !unicode.IsPrint(r) } // line breaks, marks that turn the text around them
	if n := utf8.RuneCountInString(name); n < 1 || n > 30 || strings.TrimSpace(name) != name || strings.ContainsFunc(name, hidden) {
		return hotline.Identity{}, fmt.Errorf("%w: a name has 1 to 30 visible characters, and no space around it", hotline.ErrDenied)
	}
	return hotline.Identity{User: name}, nil
}

// line is what subscribers get of what somebody says, which itself is a string.
type line struct {
	Text string `json:"text"`
	At   int64  `json:"at"` // Unix milliseconds
}

// stamp checks what somebody says, and adds the time: the server's, because a client could lie.
func stamp(_ context.Context, _ *hotline.Conn, m *hotline.Message) error {
	l := line{At: time.Now().UnixMilli()}
	if m.Decode(&l.Text) != nil || strings.TrimSpace(l.Text) == "" || utf8.RuneCountInString(l.Text) > 2000 {
		return fmt.Errorf("%w: a message is text of 1 to 2000 characters", hotline.ErrInvalid)
	}
	var err error
	m.Data, err = json.Marshal(l)
	return err
}

// newHandler serves the page, and the hub and its client beside it.
func newHandler(hub *hotline.Hub) http.Handler {
	web, err := fs.Sub(files, "web")
	if err != nil {
		panic(err) // the folder is embedded
	}
	page := http.FileServerFS(web)
	mux := http.NewServeMux()
	mux.Handle("GET /ws", hub)
	mux.Handle("GET /hotline.js", js.Handler())
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache")
		page.ServeHTTP(w, r)
	})
	return mux
}

// serve serves until ctx is done, then lets everybody go in peace: they are told when to come back, and resume there.
func serve(ctx context.Context, ln net.Listener) error {
	hub := newHub()
	srv := &http.Server{Handler: newHandler(hub), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	select {
	case err := <-failed:
		return errors.Join(err, hub.Close())
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return errors.Join(srv.Shutdown(ctx), hub.Shutdown(ctx))
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

// url is where the page is: under the host that was asked for, so that localhost does not become 127.0.0.1.
func url(ln net.Listener, addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil || host == "" {
		host = "localhost"
	}
	_, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		return ln.Addr().String()
	}
	return "http://" + net.JoinHostPort(host, port) + "/"
}
