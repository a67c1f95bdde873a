package gate_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"encoding/base64"
	"maps"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/httpsig"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/guard/certcache"
	"github.com/certgate/certgate/internal/tool/pki"
)

// anyNonce accepts every nonce again, so that a benchmark needs only one signature.
type anyNonce struct{}

func (anyNonce) Use(httpsig.Nonce) error { return nil }

// BenchmarkSignatures measures the decision about a request with a body of 120 bytes and a
// cached certificate, unsigned (bearer) and signed with each type of key. The benchmark
// "beyond" alternates between the signature verification of package crypto and the whole
// decision, and reports the median of each and of their difference.
func BenchmarkSignatures(b *testing.B) {
	p384 := func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P384(), rand.Reader) }
	for _, kind := range []struct {
		name     string
		generate func() (crypto.Signer, error)
	}{
		{"p256", pki.P256.Generate},
		{"p384", p384},
		{"ed25519", pki.Ed25519.Generate},
		{"rsa2048", pki.RSA2048.Generate},
		{"rsa4096", pki.RSA4096.Generate},
	} {
		key, err := kind.generate()
		if err != nil {
			b.Fatal(err)
		}
		g, bearer, signed := newSigned(b, key)
		b.Run(kind.name+"/bearer", func(b *testing.B) { benchmarkDecide(b, g, bearer, gate.Bearer) })
		b.Run(kind.name+"/signed", func(b *testing.B) { benchmarkDecide(b, g, signed, gate.Signed) })
		verify := bareVerification(b, key.Public(), signed.Header)
		b.Run(kind.name+"/beyond", func(b *testing.B) { benchmarkBeyond(b, g, signed, verify) })
	}
}

// benchmarkBeyond measures bare and a signed decision in turn, so that both meet the same
// noise of the machine.
func benchmarkBeyond(b *testing.B, g *gate.Gate, r gate.Request, bare func() bool) {
	b.Helper()
	var bares, wholes, beyond []float64
	for b.Loop() {
		start := time.Now()
		valid := bare()
		middle := time.Now()
		d := g.Decide(r)
		end := time.Now()
		if !valid || d.Auth != gate.Signed {
			b.Fatalf("want a valid signature, found %t and %v", valid, d.Refusal)
		}
		bares = append(bares, float64(middle.Sub(start)))
		wholes = append(wholes, float64(end.Sub(middle)))
		beyond = append(beyond, float64(end.Sub(middle)-middle.Sub(start)))
	}
	b.ReportMetric(median(bares), "bare-ns")
	b.ReportMetric(median(wholes), "whole-ns")
	b.ReportMetric(median(beyond), "beyond-ns")
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// bareVerification returns a function that verifies the signature in the header with package
// crypto alone. The signature base and its digest are prepared.
func bareVerification(b *testing.B, key crypto.PublicKey, h http.Header) func() bool {
	b.Helper()
	signature, err := base64.StdEncoding.DecodeString(strings.Trim(strings.TrimPrefix(h.Get("Signature"), "sig1="), ":"))
	if err != nil {
		b.Fatal(err)
	}
	base := []byte("\"@method\": POST\n\"@authority\": app.example\n\"@path\": /events\n\"@query\": ?\n" +
		"\"x-ssl-auth\": " + h.Get("X-SSL-Auth") + "\n\"content-digest\": " + h.Get("Content-Digest") +
		"\n\"content-type\": " + h.Get("Content-Type") + "\n" +
		"\"@signature-params\": " + strings.TrimPrefix(h.Get("Signature-Input"), "sig1="))
	sum256, sum384, sum512 := sha256.Sum256(base), sha512.Sum384(base), sha512.Sum512(base)
	switch key := key.(type) {
	case ed25519.PublicKey:
		return func() bool { return ed25519.Verify(key, base, signature) }
	case *rsa.PublicKey:
		return func() bool {
			return rsa.VerifyPSS(key, crypto.SHA512, sum512[:], signature, &rsa.PSSOptions{SaltLength: 64}) == nil
		}
	case *ecdsa.PublicKey:
		sum, half := sum256[:], len(signature)/2
		if key.Curve == elliptic.P384() {
			sum = sum384[:]
		}
		der, err := asn1.Marshal([]*big.Int{new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:])})
		if err != nil {
			b.Fatal(err)
		}
		return func() bool { return ecdsa.VerifyASN1(key, sum, der) }
	}
	b.Fatalf("want a key of a known type, found %T", key)
	return nil
}

func benchmarkDecide(b *testing.B, g *gate.Gate, r gate.Request, auth string) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		if d := g.Decide(r); d.Refusal != nil || d.Auth != auth {
			b.Fatalf("want it granted as %s, found %s and %v", auth, d.Auth, d.Refusal)
		}
	}
}

// newSigned returns a gate, and a request that needs no signature and one that has one.
func newSigned(b *testing.B, key crypto.Signer) (g *gate.Gate, bearer, signed gate.Request) {
	b.Helper()
	fail := func(err error) {
		if err != nil {
			b.Helper()
			b.Fatal(err)
		}
	}
	ca, err := newAuthority()
	fail(err)
	keyring, err := trust.ParseKeyring(ca.PublicKeyPEM(), 0)
	fail(err)
	cert, err := ca.Issue(pki.Request{Client: "mail", PublicKey: key.Public(), Lifetime: time.Hour, Now: now})
	fail(err)
	signer, err := httpsig.NewSigner(cert, key, "X-SSL-Auth")
	fail(err)
	policy, err := access.Compile([]access.Rule{
		{Name: "signed", Clients: []string{"mail"}, Allow: []string{"POST /events"}, Proof: "require"},
		{Name: "bearer", Clients: []string{"mail"}, Allow: []string{"POST /bearer"}},
	}, nil)
	fail(err)
	value, body := certheader.Encode(certheader.Base64DER, cert.Raw), make([]byte, 120)
	signed = gate.Request{
		Time: now, Credential: []string{value}, Method: "POST", Target: "/events", Auth: gate.Bearer, Authority: "app.example",
		Header: http.Header{"X-Ssl-Auth": {value}, "Content-Type": {"application/json"}}, HasBody: true,
		Body: bodyFunc(func(string) ([]byte, error) { return body, nil }),
	}
	bearer = signed
	bearer.Target = "/bearer"
	fields, err := signer.Sign(httpsig.Message{
		Method: "POST", Target: "/events", Authority: "app.example", Header: signed.Header, HasBody: true, Body: func() ([]byte, error) { return body, nil },
	}, httpsig.Terms{Created: now})
	fail(err)
	maps.Copy(signed.Header, fields)
	verifier := trust.NewVerifier(keyring, nil, trust.Limits{})
	return &gate.Gate{
		Identifier: certcache.New(gate.Verification{Verifier: verifier, Names: identity.OU.Reader(), MaxCredentialBytes: 4096}),
		Policy:     policy,
		Signatures: gate.SignaturePolicy{Verifier: &httpsig.Verifier{CredentialHeader: "X-SSL-Auth", Nonces: anyNonce{}}},
	}, bearer, signed
}

// TestBearerAllocatesNothing checks that an unsigned request with a cached certificate
// allocates nothing.
func TestBearerAllocatesNothing(t *testing.T) {
	s := newStage(t, access.ProofOff)
	s.Identifier = certcache.New(s.Identifier)
	for _, path := range []string{"/off", "/unsaid"} {
		r := s.bearer(path)
		s.want(t, r, "", gate.Rate, gate.Bearer, "")
		if found := testing.AllocsPerRun(100, func() { s.Decide(r) }); found > 0 {
			t.Errorf("%s: want no allocation, found %v", path, found)
		}
	}
}
