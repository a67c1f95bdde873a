package audit

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Source is what decisions are made from and what can change while the program
// runs.
type Source string

// The sources.
const (
	Keys  Source = "keys"  // the keyring
	Rules Source = "rules" // the access rules with the deny list
	CRLs  Source = "crls"  // the revocation lists
)

// Reloaded counts one attempt to put a source's newest content in force; err is
// why it is not, nil when it is. The gauge certgate_last_reload_failed is 1 from
// a failure to the next success. Nothing is logged: the caller knows which file
// and line. It is safe for concurrent use; calls about one source should come in
// the order of the attempts, because the last one decides the gauge.
func (r *Recorder) Reloaded(source Source, err error) {
	r.metrics.reloads.of(source).count(err)
}

// Loaded shows how many entries a part of the configuration in force has, such as
// "rules", and the digest of what it says.
func (r *Recorder) Loaded(part string, entries int, digest string) {
	r.metrics.reloads.entries.WithLabelValues(part).Set(float64(entries))
	r.metrics.reloads.info.DeletePartialMatch(prometheus.Labels{"part": part})
	r.metrics.reloads.info.WithLabelValues(part, digest).Set(1)
}

// reloads are resolved once for every source, so that each is 0 before its first
// reload: an alert can tell that from a missing program.
type reloads struct {
	total   *prometheus.CounterVec
	failing *prometheus.GaugeVec
	entries *prometheus.GaugeVec
	info    *prometheus.GaugeVec
	sources map[Source]reload
}

// reload is what is counted about one source.
type reload struct {
	ok, failed prometheus.Counter
	failing    prometheus.Gauge
}

func newReloads(factory promauto.Factory) reloads {
	r := reloads{
		total: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "certgate_reloads_total",
			Help: "Attempts to put new keys, rules or revocation lists in force.",
		}, []string{"source", "result"}),
		failing: factory.NewGaugeVec(prometheus.GaugeOpts{
			Name: "certgate_last_reload_failed",
			Help: "1 while the newest keys, rules or revocation lists are not in force.",
		}, []string{"source"}),
		entries: factory.NewGaugeVec(prometheus.GaugeOpts{
			Name: "certgate_loaded_entries",
			Help: "Keys, rules, denials and revocation lists in force.",
		}, []string{"part"}),
		info: factory.NewGaugeVec(prometheus.GaugeOpts{
			Name: "certgate_loaded_info",
			Help: "1 for the digest of what is in force, by part: gateways with the same digest decide alike.",
		}, []string{"part", "digest"}),
		sources: map[Source]reload{},
	}
	for _, s := range []Source{Keys, Rules, CRLs} {
		r.sources[s] = r.resolve(s)
	}
	return r
}

func (r reloads) resolve(s Source) reload {
	return reload{
		ok:      r.total.WithLabelValues(string(s), "ok"),
		failed:  r.total.WithLabelValues(string(s), "failed"),
		failing: r.failing.WithLabelValues(string(s)),
	}
}

// of replaces a source that is not in the list.
func (r reloads) of(s Source) reload {
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
}
