package trust_test

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/testkit/ca"
)

// TestAuthorityCertificate checks that a keyring accepts a CA certificate only if its
// extensions allow it to sign certificates.
func TestAuthorityCertificate(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	o.key("ca", "ec:P-256")
	o.openssl("req", "-new", "-config", "req.cnf", "-key", "ca.key", "-subj", "/CN=Example CA", "-out", "v1.csr")
	version1 := o.openssl("x509", "-req", "-in", "v1.csr", "-signkey", "ca.key")
	const ca = "basicConstraints=critical,CA:TRUE\n"
	tests := []struct {
		name string
		text []byte
		want string // part of the error; "" if accepted
	}{
		{"CA", o.root(rootOptions{name: "ca"}), ""},
		{"CA without key usage", o.root(rootOptions{name: "ca", extensions: ca}), ""},
		{"CA with a path length", o.root(rootOptions{name: "ca", extensions: "basicConstraints=critical,CA:TRUE,pathlen:0"}), ""},
		{"not a CA", o.root(rootOptions{name: "ca", extensions: "basicConstraints=critical,CA:FALSE"}), "want a CA certificate"},
		{"no basic constraints", o.root(rootOptions{name: "ca", extensions: "keyUsage=keyCertSign"}), "want a CA certificate"},
		{"version 1", version1, "want a CA certificate"},
		{"no keyCertSign", o.root(rootOptions{name: "ca", extensions: ca + "keyUsage=critical,cRLSign"}), "keyCertSign"},
		{"an empty key usage", o.root(rootOptions{name: "ca", extensions: ca + "keyUsage=critical,DER:030100"}), "keyCertSign"},
		{"unknown critical extension", o.root(rootOptions{name: "ca", extensions: caExtensions + "\n1.2.3.4=critical,ASN1:UTF8String:x"}), "critical extensions"},
		{"critical name constraints", o.root(rootOptions{name: "ca", extensions: caExtensions + "\nnameConstraints=critical,permitted;DNS:example.org"}), ""},
		{"critical directory name constraints", o.root(rootOptions{name: "ca", extensions: caExtensions + "\nnameConstraints=critical,permitted;dirName:example\n[example]\nO=Example"}), ""},
		{"critical constraints on another kind", o.root(rootOptions{name: "ca", extensions: caExtensions + "\nnameConstraints=critical,permitted;RID:1.2.3"}), "found one on registeredID"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ring, err := trust.ParseKeyring(tt.text, 2048)
			if tt.want != "" {
				if ring != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("want an error about %q, found %v", tt.want, err)
				}
				return
			}
			if err != nil {
				t.Fatalf("refused: %v", err)
			}
			if c := ring.Anchors()[0].Certificate(); c == nil || !bytes.Equal(c.Raw, parsed(t, tt.text).Raw) {
				t.Error("the anchor does not have its certificate")
			}
		})
	}
}

// TestAuthorityTime checks that the validity period of a CA certificate applies to the
// certificates that the CA signed. A bare key does not expire.
func TestAuthorityTime(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	o.key("ca", "ec:P-256")
	short := o.root(rootOptions{name: "ca", days: 10})
	o.key("mail", "ec:P-256")
	cert := o.client(clientOptions{ca: "ca", key: "mail"}) // 365 days
	end := parsed(t, short).NotAfter
	tests := []struct {
		name   string
		anchor []byte
		now    time.Time
		skew   time.Duration
		want   refusal.Reason
	}{
		{"last second", short, end, 0, ""},
		{"one second late", short, end.Add(time.Second), 0, refusal.CertificateUntrusted},
		{"within the skew", short, end.Add(time.Minute), time.Minute, ""},
		{"one second more than the skew", short, end.Add(61 * time.Second), time.Minute, refusal.CertificateUntrusted},
		{"the bare key", o.public("ca"), end.Add(time.Second), 0, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v, err := trust.NewVerifier(keyring(t, tt.anchor), nil, trust.Limits{ClockSkew: tt.skew}).Verify(cert, tt.now)
			check(t, cert, v, err, tt.want)
		})
	}
}

// TestAuthorityNotYetValid uses crypto/x509, because openssl 3.0 cannot set the start of
// a validity period.
func TestAuthorityNotYetValid(t *testing.T) {
	begin := ca.Now()
	validFrom := func(from time.Time) ca.Change {
		return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = from, begin.AddDate(1, 0, 0) }
	}
	issuer := ca.New(t, validFrom(begin))
	cert := issuer.Client(t, ca.Key(t).Public(), validFrom(begin.AddDate(-1, 0, 0)))
	older := ca.NewWithKey(t, issuer.Key, validFrom(begin.AddDate(-1, 0, 0)), func(c *x509.Certificate) { c.Subject.CommonName = "Older CA" })
	template := ca.Template(issuer.Certificate.Subject.CommonName)
	validFrom(begin)(template)
	intermediate := ca.Sign(t, template, older.Certificate, issuer.Key.Public(), older.Key)
	tests := []struct {
		name string
		now  time.Time
		skew time.Duration
		want refusal.Reason
	}{
		{"first second", begin, 0, ""},
		{"one second early", begin.Add(-time.Second), 0, refusal.CertificateUntrusted},
		{"within the skew", begin.Add(-time.Minute), time.Minute, ""},
		{"one second more than the skew", begin.Add(-61 * time.Second), time.Minute, refusal.CertificateUntrusted},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			limits := trust.Limits{ClockSkew: tt.skew}
			v, err := trust.NewVerifier(keyring(t, issuer.CertificatePEM()), nil, limits).Verify(cert, tt.now)
			check(t, cert, v, err, tt.want)
			v, err = trust.NewVerifier(keyring(t, older.CertificatePEM()), nil, limits).Verify(cert, tt.now, intermediate)
			check(t, cert, v, err, tt.want)
		})
	}
}

// TestIssuerName checks that the subject of the CA certificate must equal the issuer of
// the client's certificate. A bare key has no name to compare.
func TestIssuerName(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	public, certificate := o.newCA("ca", "ec:P-256")
	renamed := o.root(rootOptions{name: "ca", subject: "/O=Example/CN=Other CA", out: "renamed.crt"})
	o.key("mail", "ec:P-256")
	cert := o.client(clientOptions{ca: "ca", key: "mail"})
	tests := []struct {
		name   string
		anchor []byte
		want   refusal.Reason
	}{
		{"the CA", certificate, ""},
		{"the CA's key", public, ""},
		{"the CA's key under another name", renamed, refusal.CertificateUntrusted},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v, err := verify(t, cert, tt.anchor)
			check(t, cert, v, err, tt.want)
		})
	}
}

// TestExponents checks that keys with a tiny or even RSA exponent are refused. It uses
// crypto/x509, because openssl does not make such keys.
func TestExponents(t *testing.T) {
	issuer := ca.New(t)
	modulus := ca.RSAKey(t, 2048, 0)
	reasons := map[int]refusal.Reason{
		65537: "", 3: "",
		1: refusal.CertificateWeak, 2: refusal.CertificateWeak, 4: refusal.CertificateWeak, 65536: refusal.CertificateWeak,
	}
	for exponent, want := range reasons {
		cert := issuer.Client(t, &rsa.PublicKey{N: modulus.N, E: exponent})
		v, err := verify(t, cert, issuer.PublicKeyPEM())
		check(t, cert, v, err, want)
	}
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
