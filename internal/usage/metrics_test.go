package usage

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/core/refusal"
)

// values returns the values of a metric of the store, by label values.
func values(t *testing.T, s *Store, name string) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(s.Collector())
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]float64{}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			found[strings.Join(labels, " ")] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return found
}

// TestClientCounter checks which requests count as granted to a client.
func TestClientCounter(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(*audit.Record)
		want   map[string]float64
	}{
		{"allowed", func(*audit.Record) {}, map[string]float64{"client=mail rule=events": 1}},
		{"failed", func(r *audit.Record) { r.Decision = audit.Failed }, map[string]float64{"client=mail rule=events": 1}},
		{"refused", func(r *audit.Record) { r.Decision = audit.Refused }, map[string]float64{}},
		{"unknown decision", func(r *audit.Record) { r.Decision = "" }, map[string]float64{}},
		{"no client", func(r *audit.Record) { r.Client = "" }, map[string]float64{}},
		{"no rule", func(r *audit.Record) { r.Rule = "" }, map[string]float64{}},
		{"client not UTF-8", func(r *audit.Record) { r.Client = "a\xff" }, map[string]float64{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, _ := newTestStore(10)
			s.Observe(with(allowed("mail", 0), tt.change))
			if diff := cmp.Diff(tt.want, values(t, s, "certgate_client_requests_total")); diff != "" {
				t.Errorf("clients (-want +found):\n%s", diff)
			}
		})
	}
}

// TestProofCounter checks that valid signatures and would-be refusals are counted for
// each client.
func TestProofCounter(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(*audit.Record)
		want   map[string]float64
	}{
		{"no signature", func(*audit.Record) {}, map[string]float64{}},
		{"mutual TLS", func(r *audit.Record) { r.Auth = "mtls" }, map[string]float64{}},
		{"signed", func(r *audit.Record) { r.Auth = "signed" }, map[string]float64{"client=mail would_refuse=": 1}},
		{"signed, and failed", func(r *audit.Record) { r.Auth, r.Decision = "signed", audit.Failed }, map[string]float64{"client=mail would_refuse=": 1}},
		{"signed, and over the rate", func(r *audit.Record) { r.Auth, r.Decision = "signed", audit.Refused }, map[string]float64{}},
		{"observed", func(r *audit.Record) { r.WouldRefuse = refusal.ProofMissing }, map[string]float64{"client=mail would_refuse=proof_missing": 1}},
		{"observed, unknown reason", func(r *audit.Record) { r.WouldRefuse = "GET /secret" }, map[string]float64{"client=mail would_refuse=unknown": 1}},
		{"observed, and refused", func(r *audit.Record) { r.WouldRefuse, r.Decision = refusal.ProofMissing, audit.Refused }, map[string]float64{}},
		{"observed without a client", func(r *audit.Record) { r.WouldRefuse, r.Client = refusal.ProofMissing, "" }, map[string]float64{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, _ := newTestStore(10)
			s.Observe(with(allowed("mail", 0), tt.change))
			if diff := cmp.Diff(tt.want, values(t, s, "certgate_client_proofs_total")); diff != "" {
				t.Errorf("proofs (-want +found):\n%s", diff)
			}
		})
	}
}

// TestRefusalCounter checks that refusals are counted for verified clients only, with a
// bounded set of reasons.
func TestRefusalCounter(t *testing.T) {
	t.Parallel()
	s, _ := newTestStore(10)
	s.Observe(refused("mail", refusal.AccessDenied, 0))
	s.Observe(refused("mail", refusal.AccessDenied, 0))
	s.Observe(refused("mail", refusal.RateLimited, 0))
	s.Observe(refused("mail", "GET /secret", 0))
	s.Observe(refused("mail", "GET /other", 0))
	s.Observe(refused("", refusal.CertificateUntrusted, 0))
	s.Observe(allowed("social", 0))
	want := map[string]float64{
		"client=mail reason=access_denied": 2, "client=mail reason=rate_limited": 1, "client=mail reason=unknown": 2,
	}
	if diff := cmp.Diff(want, values(t, s, "certgate_client_refusals_total")); diff != "" {
		t.Errorf("refusals (-want +found):\n%s", diff)
	}
}

// TestKeyMetrics checks the use of the keys in force, and of no other key.
func TestKeyMetrics(t *testing.T) {
	t.Parallel()
	s, c := newTestStore(10)
	s.Observe(allowed("mail", 90*time.Second))
	s.Observe(with(allowed("mail", 0), func(r *audit.Record) { r.KeyID, r.Serial = "foreign", "02" }))
	c.now = noon.Add(time.Hour)
	s.Configure([]string{"old", "newest"}, nil)
	start := float64(noon.Unix())
	if diff := cmp.Diff(map[string]float64{"key_id=old": start + 90, "key_id=newest": 0}, values(t, s, "certgate_key_last_used_timestamp_seconds")); diff != "" {
		t.Errorf("last use (-want +found):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]float64{"key_id=old": start, "key_id=newest": start + 3600}, values(t, s, "certgate_key_observed_since_timestamp_seconds")); diff != "" {
		t.Errorf("begin of the observation (-want +found):\n%s", diff)
	}
}

// TestCertificateEndMetric checks that the metric has the earliest end of the certificates
// in use, and no series for a client without an accepted certificate.
func TestCertificateEndMetric(t *testing.T) {
	t.Parallel()
	s, c := newTestStore(10)
	s.Observe(allowed("mail", 0))
	s.Observe(with(allowed("mail", time.Hour), func(r *audit.Record) { r.Serial, r.NotAfter = "02", text(60*24*time.Hour) }))
	s.Observe(with(refused("social", refusal.CertificateExpired, 0), func(r *audit.Record) { r.Auth = "" }))
	check := func(end time.Time) {
		t.Helper()
		want := map[string]float64{"client=mail": float64(end.Unix())}
		if diff := cmp.Diff(want, values(t, s, "certgate_client_certificate_not_after_timestamp_seconds")); diff != "" {
			t.Errorf("ends (-want +found):\n%s", diff)
		}
	}
	check(noon.Add(30 * 24 * time.Hour))
	c.now = noon.Add(25 * time.Hour)
	check(noon.Add(60 * 24 * time.Hour))
}

// TestForgottenMetric checks that dropped clients are counted.
func TestForgottenMetric(t *testing.T) {
	t.Parallel()
	s, _ := newTestStore(1)
	for _, name := range []string{"mail", "social", "web"} {
		s.Observe(allowed(name, 0))
	}
	if diff := cmp.Diff(map[string]float64{"": 2}, values(t, s, "certgate_clients_forgotten_total")); diff != "" {
		t.Errorf("forgotten clients (-want +found):\n%s", diff)
	}
}
