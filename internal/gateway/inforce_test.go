package gateway

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/filewatch"
	"github.com/certgate/certgate/internal/filewatch/regularfile"
	"github.com/certgate/certgate/internal/testkit/ca"
)

// samples returns the values of a metric by label values.
func samples(t *testing.T, g prometheus.Gatherer, name string) map[string]float64 {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]float64{}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			found[strings.Join(labels, " ")] = value(m)
		}
	}
	return found
}

// value returns the value of a gauge or counter, or the number of values of a histogram.
func value(m *dto.Metric) float64 {
	if m.GetHistogram() != nil {
		return float64(m.GetHistogram().GetSampleCount())
	}
	return m.GetGauge().GetValue() + m.GetCounter().GetValue()
}

// wantSamples compares the values of a metric.
func wantSamples(t *testing.T, g prometheus.Gatherer, name string, want map[string]float64) {
	t.Helper()
	if diff := cmp.Diff(want, samples(t, g, name)); diff != "" {
		t.Errorf("%s (-want +have):\n%s", name, diff)
	}
}

// endsAt returns a change that sets the end of a certificate's validity.
func endsAt(at time.Time) ca.Change {
	return func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = at.Add(-365*day), at
		c.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	}
}

// newList returns a revocation list in PEM.
func newList(t *testing.T, issuer ca.CA, nextUpdate time.Time) string {
	t.Helper()
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: nextUpdate.Add(-30 * day), NextUpdate: nextUpdate,
	}, issuer.Certificate, issuer.Key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}))
}

// buildOnly builds a gateway that does not run, and closes its listeners after the test.
func buildOnly(t *testing.T, c config.Config) *Gateway {
	t.Helper()
	g, _, err := build(t, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, e := range g.endpoints() {
			_ = e.listener.Close()
		}
	})
	return g
}

// TestAnchorAndListMetrics checks the ends of CA certificates and revocation lists before and
// after a reload. A key without a certificate has no end. Of several certificates of a key the
// latest counts, of several lists the earliest.
func TestAnchorAndListMetrics(t *testing.T) {
	t.Parallel()
	const ends, updates = "certgate_anchor_certificate_not_after_timestamp_seconds", "certgate_crl_next_update_timestamp_seconds"
	now := time.Now().Truncate(time.Second)
	later := func(days int) time.Time { return now.Add(time.Duration(days) * day) }
	unix := func(days int) float64 { return float64(later(days).Unix()) }
	root, other, bare := ca.New(t, endsAt(later(100))), ca.New(t, endsAt(later(30))), ca.New(t)
	renewed := ca.NewWithKey(t, root.Key, endsAt(later(200)))
	s := newFiles(t)
	write(t, s.keys, string(root.CertificatePEM())+string(renewed.CertificatePEM())+string(other.CertificatePEM())+string(bare.PublicKeyPEM()))
	lists := s.keys + ".crl"
	write(t, lists, newList(t, root, later(2))+newList(t, root, later(1))+newList(t, other, later(3)))
	g := buildOnly(t, load(t, "http://127.0.0.1:1", map[string]string{
		"AUTH_PUBLIC_KEY_FILE": s.keys, "ACCESS_RULES_FILE": s.rules, "AUTH_CRL_FILE": lists,
	}))
	ids := g.config.Keyring.Anchors()
	first, second := ids[0].ID().Short(), ids[2].ID().Short()
	wantSamples(t, g.registry, ends, map[string]float64{first: unix(200), second: unix(30)})
	wantSamples(t, g.registry, updates, map[string]float64{first: unix(1), second: unix(3)})
	wantSamples(t, g.registry, "certgate_config_entries", map[string]float64{"keys": 4, "rules": 1, "denials": 0, "crls": 3})

	g.reload(filewatch.Result{Changed: []regularfile.File{
		{Name: s.keys, Text: root.CertificatePEM()}, {Name: lists, Text: []byte(newList(t, root, later(5)))},
	}})
	wantSamples(t, g.registry, ends, map[string]float64{first: unix(100)})
	wantSamples(t, g.registry, updates, map[string]float64{first: unix(5)})
	digests := map[string]float64{}
	for _, p := range g.config.Inventory() {
		digests[p.Digest+" "+p.Name] = 1
	}
	wantSamples(t, g.registry, "certgate_config_info", digests)
}

// TestLastReloadSuccess checks that sources in files have the time of the start, and that a
// setting without a file has none.
func TestLastReloadSuccess(t *testing.T) {
	t.Parallel()
	const name = "certgate_last_reload_success_timestamp_seconds"
	s := newFiles(t)
	before := float64(time.Now().Unix())
	g := buildOnly(t, load(t, "http://127.0.0.1:1", map[string]string{"ACCESS_RULES_FILE": s.rules}))
	if have := samples(t, g.registry, name); len(have) != 1 || have["rules"] < before {
		t.Errorf("want the time of the start for the rules only, found %v", have)
	}
}

// TestDroppedDenialsMetric checks that entries that a reload removes from the deny list are
// counted, and that added or moved ones are not.
func TestDroppedDenialsMetric(t *testing.T) {
	t.Parallel()
	s := newFiles(t)
	write(t, s.rules, deniesMail+"  - client: web\n")
	g := buildOnly(t, load(t, "http://127.0.0.1:1", map[string]string{"ACCESS_RULES_FILE": s.rules}))
	for _, step := range []struct {
		rules string
		want  float64
	}{
		{allowsMail + "deny:\n  - client: web\n  - client: mail\n  - client: social\n", 0},
		{deniesMail, 2},
		{"nonsense", 2},
		{allowsMail, 3},
	} {
		g.reload(filewatch.Result{Changed: []regularfile.File{{Name: s.rules, Text: []byte(step.rules)}}})
		wantSamples(t, g.registry, "certgate_dropped_denials_total", map[string]float64{"": step.want})
	}
}

// TestBuildMetric checks the labels of the build.
func TestBuildMetric(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	registerBuild(Build{Version: "1.2.3", Commit: "abc", Go: "go1.26"}, registry)
	wantSamples(t, registry, "certgate_build_info", map[string]float64{"abc go1.26 1.2.3": 1})
}
