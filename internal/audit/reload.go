package audit

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Source is a part of the configuration that can be reloaded.
type Source string

// The sources.
const (
	Keys  Source = "keys"  // the keyring
	Rules Source = "rules" // the access rules with the deny list
	CRLs  Source = "crls"  // the revocation lists
	// NextRules has the rules that are compared with the rules in force.
	NextRules Source = "next_rules"

	AssertionKeys Source = "assertion_keys" // the keys of signed assertions
	// UpstreamCA has the CAs that may issue the upstream's certificate.
	UpstreamCA Source = "upstream_ca"
	// UpstreamCertificate is the gateway's certificate for the upstream, with its key.
	UpstreamCertificate Source = "upstream_certificate"
)

// Reloaded counts one attempt to load new content of a source, with its error, or nil.
// The gauge certgate_last_reload_failed is 1 from a failure to the next success. Reloaded
// writes no log line. It is safe for concurrent use. The last call sets the gauge, so
// calls for one source should have the order of the attempts.
func (r *Recorder) Reloaded(source Source, err error) {
	r.metrics.reloads.bySource(source).count(err)
}

// LoadedAtStart sets the time of the last success of a source whose content was loaded at
// the start of the program. It counts no attempt.
func (r *Recorder) LoadedAtStart(source Source) { r.metrics.reloads.bySource(source).succeeded() }

// DroppedDenials counts entries of the deny list that a reload removed.
func (r *Recorder) DroppedDenials(n int) { r.metrics.reloads.droppedDenials.Add(float64(n)) }

// reloads are the metrics of the configuration. The counters of every source exist from
// the start with the value 0, so that an alert can distinguish a source without reloads
// from a missing gateway.
type reloads struct {
	total          *prometheus.CounterVec
	failing        *prometheus.GaugeVec
	successes      *prometheus.GaugeVec
	droppedDenials prometheus.Counter
	sources        map[Source]reload
}

// reload has the metrics of one source.
type reload struct {
	ok, failed prometheus.Counter
	failing    prometheus.Gauge
	// succeeded sets the time of the last success. The series exists after the first one.
	succeeded func()
}

func newReloads(factory promauto.Factory) reloads {
	r := reloads{
		total: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "certgate_reloads_total",
			Help: "Attempts to load new keys, rules, revocation lists or certificates, by result.",
		}, []string{"source", "result"}),
		failing: factory.NewGaugeVec(prometheus.GaugeOpts{
			Name: "certgate_last_reload_failed",
			Help: "1 while the newest keys, rules, revocation lists or certificates are not in force because of an error.",
		}, []string{"source"}),
		successes: factory.NewGaugeVec(prometheus.GaugeOpts{
			Name: "certgate_last_reload_success_timestamp_seconds",
			Help: "Time of the latest successful load of a source that is read from files, as Unix time.",
		}, []string{"source"}),
		droppedDenials: factory.NewCounter(prometheus.CounterOpts{
			Name: "certgate_dropped_denials_total",
			Help: "Entries of the deny list that were missing in new rules.",
		}),
		sources: map[Source]reload{},
	}
	for _, s := range []Source{Keys, Rules, NextRules, CRLs, AssertionKeys, UpstreamCA, UpstreamCertificate} {
		r.sources[s] = r.resolve(s)
	}
	return r
}

func (r reloads) resolve(s Source) reload {
	return reload{
		ok:        r.total.WithLabelValues(string(s), "ok"),
		failed:    r.total.WithLabelValues(string(s), "failed"),
		failing:   r.failing.WithLabelValues(string(s)),
		succeeded: func() { r.successes.WithLabelValues(string(s)).SetToCurrentTime() },
	}
}

// bySource returns the metrics of a source, or those of unknown for an undefined one.
func (r reloads) bySource(s Source) reload {
	if known, ok := r.sources[s]; ok {
		return known
	}
	return r.resolve(unknown)
}

func (r reload) count(err error) {
	if err != nil {
		r.failed.Inc()
		r.failing.Set(1)
		return
	}
	r.ok.Inc()
	r.failing.Set(0)
	r.succeeded()
}
