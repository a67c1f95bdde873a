package e2e

import (
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

// replacing is a copy with a text in one header line replaced, which is there.
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

// withoutField is a copy without the field.
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
