package gateway

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/surface/status"
	"github.com/certgate/certgate/internal/testkit/ca"
)

// statusOf returns the JSON of a running gateway's status, decoded and as text.
func statusOf(t *testing.T, r *running) (s status.Status, text string) {
	t.Helper()
	code, text, err := r.get(t, r.AdminAddr(), "/status")
	if err != nil || code != http.StatusOK {
		t.Fatalf("/status: %d, %v", code, err)
	}
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	return s, text
}

// statusSource returns the source with a name.
func statusSource(t *testing.T, s status.Status, name string) status.Source {
	t.Helper()
	i := slices.IndexFunc(s.Configuration.Sources, func(c status.Source) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("sources %+v, want %s", s.Configuration.Sources, name)
	}
	return s.Configuration.Sources[i]
}

// TestStatus checks the status of a gateway after an allowed and a refused request, a valid
// reload and a faulty one.
func TestStatus(t *testing.T) {
	t.Parallel()
	rules := filepath.Join(t.TempDir(), "rules.yaml")
	write := func(text string) {
		t.Helper()
		next := rules + ".next"
		if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, rules); err != nil {
			t.Fatal(err)
		}
	}
	const first = "rules:\n  - {name: events, clients: [mail], allow: [\"GET /events\"], rate: 100/s, burst: 200}\n"
	write(first)
	r := start(t, load(t, hello(t), map[string]string{
		"ACCESS_RULES_FILE": rules, "AUTH_PROOF": "observe",
		"ACCESS_RULES_NEXT": "rules:\n  - {name: less, clients: [mail], allow: [\"GET /less\"]}\n",
	}))
	want(t, r, r.Addr(), "/events", http.StatusOK, "hello")
	want(t, r, r.Addr(), "/other", http.StatusForbidden, "access_denied")

	eventually(t, "records of both requests", func() bool { // a record may follow its response
		s, _ := statusOf(t, r)
		return len(s.Refusals) == 1 && s.Configuration.Rules[0].Uses == 1
	})
	s, _ := statusOf(t, r)
	if c := s.Clients; len(c) != 1 || c[0].Name != "mail" || c[0].Allowed != 1 || c[0].Refused != 1 || c[0].LastReason != string(refusal.AccessDenied) {
		t.Errorf("clients %+v, want mail with one allowed and one refused request", c)
	}
	if list := s.Refusals; len(list) != 1 || list[0].Path != "/other" || list[0].Client != "mail" || list[0].Method != http.MethodGet || list[0].RequestID == "" {
		t.Errorf("refusals %+v, want the request for /other", list)
	}
	if rule := s.Configuration.Rules[0]; rule.Uses != 1 || rule.Rate != "100/s" || rule.Burst != "200" || rule.Proof != "observe" || rule.LastUse.IsZero() {
		t.Errorf("rule %+v, want one use and the default proof", rule)
	}
	if n := s.NextRules; n == nil || len(n.Changes) != 1 || n.Changes[0].Client != "mail" || n.Changes[0].Change != "refuse" || n.Changes[0].Requests != 1 || n.Changes[0].Path != "/events" || n.Since.IsZero() {
		t.Errorf("next rules %+v, want one request of mail that they would refuse", n)
	}
	if next := statusSource(t, s, "next_rules"); next.Variable != "ACCESS_RULES_NEXT" || len(next.Parts) != 2 || next.Parts[0].Count != 1 {
		t.Errorf("next rules %+v, want an inline value with one rule", next)
	}
	if k := s.Keys; len(k) != 1 || k[0].Clients != 1 || !slices.Equal(k[0].ClientNames, []string{"mail"}) || k[0].LastUse.IsZero() || k[0].Algorithm != "P-256" {
		t.Errorf("keys %+v, want one key that mail uses", k)
	}
	if a := s.Upstream; len(a) != 1 || !a[0].Up || a[0].Attempts != 1 || a[0].Median <= 0 {
		t.Errorf("upstream %+v, want one address with one attempt", a)
	}
	names := map[string]int64{}
	for _, l := range s.Limits {
		names[l.Name] = l.Capacity
	}
	if names["certgate_upstream_requests_in_flight"] != 1024 || names["certgate_connections"] != 10000 || names["certgate_nonces"] == 0 {
		t.Errorf("limits %v, want those of the configuration", names)
	}
	if s.Observation.Shared || s.Observation.Replicas != 1 || s.Started.IsZero() || !s.Ready || s.Redis != nil {
		t.Errorf("status %+v: want one ready process without Redis", s.Observation)
	}
	keys, before := statusSource(t, s, "keys"), statusSource(t, s, "rules")
	if keys.Variable != "AUTH_PUBLIC_KEY" || len(keys.Files) != 0 || keys.Parts[0].Count != 1 {
		t.Errorf("keys %+v, want an inline value", keys)
	}
	if before.Variable != "ACCESS_RULES_FILE" || !slices.Equal(before.Files, []string{rules}) || len(before.Parts) != 2 || before.Result != "ok" {
		t.Errorf("rules %+v, want a file with rules and denials", before)
	}

	write(first + "deny:\n  - {client: social, reason: key leaked}\n")
	eventually(t, "the new rules", func() bool {
		s, _ := statusOf(t, r)
		return len(s.Configuration.Deny) == 1
	})
	after, _ := statusOf(t, r)
	if d := after.Configuration.Deny[0]; d.Entry != `client "social"` || d.Reason != "key leaked" || after.Configuration.Digest == s.Configuration.Digest {
		t.Errorf("deny list %+v with digest %s, want the new entry and another digest than %s", d, after.Configuration.Digest, s.Configuration.Digest)
	}
	if loaded := statusSource(t, after, "rules"); !loaded.Loaded.After(before.Loaded) || after.Configuration.Rules[0].Uses != 1 {
		t.Errorf("rules %+v, want a later load and the uses so far", loaded)
	}
	write("rules: []\n")
	eventually(t, "the failed load", func() bool {
		s, _ := statusOf(t, r)
		return statusSource(t, s, "rules").Result == "failed"
	})
	failed, _ := statusOf(t, r)
	if f := statusSource(t, failed, "rules"); !strings.Contains(f.Error, "rules.yaml:1: want a list of at least one rule") || !f.Tried.After(f.Loaded) || f.Parts[1].Count != 1 {
		t.Errorf("rules %+v, want the error and the previous content", f)
	}
	want(t, r, r.AdminAddr(), "/", http.StatusOK, "The latest content of Rules is not in force")
}

// TestStatusShowsNoSecret puts a marker into every text that the operator's page must not
// show: passwords, keys, comments in the rules, queries, credentials and signatures.
func TestStatusShowsNoSecret(t *testing.T) {
	t.Parallel()
	const secret = "s3cret-marker"
	key := ca.Key(t)
	root := ca.New(t, ca.Current)
	pair := t.TempDir()
	files := map[string]string{
		"ca.pem": secret + "\n" + string(root.CertificatePEM()), "gateway.pem": secret + "\n" + string(ca.PEM(root.Client(t, key.Public(), ca.Current))),
		"gateway.key": secret + "\n" + string(ca.KeyPEM(t, key)), "assertion.key": string(ca.KeyPEM(t, ca.Key(t))),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(pair, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := start(t, load(t, "https://127.0.0.1:1", map[string]string{
		"AUTH_PUBLIC_KEY": "# " + secret + "\n" + newCredentials(t).publicKey,
		"ACCESS_RULES":    "# " + secret + "\nrules:\n  - name: events # " + secret + "\n    clients: [mail]\n    allow: [\"GET /events\"]\n",
		"REDIS_URL":       "redis://user:" + secret + "@127.0.0.1:1", "UPSTREAM_HEALTH_PATH": "/healthz?token=" + secret,
		"UPSTREAM_CA_FILE": filepath.Join(pair, "ca.pem"), "UPSTREAM_CERT_FILE": filepath.Join(pair, "gateway.pem"), "UPSTREAM_KEY_FILE": filepath.Join(pair, "gateway.key"),
		"ASSERTION_KEY_FILE": filepath.Join(pair, "assertion.key"), "ASSERTION_ISSUER": "https://gateway.example.com", "ASSERTION_AUDIENCE": "schedule",
		"AUTH_PROOF": "require", "OTHER_TOKEN": secret,
	}))
	for _, header := range []http.Header{
		{"X-Ssl-Auth": {secret}}, {"X-Ssl-Auth": {newCredentials(t).header}, "Signature": {"sig=:" + secret + ":"}, "Signature-Input": {"sig=" + secret}},
		{"X-Ssl-Auth": {newCredentials(t).header}, "Authorization": {"Bearer " + secret}, "Cookie": {secret}},
	} {
		req, err := http.NewRequest(http.MethodGet, "http://"+r.Addr().String()+"/events?token="+secret, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = header
		res, err := r.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	}
	eventually(t, "records of all requests", func() bool {
		s, _ := statusOf(t, r)
		return len(s.Refusals) == 3
	})
	s, text := statusOf(t, r)
	if len(s.Refusals) != 3 || s.Redis == nil || s.Redis.Server != "redis://127.0.0.1:1/0" || len(s.Configuration.Sources) != 5 {
		t.Fatalf("%d refusals, Redis %+v, %d sources: want 3, the server, and keys, rules, assertion keys and both files for TLS", len(s.Refusals), s.Redis, len(s.Configuration.Sources))
	}
	_, page, err := r.get(t, r.AdminAddr(), "/?clients=all")
	if err != nil || !strings.Contains(page, "UPSTREAM_HEALTH_PATH") {
		t.Fatalf("page without settings, %v", err)
	}
	credential := newCredentials(t).header
	for name, shown := range map[string]string{"JSON": text, "page": page} {
		for _, forbidden := range []string{secret, credential[:40], "PRIVATE KEY", "BEGIN"} {
			if i := strings.Index(shown, forbidden); i >= 0 {
				t.Errorf("%s: found %q in %q", name, forbidden, shown[max(0, i-80):min(len(shown), i+80)])
			}
		}
	}
	for i, c := range []string{"upstream_ca", "upstream_certificate"} {
		if source := statusSource(t, s, c); len(source.Parts) != 1 || source.Parts[0].Count != 1 || len(source.Parts[0].Digest) != 16 || source.Expires.IsZero() != (i == 0) {
			t.Errorf("%s: %+v, want one certificate with a digest", c, source)
		}
	}
	if ends := fmt.Sprint(statusSource(t, s, "assertion_keys").Parts); !strings.Contains(ends, "assertion_keys 1") {
		t.Errorf("assertion keys %s, want one", ends)
	}
}

// TestSubjectText checks that a long subject is cut at the end of a character.
func TestSubjectText(t *testing.T) {
	t.Parallel()
	authority := ca.New(t, func(template *x509.Certificate) {
		template.Subject.CommonName = strings.Repeat("é", maxSubject)
	})
	want := "CN=" + strings.Repeat("é", 126) // 3 + 252 bytes; the next character does not fit
	if found := subjectText(authority.Certificate); found != want {
		t.Errorf("want %q, found %q", want, found)
	}
}
