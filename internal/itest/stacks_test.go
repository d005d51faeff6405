package itest

import (
	"bufio"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/gin-contrib/gzip"
	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	chimiddleware "github.com/go-chi/chi/v5/middleware"
	"github.com/labstack/echo/v4"
	echomiddleware "github.com/labstack/echo/v4/middleware"
)

// A stack is a way in which a service may mount a handler: a router, and what stands between it and the connection.
type stack struct {
	name  string
	mount func(http.Handler) http.Handler

	// refuses is set where no upgrade is possible, because nothing can be hijacked. The hub has to answer 500.
	refuses bool
	// compresses is set where ordinary answers come compressed: then the middleware is really in the way.
	compresses bool
	// bareFails is set where a bare websocket.Accept hangs although the upgrade is possible.
	bareFails bool
}

var stacks = []stack{
	{name: "net/http", mount: func(h http.Handler) http.Handler { return h }},
	{name: "net/http mux", mount: func(h http.Handler) http.Handler {
		mux := http.NewServeMux()
		mux.Handle("GET /", h)
		return mux
	}},
	{name: "wrapper with Unwrap", mount: func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(unwrapper{&recorder{ResponseWriter: w}}, r)
		})
	}},
	{name: "wrapper with Unwrap twice", mount: func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(unwrapper{&recorder{ResponseWriter: unwrapper{&recorder{ResponseWriter: w}}}}, r)
		})
	}},
	{name: "wrapper with Hijack", mount: func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(hijacker{&recorder{ResponseWriter: w}}, r)
		})
	}},
	{name: "wrapper with neither", refuses: true, mount: func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(&recorder{ResponseWriter: w}, r)
		})
	}},
	{name: "http.TimeoutHandler", refuses: true, mount: func(h http.Handler) http.Handler {
		return http.TimeoutHandler(h, time.Minute, "too late")
	}},

	{name: "chi", mount: func(h http.Handler) http.Handler { return mountChi(h) }},
	{name: "chi, Logger", mount: func(h http.Handler) http.Handler { return mountChi(h, chiLogger()) }},
	{name: "chi, Compress", compresses: true, mount: func(h http.Handler) http.Handler {
		return mountChi(h, chimiddleware.Compress(5))
	}},
	{name: "chi, Logger and Compress", compresses: true, mount: func(h http.Handler) http.Handler {
		return mountChi(h, chimiddleware.RequestID, chiLogger(), chimiddleware.Recoverer, chimiddleware.Compress(5))
	}},

	{name: "gin", mount: func(h http.Handler) http.Handler { return mountGin(h) }},
	{name: "gin, Logger and Recovery", mount: func(h http.Handler) http.Handler {
		return mountGin(h, gin.LoggerWithWriter(io.Discard), gin.RecoveryWithWriter(io.Discard))
	}},
	{name: "gin, gzip", compresses: true, mount: func(h http.Handler) http.Handler {
		return mountGin(h, gzip.Gzip(gzip.DefaultCompression))
	}},

	{name: "echo", mount: func(h http.Handler) http.Handler { return mountEcho(h) }},
	{name: "echo, Logger and Recover", mount: func(h http.Handler) http.Handler {
		return mountEcho(h, echomiddleware.RequestLoggerWithConfig(echomiddleware.RequestLoggerConfig{
			LogStatus:     true,
			LogValuesFunc: func(echo.Context, echomiddleware.RequestLoggerValues) error { return nil },
		}), echomiddleware.Recover())
	}},
	{name: "echo, Gzip", compresses: true, bareFails: true, mount: func(h http.Handler) http.Handler {
		return mountEcho(h, echomiddleware.Gzip())
	}},
}

func mountChi(h http.Handler, middleware ...func(http.Handler) http.Handler) http.Handler {
	router := chi.NewRouter()
	router.Use(middleware...)
	router.Handle("/*", h)
	return router
}

func chiLogger() func(http.Handler) http.Handler {
	return chimiddleware.RequestLogger(&chimiddleware.DefaultLogFormatter{Logger: log.New(io.Discard, "", 0)})
}

func mountGin(h http.Handler, middleware ...gin.HandlerFunc) http.Handler {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.Use(middleware...)
	engine.Any("/*path", gin.WrapH(h))
	return engine
}

func mountEcho(h http.Handler, middleware ...echo.MiddlewareFunc) http.Handler {
	e := echo.New()
	e.Logger.SetOutput(io.Discard)
	e.Use(middleware...)
	e.Any("/*", echo.WrapHandler(h))
	return e
}

// A recorder is a middleware's ResponseWriter that notes the status and hides what the one below it can do.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// An unwrapper lets http.ResponseController find what is below.
type unwrapper struct{ *recorder }

func (u unwrapper) Unwrap() http.ResponseWriter { return u.ResponseWriter }

// A hijacker passes Hijack on, as middleware did before there was Unwrap.
type hijacker struct{ *recorder }

func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(h.ResponseWriter).Hijack()
}
