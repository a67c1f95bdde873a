package certheader_test

import (
	"bytes"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/certheader"
)

// files holds the vectors and the certificates in them. testdata/README.md describes the
// origin of each vector.
type files struct {
	leaf, intermediate fixture
	values             map[string]string // by file name without .txt
}

func readFiles(tb testing.TB) files {
	tb.Helper()
	f := files{
		leaf:         readDER(tb, "testdata/golden.der"),
		intermediate: readDER(tb, "testdata/intermediate.der"),
		values:       map[string]string{},
	}
	paths, err := filepath.Glob("testdata/vectors/*.txt")
	if err != nil || len(paths) == 0 {
		tb.Fatalf("want vectors, found none (%v)", err)
	}
	for _, path := range paths {
		value, err := os.ReadFile(path)
		if err != nil {
			tb.Fatal(err)
		}
		f.values[strings.TrimSuffix(filepath.Base(path), ".txt")] = string(value)
	}
	return f
}

// chain reports whether a vector contains the intermediate too.
func (f files) chain(name string) bool {
	return strings.Contains(name, "chain")
}

// checkChain fails unless the chain has exactly these certificates, the client's first.
func checkChain(t *testing.T, got certheader.Chain, want ...[]byte) {
	t.Helper()
	ders := dersOf(got)
	if len(ders) != len(want) {
		t.Fatalf("want %d certificates, found %d", len(want), len(ders))
	}
	for i := range want {
		if !bytes.Equal(ders[i], want[i]) {
			t.Errorf("certificate %d differs", i)
		}
	}
}

func dersOf(c certheader.Chain) [][]byte {
	var ders [][]byte
	for _, cert := range append([]*x509.Certificate{c.Leaf}, c.Intermediates...) {
		if cert != nil {
			ders = append(ders, cert.Raw)
		}
	}
	return ders
}

func TestVectorFiles(t *testing.T) {
	f := readFiles(t)
	for name, value := range f.values {
		t.Run(name, func(t *testing.T) {
			chain, err := certheader.Parse([]string{value}, limit)
			if err != nil {
				t.Fatalf("refused: %v", err)
			}
			if f.chain(name) {
				checkChain(t, chain, f.leaf.der, f.intermediate.der)
			} else {
				checkChain(t, chain, f.leaf.der)
			}
		})
	}
}

// TestVectorFilesAreDescribed checks that the README contains every vector.
func TestVectorFilesAreDescribed(t *testing.T) {
	readme, err := os.ReadFile("testdata/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range readFiles(t).values {
		if !strings.Contains(string(readme), "`"+name+"`") {
			t.Errorf("want %s in testdata/README.md", name)
		}
	}
}

// TestEncode compares every form with a value that another program made.
func TestEncode(t *testing.T) {
	f := readFiles(t)
	tests := []struct {
		form       certheader.Form
		one, chain string
	}{
		{certheader.PercentPEM, "nginx-escaped", "percent-chain"},
		{certheader.FormPEM, "form", "form-chain"},
		{certheader.SpacedPEM, "apache-spaced", "spaces-chain"},
		{certheader.EscapedPEM, "backslash-n", "backslash-n-chain"},
		{certheader.JoinedPEM, "joined", "joined-chain"},
		{certheader.Base64PEM, "apache-base64", "base64-pem-lf-chain"},
		{certheader.Base64DER, "haproxy-der", "der-chain"},
		{certheader.RFC9440, "haproxy-rfc9440", "haproxy-rfc9440"},
		{certheader.XFCC, "xfcc-bare", "xfcc-bare-chain"},
		{"unknown", "haproxy-der", "der-chain"},
	}
	if len(tests) != len(certheader.Forms())+1 {
		t.Error("want a case for every form and one for an unknown form")
	}
	for _, tt := range tests {
		if certheader.Encode(tt.form, f.leaf.der) != f.values[tt.one] {
			t.Errorf("form %q: one certificate is not written as in %s", tt.form, tt.one)
		}
		if certheader.Encode(tt.form, f.leaf.der, f.intermediate.der) != f.values[tt.chain] {
			t.Errorf("form %q: a chain is not written as in %s", tt.form, tt.chain)
		}
	}
}
