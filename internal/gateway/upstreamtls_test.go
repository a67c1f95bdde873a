package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/certgate/certgate/internal/testkit/ca"
)

const day = 24 * time.Hour

// TestExpiries checks when the end of a certificate's validity is logged, and its metric.
func TestExpiries(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	registry := prometheus.NewRegistry()
	start := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	now := start
	e := newExpiries(zap.New(core), registry, func() time.Time { return now })
	const soon, over = "a certificate for TLS to the upstream expires soon", "a certificate for TLS to the upstream has expired"
	steps := []struct {
		name     string
		after    time.Duration
		notAfter time.Duration // seen in a handshake; 0 for none
		want     string        // the message; none if empty
	}{
		{"long before", 0, 30 * day, ""},
		{"15 days before", 15 * day, 0, ""},
		{"14 days before", 16 * day, 0, soon},
		{"the same day", 16*day + 23*time.Hour, 0, ""},
		{"a handshake on the same day", 16*day + 23*time.Hour, 30 * day, ""},
		{"the next day", 17 * day, 0, soon},
		{"another certificate on the same day", 17*day + time.Hour, 20 * day, ""},
		{"a later certificate", 18 * day, 60 * day, ""},
		{"expired", 61 * day, 0, over},
		{"expired on the same day", 61*day + time.Hour, 0, ""},
	}
	for _, s := range steps {
		now = start.Add(s.after)
		if s.notAfter != 0 {
			e.observeService("schedule:443", start.Add(s.notAfter))
		}
		e.warnAll()
		var found []string
		for _, entry := range logs.TakeAll() {
			found = append(found, entry.Message)
			if entry.ContextMap()["role"] != "service" || entry.ContextMap()["upstream"] != "schedule:443" {
				t.Errorf("%s: want the role and the address, found %v", s.name, entry.ContextMap())
			}
		}
		if strings.Join(found, ",") != s.want {
			t.Errorf("%s: want %q, found %q", s.name, s.want, found)
		}
	}
	wantGauge(t, registry, notAfterMetric, "schedule:443", float64(start.Add(60*day).Unix()))
}

// pair is a client certificate with its key, in PEM.
type pair struct {
	serial    string
	cert, key string
}

func newPair(t *testing.T, authority ca.CA) pair {
	t.Helper()
	key := ca.Key(t)
	cert := authority.Client(t, key.Public(), ca.Current, func(c *x509.Certificate) { c.SerialNumber.SetInt64(time.Now().UnixNano()) })
	return pair{cert.SerialNumber.String(), string(ca.PEM(cert)), string(ca.KeyPEM(t, key))}
}

// TestUpstreamCertificateReload replaces the files for TLS to the upstream while the gateway
// runs. Faulty contents and a key of another certificate change nothing.
func TestUpstreamCertificateReload(t *testing.T) {
	t.Parallel()
	authority := ca.New(t)
	service := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(r.TLS.PeerCertificates[0].SerialNumber.String()))
	}))
	service.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12}
	service.StartTLS()
	t.Cleanup(service.Close)
	dir := t.TempDir()
	caFile, certFile, keyFile := filepath.Join(dir, "ca"), filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	root := string(ca.PEM(service.Certificate()))
	one, two, three := newPair(t, authority), newPair(t, authority), newPair(t, authority)
	write(t, caFile, root)
	write(t, certFile, one.cert)
	write(t, keyFile, one.key)
	r := start(t, load(t, service.URL, map[string]string{
		"UPSTREAM_CA_FILE": caFile, "UPSTREAM_CERT_FILE": certFile, "UPSTREAM_KEY_FILE": keyFile,
	}))
	want(t, r, r.Addr(), "/events", http.StatusOK, one.serial)
	r.Reload() // its log lines show that the watch has started
	eventually(t, "the log lines of Reload", func() bool { return len(r.lines("unchanged")) == 2 })

	write(t, certFile, two.cert)
	eventually(t, "a certificate without its key", func() bool { return r.count(notReloaded, "upstream_certificate") == 1 })
	if l := r.lines(notReloaded)[0]; !strings.Contains(l.Error, "UPSTREAM_KEY_FILE: found") || !strings.Contains(l.Error, "private key does not match public key") {
		t.Errorf("want an error about the key, found %+v", l)
	}
	want(t, r, r.Addr(), "/events", http.StatusOK, one.serial)
	wantGauge(t, r.registry, "certgate_last_reload_failed", "upstream_certificate", 1)
	write(t, keyFile, two.key)
	eventually(t, "the pair", func() bool { return r.count(reloaded, "upstream_certificate") == 1 })
	want(t, r, r.Addr(), "/events", http.StatusOK, two.serial)
	wantGauge(t, r.registry, "certgate_last_reload_failed", "upstream_certificate", 0)

	write(t, certFile, three.cert[:len(three.cert)/2])
	eventually(t, "half of a certificate", func() bool { return r.count(notReloaded, "upstream_certificate") == 2 })
	want(t, r, r.Addr(), "/events", http.StatusOK, two.serial)

	write(t, caFile, root[:len(root)/2])
	eventually(t, "half of a CA", func() bool { return r.count(notReloaded, "upstream_ca") == 1 })
	want(t, r, r.Addr(), "/events", http.StatusOK, two.serial)
	write(t, caFile, string(authority.CertificatePEM()))
	eventually(t, "the CA", func() bool { return r.count(reloaded, "upstream_ca") == 1 })
	want(t, r, r.Addr(), "/events", http.StatusBadGateway, "upstream_failed")

	wantGauge(t, r.registry, notAfterMetric, service.Listener.Addr().String(), float64(service.Certificate().NotAfter.Unix()))
}

const notAfterMetric = "certgate_upstream_certificate_not_after_timestamp_seconds"

// wantGauge checks the gauge whose last label has the value.
func wantGauge(t *testing.T, registry prometheus.Gatherer, name, label string, want float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if labels := m.GetLabel(); family.GetName() == name && labels[len(labels)-1].GetValue() == label {
				if have := m.GetGauge().GetValue(); have != want {
					t.Errorf("%s of %s is %f, want %f", name, label, have, want)
				}
				return
			}
		}
	}
	t.Errorf("want %s of %s, found none", name, label)
}
