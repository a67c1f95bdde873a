package usage

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics reads the inventory when the metrics are collected, so that no value is kept
// twice. Its counters are those of this process.
type metrics struct {
	store *Store

	grants, proofs, refusals *prometheus.Desc
	certificateEnd           *prometheus.Desc
	keyLastUsed, keySince    *prometheus.Desc
	forgotten                *prometheus.Desc
	shared                   *prometheus.Desc // only if the inventory is shared
}

// Collector returns the metrics of the inventory.
func (s *Store) Collector() prometheus.Collector {
	describe := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	m := &metrics{
		store: s,
		grants: describe("certgate_client_requests_total",
			"Granted requests by verified client and by the rule that allowed them.", "client", "rule"),
		proofs: describe("certgate_client_proofs_total",
			"Granted requests with a verified or observed signature, by verified client and by the reason for which they would be refused if proof were required; empty if the signature is valid.", "client", "would_refuse"),
		refusals: describe("certgate_client_refusals_total",
			"Refused requests by verified client and reason.", "client", "reason"),
		certificateEnd: describe("certgate_client_certificate_not_after_timestamp_seconds",
			"Unix time at which the first of the certificates that a client uses expires.", "client"),
		keyLastUsed: describe("certgate_key_last_used_timestamp_seconds",
			"Unix time of the latest request with a certificate that the key signed, or 0 if there was none since the observation began.", "key_id"),
		keySince: describe("certgate_key_observed_since_timestamp_seconds",
			"Unix time at which the observation of the key's use began.", "key_id"),
		forgotten: describe("certgate_clients_forgotten_total",
			"Clients that were dropped from the inventory because it was full."),
	}
	if s.sharing != nil {
		m.shared = describe("certgate_inventory_shared", "1 while the inventory of all replicas is exchanged in Redis, 0 while the exchange fails.")
	}
	return m
}

// Describe implements [prometheus.Collector].
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.grants, m.proofs, m.refusals, m.certificateEnd, m.keyLastUsed, m.keySince, m.forgotten} {
		ch <- d
	}
	if m.shared != nil {
		ch <- m.shared
	}
}

// Collect implements [prometheus.Collector]. It holds no lock while it sends.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	snap := m.store.Snapshot()
	for _, c := range m.store.clientCounts() {
		send(ch, c.desc(m), prometheus.CounterValue, float64(c.n), c.client, c.label)
	}
	for i := range snap.Clients {
		if c := &snap.Clients[i]; len(c.Certificates) > 0 {
			send(ch, m.certificateEnd, prometheus.GaugeValue, seconds(c.EarliestEnd), c.Name)
		}
	}
	for _, k := range snap.Keys {
		send(ch, m.keyLastUsed, prometheus.GaugeValue, seconds(k.LastUse), k.ID)
		send(ch, m.keySince, prometheus.GaugeValue, seconds(k.Since), k.ID)
	}
	send(ch, m.forgotten, prometheus.CounterValue, float64(m.store.forgotten.Load()))
	if m.shared != nil {
		value := 0.0
		if snap.SyncError == "" {
			value = 1
		}
		send(ch, m.shared, prometheus.GaugeValue, value)
	}
}

// send sends a metric. A label that is not UTF-8 is an error, and the metric is omitted.
// Names of verified clients and of rules are UTF-8.
func send(ch chan<- prometheus.Metric, d *prometheus.Desc, t prometheus.ValueType, value float64, labels ...string) {
	if m, err := prometheus.NewConstMetric(d, t, value, labels...); err == nil {
		ch <- m
	}
}

// seconds returns a Unix time, or 0 for the zero time.
func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

// clientCount is one counter of a client. label is a rule or a reason.
type clientCount struct {
	kind          countKind
	client, label string
	n             uint64
}

type countKind int

const (
	grantKind countKind = iota
	proofKind
	refusalKind
)

func (c *clientCount) desc(m *metrics) *prometheus.Desc {
	return [...]*prometheus.Desc{grantKind: m.grants, proofKind: m.proofs, refusalKind: m.refusals}[c.kind]
}

// clientCounts returns the counters of all clients. Requests without a rule are not part of
// the counters of granted requests.
func (s *Store) clientCounts() (list []clientCount) {
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.RLock()
		for _, c := range sh.clients {
			list = c.appendCounts(list)
		}
		sh.mu.RUnlock()
	}
	return list
}

func (c *client) appendCounts(list []clientCount) []clientCount {
	for rule, grant := range c.grants {
		if rule != "" {
			list = append(list, clientCount{grantKind, c.name, rule, grant.n.Load()})
		}
	}
	for reason, n := range c.proofs {
		list = append(list, clientCount{proofKind, c.name, string(reason), n.Load()})
	}
	for reason, refused := range c.refusals {
		list = append(list, clientCount{refusalKind, c.name, string(reason), refused.n.Load()})
	}
	return list
}
