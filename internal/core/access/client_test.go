package access_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/trust"
)

// client returns a client of this name. Only a verified certificate yields a client.
func client(tb testing.TB, name string) identity.Client {
	tb.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{OrganizationalUnit: []string{name}},
		NotBefore:    time.Unix(1_700_000_000, 0),
		NotAfter:     time.Unix(1_800_000_000, 0),
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		tb.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		tb.Fatal(err)
	}
	keyring, err := trust.ParseKeyring(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}), 2048)
	if err != nil {
		tb.Fatal(err)
	}
	verified, err := trust.NewVerifier(keyring, nil, trust.Limits{MinRSABits: 2048}).Verify(cert, cert.NotBefore)
	if err != nil {
		tb.Fatal(err)
	}
	c, err := identity.OU.Reader().Of(verified)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}
