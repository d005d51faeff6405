package shop

import (
	"crypto/rand"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gohotline/hotline"
)

const (
	path        = "/notifications/"
	cookieName  = "shop_session"
	sessionLife = 12 * time.Hour
	maxSessions = 100 // of a user
	loggedOut   = "logged out"
)

// session is one login, of one browser. Whatever runs in that browser shares it; another device has another.
type session struct {
	token   string
	user    *user
	expires time.Time
	conns   map[*hotline.Conn]struct{} // guarded by sessions.mu; nil: the session has ended
}

// sessions are those that have not ended.
type sessions struct {
	mu  sync.Mutex
	all map[string]*session
	of  map[*user][]*session // oldest first
}

// open begins a session. The oldest of that user make room for it: nobody's logins end those of others.
func (s *sessions) open(u *user, now time.Time) *session {
	ses := &session{token: rand.Text(), user: u, expires: now.Add(sessionLife), conns: make(map[*hotline.Conn]struct{})}
	s.mu.Lock()
	if s.all == nil {
		s.all, s.of = make(map[string]*session), make(map[*user][]*session)
	}
	s.all[ses.token] = ses
	s.of[u] = append(s.of[u], ses)
	var over []*session
	for i, old := range s.of[u] {
		if len(s.of[u])-i > maxSessions || !now.Before(old.expires) {
			over = append(over, old)
		}
	}
	s.mu.Unlock()
	for _, old := range over {
		s.end(old)
	}
	return ses
}

func (s *sessions) find(token string, now time.Time) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ses := s.all[token]; ses != nil && now.Before(ses.expires) {
		return ses
	}
	return nil
}

// end ends a session, and with it its connections: those of this device, and no others. Conns are of this process. Where
// several share a broker, end the session in the database and then hub.Kick(ctx, user, hotline.CloseReconnect, …): of all
// the user's connections this device's are refused when they come back, the others go on with nothing lost.
func (s *sessions) end(ses *session) {
	s.mu.Lock()
	delete(s.all, ses.token)
	s.of[ses.user] = slices.DeleteFunc(s.of[ses.user], func(o *session) bool { return o == ses })
	conns := ses.conns
	ses.conns = nil
	s.mu.Unlock()
	for c := range conns { // nobody else has the map any more
		c.Close(hotline.CloseFinal, loggedOut)
	}
}

// attach keeps a connection under its session, or reports that the session has ended.
func (s *sessions) attach(ses *session, c *hotline.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ses.conns == nil {
		return false
	}
	ses.conns[c] = struct{}{}
	return true
}

func (s *sessions) detach(ses *session, c *hotline.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(ses.conns, c)
}

// session returns that of a request, or nil.
func (s *shop) session(r *http.Request) *session {
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return nil
	}
	return s.sessions.find(cookie.Value, time.Now())
}

// setCookie gives a session to a browser: scripts can't read it, and other sites can't make use of it.
func setCookie(w http.ResponseWriter, r *http.Request, ses *session) {
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: ses.token, Path: path, Expires: ses.expires,
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: r.TLS != nil,
	})
}

func clearCookie(w http.ResponseWriter) {
	http.SetCookie(w, &http.Cookie{Name: cookieName, Path: path, MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}
