package rules_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/config/rules"
	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
)

// TestDocumentDecisions decides on one certificate of the client mail, with the serial
// number 0x1e5, under different documents.
func TestDocumentDecisions(t *testing.T) {
	cert, keyring := certificate(t)
	fingerprint := fmt.Sprintf("%x", sha256.Sum256(cert.RawTBSCertificate))
	tests := []struct {
		name, text string
		want       refusal.Reason // "" means granted
	}{
		{"allowed", rule(""), ""},
		{"deny list about others", rule("deny: [{client: social}, {serial: 1e6}]\n"), ""},
		{"client denied", rule("deny:\n  - client: mail\n"), refusal.AccessDenied},
		{"serial denied, plain", rule("deny:\n  - serial: 1e5\n"), refusal.CertificateRevoked},
		{"serial denied, quoted", rule("deny:\n  - serial: '01:E5'\n"), refusal.CertificateRevoked},
		{"certificate denied, plain", rule("deny:\n  - certificate: " + fingerprint + "\n"), refusal.CertificateRevoked},
		{"certificate denied, quoted", rule("deny:\n  - certificate: '" + strings.ToUpper(fingerprint) + "'\n"), refusal.CertificateRevoked},
		{"deny list about another certificate", rule("deny:\n  - certificate: " + strings.Repeat("e3", 32) + "\n"), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			doc, err := rules.Parse("rules.yaml", []byte(tt.text), identity.OU)
			if err != nil {
				t.Fatal(err)
			}
			got := refusal.Reason("")
			if refusal := refusal.Of(request(t, doc, cert, keyring)); refusal != nil {
				got = refusal.Reason
			}
			if got != tt.want {
				t.Errorf("refused with %q, want %q", got, tt.want)
			}
		})
	}
}

// TestProofField checks values of the field proof. YAML 1.1 reads some of them as
// booleans.
func TestProofField(t *testing.T) {
	for text, want := range map[string]access.Proof{
		rule(""): access.ProofUnsaid, rule("    proof: off\n"): access.ProofOff,
		rule("    proof: 'observe'\n"): access.ProofObserve, rule("    proof: require\n"): access.ProofRequire,
	} {
		doc, err := rules.Parse("rules.yaml", []byte(text), identity.OU)
		if err != nil || !doc.Policy.EveryRule(func(p access.Proof) bool { return p == want }) {
			t.Errorf("%s%v; want proof %q", text, err, want)
		}
	}
}

func request(t *testing.T, doc rules.Document, cert *x509.Certificate, keyring *trust.Keyring) error {
	t.Helper()
	target, err := access.ParseTarget("/a")
	if err != nil {
		t.Fatal(err)
	}
	verified, err := trust.NewVerifier(keyring, doc.Revocations, trust.Limits{MinRSABits: 2048}).Verify(cert, cert.NotBefore)
	if err != nil {
		return err
	}
	client, err := identity.OU.Reader().Of(verified)
	if err != nil {
		return err
	}
	_, err = doc.Policy.Decide(client, "GET", target)
	return err
}

func certificate(t *testing.T) (*x509.Certificate, *trust.Keyring) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(0x1e5),
		Subject:      pkix.Name{OrganizationalUnit: []string{"mail"}},
		NotBefore:    time.Unix(1_700_000_000, 0),
		NotAfter:     time.Unix(1_800_000_000, 0),
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	keyring, err := trust.ParseKeyring(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}), 2048)
	if err != nil {
		t.Fatal(err)
	}
	return cert, keyring
}
