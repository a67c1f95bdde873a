package admin_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/surface/admin"
	"github.com/certgate/certgate/internal/surface/status"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.TestMode)
	os.Exit(m.Run())
}

// response is a response as the client received it.
type response struct {
	status int
	header http.Header
	body   string
}

// sendRequest sends one request to a surface on loopback.
func sendRequest(t *testing.T, o admin.Options, method, path, body string) response {
	t.Helper()
	server := httptest.NewServer(admin.NewHandler(o))
	defer server.Close()
	req, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response{resp.StatusCode, resp.Header, string(text)}
}

// allOptions returns the options of a surface with every route.
func allOptions() admin.Options {
	reg := prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "certgate_test"}))
	return admin.Options{
		Ready:    func() error { return nil },
		Gatherer: reg,
		Level:    zap.NewAtomicLevel(),
		KeySet:   func() []byte { return []byte(`{"keys":[]}`) },
		Status:   func() status.Status { return status.Status{Version: "v9.9.9", Ready: true} },
	}
}

func TestRoutes(t *testing.T) {
	tests := []struct {
		name, method, path string
		status             int
		body               string // contained
	}{
		{"alive", "GET", "/healthz", 200, "ok\n"},
		{"alive, HEAD", "HEAD", "/healthz", 200, ""},
		{"ready", "GET", "/readyz", 200, "ready\n"},
		{"ready, HEAD", "HEAD", "/readyz", 200, ""},
		{"metrics", "GET", "/metrics", 200, "certgate_test 0"},
		{"level", "GET", "/loglevel", 200, `{"level":"info"}`},
		{"keys of assertions", "GET", "/.well-known/jwks.json", 200, `{"keys":[]}`},
		{"keys of assertions by POST", "POST", "/.well-known/jwks.json", 405, `"reason":"method_not_allowed"`},
		{"page", "GET", "/", 200, "certgate <small>v9.9.9</small>"},
		{"page, HEAD", "HEAD", "/", 200, ""},
		{"page by POST", "POST", "/", 405, `"reason":"method_not_allowed"`},
		{"status", "GET", "/status", 200, `"version":"v9.9.9"`},
		{"unknown", "GET", "/index.html", 404, `"reason":"not_found"`},
		{"trailing slash", "GET", "/healthz/", 404, `"reason":"not_found"`},
		{"no debug route", "GET", "/debug/pprof/", 404, `"reason":"not_found"`},
		{"wrong method", "POST", "/healthz", 405, `"reason":"method_not_allowed"`},
		{"level by POST", "POST", "/loglevel", 405, `"reason":"method_not_allowed"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			have := sendRequest(t, allOptions(), tt.method, tt.path, "")
			if have.status != tt.status || !strings.Contains(have.body, tt.body) {
				t.Errorf("%d %q, want %d and %q", have.status, have.body, tt.status, tt.body)
			}
			if tt.status >= 400 && have.header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("content type %q, want a problem", have.header.Get("Content-Type"))
			}
			caching := "no-store"
			if strings.Contains(tt.path, "jwks") && tt.status == 200 {
				caching = "public, max-age=300"
			}
			if have.header.Get("Cache-Control") != caching || have.header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("headers %v, want %s and nosniff", have.header, caching)
			}
		})
	}
}

func TestMethodNotAllowedListsMethods(t *testing.T) {
	allow := sendRequest(t, allOptions(), "DELETE", "/loglevel", "").header.Get("Allow")
	if !strings.Contains(allow, "GET") || !strings.Contains(allow, "PUT") || strings.Contains(allow, "DELETE") {
		t.Errorf("Allow %q, want GET and PUT", allow)
	}
}

func TestUnsetOptionsHaveNoRoute(t *testing.T) {
	for _, path := range []string{"/", "/status", "/metrics", "/loglevel", "/.well-known/jwks.json"} {
		if have := sendRequest(t, admin.Options{}, "GET", path, ""); have.status != 404 {
			t.Errorf("%s: %d, want 404", path, have.status)
		}
	}
}

func TestNotReady(t *testing.T) {
	tests := []struct {
		name  string
		ready func() error
		want  map[string]any
	}{
		{"no check", nil, map[string]any{
			"type": "urn:certgate:not_ready", "title": "The gateway takes no requests now", "status": 503.0,
			"reason": "not_ready", "detail": "no readiness check",
		}},
		{"a fault", func() error { return errors.New("rules are old") }, map[string]any{
			"type": "urn:certgate:not_ready", "title": "The gateway takes no requests now", "status": 503.0,
			"reason": "not_ready", "detail": "rules are old",
		}},
		{"draining", func() error { return refusal.New(refusal.Draining, "got SIGTERM") }, map[string]any{
			"type": "urn:certgate:draining", "title": "The gateway is shutting down", "status": 503.0,
			"reason": "draining", "detail": "got SIGTERM",
		}},
		{"a reason with another status", func() error { return refusal.New(refusal.UpstreamFailed, "refused") }, map[string]any{
			"type": "urn:certgate:upstream_failed", "title": "The upstream service could not be reached",
			"status": 503.0, "reason": "upstream_failed", "detail": "refused",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := allOptions()
			o.Ready = tt.ready
			have := sendRequest(t, o, "GET", "/readyz", "")
			var body map[string]any
			if err := json.Unmarshal([]byte(have.body), &body); err != nil {
				t.Fatalf("%q: %v", have.body, err)
			}
			if have.status != 503 || have.header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("%d %q, want a 503 problem", have.status, have.header.Get("Content-Type"))
			}
			if diff := cmp.Diff(tt.want, body); diff != "" {
				t.Errorf("problem (-want +have):\n%s", diff)
			}
			if alive := sendRequest(t, o, "GET", "/healthz", ""); alive.status != 200 {
				t.Errorf("/healthz: %d, want 200 when not ready", alive.status)
			}
		})
	}
}

func TestLogLevel(t *testing.T) {
	tests := []struct {
		name, body string
		status     int
		want       zapcore.Level
	}{
		{"another level", `{"level":"debug"}`, 200, zap.DebugLevel},
		{"no such level", `{"level":"loud"}`, 400, zap.InfoLevel},
		{"no level", `{}`, 400, zap.InfoLevel},
		{"not JSON", `debug`, 400, zap.InfoLevel},
		{"too much", `{"pad":"` + strings.Repeat("x", 2000) + `","level":"debug"}`, 400, zap.InfoLevel},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := allOptions()
			have := sendRequest(t, o, "PUT", "/loglevel", tt.body)
			if have.status != tt.status || o.Level.Level() != tt.want {
				t.Errorf("%d and level %v, want %d and %v", have.status, o.Level.Level(), tt.status, tt.want)
			}
		})
	}
}

func TestPanic(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	o := allOptions()
	o.Log = zap.New(core)
	o.Gatherer = prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { panic("metrics are broken") })
	have := sendRequest(t, o, "GET", "/metrics?secret=1", "")
	if have.status != 500 || !strings.Contains(have.body, `"reason":"internal"`) || strings.Contains(have.body, "broken") {
		t.Errorf("%d %q, want a 500 problem without details", have.status, have.body)
	}
	if logs.Len() != 1 {
		t.Fatalf("want one line, have %v", logs.All())
	}
	line := logs.All()[0].ContextMap()
	if line["route"] != "/metrics" || line["panic"] != "metrics are broken" || line["stack"] == "" {
		t.Errorf("line %v, want route, panic and stack", line)
	}
	for key, value := range line {
		if s, ok := value.(string); ok && strings.Contains(s, "secret") {
			t.Errorf("%s contains the request: %q", key, s)
		}
	}
}
