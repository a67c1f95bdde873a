package gateway

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/certgate/certgate/internal/config"
)

// inForce are the metrics of the configuration in force. A reload replaces all of them at
// once, so a scrape never sees a part of a configuration.
type inForce struct {
	info, entries, anchors, crls *prometheus.Desc

	metrics atomic.Pointer[[]prometheus.Metric]
}

// newInForce registers the metrics of the configuration. They have no value before the first
// call of set.
func newInForce(registry prometheus.Registerer) *inForce {
	m := &inForce{
		info: prometheus.NewDesc("certgate_config_info",
			"1 for the digest of each part of the configuration in force; gateways with equal digests make equal decisions.",
			[]string{"source", "digest"}, nil),
		entries: prometheus.NewDesc("certgate_config_entries",
			"Number of keys, rules, deny list entries, revocation lists and assertion keys in force.",
			[]string{"source"}, nil),
		anchors: prometheus.NewDesc("certgate_anchor_certificate_not_after_timestamp_seconds",
			"End of the validity period of each CA certificate in force, as Unix time; the latest one for each key.",
			[]string{"key_id"}, nil),
		crls: prometheus.NewDesc("certgate_crl_next_update_timestamp_seconds",
			"Time until which the revocation lists in force are current, as Unix time; the earliest one for each key.",
			[]string{"key_id"}, nil),
	}
	m.metrics.Store(new([]prometheus.Metric))
	registry.MustRegister(m)
	return m
}

// Describe implements [prometheus.Collector].
func (m *inForce) Describe(descriptions chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.info, m.entries, m.anchors, m.crls} {
		descriptions <- d
	}
}

// Collect implements [prometheus.Collector].
func (m *inForce) Collect(metrics chan<- prometheus.Metric) {
	for _, metric := range *m.metrics.Load() {
		metrics <- metric
	}
}

// set replaces the values by those of a configuration.
func (m *inForce) set(c config.Config) {
	var metrics []prometheus.Metric
	add := func(d *prometheus.Desc, value float64, labels ...string) {
		metrics = append(metrics, prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...))
	}
	for _, p := range c.Inventory() {
		add(m.info, 1, p.Name, p.Digest)
		add(m.entries, float64(p.Count), p.Name)
	}
	for key, end := range anchorEnds(c) {
		add(m.anchors, float64(end.Unix()), key)
	}
	for key, next := range crlUpdates(c) {
		add(m.crls, float64(next.Unix()), key)
	}
	m.metrics.Store(&metrics)
}

// anchorEnds returns the end of the CA certificates of each key. The certificate with the
// latest end counts, because a certificate is accepted if any anchor accepts it.
func anchorEnds(c config.Config) map[string]time.Time {
	ends := map[string]time.Time{}
	for _, a := range c.Keyring.Anchors() {
		ca := a.Certificate()
		if ca == nil {
			continue
		}
		if key := a.ID().Short(); ca.NotAfter.After(ends[key]) {
			ends[key] = ca.NotAfter
		}
	}
	return ends
}

// crlUpdates returns the end of the revocation lists of each key. The list with the earliest
// end counts, because every list must be current.
func crlUpdates(c config.Config) map[string]time.Time {
	updates := map[string]time.Time{}
	for _, list := range c.CRLs {
		key, next := list.KeyID().Short(), list.NextUpdate()
		if known, ok := updates[key]; !ok || next.Before(known) {
			updates[key] = next
		}
	}
	return updates
}
