package test

import (
	"encoding/pem"
	"testing"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/refusal"
)

const issuingExtensions = `basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
`

// intermediate is a CA that another one vouches for.
type intermediate struct {
	*master
	ca certificate
}

func newIntermediate(t *testing.T, root *master) intermediate {
	t.Helper()
	ca := root.issue(t, certificateOptions{subject: "/CN=issuing", key: "ed25519", extensions: issuingExtensions})
	m := &master{dir: t.TempDir(), key: "master.key", cert: "master.crt"}
	m.write(t, "ca.cnf", caConfig)
	m.write(t, "index.txt", "")
	m.write(t, m.key, string(root.read(t, "ed25519.key")))
	m.write(t, m.cert, string(ca.pem))
	m.publicKey = m.openssl(t, "pkey", "-in", m.key, "-pubout")
	return intermediate{m, ca}
}

// pemOf is a certificate's DER as PEM.
func pemOf(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// TestIntermediate: a CA vouches for those whom its CAs vouch for, when the
// client brings what lies between.
func TestIntermediate(t *testing.T) {
	t.Parallel()
	root := newMaster(t, "p256")
	issuing, another := newIntermediate(t, root), newIntermediate(t, newMaster(t, "p256"))
	mail := issuing.issue(t, subject("mail"))
	whole := certheader.Encode(certheader.Base64DER, mail.parsed.Raw, issuing.ca.parsed.Raw)

	u := newUpstream(t, nil)
	g := serve(t, u, settings(string(root.read(t, root.cert)), u))
	head := g.wantAllowed(t, credential(whole))
	wantIdentity(t, head, "mail", mail)
	if line := g.audit(t, func(l auditLine) bool { return l.Serial == mail.serial() }); line.KeyID != keyID(t, root.publicKey) {
		t.Errorf("want the anchor's key id %s in the log, found %s", keyID(t, root.publicKey), line.KeyID)
	}
	g.wantRefused(t, get("/events", mail), refusal.CertificateUntrusted)
	for name, test := range map[string]struct {
		chain  []certificate
		reason refusal.Reason
	}{
		"another intermediate":         {[]certificate{mail, another.ca}, refusal.CertificateUntrusted},
		"the intermediate as a client": {[]certificate{issuing.ca}, refusal.CertificateUnsuitable},
		"the intermediate first":       {[]certificate{issuing.ca, mail}, refusal.CertificateUnsuitable},
	} {
		ders := make([][]byte, len(test.chain))
		for i, c := range test.chain {
			ders[i] = c.parsed.Raw
		}
		t.Run(name, func(t *testing.T) {
			g.wantRefused(t, credential(certheader.Encode(certheader.Base64DER, ders...)), test.reason)
		})
	}

	// A bare key vouches for what it signed itself.
	bare := serve(t, u, settings(root.publicKey, u))
	bare.wantRefused(t, credential(whole), refusal.CertificateUntrusted)
}

// TestSharedKey: the recipe of 2012, in which every client holds the master key.
func TestSharedKey(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "rsa")
	own := m.issue(t, subject("mail"))
	shared := m.share(t, "social")

	t.Run("allowed", func(t *testing.T) {
		t.Parallel()
		g := newGateway(t, m, nil)
		wantIdentity(t, g.wantAllowed(t, get("/events", shared)), "social", shared)
		g.wantAllowed(t, get("/events", own))
		for _, c := range []certificate{own, shared} {
			line := g.audit(t, func(l auditLine) bool { return l.Serial == c.serial() })
			if marked := c.serial() == shared.serial(); line.SharedKey != marked {
				t.Errorf("want legacy_shared_key %t in the log, found %+v", marked, line)
			}
		}
	})
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		g := newGateway(t, m, environment{"AUTH_ALLOW_SHARED_KEY": "false"})
		g.wantAllowed(t, get("/events", own))
		a := g.wantRefused(t, get("/events", shared), refusal.LegacySharedKey)
		if line := g.auditOf(t, a.problem(t).RequestID); !line.SharedKey {
			t.Errorf("want legacy_shared_key in the log, found %+v", line)
		}
	})
}
