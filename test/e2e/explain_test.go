package e2e

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/test/harness"
)

const explainRules = `rules:
  - name: apps-add-events
    clients: [mail, social, leaked]
    allow: ["POST /events"]
  - name: dashboards-read
    clients: [web, mail]
    allow: ["GET /events", "GET /events/{id}", "DELETE /events/{id}"]
  - name: all-status
    clients: ["*"]
    allow: ["GET /status/", "OPTIONS /{rest...}"]
  - name: signed
    clients: [mail]
    allow: ["PUT /signed"]
    proof: require
  - name: watched
    clients: [mail]
    allow: ["PUT /watched"]
    proof: observe
deny:
  - client: leaked
    reason: key leaked 2026-11-02
  - serial: "%SERIAL%"
`

// verdict holds the fields that explain and the log have in common.
type verdict struct {
	Decision string `json:"decision"`
	Reason   string `json:"reason"`
	Client   string `json:"client"`
	Rule     string `json:"rule"`
	KeyID    string `json:"key_id"`
	Status   int    `json:"status"`
}

// explainFiles returns certificates of every kind by name, and the gateway's settings.
func explainFiles(t *testing.T) (files map[string][]harness.Certificate, env harness.Env) {
	t.Helper()
	now, day := time.Now(), 24*time.Hour
	root, otherKey, legacy := harness.NewMasterKey(t, "rsa"), harness.NewMasterKey(t, "p256"), harness.NewMasterKey(t, "rsa")
	issuing := newIntermediate(t, root)
	of := func(o harness.CertificateOptions) []harness.Certificate {
		return []harness.Certificate{root.Issue(t, o)}
	}
	below := issuing.Issue(t, harness.OU("mail"))
	shared := legacy.IssueOverMasterKey(t, "mail")
	files = map[string][]harness.Certificate{
		"mail": of(harness.OU("mail")), "social": of(harness.OU("social")), "web": of(harness.OU("web")),
		"billing": of(harness.OU("billing")), "leaked": of(harness.OU("leaked")),
		"denied": of(harness.OU("mail")), "revoked": of(harness.CertificateOptions{Subject: "/OU=mail", Key: "ed25519"}),
		"no OU": of(harness.CertificateOptions{Subject: "/CN=mail"}), "two OUs": of(harness.CertificateOptions{Subject: "/OU=mail/OU=social"}),
		"bad OU": of(harness.OU("mail ")),
		// Signed by a bare key: a CA certificate created now would itself be newer than the
		// expired certificate.
		"expired":     {legacy.Issue(t, harness.CertificateOptions{Subject: "/OU=mail", NotBefore: now.Add(-9 * day), NotAfter: now.Add(-day)})},
		"tomorrow's":  of(harness.CertificateOptions{Subject: "/OU=mail", NotBefore: now.Add(day)}),
		"long":        of(harness.CertificateOptions{Subject: "/OU=mail", NotAfter: now.Add(99 * day)}),
		"SHA-1":       of(harness.CertificateOptions{Subject: "/OU=mail", Digest: "sha1"}),
		"short key":   of(harness.CertificateOptions{Subject: "/OU=mail", Key: "rsa1024"}),
		"server's":    of(harness.CertificateOptions{Subject: "/OU=mail", Extensions: "extendedKeyUsage = serverAuth\n"}),
		"CA":          {harness.NewCertificate(t, root.ReadFile(t, root.CertFile))},
		"other key's": {otherKey.Issue(t, harness.OU("mail"))},
		"below":       {below}, "chain": {below, issuing.ca}, "long chain": {below, issuing.ca, issuing.ca, issuing.ca, issuing.ca},
		"own": {legacy.Issue(t, harness.OU("mail"))}, "shared": {shared},
	}
	revoke(t, root, files["revoked"][0])
	u := harness.NewUpstream(t, nil)
	return files, harness.GatewayEnv(string(root.ReadFile(t, root.CertFile))+legacy.PublicKey, u).With(harness.Env{
		"ACCESS_RULES":          strings.ReplaceAll(explainRules, "%SERIAL%", files["denied"][0].Serial()),
		"AUTH_CRL_FILE":         harness.WriteFile(t, list(t, root, now.Add(day)), t.TempDir(), "list.crl"),
		"AUTH_MAX_LIFETIME":     "720h",
		"AUTH_ALLOW_SHARED_KEY": "false",
	})
}

// TestExplainMatchesGateway compares the verdicts of certgate explain with those of a
// gateway.
func TestExplainMatchesGateway(t *testing.T) {
	t.Parallel()
	files, env := explainFiles(t)
	p := harness.Start(t, "certgate", env, "serve")
	l := p.WaitListening(t)
	g := &harness.Gateway{Process: p, Addr: l.Addr, Admin: l.AdminAddr, Authz: harness.AuthzAddrs{}, Upstream: nil}
	tests := []struct {
		method, target, file string
		want                 string // the reason, or the rule
	}{
		{"POST", "/events", "mail", "apps-add-events"}, {"POST", "/events", "social", "apps-add-events"},
		{"GET", "/events", "mail", "dashboards-read"}, {"GET", "/events", "web", "dashboards-read"},
		{"GET", "/events/7", "web", "dashboards-read"}, {"HEAD", "/events/7", "web", "dashboards-read"},
		{"GET", "/events?from=%2e%2e", "web", "dashboards-read"}, {"GET", "/%65vents", "web", "dashboards-read"},
		{"DELETE", "/events/7", "mail", "dashboards-read"}, {"GET", "/status/a/b", "billing", "all-status"},
		{"OPTIONS", "/events", "billing", "all-status"}, {"POST", "/events", "chain", "apps-add-events"},
		{"POST", "/events", "own", "apps-add-events"},
		{"POST", "/events", "web", "access_denied"}, {"GET", "/events", "social", "access_denied"},
		{"POST", "/events", "billing", "access_denied"}, {"POST", "/events", "leaked", "access_denied"},
		{"GET", "/status/", "leaked", "access_denied"}, {"GET", "/events/", "web", "access_denied"},
		{"GET", "/Events", "web", "access_denied"}, {"get", "/events", "web", "access_denied"},
		{"DELETE", "/events", "mail", "access_denied"}, {"TRACE", "/events", "mail", "access_denied"},
		{"PUT", "/", "mail", "access_denied"},
		{"PUT", "/signed", "mail", "proof_missing"}, {"PUT", "/watched", "mail", "watched"},
		{"GET", "//events", "web", "path_ambiguous"}, {"GET", "/status/../events", "web", "path_ambiguous"},
		{"GET", "/events/%2e%2e/x", "web", "path_ambiguous"}, {"GET", "/events/a%2fb", "web", "path_ambiguous"},
		{"GET", "/events%252f", "web", "path_ambiguous"}, {"GET", "http://app.example/events", "web", "path_ambiguous"},
		{"OPTIONS", "*", "web", "path_ambiguous"},
		{"POST", "/events", "denied", "certificate_revoked"}, {"POST", "/events", "revoked", "certificate_revoked"},
		{"POST", "/events", "no OU", "identity_missing"}, {"POST", "/events", "two OUs", "identity_ambiguous"},
		{"POST", "/events", "bad OU", "identity_invalid"}, {"POST", "/events", "expired", "certificate_expired"},
		{"POST", "/events", "tomorrow's", "certificate_not_yet_valid"}, {"POST", "/events", "long", "certificate_lifetime"},
		{"POST", "/events", "SHA-1", "certificate_weak"}, {"POST", "/events", "short key", "certificate_weak"},
		{"POST", "/events", "server's", "certificate_unsuitable"}, {"POST", "/events", "CA", "certificate_unsuitable"},
		{"POST", "/events", "other key's", "certificate_untrusted"}, {"POST", "/events", "below", "certificate_untrusted"},
		{"POST", "/events", "long chain", "credential_malformed"}, {"POST", "/events", "shared", "legacy_shared_key"},
	}
	for _, test := range tests {
		t.Run(test.file+" "+test.method+" "+test.target, func(t *testing.T) {
			t.Parallel()
			chain := files[test.file]
			served := verdictOf(t, g, test.method, test.target, chain)
			if served.Reason != test.want && served.Rule != test.want {
				t.Errorf("want %s from the gateway, found %+v", test.want, served)
			}
			if explained := explained(t, env, test.method, test.target, chain); explained != served {
				t.Errorf("want the gateway's verdict %+v, found %+v", served, explained)
			}
		})
	}
}

// verdictOf sends the request to the gateway and reads the verdict from its log.
func verdictOf(t *testing.T, g *harness.Gateway, method, target string, chain []harness.Certificate) verdict {
	t.Helper()
	ders := make([][]byte, len(chain))
	for i, c := range chain {
		ders[i] = c.Parsed.Raw
	}
	r := harness.GetWithCredential(certheader.Encode(certheader.Base64DER, ders...))
	r.Method, r.Target = method, target
	line := g.AuditLineOf(t, harness.Send(t, g.Addr, r).Header.Get("X-Request-Id"))
	v := verdict{line.Decision, line.Reason, line.Client, line.Rule, line.KeyID, line.Status}
	if v.Decision == "allowed" {
		v.Status = 0 // the upstream's
	}
	return v
}

// explained runs certgate explain.
func explained(t *testing.T, env harness.Env, method, target string, chain []harness.Certificate) verdict {
	t.Helper()
	var text []byte
	for _, c := range chain {
		text = append(text, c.PEM...)
	}
	file := harness.WriteFile(t, string(text), t.TempDir(), "client.crt")
	result := harness.Run(t, "certgate", env, "explain", "--json", "--cert", file, method, target)
	var v verdict
	if err := json.Unmarshal([]byte(result.Stdout), &v); err != nil {
		t.Fatalf("want JSON, found %+v", result)
	}
	if want := map[string]int{"allowed": 0, "refused": 1}[v.Decision]; result.ExitCode != want {
		t.Errorf("%s: want exit code %d, found %d", v.Decision, want, result.ExitCode)
	}
	return v
}
