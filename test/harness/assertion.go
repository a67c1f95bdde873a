package harness

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"path/filepath"
	"strings"
	"testing"
)

// AssertionEnabled returns the settings with which a gateway signs assertions with a new key.
func AssertionEnabled(t *testing.T) Env {
	t.Helper()
	return Env{
		"ASSERTION_KEY_FILE": WriteFile(t, NewAssertionKey(t), filepath.Join(t.TempDir(), "assertion.key")),
		"ASSERTION_ISSUER":   "https://gateway.example", "ASSERTION_AUDIENCE": "schedule",
	}
}

// NewAssertionKey returns a new private key for assertions, in PEM.
func NewAssertionKey(t *testing.T) string {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// AssertionClaims are some claims of an assertion.
type AssertionClaims struct {
	Subject string `json:"sub"`
	Method  string `json:"htm"`
	Target  string `json:"htu"`
}

// WantAssertion expects one assertion in the header lines of an upstream request and returns
// its claims. It does not verify the signature.
func WantAssertion(t *testing.T, head []string) (claims AssertionClaims) {
	t.Helper()
	values := HeaderValues(head, "X-Client-Assertion")
	if len(values) != 1 || strings.Count(values[0], ".") != 2 {
		t.Fatalf("want one assertion, found %q", values)
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(values[0], ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}
