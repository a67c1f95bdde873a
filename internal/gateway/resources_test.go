package gateway

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/certgate/certgate/internal/proxy/forward"
	"github.com/certgate/certgate/internal/proxy/upstream"
)

// TestResources checks the usage and the limit of each resource while one request is at the
// upstream, and that both have a metric.
func TestResources(t *testing.T) {
	t.Parallel()
	service, arrived, release := blockingUpstream(t)
	r := start(t, load(t, service, map[string]string{
		"MAX_IN_FLIGHT": "7", "MAX_CONNECTIONS": "9",
		"AUTHZ_ADDR": "127.0.0.1:0", "AUTHZ_GRPC_ADDR": "127.0.0.1:0", "AUTHZ_PEERS": "127.0.0.1/32",
	}))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		want(t, r, r.Addr(), "/events", http.StatusOK, "late")
	}()
	<-arrived
	type amount struct{ used, capacity int64 }
	have := map[string]amount{}
	for _, resource := range r.resources() {
		used, capacity := resource.read()
		have[strings.TrimSpace(resource.name+" "+resource.listener)] = amount{used, capacity}
		for name, want := range map[string]int64{resource.name: used, resource.name + "_capacity": capacity} {
			if value, ok := samples(t, r.registry, name)[resource.listener]; !ok || value != float64(want) {
				t.Errorf("%s %s: want %d, found %v", name, resource.listener, want, value)
			}
		}
	}
	release()
	<-ended
	if diff := cmp.Diff(map[string]amount{
		"certgate_upstream_requests_in_flight": {1, 7},
		"certgate_held_body_bytes":             {0, 256 << 20},
		"certgate_log_buffer_bytes":            {0, 1 << 20},
		"certgate_nonces":                      {0, 1 << 20},
		"certgate_connections public":          {1, 9},
		"certgate_connections authz":           {0, 9},
		"certgate_connections authz_grpc":      {0, 9},
	}, have, cmp.AllowUnexported(amount{})); diff != "" {
		t.Errorf("resources (-want +have):\n%s", diff)
	}
}

// TestUpstreamMetrics checks that every outcome of every address exists from the start, and
// that a request counts at its address.
func TestUpstreamMetrics(t *testing.T) {
	t.Parallel()
	g := start(t, load(t, hello(t)+",http://127.0.0.1:1", nil))
	first, second := g.pool.Name(0), g.pool.Name(1)
	attempts := map[string]float64{}
	for _, outcome := range forward.Outcomes() {
		attempts[outcome.String()+" "+first], attempts[outcome.String()+" "+second] = 0, 0
	}
	wantSamples(t, g.registry, "certgate_upstream_attempts_total", attempts)
	for range 4 { // one half tries the unreachable address first
		want(t, g, g.Addr(), "/events", http.StatusOK, "hello")
	}
	have := samples(t, g.registry, "certgate_upstream_attempts_total")
	tried := have["unreachable "+second]
	attempts["2xx "+first], attempts["unreachable "+second] = 4, tried
	if diff := cmp.Diff(attempts, have); diff != "" || tried == 0 {
		t.Errorf("attempts (-want +have):\n%s", diff)
	}
	wantSamples(t, g.registry, "certgate_upstream_duration_seconds", map[string]float64{first: 4, second: tried})
	if median, p99, n := g.upstreams[0].recent.quantiles(); n != 4 || median <= 0 || p99 < median {
		t.Errorf("want the quantiles of 4 requests, found %v and %v of %d", median, p99, n)
	}
}

// TestClientFaultHasNoDuration checks that a failure of the client does not count as latency
// of the upstream.
func TestClientFaultHasNoDuration(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	g := buildOnly(t, load(t, "http://127.0.0.1:1", nil))
	u := newUpstreamMetrics(g.pool, registry)
	u.observe(forward.Attempt{Outcome: forward.ClientFault, Duration: time.Minute})
	u.observe(forward.Attempt{Outcome: forward.Timeout, Duration: time.Minute})
	wantSamples(t, registry, "certgate_upstream_duration_seconds", map[string]float64{"127.0.0.1:1": 1})
	if _, _, n := u[0].recent.quantiles(); n != 1 {
		t.Errorf("want one duration, found %d", n)
	}
}

func TestRecentDurations(t *testing.T) {
	t.Parallel()
	var r recentDurations
	if median, p99, n := r.quantiles(); median != 0 || p99 != 0 || n != 0 {
		t.Errorf("want nothing before the first attempt, found %v, %v and %d", median, p99, n)
	}
	for i := 1; i <= 100; i++ {
		r.add(time.Duration(i) * time.Millisecond)
	}
	if median, p99, n := r.quantiles(); median != 50*time.Millisecond || p99 != 99*time.Millisecond || n != 100 {
		t.Errorf("want 50ms, 99ms and 100, found %v, %v and %d", median, p99, n)
	}
	for range maxRecent {
		r.add(time.Second)
	}
	if median, _, n := r.quantiles(); median != time.Second || n != maxRecent {
		t.Errorf("want only the latest durations, found a median of %v in %d", median, n)
	}
}

// BenchmarkObserveAttempt measures what the metrics of the upstream add to a request.
func BenchmarkObserveAttempt(b *testing.B) {
	p := upstream.New(upstream.Options{Addresses: []*url.URL{{Scheme: "http", Host: "127.0.0.1:1"}}, MaxInFlight: 1, Now: time.Now})
	u := newUpstreamMetrics(p, prometheus.NewRegistry())
	for b.Loop() {
		begin := time.Now()
		u.observe(forward.Attempt{Outcome: forward.Status2xx, Duration: time.Since(begin)})
	}
}
