// Command page serves a page that remembers its visits, and prints its URL. The helpers of the browser tests are tested
// with it.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"os/signal"
	"syscall"
)

const page = `<!doctype html><title>page</title><p id="visits"></p><script>
  localStorage.visits = 1 + Number(localStorage.visits ?? 0)
  document.querySelector("#visits").textContent = localStorage.visits
  if (location.hash === "#throw") throw new Error("as asked")
</script>`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	ln, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening")
	fmt.Printf("http://%s/\n", ln.Addr())
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			w.WriteHeader(http.StatusNoContent) // the icon that browsers ask for
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, page)
	})}
	context.AfterFunc(ctx, func() { srv.Close() })
	srv.Serve(ln)
}
