package test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
)

// revoke puts a certificate on the master's next list.
func (m *master) revoke(t *testing.T, c certificate) {
	t.Helper()
	m.write(t, "revoked.crt", string(c.pem))
	m.openssl(t, "ca", "-config", "ca.cnf", "-cert", m.cert, "-keyfile", m.key, "-revoke", "revoked.crt")
}

// list makes a revocation list, as PEM, that goes stale at a time.
func (m *master) list(t *testing.T, next time.Time) string {
	t.Helper()
	const form = "20060102150405Z"
	m.write(t, "crl.cnf", strings.Replace(caConfig, "[any]\n", "crlnumber = crlnumber\n[any]\n", 1))
	m.write(t, "crlnumber", "01\n")
	return m.openssl(t, "ca", "-config", "crl.cnf", "-gencrl", "-cert", m.cert, "-keyfile", m.key,
		"-crl_lastupdate", next.Add(-48*time.Hour).UTC().Format(form), "-crl_nextupdate", next.UTC().Format(form))
}

// TestRevocationLists: lists by a real authority, that are read again when they
// change.
func TestRevocationLists(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "rsa")
	mail, social := m.issue(t, subject("mail")), m.issue(t, subject("social"))
	tomorrow, yesterday := time.Now().Add(24*time.Hour), time.Now().Add(-24*time.Hour)
	empty := m.list(t, tomorrow)
	m.revoke(t, social)
	revoked, stale := m.list(t, tomorrow), m.list(t, yesterday)
	der := m.dir + "/crl.der"
	m.write(t, "crl.pem", revoked)
	m.openssl(t, "crl", "-in", "crl.pem", "-outform", "DER", "-out", "crl.der")

	start := func(t *testing.T, anchor, list string, env environment) (*gateway, string) {
		t.Helper()
		file := writeFile(t, list, t.TempDir(), "list.crl")
		u := newUpstream(t, nil)
		g := serve(t, u, settings(anchor, u).with(environment{"AUTH_CRL_FILE": file}).with(env))
		g.watching(t, "crls")
		return g, file
	}
	ca := string(m.read(t, m.cert))
	for name, test := range map[string]struct {
		anchor, list string
		env          environment
		mail, social refusal.Reason
	}{
		"none":             {ca, empty, nil, "", ""},
		"one":              {ca, revoked, nil, "", refusal.CertificateRevoked},
		"of a bare key":    {m.publicKey, revoked, nil, "", refusal.CertificateRevoked},
		"DER in two files": {ca, empty, environment{"AUTH_CRL_FILE": der + "," + writeFile(t, empty, t.TempDir(), "e")}, "", refusal.CertificateRevoked},
		"stale":            {ca, stale, nil, refusal.RevocationUnknown, refusal.CertificateRevoked},
		"stale and used":   {ca, stale, environment{"AUTH_CRL_STALE": "use"}, "", refusal.CertificateRevoked},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, _ := start(t, test.anchor, test.list, test.env)
			for c, want := range map[*certificate]refusal.Reason{&mail: test.mail, &social: test.social} {
				if want == "" {
					g.wantAllowed(t, get("/events", *c))
				} else {
					g.wantRefused(t, get("/events", *c), want)
				}
			}
		})
	}
	t.Run("reloaded", func(t *testing.T) {
		t.Parallel()
		g, file := start(t, ca, empty, nil)
		g.wantAllowed(t, get("/events", social))
		g.wantReloaded(t, "crls", func() { replaceFile(t, file, revoked) })
		g.wantRefused(t, get("/events", social), refusal.CertificateRevoked)
		g.wantAllowed(t, get("/events", mail))

		stranger := newMaster(t, "rsa").list(t, tomorrow)
		l := g.reload(t, "crls", func() { replaceFile(t, file, stranger) })
		if l.Level != "error" || l.File != file || !strings.Contains(l.Error, "signed by a key in force") {
			t.Errorf("want a stranger's list refused, found %+v", l)
		}
		wantReloadFailed(t, g, "crls", 1)
		g.wantRefused(t, get("/events", social), refusal.CertificateRevoked)
		g.wantReloaded(t, "crls", func() { replaceFile(t, file, stale) })
		wantReloadFailed(t, g, "crls", 0)
		g.wantRefused(t, get("/events", mail), refusal.RevocationUnknown)
	})
}

// TestRevocationListsAtStart: a list that cannot be read is no list.
func TestRevocationListsAtStart(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	dir := t.TempDir()
	for name, file := range map[string]string{
		"missing":      filepath.Join(dir, "none"),
		"empty":        writeFile(t, "", dir, "empty"),
		"no list":      writeFile(t, m.publicKey, dir, "key"),
		"a stranger's": writeFile(t, newMaster(t, "p256").list(t, time.Now().Add(time.Hour)), dir, "stranger"),
	} {
		result := finish(t, "certgate", minimal(t, m).with(environment{"AUTH_CRL_FILE": file}), "serve")
		if result.code != 2 || !strings.Contains(result.stderr, `"variable":"AUTH_CRL_FILE"`) || !strings.Contains(result.stderr, file) {
			t.Errorf("%s: want exit code 2 for AUTH_CRL_FILE, found %+v", name, result)
		}
	}
}
