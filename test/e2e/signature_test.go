package e2e

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/certgate/certgate/test/harness"
)

// NewSigner issues a certificate for a key of the algorithm and reads the key.
func NewSigner(t *testing.T, m *harness.MasterKey, o harness.CertificateOptions) harness.Signer {
	t.Helper()
	cert := m.Issue(t, o)
	file := o.Key
	if file == "" {
		file = "p256"
	}
	return harness.Signer{Certificate: cert, Key: m.ReadKey(t, file+".key")}
}

// replacing returns a copy with the text replaced in one header line. The text must occur
// once.
func replacing(t *testing.T, r harness.Request, old, changed string) harness.Request {
	t.Helper()
	found := 0
	lines := make([]string, len(r.Header))
	for i, line := range r.Header {
		found += strings.Count(line, old)
		lines[i] = strings.Replace(line, old, changed, 1)
	}
	if found != 1 {
		t.Fatalf("want the text to replace once, found it %d times", found)
	}
	r.Header = lines
	return r
}

// withoutField returns a copy without the field, which must be present.
func withoutField(t *testing.T, r harness.Request, field string) harness.Request {
	t.Helper()
	var lines []string
	for _, line := range r.Header {
		if name, _, _ := strings.Cut(line, ":"); !strings.EqualFold(name, field) {
			lines = append(lines, line)
		}
	}
	if len(lines) == len(r.Header) {
		t.Fatalf("want the field %s to be there", field)
	}
	r.Header = lines
	return r
}

func changed(r harness.Request, change func(*harness.Request)) harness.Request {
	change(&r)
	return r
}

// twice returns a copy with the same signature under a second label.
func twice(t *testing.T, r harness.Request) harness.Request {
	t.Helper()
	input, signature := r.Value("Signature-Input"), r.Value("Signature")
	return r.With("Signature-Input: "+strings.Replace(input, "sig1", "sig2", 1), "Signature: "+strings.Replace(signature, "sig1", "sig2", 1))
}

// flipped returns a copy in which one bit of the signature is changed.
func flipped(t *testing.T, r harness.Request) harness.Request {
	t.Helper()
	text := strings.TrimSuffix(strings.TrimPrefix(r.Value("Signature"), "sig1=:"), ":")
	signature, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	signature[len(signature)/2] ^= 1
	return withoutField(t, r, "Signature").With("Signature: sig1=:" + base64.StdEncoding.EncodeToString(signature) + ":")
}
