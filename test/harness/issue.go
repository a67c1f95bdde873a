package harness

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/testkit/ca"
)

// newKey returns a new private key of an algorithm.
func newKey(t *testing.T, algorithm string) crypto.Signer {
	t.Helper()
	var key crypto.Signer
	var err error
	switch algorithm {
	case "p256":
		return ca.Key(t)
	case "p384":
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ed25519":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	case "rsa":
		key, err = shared.rsaKey(t, 2048)
	case "rsa1024":
		key, err = shared.rsaKey(t, 1024)
	case "rsa4096":
		key, err = shared.rsaKey(t, 4096)
	default:
		t.Fatalf("want an algorithm, found %q", algorithm)
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// rsaKey returns a key that no other call of the same test gets. Tests share the fixed keys,
// because making an RSA key takes longer than most tests.
func (s *session) rsaKey(t *testing.T, bits int) (*rsa.PrivateKey, error) {
	t.Helper()
	test, _, _ := strings.Cut(t.Name(), "/")
	id := test + " " + strconv.Itoa(bits)
	s.mu.Lock()
	i := s.rsaKeys[id]
	s.rsaKeys[id]++
	s.mu.Unlock()
	if i < ca.RSAKeys {
		return ca.RSAKey(t, bits, i), nil
	}
	return rsa.GenerateKey(rand.Reader, bits)
}

// isPlain reports whether the certificate is made without openssl, which is faster.
func (o CertificateOptions) isPlain() bool {
	return o.Extensions == "" && o.Digest == "" && regexp.MustCompile(`^(/(O|OU|CN)=[^/\\+=]+)+$`).MatchString(o.Subject)
}

// issue makes the certificate that openssl would make from plain options, in PEM.
func (m *MasterKey) issue(t *testing.T, o CertificateOptions, key crypto.Signer) []byte {
	t.Helper()
	issuer := *NewCertificate(t, m.ReadFile(t, m.CertFile)).Parsed
	issuer.SubjectKeyId = nil // openssl adds no AuthorityKeyIdentifier
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 158))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, NotBefore: o.NotBefore, NotAfter: o.NotAfter, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	subjectOf(o.Subject)(template)
	return ca.PEM(ca.Sign(t, template, &issuer, key.Public(), m.ReadKey(t, m.KeyFile)))
}

// subjectOf sets the subject, which is in the notation of openssl's -subj.
func subjectOf(text string) ca.Change {
	var name pkix.RDNSequence
	for attribute := range strings.SplitSeq(strings.TrimPrefix(text, "/"), "/") {
		kind, value, _ := strings.Cut(attribute, "=")
		id := map[string]asn1.ObjectIdentifier{"O": {2, 5, 4, 10}, "OU": {2, 5, 4, 11}, "CN": {2, 5, 4, 3}}[kind]
		content := asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte(value)}
		name = append(name, pkix.RelativeDistinguishedNameSET{{Type: id, Value: content}})
	}
	return func(template *x509.Certificate) {
		der, err := asn1.Marshal(name)
		if err != nil {
			panic(err)
		}
		template.RawSubject = der
	}
}

// monthFromNow makes a certificate valid for 30 days.
func monthFromNow(template *x509.Certificate) {
	template.NotBefore, template.NotAfter = time.Now(), time.Now().AddDate(0, 0, 30)
}
