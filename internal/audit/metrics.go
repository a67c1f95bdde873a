package audit

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/refusal"
)

// unknown is the label of a decision or reason that is not in the lists: a
// label's values stay bounded even when a caller is wrong.
const unknown = "unknown"

// outcome is one combination of labels of the request counter.
type outcome struct {
	decision Decision
	reason   refusal.Reason
}

// counters are what a request of one outcome counts in.
type counters struct {
	requests  prometheus.Counter
	durations prometheus.Observer
}

// metrics are resolved once for every outcome that is expected, and for every
// client and rule when they first come, so counting a request hashes no label.
// The maps here are never written to after newMetrics.
type metrics struct {
	reasons   []refusal.Reason
	requests  *prometheus.CounterVec
	outcomes  map[outcome]counters
	durations map[Decision]prometheus.Observer
	grants    clients
	proofs    clients
	sharedKey prometheus.Counter
	inFlight  prometheus.Gauge
	reloads   reloads
}

func newMetrics(reg prometheus.Registerer) *metrics {
	factory := promauto.With(reg)
	m := &metrics{
		reasons: refusal.Reasons(),
		requests: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "certgate_requests_total",
			Help: "Requests by what was decided and, when refused or failed, why.",
		}, []string{"decision", "reason"}),
		grants: newClients(factory, prometheus.CounterOpts{
			Name: "certgate_client_requests_total",
			Help: "Granted requests by verified client and by the rule that granted them.",
		}, "rule"),
		proofs: newClients(factory, prometheus.CounterOpts{
			Name: "certgate_client_proofs_total",
			Help: "Granted requests whose signature was looked at, by verified client and by why it would be refused if proof were required; empty: it was proven.",
		}, "would_refuse"),
		sharedKey: factory.NewCounter(prometheus.CounterOpts{
			Name: "certgate_legacy_shared_key_requests_total",
			Help: "Requests, granted or not, whose certificate holds the master key and not a key of the client's own.",
		}),
		inFlight: factory.NewGauge(prometheus.GaugeOpts{
			Name: "certgate_requests_in_flight",
			Help: "Requests that are being handled now.",
		}),
		reloads:   newReloads(factory),
		outcomes:  map[outcome]counters{},
		durations: map[Decision]prometheus.Observer{},
	}
	durations := factory.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "certgate_request_duration_seconds",
		Help:    "How long requests took, the upstream's time included.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
	}, []string{"decision"})
	for _, d := range []Decision{Allowed, Refused, Failed} {
		m.durations[d] = durations.WithLabelValues(string(d))
	}
	m.durations[unknown] = durations.WithLabelValues(unknown)
	m.resolve(Allowed, "")
	m.resolve(Refused, m.reasons...)
	m.resolve(Failed, refusal.UpstreamFailed, refusal.UpstreamTimeout, refusal.Overloaded, refusal.Internal)
	return m
}

func (m *metrics) resolve(d Decision, reasons ...refusal.Reason) {
	for _, r := range reasons {
		o := outcome{d, r}
		m.outcomes[o] = m.counters(o)
	}
}

// counters wants an outcome that is bounded.
func (m *metrics) counters(o outcome) counters {
	return counters{m.requests.WithLabelValues(string(o.decision), string(o.reason)), m.durations[o.decision]}
}

func (m *metrics) count(rec *Record) {
	c, expected := m.outcomes[outcome{rec.Decision, rec.Reason}]
	if !expected {
		c = m.counters(m.bounded(outcome{rec.Decision, rec.Reason}))
	}
	c.requests.Inc()
	c.durations.Observe(rec.Duration.Seconds())
	if rec.usesSharedKey() {
		m.sharedKey.Inc()
	}
	granted := rec.Decision == Allowed || rec.Decision == Failed
	if granted && rec.Client != "" && rec.Rule != "" {
		m.countGranted(rec)
	}
}

// countGranted counts what its client was granted, and on what proof.
func (m *metrics) countGranted(rec *Record) {
	m.grants.count(counted{rec.Client, rec.Rule})
	if rec.WouldRefuse != "" || rec.Auth == gate.Signed {
		m.proofs.count(counted{rec.Client, string(m.boundedReason(rec.WouldRefuse))})
	}
}

// bounded replaces what is not in the lists.
func (m *metrics) bounded(o outcome) outcome {
	if _, ok := m.durations[o.decision]; !ok {
		o.decision = unknown
	}
	o.reason = m.boundedReason(o.reason)
	return o
}

func (m *metrics) boundedReason(r refusal.Reason) refusal.Reason {
	if r != "" && !slices.Contains(m.reasons, r) {
		return unknown
	}
	return r
}
