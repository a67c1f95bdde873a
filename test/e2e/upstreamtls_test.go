package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/testkit/ca"
	"github.com/certgate/certgate/test/harness"
)

// pki is the PKI of a service, which has no relation to the master key.
type pki struct{ ca.CA }

func newPKI(t *testing.T) pki {
	t.Helper()
	return pki{ca.New(t, ca.Current)}
}

// issue returns a certificate for schedule.internal and its key, in PEM.
func (p pki) issue(t *testing.T, changes ...ca.Change) (cert, key string) {
	t.Helper()
	signer := ca.Key(t)
	changes = append([]ca.Change{ca.Current, func(c *x509.Certificate) {
		c.DNSNames, c.SerialNumber = []string{"schedule.internal"}, big.NewInt(time.Now().UnixNano())
	}}, changes...)
	issued := p.Client(t, signer.Public(), changes...)
	text := ca.KeyPEM(t, signer)
	harness.KeepPEM(text)
	return string(ca.PEM(issued)), string(text)
}

// secureService is a service with TLS that requires a client certificate and records its
// serial number.
type secureService struct {
	*httptest.Server

	mu   sync.Mutex
	seen map[string]bool // serial numbers of client certificates
}

func (p pki) serve(t *testing.T, change func(c *tls.Config), serverChanges ...ca.Change) *secureService {
	t.Helper()
	cert, key := p.issue(t, serverChanges...)
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AddCert(p.Certificate)
	s := &secureService{seen: map[string]bool{}}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.seen[r.TLS.PeerCertificates[0].SerialNumber.String()] = true
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients, MinVersion: tls.VersionTLS12}
	if change != nil {
		change(s.TLS)
	}
	s.Config.ErrorLog = zap.NewStdLog(zap.NewNop())
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// serials returns the number of client certificates with which requests arrived.
func (s *secureService) serials() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.seen)
}

// settings writes the files for TLS to the service and returns the settings.
func (p pki) settings(t *testing.T, cert, key string) harness.Env {
	t.Helper()
	dir := t.TempDir()
	return harness.Env{
		"UPSTREAM_CA_FILE":     harness.WriteFile(t, string(p.CertificatePEM()), dir, "ca.pem"),
		"UPSTREAM_CERT_FILE":   harness.WriteFile(t, cert, dir, "cert.pem"),
		"UPSTREAM_KEY_FILE":    harness.WriteFile(t, key, dir, "key.pem"),
		"UPSTREAM_SERVER_NAME": "schedule.internal",
	}
}

// TestUpstreamTLS checks which services and which client certificates pass, with requests
// that are buffered or streamed, the detail in the log, and the verdict of check --probe.
func TestUpstreamTLS(t *testing.T) {
	t.Parallel()
	harness.SkipIfShort(t)
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	ours, foreign := newPKI(t), newPKI(t)
	tests := []struct {
		name    string
		service func(c *tls.Config)
		server  ca.Change
		client  func(e harness.Env)
		detail  string // contained in the detail; the request is allowed if empty
	}{
		{"good", nil, nil, nil, ""},
		{"no client certificate", nil, nil, func(e harness.Env) {
			delete(e, "UPSTREAM_CERT_FILE")
			delete(e, "UPSTREAM_KEY_FILE")
		}, "the upstream requested a client certificate, and UPSTREAM_CERT_FILE is not set: "},
		{"foreign client certificate", nil, nil, func(e harness.Env) {
			cert, key := foreign.issue(t)
			e["UPSTREAM_CERT_FILE"] = harness.WriteFile(t, cert, t.TempDir(), "cert.pem")
			e["UPSTREAM_KEY_FILE"] = harness.WriteFile(t, key, t.TempDir(), "key.pem")
		}, "the upstream requested a client certificate and received that of UPSTREAM_CERT_FILE: "},
		{"unknown issuer", nil, nil, func(e harness.Env) { delete(e, "UPSTREAM_CA_FILE") }, "x509: certificate signed by unknown authority"},
		{"wrong name", nil, nil, func(e harness.Env) { e["UPSTREAM_SERVER_NAME"] = "other.internal" }, `want a certificate for "other.internal", found one for "schedule.internal"`},
		{"name of the address", nil, nil, func(e harness.Env) { delete(e, "UPSTREAM_SERVER_NAME") }, `want a certificate for "127.0.0.1", found one for "schedule.internal"`},
		{"expired", nil, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, nil, "certificate has expired"},
		{"TLS 1.1", func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, nil, nil, "protocol version not supported"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := tt.server
			if server == nil {
				server = func(*x509.Certificate) {}
			}
			s := ours.serve(t, tt.service, server)
			cert, key := ours.issue(t)
			env := ours.settings(t, cert, key)
			if tt.client != nil {
				tt.client(env)
			}
			u := &harness.Upstream{URL: s.URL}
			env = harness.GatewayEnv(m.PublicKey, u).With(env)
			g := harness.StartGateway(t, u, env)
			for _, r := range []harness.Request{harness.Get("/events", mail), harness.Get("/events", mail).Post(`{}`)} {
				a := harness.Send(t, g.Addr, r)
				if tt.detail == "" && a.Status != http.StatusOK {
					t.Errorf("want 200, found %d: %+v", a.Status, g.AuditLineOf(t, a.Header.Get("X-Request-Id")))
				}
				if tt.detail == "" {
					continue
				}
				g.WantProblem(t, a, refusal.UpstreamFailed)
				if line := g.AuditLineOf(t, a.Header.Get("X-Request-Id")); !strings.Contains(line.Detail, tt.detail) {
					t.Errorf("want the detail %q, found %q", tt.detail, line.Detail)
				}
			}
			wantProbe(t, env, tt.detail)
		})
	}
}

// wantProbe checks the exit code and the problem of check --probe; none if it is empty.
func wantProbe(t *testing.T, env harness.Env, problem string) {
	t.Helper()
	found := harness.Run(t, "certgate", env, "check", "--probe", "--json")
	var report struct {
		OK     bool
		Probes []struct{ Problem string }
	}
	if err := json.Unmarshal([]byte(found.Stdout), &report); err != nil || len(report.Probes) != 1 {
		t.Fatalf("want one probe as JSON, found %+v: %v", found, err)
	}
	wantCode := 1
	if problem == "" {
		wantCode = 0
	}
	if have := report.Probes[0].Problem; found.ExitCode != wantCode || report.OK != (problem == "") || !strings.Contains(have, problem) || problem == "" && have != "" {
		t.Errorf("want exit code %d and the problem %q, found %d and %q", wantCode, problem, found.ExitCode, have)
	}
}

// TestUpstreamCertificateRotation replaces the client certificate several times while clients
// send requests. No request fails, and the service receives every certificate.
func TestUpstreamCertificateRotation(t *testing.T) {
	t.Parallel()
	harness.SkipIfShort(t)
	m, ours := harness.NewMasterKey(t, "p256"), newPKI(t)
	mail := m.Issue(t, harness.OU("mail"))
	s := ours.serve(t, nil)
	cert, key := ours.issue(t)
	env := ours.settings(t, cert, key)
	u := &harness.Upstream{URL: s.URL}
	g := harness.StartGateway(t, u, harness.GatewayEnv(m.PublicKey, u).With(env))
	waitWatching(t, g, "upstream_certificate")
	load := startLoad(t, g.Addr, harness.Get("/events", mail), harness.Get("/events", mail).Post(`{}`))
	const rotations = 3
	for range rotations {
		load.waitFor(t, 50)
		ours.rotate(t, g, env)
	}
	load.waitFor(t, 50)
	load.end(t)
	if n := s.serials(); n != rotations+1 {
		t.Errorf("want requests with %d client certificates, found %d", rotations+1, n)
	}
}

// rotate replaces the client certificate and its key, one after the other, and waits until both
// are in force. The gateway may read one of them before the other is replaced.
func (p pki) rotate(t *testing.T, g *harness.Gateway, env harness.Env) {
	t.Helper()
	cert, key := p.issue(t)
	seen := g.Stderr.Len()
	replaceFile(t, env["UPSTREAM_KEY_FILE"], key)
	replaceFile(t, env["UPSTREAM_CERT_FILE"], cert)
	_, err := g.Stderr.WaitLineSince(seen, func(line string) bool {
		var found reloadLine
		return json.Unmarshal([]byte(line), &found) == nil && found.Source == "upstream_certificate" && found.Msg == "reloaded"
	})
	if err != nil {
		t.Fatalf("want the new certificate in force: %v", err)
	}
}

// constantLoad sends requests from several clients until it is ended.
type constantLoad struct {
	ended        atomic.Bool
	sent, failed atomic.Int64
	clients      sync.WaitGroup
}

func startLoad(t *testing.T, addr string, requests ...harness.Request) *constantLoad {
	t.Helper()
	load := new(constantLoad)
	for range 2 {
		for _, r := range requests {
			load.clients.Go(func() {
				for !load.ended.Load() {
					if a := harness.Send(t, addr, r); a.Status != http.StatusOK {
						load.failed.Add(1)
					}
					load.sent.Add(1)
				}
			})
		}
	}
	t.Cleanup(func() {
		load.ended.Store(true)
		load.clients.Wait()
	})
	return load
}

// waitFor waits until n more requests have been answered.
func (l *constantLoad) waitFor(t *testing.T, n int64) {
	t.Helper()
	deadline := time.Now().Add(harness.Timeout)
	for from := l.sent.Load(); l.sent.Load() < from+n; time.Sleep(harness.PollInterval) {
		if time.Now().After(deadline) {
			t.Fatalf("want %d more requests in time, found %d", n, l.sent.Load()-from)
		}
	}
}

// end stops the load and reports an error if a request failed.
func (l *constantLoad) end(t *testing.T) {
	t.Helper()
	l.ended.Store(true)
	l.clients.Wait()
	if n := l.failed.Load(); n != 0 {
		t.Errorf("want no failed request, found %d of %d", n, l.sent.Load())
	}
}
