package e2e

import (
	"testing"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

const issuingExtensions = `basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
`

// intermediate is a CA whose certificate another CA has signed.
type intermediate struct {
	*harness.MasterKey
	ca harness.Certificate
}

func newIntermediate(t *testing.T, root *harness.MasterKey) intermediate {
	t.Helper()
	ca := root.Issue(t, harness.CertificateOptions{Subject: "/CN=issuing", Key: "ed25519", Extensions: issuingExtensions})
	m := &harness.MasterKey{Dir: t.TempDir(), KeyFile: "master.key", CertFile: "master.crt"}
	m.WriteFile(t, "ca.cnf", harness.CaConfig)
	m.WriteFile(t, "index.txt", "")
	m.WriteFile(t, m.KeyFile, string(root.ReadFile(t, "ed25519.key")))
	m.WriteFile(t, m.CertFile, string(ca.PEM))
	m.PublicKey = m.Openssl(t, "pkey", "-in", m.KeyFile, "-pubout")
	return intermediate{m, ca}
}

// TestIntermediateCertificates checks that a certificate of an intermediate CA is accepted
// when the client sends the chain.
func TestIntermediateCertificates(t *testing.T) {
	t.Parallel()
	root := harness.NewMasterKey(t, "p256")
	issuing, another := newIntermediate(t, root), newIntermediate(t, harness.NewMasterKey(t, "p256"))
	mail := issuing.Issue(t, harness.OU("mail"))
	whole := certheader.Encode(certheader.Base64DER, mail.Parsed.Raw, issuing.ca.Parsed.Raw)

	u := harness.NewUpstream(t, nil)
	g := harness.StartGateway(t, u, harness.GatewayEnv(string(root.ReadFile(t, root.CertFile)), u))
	head := g.WantAllowed(t, harness.GetWithCredential(whole))
	wantIdentity(t, head, "mail", mail)
	if line := g.WaitAuditLine(t, func(l harness.AuditLine) bool { return l.Serial == mail.Serial() }); line.KeyID != harness.KeyID(t, root.PublicKey) {
		t.Errorf("want the anchor's key id %s in the log, found %s", harness.KeyID(t, root.PublicKey), line.KeyID)
	}
	g.WantRefused(t, harness.Get("/events", mail), refusal.CertificateUntrusted)
	for name, test := range map[string]struct {
		chain  []harness.Certificate
		reason refusal.Reason
	}{
		"another intermediate":         {[]harness.Certificate{mail, another.ca}, refusal.CertificateUntrusted},
		"the intermediate as a client": {[]harness.Certificate{issuing.ca}, refusal.CertificateUnsuitable},
		"the intermediate first":       {[]harness.Certificate{issuing.ca, mail}, refusal.CertificateUnsuitable},
	} {
		ders := make([][]byte, len(test.chain))
		for i, c := range test.chain {
			ders[i] = c.Parsed.Raw
		}
		t.Run(name, func(t *testing.T) {
			g.WantRefused(t, harness.GetWithCredential(certheader.Encode(certheader.Base64DER, ders...)), test.reason)
		})
	}

	// A bare key is trusted for the certificates that it signed itself.
	bare := harness.StartGateway(t, u, harness.GatewayEnv(root.PublicKey, u))
	bare.WantRefused(t, harness.GetWithCredential(whole), refusal.CertificateUntrusted)
}

// TestSharedMasterKey uses the recipe of 2012, with which every client holds the master
// key.
func TestSharedMasterKey(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "rsa")
	own := m.Issue(t, harness.OU("mail"))
	shared := m.IssueOverMasterKey(t, "social")

	t.Run("allowed", func(t *testing.T) {
		t.Parallel()
		g := harness.NewGateway(t, m, nil)
		wantIdentity(t, g.WantAllowed(t, harness.Get("/events", shared)), "social", shared)
		g.WantAllowed(t, harness.Get("/events", own))
		for _, c := range []harness.Certificate{own, shared} {
			line := g.WaitAuditLine(t, func(l harness.AuditLine) bool { return l.Serial == c.Serial() })
			if marked := c.Serial() == shared.Serial(); line.SharedKey != marked {
				t.Errorf("want legacy_shared_key %t in the log, found %+v", marked, line)
			}
		}
	})
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		g := harness.NewGateway(t, m, harness.Env{"AUTH_ALLOW_SHARED_KEY": "false"})
		g.WantAllowed(t, harness.Get("/events", own))
		a := g.WantRefused(t, harness.Get("/events", shared), refusal.LegacySharedKey)
		if line := g.AuditLineOf(t, a.Problem(t).RequestID); !line.SharedKey {
			t.Errorf("want legacy_shared_key in the log, found %+v", line)
		}
	})
}
