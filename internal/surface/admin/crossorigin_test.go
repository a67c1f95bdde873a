package admin_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/surface/admin"
)

// TestCrossOrigin checks that requests for another host and cross-origin requests are
// refused on every route. Each case has an allowed counterpart that differs in one way.
func TestCrossOrigin(t *testing.T) {
	routes := []struct {
		method, path string
		status       int
	}{
		{"GET", "/", 200}, {"GET", "/status", 200}, {"GET", "/healthz", 200}, {"GET", "/readyz", 200}, {"GET", "/metrics", 200}, {"GET", "/loglevel", 200},
		{"PUT", "/loglevel", 200}, {"GET", "/nothing", 404}, {"DELETE", "/loglevel", 405}, {"OPTIONS", "/loglevel", 405},
	}
	tests := []struct {
		name   string
		host   string
		header http.Header
		status int // 0 for the status of the route
		reason string
	}{
		{"by address", "127.0.0.1:9090", nil, 0, ""},
		{"as localhost", "localhost:9090", nil, 0, ""},
		{"by a name of the setting", "Ops.internal:9090", nil, 0, ""},
		{"by another name", "evil.example:9090", nil, 421, "host_unknown"},
		{"by the unspecified address", "0.0.0.0:9090", nil, 421, "host_unknown"},
		{"its own page", "127.0.0.1:9090", http.Header{"Origin": {"http://127.0.0.1:9090"}, "Sec-Fetch-Site": {"same-origin"}}, 0, ""},
		{"another site's page", "127.0.0.1:9090", http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403, "cross_origin"},
		{"another site's page in an old browser", "127.0.0.1:9090", http.Header{"Origin": {"http://evil.example"}}, 403, "cross_origin"},
		{"another site's link in an old browser", "127.0.0.1:9090", http.Header{"Referer": {"http://evil.example/"}}, 403, "cross_origin"},
	}
	options := allOptions()
	options.Hosts = []string{":9090", "ops.internal"}
	handler := admin.NewHandler(options)
	for _, route := range routes {
		for _, tt := range tests {
			t.Run(route.method+" "+route.path+" "+tt.name, func(t *testing.T) {
				r := httptest.NewRequestWithContext(t.Context(), route.method, route.path, strings.NewReader(`{"level":"info"}`))
				r.Host, r.Header = tt.host, http.Header{"Content-Type": {"application/json"}}
				maps.Copy(r.Header, tt.header)
				res := httptest.NewRecorder()
				handler.ServeHTTP(res, r)
				want := tt.status
				if want == 0 {
					want = route.status
				}
				if res.Code != want || !strings.Contains(res.Body.String(), tt.reason) {
					t.Errorf("status %d %s, want %d %s", res.Code, res.Body, want, tt.reason)
				}
			})
		}
	}
}
