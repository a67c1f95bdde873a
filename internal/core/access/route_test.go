package access_test

import (
	"testing"

	"github.com/certgate/certgate/internal/core/access"
)

// TestRoutes checks that a route is the path of the first pattern that matches, regardless of
// the clients of the rule.
func TestRoutes(t *testing.T) {
	t.Parallel()
	routes := access.NewRoutes([]access.Rule{
		{Name: "a", Clients: []string{"mail"}, Allow: []string{"GET /events/{id}", "POST \t/events"}},
		{Name: "b", Clients: []string{"social"}, Allow: []string{"invalid", "GET /events/{other}", "GET /events/{rest...}", "GET /{$}"}},
	})
	tests := []struct{ method, target, want string }{
		{"GET", "/events/1?x=1", "/events/{id}"},
		{"HEAD", "/events/1", "/events/{id}"},
		{"GET", "/events/1/parts", "/events/{rest...}"},
		{"POST", "/events", "/events"},
		{"GET", "/", "/{$}"},
		{"POST", "/events/1", ""},
		{"DELETE", "/events", ""},
	}
	for _, test := range tests {
		if found := routes.Find(test.method, target(t, test.target)); found != test.want {
			t.Errorf("Find(%s %s) = %q, want %q", test.method, test.target, found, test.want)
		}
	}
	if found := (*access.Routes)(nil).Find("GET", target(t, "/")); found != "" {
		t.Errorf("a nil value finds %q", found)
	}
	if found := routes.Find("GET", access.Target{}); found != "" {
		t.Errorf("found %q for the zero target", found)
	}
}
