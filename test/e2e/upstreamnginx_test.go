package e2e

import (
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

// nginxService is a service that requires a client certificate and responds with its serial
// number.
const nginxService = `events {}
http {
	access_log off;
	client_body_temp_path run; proxy_temp_path run; fastcgi_temp_path run; uwsgi_temp_path run; scgi_temp_path run;
	server {
		listen ADDRESS ssl;
		ssl_certificate cert.pem;
		ssl_certificate_key key.pem;
		ssl_verify_client on;
		ssl_client_certificate ca.pem;
		location / { return 200 $ssl_client_serial; }
		OTHER
	}
}
`

// closesRefused makes nginx close the connection instead of responding to a certificate that
// it refuses. cmd/certgate/README.md has these lines.
const closesRefused = `error_page 495 496 = @refused;
		location @refused { return 444; }`

// serveNginx starts nginx with certificates of p and more lines of configuration, and returns
// its URL.
func (p pki) serveNginx(t *testing.T, more string) string {
	t.Helper()
	program, dir, addr := harness.LookProgram(t, "nginx"), t.TempDir(), harness.FreeAddress(t)
	cert, key := p.issue(t)
	harness.WriteFile(t, cert, dir, "cert.pem")
	harness.WriteFile(t, key, dir, "key.pem")
	harness.WriteFile(t, string(p.CertificatePEM()), dir, "ca.pem")
	file := harness.WriteFile(t, strings.NewReplacer("ADDRESS", addr, "OTHER", more).Replace(nginxService), dir, "nginx.conf")
	args := []string{"-p", dir, "-c", file, "-e", "stderr", "-g", "daemon off; master_process off; pid nginx.pid;"}
	harness.StartCommand(t, "nginx", harness.Env{}, exec.Command(program, args...)).WaitForListener(t, addr)
	return "https://" + addr
}

// TestUpstreamNginx checks which client certificates nginx accepts, how it refuses the others,
// and the verdict of check --probe.
func TestUpstreamNginx(t *testing.T) {
	t.Parallel()
	harness.LookProgram(t, "nginx")
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	ours, foreign := newPKI(t), newPKI(t)
	const (
		none    = "the upstream requested a client certificate, and UPSTREAM_CERT_FILE is not set: "
		refused = "the upstream requested a client certificate and received that of UPSTREAM_CERT_FILE: "
	)
	tests := []struct {
		name, more string
		client     *pki // issues the client certificate; none if nil
		status     int
		body       string // contained in the response
		detail     string // contained in the detail in the log
		probe      string // contained in the problem
	}{
		{"good", "", &ours, http.StatusOK, "", "", ""},
		{"none", "", nil, http.StatusBadRequest, "No required SSL certificate was sent", "", "the service requires a client certificate"},
		{"foreign", "", &foreign, http.StatusBadRequest, "The SSL certificate error", "", "the service refuses the certificate of UPSTREAM_CERT_FILE"},
		{"good, otherwise closed", closesRefused, &ours, http.StatusOK, "", "", ""},
		{"none, closed", closesRefused, nil, http.StatusBadGateway, "upstream_failed", none, none},
		{"foreign, closed", closesRefused, &foreign, http.StatusBadGateway, "upstream_failed", refused, refused},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var cert, key string
			if tt.client != nil {
				cert, key = tt.client.issue(t)
			}
			env := ours.settings(t, cert, key)
			if tt.client == nil {
				env = env.Without("UPSTREAM_CERT_FILE", "UPSTREAM_KEY_FILE")
			}
			u := &harness.Upstream{URL: ours.serveNginx(t, tt.more)}
			env = harness.GatewayEnv(m.PublicKey, u).With(env)
			g := harness.StartGateway(t, u, env)
			for range 2 {
				a := harness.Send(t, g.Addr, harness.Get("/events", mail))
				if a.Status != tt.status || !strings.Contains(a.Body, tt.body) {
					t.Errorf("want %d with %q, found %d %q", tt.status, tt.body, a.Status, a.Body)
				}
				line := g.AuditLineOf(t, a.Header.Get("X-Request-Id"))
				if !strings.Contains(line.Detail, tt.detail) || (line.Reason == string(refusal.UpstreamFailed)) != (tt.detail != "") {
					t.Errorf("want the detail %q, found %q for %q", tt.detail, line.Detail, line.Reason)
				}
			}
			wantProbe(t, env, tt.probe)
		})
	}
}

// TestUpstreamNginxRotation replaces the client certificate at the gateway while clients send
// requests to nginx. No request fails.
func TestUpstreamNginxRotation(t *testing.T) {
	t.Parallel()
	harness.LookProgram(t, "nginx")
	m, ours := harness.NewMasterKey(t, "p256"), newPKI(t)
	mail := m.Issue(t, harness.OU("mail"))
	cert, key := ours.issue(t)
	env := ours.settings(t, cert, key)
	u := &harness.Upstream{URL: ours.serveNginx(t, closesRefused)}
	g := harness.StartGateway(t, u, harness.GatewayEnv(m.PublicKey, u).With(env))
	waitWatching(t, g, "upstream_certificate")
	serial := func() string { return harness.Send(t, g.Addr, harness.Get("/events", mail)).Body }
	load := startLoad(t, g.Addr, harness.Get("/events", mail), harness.Get("/events", mail).Post(`{}`))
	for range 3 {
		before := serial()
		load.waitFor(t, 50)
		ours.rotate(t, g, env)
		if after := serial(); after == before || after == "" {
			t.Errorf("want another client certificate after the rotation, found %q and %q", before, after)
		}
	}
	load.waitFor(t, 50)
	load.end(t)
}
