package gateway

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/certgate/certgate/internal/proxy/forward"
	"github.com/certgate/certgate/internal/proxy/upstream"
)

// upstreamMetrics counts the attempts to send a request to each address of the upstream. All
// counters are resolved at the start, so that counting hashes no label.
type upstreamMetrics []*addressMetrics

// addressMetrics are the metrics of one address.
type addressMetrics struct {
	outcomes []prometheus.Counter // by outcome
	duration prometheus.Observer
	recent   recentDurations
}

// newUpstreamMetrics registers the metrics of the addresses of a pool.
func newUpstreamMetrics(p *upstream.Pool, registry prometheus.Registerer) upstreamMetrics {
	factory := promauto.With(registry)
	attempts := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "certgate_upstream_attempts_total",
		Help: "Attempts to send a request to an upstream address, by the status of the response or the kind of failure.",
	}, []string{"upstream", "outcome"})
	durations := factory.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "certgate_upstream_duration_seconds",
		Help:    "Time from the start of an attempt to the header of the response, or to the failure; without failures of the client.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
	}, []string{"upstream"})
	var all upstreamMetrics
	for i := range p.Len() {
		m := &addressMetrics{duration: durations.WithLabelValues(p.Name(i)), outcomes: make([]prometheus.Counter, len(forward.Outcomes())+1)}
		for _, o := range forward.Outcomes() {
			m.outcomes[o] = attempts.WithLabelValues(p.Name(i), o.String())
		}
		all = append(all, m)
	}
	return all
}

// observe counts one attempt.
func (u upstreamMetrics) observe(a forward.Attempt) {
	m := u[a.Address]
	m.outcomes[a.Outcome].Inc()
	if a.Outcome == forward.ClientFault {
		return
	}
	m.duration.Observe(a.Duration.Seconds())
	m.recent.add(a.Duration)
}

// maxRecent is the number of durations in [recentDurations].
const maxRecent = 512

// recentDurations holds the durations of the latest attempts at an address, for the quantiles
// on the operator's page. It is safe for concurrent use. While attempts end, a duration that
// is overwritten can be missing.
type recentDurations struct {
	next      atomic.Uint64
	durations [maxRecent]atomic.Int64 // nanoseconds
}

func (r *recentDurations) add(d time.Duration) {
	r.durations[(r.next.Add(1)-1)%maxRecent].Store(int64(d))
}

// quantiles returns the median and the 99th percentile of the latest n attempts.
func (r *recentDurations) quantiles() (median, p99 time.Duration, n int) {
	n = int(min(r.next.Load(), maxRecent))
	if n == 0 {
		return 0, 0, 0
	}
	sorted := make([]time.Duration, n)
	for i := range sorted {
		sorted[i] = time.Duration(r.durations[i].Load())
	}
	slices.Sort(sorted)
	return sorted[(n-1)/2], sorted[(n*99-1)/100], n
}
