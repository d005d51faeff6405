package shop

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"html/template"
	"log"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gohotline/hotline"
	"github.com/gohotline/hotline/examples/internal/site"
)

// This file is the shop as it would be without hotline: pages, and forms that are posted.

var pages = template.Must(template.ParseFS(files, "pages/*.tmpl"))

// page is what a page is made of.
type page struct {
	Title    string
	User     *user
	Users    []*user
	Products []product
	Key      string // of a form that is to count once
}

func (s *shop) handler(hub *hotline.Hub) http.Handler {
	s.hub = hub
	mux := http.NewServeMux()
	mux.Handle("GET /ws", hub)
	mux.Handle("GET /", site.Pages(files))
	mux.HandleFunc("GET /{$}", s.index)
	mux.HandleFunc("GET /notes", s.customer(s.getNotes))
	mux.HandleFunc("POST /login", s.login)
	mux.HandleFunc("POST /logout", s.logout)
	mux.HandleFunc("POST /order", s.customer(s.postOrder))
	mux.HandleFunc("POST /read", s.customer(s.postRead))
	mux.HandleFunc("POST /step", s.staff(s.postStep))
	mux.HandleFunc("POST /news", s.staff(s.postNews))
	// A form of another site is not for us, though the browser would send the cookie with it.
	return http.NewCrossOriginProtection().Handler(limited(mux))
}

// limited reads forms of at most 4 KiB.
func limited(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
		}
		h.ServeHTTP(w, r)
	})
}

// customer lets those in who are logged in. What they change is published though they go away meanwhile.
func (s *shop) customer(h func(context.Context, http.ResponseWriter, *http.Request, *user)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		site.Headers(w.Header())
		ses := s.session(r)
		if ses == nil {
			http.Error(w, "log in first", http.StatusUnauthorized)
			return
		}
		h(context.WithoutCancel(r.Context()), w, r, ses.user)
	}
}

func (s *shop) staff(h func(context.Context, http.ResponseWriter, *http.Request)) http.HandlerFunc {
	return s.customer(func(ctx context.Context, w http.ResponseWriter, r *http.Request, u *user) {
		if !u.Staff {
			http.Error(w, "this is for the staff", http.StatusForbidden)
			return
		}
		h(ctx, w, r)
	})
}

func (s *shop) index(w http.ResponseWriter, r *http.Request) {
	name, p := "login.tmpl", page{Title: "Log in · hotline shop", Users: s.store.users}
	if ses := s.session(r); ses != nil && ses.user.Staff {
		name, p = "staff.tmpl", page{Title: "Orders · hotline shop", User: ses.user, Key: rand.Text()}
	} else if ses != nil {
		name, p = "shop.tmpl", page{Title: "hotline shop", User: ses.user, Products: catalogue}
	}
	site.Headers(w.Header())
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, p); err != nil {
		fail(w, err)
		return
	}
	_, _ = w.Write(b.Bytes())
}

func (s *shop) login(w http.ResponseWriter, r *http.Request) {
	site.Headers(w.Header())
	u := s.store.user(r.PostFormValue("user"))
	if u == nil {
		http.Error(w, "nobody has this name here", http.StatusUnauthorized)
		return
	}
	if ses := s.session(r); ses != nil {
		s.sessions.end(ses) // this browser is somebody else's from now on
	}
	setCookie(w, r, s.sessions.open(u, time.Now()))
	home(w, r)
}

// logout ends this browser's session, and no other.
func (s *shop) logout(w http.ResponseWriter, r *http.Request) {
	site.Headers(w.Header())
	if ses := s.session(r); ses != nil {
		s.sessions.end(ses)
	}
	clearCookie(w)
	home(w, r)
}

func (s *shop) getNotes(_ context.Context, w http.ResponseWriter, _ *http.Request, u *user) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(s.catchUp(u.Name))
}

func (s *shop) postOrder(ctx context.Context, w http.ResponseWriter, r *http.Request, u *user) {
	p, ok := productOf(r.PostFormValue("product"))
	if !ok {
		http.Error(w, "there is no such product", http.StatusNotFound)
		return
	}
	if _, err := s.place(ctx, u.Name, p); err != nil {
		fail(w, err)
		return
	}
	home(w, r)
}

func (s *shop) postRead(ctx context.Context, w http.ResponseWriter, r *http.Request, u *user) {
	n, err := strconv.Atoi(r.PostFormValue("n"))
	if err != nil {
		http.Error(w, "n is not the number of a note", http.StatusBadRequest)
		return
	}
	if err := s.read(ctx, u.Name, n); err != nil {
		fail(w, err)
		return
	}
	home(w, r)
}

func (s *shop) postStep(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	id, _ := strconv.Atoi(r.PostFormValue("id")) // 0 is no order's
	_, err := s.advance(ctx, id, r.PostFormValue("from"))
	switch {
	case errors.Is(err, errUnknown):
		http.Error(w, err.Error(), http.StatusNotFound)
	case errors.Is(err, errStep):
		http.Error(w, err.Error(), http.StatusConflict)
	case err != nil:
		fail(w, err)
	default:
		home(w, r)
	}
}

func (s *shop) postNews(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	text, key := strings.TrimSpace(r.PostFormValue("text")), r.PostFormValue("key")
	if n := utf8.RuneCountInString(text); n < 1 || n > 200 || !utf8.ValidString(text) || key == "" {
		http.Error(w, "news has 1 to 200 characters, and a key", http.StatusBadRequest)
		return
	}
	if err := s.broadcast(ctx, key, text); err != nil {
		fail(w, err)
		return
	}
	home(w, r)
}

// home is where forms lead to. The script of the page takes the answer and stays where it is.
func home(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, path, http.StatusSeeOther) }

func fail(w http.ResponseWriter, err error) {
	log.Print("shop: ", err)
	http.Error(w, "something went wrong here, try again", http.StatusInternalServerError)
}
