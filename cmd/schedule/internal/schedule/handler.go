package schedule

import (
	"context"
	"fmt"
	"html/template"
	"net/http"
	"regexp"
	"runtime/debug"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const (
	headerClient  = "X-Client-Id"
	headerRequest = "X-Request-Id"
	headerKey     = "Idempotency-Key"

	// healthPatience is how long the database may take to answer a health
	// check.
	healthPatience = 2 * time.Second
)

// Options is what [NewHandler] needs. Every field but Store may be left out:
// without a log nothing is logged, without a clock it is the system's.
type Options struct {
	Store *Store
	Log   *zap.Logger
	Now   func() time.Time
}

type server struct {
	store   *Store
	log     *zap.Logger
	now     func() time.Time
	page    *template.Template
	clients *regexp.Regexp
}

// NewHandler serves the schedule; the package documentation lists the routes.
//
// Every request under /events must carry exactly one X-Client-Id, written by
// the gateway. The handler believes it and can do nothing else: behind a
// gateway that deletes the callers' own it is true, and anywhere else it is
// worth nothing. /healthz and the page at / are for machines and people of the
// same network and take no X-Client-Id.
//
// The handler follows Gin's global mode and does not set it: a program calls
// gin.SetMode(gin.ReleaseMode) once to keep Gin's own lines off its output.
func NewHandler(o Options) http.Handler {
	s := &server{store: o.Store, log: o.Log, now: o.Now, page: parsePage(), clients: clientNames()}
	if s.log == nil {
		s.log = zap.NewNop()
	}
	if s.now == nil {
		s.now = time.Now
	}
	engine := gin.New()
	// An empty list cannot be refused; the default would trust everybody.
	_ = engine.SetTrustedProxies(nil)
	engine.RedirectTrailingSlash = false
	engine.HandleMethodNotAllowed = true
	engine.Use(s.record, gin.CustomRecoveryWithWriter(nil, s.recovered), harden)
	s.route(engine)
	return engine
}

func (s *server) route(engine *gin.Engine) {
	get := []string{http.MethodGet, http.MethodHead}
	engine.Match(get, "/", handle(s.showWeek))
	engine.Match(get, "/healthz", handle(s.health))
	engine.Match(get, "/events", handle(s.identified(s.listEvents)))
	engine.Match(get, "/events/:id", handle(s.identified(s.showEvent)))
	engine.POST("/events", handle(s.identified(s.addEvent)))
	engine.NoRoute(handle(func(*gin.Context) error {
		return refuse(http.StatusNotFound, "not_found", "There is nothing here", "No page has this path.")
	}))
	engine.NoMethod(handle(func(*gin.Context) error {
		return refuse(http.StatusMethodNotAllowed, "method_not_allowed", "This path does not take this method",
			"The Allow header lists the methods it takes.")
	}))
}

// handle makes a Gin handler of a function that returns its refusal.
func handle(f func(*gin.Context) error) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := f(c); err != nil {
			fail(c, err)
		}
	}
}

// clientNames is what the gateway can write into X-Client-Id. A comma is not
// in it, so two values joined into one are refused as well.
func clientNames() *regexp.Regexp {
	return regexp.MustCompile(`\A[A-Za-z0-9._:@/+ -]{1,64}\z`)
}

// identified hands the caller's name to f. A handler under /events gets the
// name in no other way, so it cannot forget to ask.
func (s *server) identified(f func(c *gin.Context, client string) error) func(*gin.Context) error {
	return func(c *gin.Context) error {
		values := c.Request.Header.Values(headerClient)
		if len(values) != 1 {
			return unidentified(fmt.Sprintf("found %d of them", len(values)))
		}
		if !s.clients.MatchString(values[0]) {
			return unidentified("found one that is empty or no name")
		}
		return f(c, values[0])
	}
}

func unidentified(found string) error {
	return refuse(http.StatusUnauthorized, "client_missing", "The request does not say which application sent it",
		"Want one "+headerClient+" header with the name of an application, as the gateway sets it; "+found+".")
}

func (s *server) health(c *gin.Context) error {
	ctx, cancel := context.WithTimeout(c.Request.Context(), healthPatience)
	defer cancel()
	if err := s.store.Check(ctx); err != nil {
		return fmt.Errorf("%w: %w", refuse(http.StatusServiceUnavailable, "unavailable", "The schedule is not available",
			"The database does not answer."), err)
	}
	answer(c, http.StatusOK, "application/json", map[string]string{"status": "ok"})
	return nil
}

// harden sets what every answer carries; the page brings a policy of its own.
func harden(c *gin.Context) {
	h := c.Writer.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
}

// record writes one line for each request: debug for a health check that went
// well, error when an operator must act, info for everything else.
func (s *server) record(c *gin.Context) {
	start := time.Now()
	c.Next()
	status := c.Writer.Status()
	level := zapcore.InfoLevel
	switch {
	case status >= http.StatusInternalServerError && c.Request.Context().Err() == nil:
		level = zapcore.ErrorLevel
	case c.FullPath() == "/healthz" && status == http.StatusOK:
		level = zapcore.DebugLevel
	}
	fields := []zap.Field{
		zap.String("method", c.Request.Method),
		zap.String("path", c.Request.URL.Path),
		zap.Int("status", status),
		zap.Int("bytes", max(c.Writer.Size(), 0)),
		zap.Duration("duration", time.Since(start)),
		zap.String("client", clip(c.GetHeader(headerClient))),
		zap.String("request_id", clip(c.GetHeader(headerRequest))),
	}
	if err := c.Errors.Last(); err != nil {
		fields = append(fields, zap.NamedError("error", err.Err))
	}
	s.log.Log(level, "request", fields...)
}

// recovered answers for a handler that panicked. The stack goes to the log,
// the request's headers go nowhere.
func (s *server) recovered(c *gin.Context, value any) {
	s.log.Error("panic", zap.String("value", fmt.Sprint(value)), zap.ByteString("stack", debug.Stack()))
	if c.Writer.Written() {
		c.Abort()
		return
	}
	fail(c, fmt.Errorf("panic: %v", value))
	c.Abort()
}
