package audit

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/refusal"
)

// unknown is the label of an undefined decision or reason. It bounds the values of a
// label even if a caller passes a wrong value.
const unknown = "unknown"

// maxNextSeries limits the series of certgate_next_rules_total.
const maxNextSeries = 10_000

// outcome is one combination of labels of the request counter.
type outcome struct {
	decision Decision
	reason   refusal.Reason
}

// outcomeCounters are the metrics that a request of one outcome updates.
type outcomeCounters struct {
	requests  prometheus.Counter
	durations prometheus.Observer
}

// metrics are the metrics of requests and reloads. The counters of every expected
// outcome are resolved by newMetrics, so that counting a request hashes no label. The maps
// of metrics are read-only after newMetrics.
type metrics struct {
	requests  *prometheus.CounterVec
	allowed   outcomeCounters
	outcomes  map[outcome]outcomeCounters
	durations map[Decision]prometheus.Observer
	next      clientCounters
	sharedKey prometheus.Counter
	inFlight  prometheus.Gauge
	reloads   reloads
}

func newMetrics(reg prometheus.Registerer) *metrics {
	factory := promauto.With(reg)
	m := &metrics{
		requests: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "certgate_requests_total",
			Help: "Requests by decision and, if refused or failed, by reason.",
		}, []string{"decision", "reason"}),
		next: newClientCounters(factory, prometheus.CounterOpts{
			Name: "certgate_next_rules_total",
			Help: "Requests about which the next rules would decide differently, by verified client and by the change: refuse, allow, proof, rate or rename.",
		}, "change"),
		sharedKey: factory.NewCounter(prometheus.CounterOpts{
			Name: "certgate_legacy_shared_key_requests_total",
			Help: "Requests, granted or not, with a certificate that contains the master key instead of a key of the client.",
		}),
		inFlight: factory.NewGauge(prometheus.GaugeOpts{
			Name: "certgate_requests_in_flight",
			Help: "Requests in progress.",
		}),
		reloads:   newReloads(factory),
		outcomes:  map[outcome]outcomeCounters{},
		durations: map[Decision]prometheus.Observer{},
	}
	m.next.most = maxNextSeries
	durations := factory.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "certgate_request_duration_seconds",
		Help:    "Duration of requests by decision, including the time of the upstream.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
	}, []string{"decision"})
	for _, d := range []Decision{Allowed, Refused, Failed} {
		m.durations[d] = durations.WithLabelValues(string(d))
	}
	m.durations[unknown] = durations.WithLabelValues(unknown)
	m.allowed = m.counters(outcome{Allowed, ""})
	m.resolve(Refused, refusal.Reasons()...)
	m.resolve(Failed, refusal.UpstreamFailed, refusal.UpstreamTimeout, refusal.Overloaded, refusal.Internal)
	return m
}

// resolve creates the counters of the outcomes with a decision and each of the reasons.
func (m *metrics) resolve(d Decision, reasons ...refusal.Reason) {
	for _, r := range reasons {
		o := outcome{d, r}
		m.outcomes[o] = m.counters(o)
	}
}

// counters returns the counters of an outcome with a known decision and reason.
func (m *metrics) counters(o outcome) outcomeCounters {
	return outcomeCounters{m.requests.WithLabelValues(string(o.decision), string(o.reason)), m.durations[o.decision]}
}

// count counts a request.
func (m *metrics) count(rec *Record) {
	c := m.allowed
	if rec.Decision != Allowed || rec.Reason != "" {
		c = m.countersOf(outcome{rec.Decision, rec.Reason})
	}
	c.requests.Inc()
	c.durations.Observe(rec.Duration.Seconds())
	if rec.usesSharedKey() {
		m.sharedKey.Inc()
	}
	if rec.Next != "" && rec.Client != "" {
		m.next.count(clientLabels{rec.Client, knownChange(rec.Next)})
	}
}

// countersOf returns the counters of an outcome.
func (m *metrics) countersOf(o outcome) outcomeCounters {
	if c, expected := m.outcomes[o]; expected {
		return c
	}
	return m.counters(m.knownOutcome(o))
}

// knownOutcome replaces an undefined decision or reason with unknown.
func (m *metrics) knownOutcome(o outcome) outcome {
	if _, ok := m.durations[o.decision]; !ok {
		o.decision = unknown
	}
	if o.reason != "" && !o.reason.Known() {
		o.reason = unknown
	}
	return o
}

// knownChange returns the label of a change, or unknown for an undefined one.
func knownChange(c gate.Change) string {
	if !slices.Contains(gate.Changes(), c) {
		return unknown
	}
	return string(c)
}
