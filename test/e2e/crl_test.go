package e2e

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

// revoke puts a certificate on the master's next list.
func revoke(t *testing.T, m *harness.MasterKey, c harness.Certificate) {
	t.Helper()
	m.WriteFile(t, "revoked.crt", string(c.PEM))
	m.Openssl(t, "ca", "-config", "ca.cnf", "-cert", m.CertFile, "-keyfile", m.KeyFile, "-revoke", "revoked.crt")
}

// list returns a revocation list in PEM whose nextUpdate is a time.
func list(t *testing.T, m *harness.MasterKey, next time.Time) string {
	t.Helper()
	const form = "20060102150405Z"
	m.WriteFile(t, "crl.cnf", strings.Replace(harness.CaConfig, "[any]\n", "crlnumber = crlnumber\n[any]\n", 1))
	m.WriteFile(t, "crlnumber", "01\n")
	return m.Openssl(t, "ca", "-config", "crl.cnf", "-gencrl", "-cert", m.CertFile, "-keyfile", m.KeyFile,
		"-crl_lastupdate", next.Add(-48*time.Hour).UTC().Format(form), "-crl_nextupdate", next.UTC().Format(form))
}

// TestRevocationLists uses the revocation lists of an openssl CA and checks that changed lists
// are in force.
func TestRevocationLists(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "rsa")
	mail, social := m.Issue(t, harness.OU("mail")), m.Issue(t, harness.OU("social"))
	tomorrow, yesterday := time.Now().Add(24*time.Hour), time.Now().Add(-24*time.Hour)
	empty := list(t, m, tomorrow)
	revoke(t, m, social)
	revoked, stale := list(t, m, tomorrow), list(t, m, yesterday)
	der := m.Dir + "/crl.der"
	m.WriteFile(t, "crl.pem", revoked)
	m.Openssl(t, "crl", "-in", "crl.pem", "-outform", "DER", "-out", "crl.der")

	start := func(t *testing.T, anchor, list string, env harness.Env) (*harness.Gateway, string) {
		t.Helper()
		file := harness.WriteFile(t, list, t.TempDir(), "list.crl")
		u := harness.NewUpstream(t, nil)
		g := harness.StartGateway(t, u, harness.GatewayEnv(anchor, u).With(harness.Env{"AUTH_CRL_FILE": file}).With(env))
		waitWatching(t, g, "crls")
		return g, file
	}
	ca := string(m.ReadFile(t, m.CertFile))
	for name, test := range map[string]struct {
		anchor, list string
		env          harness.Env
		mail, social refusal.Reason
	}{
		"none":             {ca, empty, nil, "", ""},
		"one":              {ca, revoked, nil, "", refusal.CertificateRevoked},
		"of a bare key":    {m.PublicKey, revoked, nil, "", refusal.CertificateRevoked},
		"DER in two files": {ca, empty, harness.Env{"AUTH_CRL_FILE": der + "," + harness.WriteFile(t, empty, t.TempDir(), "e")}, "", refusal.CertificateRevoked},
		"stale":            {ca, stale, nil, refusal.RevocationUnknown, refusal.CertificateRevoked},
		"stale and used":   {ca, stale, harness.Env{"AUTH_CRL_STALE": "use"}, "", refusal.CertificateRevoked},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, _ := start(t, test.anchor, test.list, test.env)
			for c, want := range map[*harness.Certificate]refusal.Reason{&mail: test.mail, &social: test.social} {
				if want == "" {
					g.WantAllowed(t, harness.Get("/events", *c))
				} else {
					g.WantRefused(t, harness.Get("/events", *c), want)
				}
			}
		})
	}
	t.Run("reloaded", func(t *testing.T) {
		t.Parallel()
		g, file := start(t, ca, empty, nil)
		g.WantAllowed(t, harness.Get("/events", social))
		wantReloaded(t, g, "crls", func() { replaceFile(t, file, revoked) })
		g.WantRefused(t, harness.Get("/events", social), refusal.CertificateRevoked)
		g.WantAllowed(t, harness.Get("/events", mail))

		otherKey := list(t, harness.NewMasterKey(t, "rsa"), tomorrow)
		l := reload(t, g, "crls", func() { replaceFile(t, file, otherKey) })
		if l.Level != "error" || l.File != file || !strings.Contains(l.Error, "signed by a key in force") {
			t.Errorf("want a list under another key refused, found %+v", l)
		}
		wantReloadFailed(t, g, "crls", 1)
		g.WantRefused(t, harness.Get("/events", social), refusal.CertificateRevoked)
		wantReloaded(t, g, "crls", func() { replaceFile(t, file, stale) })
		wantReloadFailed(t, g, "crls", 0)
		g.WantRefused(t, harness.Get("/events", mail), refusal.RevocationUnknown)
	})
}

// TestStartRefusesBadRevocationLists checks that the gateway does not start with a
// revocation list that it cannot read.
func TestStartRefusesBadRevocationLists(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	dir := t.TempDir()
	for name, file := range map[string]string{
		"missing":       filepath.Join(dir, "none"),
		"empty":         harness.WriteFile(t, "", dir, "empty"),
		"no list":       harness.WriteFile(t, m.PublicKey, dir, "key"),
		"another key's": harness.WriteFile(t, list(t, harness.NewMasterKey(t, "p256"), time.Now().Add(time.Hour)), dir, "otherKey"),
	} {
		result := harness.Run(t, "certgate", minimal(t, m).With(harness.Env{"AUTH_CRL_FILE": file}), "serve")
		if result.ExitCode != 2 || !strings.Contains(result.Stderr, `"variable":"AUTH_CRL_FILE"`) || !strings.Contains(result.Stderr, file) {
			t.Errorf("%s: want exit code 2 for AUTH_CRL_FILE, found %+v", name, result)
		}
	}
}
