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

	assertion "github.com/certgate/certgate/cmd/certgate/service"
	"github.com/certgate/certgate/cmd/certgate/service/ginservice"
	"github.com/certgate/certgate/cmd/schedule/internal/event"
)

const (
	headerClient  = "X-Client-Id"
	headerRequest = "X-Request-Id"
	headerKey     = "Idempotency-Key"

	// healthTimeout is how long the database may take to respond to a health check.
	healthTimeout = 2 * time.Second
)

// Options configure [NewHandler].
type Options struct {
	// Store is required.
	Store *Store
	// Log receives one line per request. If nil, nothing is logged.
	Log *zap.Logger
	// Now returns the current time. If nil, [time.Now] is used.
	Now func() time.Time
	// Verifier verifies the assertions of requests below /events. If nil, X-Client-Id is
	// trusted.
	Verifier *assertion.Verifier
}

type server struct {
	store    *Store
	log      *zap.Logger
	now      func() time.Time
	page     *template.Template
	clients  *regexp.Regexp
	verifier *assertion.Verifier // nil if assertions are not verified
}

// NewHandler returns the handler of the service. The package documentation lists its
// routes.
//
// Every request below /events must have a valid assertion if there is a Verifier, and
// exactly one X-Client-Id otherwise. The handler trusts X-Client-Id: the gateway must
// delete the client's own X-Client-Id and set the header. /healthz and the page at / are for
// programs and people in the same network and need no X-Client-Id.
//
// The handler uses Gin's global mode. A program calls gin.SetMode(gin.ReleaseMode) once
// to disable Gin's own output.
func NewHandler(o Options) http.Handler {
	s := &server{store: o.Store, log: o.Log, now: o.Now, page: parsePage(), clients: clientNames(), verifier: o.Verifier}
	if s.log == nil {
		s.log = zap.NewNop()
	}
	if s.now == nil {
		s.now = time.Now
	}
	engine := gin.New()
	// By default, Gin trusts every proxy. An empty list is always valid.
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
	events := engine.Group("/events")
	if s.verifier != nil {
		events.Use(ginservice.Middleware(s.verifier))
	}
	events.Match(get, "", handle(s.identified(s.listEvents)))
	events.Match(get, "/:id", handle(s.identified(s.showEvent)))
	events.POST("", handle(s.identified(s.addEvent)))
	engine.NoRoute(handle(func(*gin.Context) error {
		return refuse(http.StatusNotFound, "not_found", "There is nothing at this path", "No page has this path.")
	}))
	engine.NoMethod(handle(func(*gin.Context) error {
		return refuse(http.StatusMethodNotAllowed, "method_not_allowed", "This path does not support this method",
			"The Allow header lists the supported methods.")
	}))
}

// handle converts a function that returns an error to a Gin handler.
func handle(f func(*gin.Context) error) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := f(c); err != nil {
			fail(c, err)
		}
	}
}

// clientNames matches the client names that the gateway can send. They contain no comma,
// so two values that a proxy has joined are refused.
func clientNames() *regexp.Regexp {
	return regexp.MustCompile(`\A[A-Za-z0-9._:@/+ -]{1,64}\z`)
}

// identified passes the client's name to f: that of the assertion if assertions are
// verified, and that of the header otherwise. Handlers below /events get the name as a
// parameter, so a route without this check does not compile.
func (s *server) identified(f func(c *gin.Context, client string) error) func(*gin.Context) error {
	return func(c *gin.Context) error {
		if s.verifier != nil {
			client, ok := assertion.Client(c.Request.Context())
			if !ok {
				return unidentified("found no verified assertion")
			}
			return f(c, client.Name)
		}
		values := c.Request.Header.Values(headerClient)
		if len(values) != 1 {
			return unidentified(fmt.Sprintf("found %d of them", len(values)))
		}
		if !s.clients.MatchString(values[0]) {
			return unidentified("found one that is not a valid name")
		}
		return f(c, values[0])
	}
}

func unidentified(found string) error {
	return refuse(http.StatusUnauthorized, "client_missing", "The request does not say which application sent it",
		"Want one "+headerClient+" header with the name of an application, as the gateway sets it; "+found+".")
}

func (s *server) health(c *gin.Context) error {
	ctx, cancel := context.WithTimeout(c.Request.Context(), healthTimeout)
	defer cancel()
	if err := s.store.Check(ctx); err != nil {
		return fmt.Errorf("%w: %w", refuse(http.StatusServiceUnavailable, "unavailable", "The schedule is not available",
			"The database does not respond."), err)
	}
	respond(c, http.StatusOK, "application/json", map[string]string{"status": "ok"})
	return nil
}

// harden sets the security headers of every response. The page replaces the policy.
func harden(c *gin.Context) {
	h := c.Writer.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
}

// record logs one line per request: at level debug for a successful health check, error
// if an operator must act, and info otherwise.
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
		zap.String("client", event.Clip(c.GetHeader(headerClient))),
		zap.String("request_id", event.Clip(c.GetHeader(headerRequest))),
	}
	if err := c.Errors.Last(); err != nil {
		fields = append(fields, zap.NamedError("error", err.Err))
	}
	s.log.Log(level, "request", fields...)
}

// recovered responds when a handler has panicked. It logs the stack, but not the headers
// of the request.
func (s *server) recovered(c *gin.Context, value any) {
	s.log.Error("panic", zap.String("value", fmt.Sprint(value)), zap.ByteString("stack", debug.Stack()))
	if c.Writer.Written() {
		c.Abort()
		return
	}
	fail(c, fmt.Errorf("panic: %v", value))
	c.Abort()
}
