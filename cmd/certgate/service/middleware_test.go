package service_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/go-jose/go-jose/v4"

	"github.com/certgate/certgate/cmd/certgate/service"
	"github.com/certgate/certgate/cmd/certgate/service/ginservice"
)

// TestMiddleware checks both kinds of middleware: the response and the call of the handler.
func TestMiddleware(t *testing.T) {
	gin.SetMode(gin.ReleaseMode)
	k := newKey(t, "a", jose.EdDSA)
	name := func(r *http.Request) string {
		client, _ := service.Client(r.Context())
		return client.Name
	}
	kinds := map[string]func(v *service.Verifier, handle func(client string)) http.Handler{
		"net/http": func(v *service.Verifier, handle func(string)) http.Handler {
			return v.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { handle(name(r)) }))
		},
		"Gin": func(v *service.Verifier, handle func(string)) http.Handler {
			engine := gin.New()
			engine.Use(ginservice.Middleware(v))
			engine.GET("/events", func(c *gin.Context) { handle(name(c.Request)) })
			return engine
		},
	}
	tests := []struct {
		name    string
		token   string
		keysURL string
		status  int
		problem string
		reason  service.Reason
	}{
		{"valid", k.sign(t, claims(nil)), "", 200, "", ""},
		{"another audience", k.sign(t, claims(map[string]any{"aud": "billing"})), "", 401, "urn:certgate:assertion_invalid", service.WrongAudience},
		{"no assertion", "", "", 401, "urn:certgate:assertion_invalid", service.Missing},
		{"no keys", k.sign(t, claims(nil)), newEndpoint(t, http.NotFound).URL, 503, "urn:certgate:assertion_keys_unavailable", service.KeysUnavailable},
	}
	for kind, build := range kinds {
		for _, tt := range tests {
			t.Run(kind+"/"+tt.name, func(t *testing.T) {
				var clients []string
				var reasons []service.Reason
				v := newVerifier(t, keySet(t, k), func(o *service.Options) {
					o.OnRefusal = func(_ *http.Request, err error) { reasons = append(reasons, reasonOf(t, err)) }
					if tt.keysURL != "" {
						o.KeySet, o.KeySetURL = nil, tt.keysURL
					}
				})
				handler := build(v, func(client string) { clients = append(clients, client) })
				r, w := request("GET", "/events", ""), httptest.NewRecorder()
				if tt.token != "" {
					r.Header.Set(token, tt.token)
				}
				handler.ServeHTTP(w, r)
				if w.Code != tt.status {
					t.Errorf("want status %d, found %d", tt.status, w.Code)
				}
				if tt.status == 200 {
					if len(clients) != 1 || clients[0] != "mail" || len(reasons) != 0 {
						t.Errorf("want the handler called once for mail, found %q and %q", clients, reasons)
					}
					return
				}
				if len(clients) != 0 || len(reasons) != 1 || reasons[0] != tt.reason {
					t.Errorf("want %s and no call of the handler, found %q and %q", tt.reason, reasons, clients)
				}
				wantProblem(t, w, tt.problem)
			})
		}
	}
}

// wantProblem checks the document of a refusal. It must not contain the reason.
func wantProblem(t *testing.T, w *httptest.ResponseRecorder, kind string) {
	t.Helper()
	var problem struct {
		Type, Title string
		Status      int
	}
	if err := json.Unmarshal(w.Body.Bytes(), &problem); err != nil || problem.Type != kind || problem.Title == "" || problem.Status != w.Code {
		t.Errorf("want a problem %s, found %s", kind, w.Body)
	}
	if strings.Contains(w.Body.String(), "audience") {
		t.Errorf("want no detail, found %s", w.Body)
	}
	if found := w.Header().Get("Content-Type"); found != "application/problem+json" {
		t.Errorf("want a problem document, found %q", found)
	}
	if found := w.Header().Get("WWW-Authenticate"); (found != "") != (w.Code == 401) {
		t.Errorf("status %d: found the challenge %q", w.Code, found)
	}
}

// TestNoMiddleware checks that there is no client without a verified assertion.
func TestNoMiddleware(t *testing.T) {
	r := request("GET", "/", "")
	r.Header.Set("X-Client-Id", "mail")
	if client, ok := service.Client(r.Context()); ok || client != (service.Identity{}) {
		t.Errorf("want no client, found %v", client)
	}
}
