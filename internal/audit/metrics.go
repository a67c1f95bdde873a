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

// maxNextSeries limits the series of certgate_next_rules_total: unlike the other counters of
// clients it also counts clients that the rules in force refuse.
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
// outcome are resolved by newMetrics, those of a client and rule with their first
// request, so that counting a request hashes no label. The maps of metrics are read-only
// after newMetrics.
type metrics struct {
	reasons   []refusal.Reason
	requests  *prometheus.CounterVec
	outcomes  map[outcome]outcomeCounters
	durations map[Decision]prometheus.Observer
	grants    clientCounters
	proofs    clientCounters
	next      clientCounters
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
			Help: "Requests by decision and, if refused or failed, by reason.",
		}, []string{"decision", "reason"}),
		grants: newClientCounters(factory, prometheus.CounterOpts{
			Name: "certgate_client_requests_total",
			Help: "Granted requests by verified client and by the rule that allowed them.",
		}, "rule"),
		proofs: newClientCounters(factory, prometheus.CounterOpts{
			Name: "certgate_client_proofs_total",
			Help: "Granted requests with a verified or observed signature, by verified client and by the reason for which they would be refused if proof were required; empty if the signature is valid.",
		}, "would_refuse"),
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
	m.resolve(Allowed, "")
	m.resolve(Refused, m.reasons...)
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
	c, expected := m.outcomes[outcome{rec.Decision, rec.Reason}]
	if !expected {
		c = m.counters(m.knownOutcome(outcome{rec.Decision, rec.Reason}))
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
	if rec.Next != "" && rec.Client != "" {
		m.next.count(clientLabels{rec.Client, knownChange(rec.Next)})
	}
}

// countGranted counts a granted request by client, rule and signature.
func (m *metrics) countGranted(rec *Record) {
	m.grants.count(clientLabels{rec.Client, rec.Rule})
	if rec.WouldRefuse != "" || rec.Auth == gate.Signed {
		m.proofs.count(clientLabels{rec.Client, string(m.knownReason(rec.WouldRefuse))})
	}
}

// knownOutcome replaces an undefined decision or reason with unknown.
func (m *metrics) knownOutcome(o outcome) outcome {
	if _, ok := m.durations[o.decision]; !ok {
		o.decision = unknown
	}
	o.reason = m.knownReason(o.reason)
	return o
}

// knownChange returns the label of a change, or unknown for an undefined one.
func knownChange(c gate.Change) string {
	if !slices.Contains(gate.Changes(), c) {
		return unknown
	}
	return string(c)
}

// knownReason replaces an undefined reason with unknown.
func (m *metrics) knownReason(r refusal.Reason) refusal.Reason {
	if r != "" && !slices.Contains(m.reasons, r) {
		return unknown
	}
	return r
}
