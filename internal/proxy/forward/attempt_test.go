package forward_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/proxy/forward"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
	"github.com/certgate/certgate/internal/testkit/upstream"
)

// TestAttempts checks that each attempt to send a request to an address is observed once,
// with its result.
func TestAttempts(t *testing.T) {
	t.Parallel()
	refusing, answers := upstream.Refusing(t), answering(t, rawhttp.Empty).Addr
	status := func(code int) []string {
		return []string{answering(t, fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n", code)).Addr}
	}
	silent := upstream.New(t, func(_ int, c *rawhttp.Conn) {
		if _, err := c.Head(); err == nil {
			_, _ = c.Head() // until the gateway closes the connection
		}
	}).Addr
	chunked := rawhttp.Lines("POST /events HTTP/1.1", "Host: gateway", "Transfer-Encoding: chunked", "") + "invalid\r\n"
	type attempt = forward.Attempt
	tests := []struct {
		name    string
		request string
		hosts   []string
		timeout time.Duration
		want    []attempt
	}{
		{"200", get("/"), status(200), 0, []attempt{{Outcome: forward.Status2xx}}},
		{"304", get("/"), status(304), 0, []attempt{{Outcome: forward.Status3xx}}},
		{"404", get("/"), status(404), 0, []attempt{{Outcome: forward.Status4xx}}},
		{"503", get("/"), status(503), 0, []attempt{{Outcome: forward.Status5xx}}},
		{"999", get("/"), status(999), 0, []attempt{{Outcome: forward.Malformed}}},
		{"not HTTP", get("/"), []string{answering(t, "nonsense\r\n\r\n").Addr}, 0, []attempt{{Outcome: forward.Malformed}}},
		{"no response", post([]string{"Content-Length: 1"}, "x"), []string{answering(t, "").Addr}, 0, []attempt{{Outcome: forward.Broken}}},
		{"silent", get("/"), []string{silent}, soon, []attempt{{Outcome: forward.Timeout}}},
		{"unreachable", get("/"), []string{refusing}, 0, []attempt{{Outcome: forward.Unreachable}}},
		{"unreachable, then another address", get("/"), []string{refusing, answers}, 0, []attempt{{Outcome: forward.Unreachable}, {Address: 1, Outcome: forward.Status2xx}}},
		{"invalid body", chunked, []string{silent}, 0, []attempt{{Outcome: forward.ClientFault}}},
	}
	for r, tt := range allRoutes(tests) {
		t.Run(string(r)+"/"+tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.timeout > 0 {
				waitForTimeout(t)
			}
			observed := make(chan attempt, 10)
			g := newGateway(t, options{route: r, pool: pool(tt.hosts...), timeout: tt.timeout, observe: func(a attempt) { observed <- a }})
			g.exchange(t, tt.request)
			<-g.results
			close(observed)
			var have []attempt
			for a := range observed {
				if a.Duration <= 0 || a.Outcome == forward.Timeout && a.Duration < soon {
					t.Errorf("want the duration of the attempt, found %v", a.Duration)
				}
				a.Duration = 0
				have = append(have, a)
			}
			if !slices.Equal(have, tt.want) {
				t.Errorf("attempts %+v, want %+v", have, tt.want)
			}
		})
	}
}

// TestNoAttempt checks that a request that is refused before it is sent is not observed.
func TestNoAttempt(t *testing.T) {
	t.Parallel()
	up, _ := recorder(t)
	g := newGateway(t, options{upstream: up.Addr, observe: func(a forward.Attempt) { t.Errorf("want no attempt, found %+v", a) }})
	if res := g.exchange(t, post([]string{"Content-Length: 2000"}, "")); res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("want 413, found %d", res.StatusCode)
	}
}

// TestOutcomeNames checks that the names of the outcomes, which are metric labels, differ.
func TestOutcomeNames(t *testing.T) {
	names := map[string]bool{"": true}
	for _, o := range forward.Outcomes() {
		if names[o.String()] {
			t.Errorf("outcome %d: want a name of its own, found %q", o, o)
		}
		names[o.String()] = true
	}
}
