package certheader_test

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/certheader"
)

// TestPlusInFormEncoding checks that a literal plus in form-encoded base64 stays a plus,
// because base64 contains no spaces.
func TestPlusInFormEncoding(t *testing.T) {
	f := readFiles(t)
	value := strings.ReplaceAll(f.values["form"], "%2B", "+")
	if !strings.Contains(f.values["form"], "%2B") {
		t.Fatal("want a certificate with a plus in its base64")
	}
	chain, err := certheader.Parse([]string{value}, limit)
	if err != nil {
		t.Fatalf("refused: %v", err)
	}
	checkChain(t, chain, f.leaf.der)
}

// TestXFCCHash checks the accepted counterparts of the refused hashes: no name of the
// client's certificate occurs before Cert, or Hash is correct or absent.
func TestXFCCHash(t *testing.T) {
	f := readFiles(t)
	good, chain := f.values["xfcc-bare"], f.values["xfcc-bare-chain"]
	// From Envoy's documentation, for another certificate than the leaf.
	const otherHash = "By=http://frontend.lyft.com;Hash=468ed33be74eee6556d90c0149c1309e9ba61d6425303443c0748a02dd8de688"
	correct := fmt.Sprintf("Hash=%x", sha256.Sum256(f.leaf.der))
	tests := []struct {
		name, value string
		chain       bool
	}{
		{"other hash before Cert", otherHash + ";" + good, false},
		{"other hash before Chain", otherHash + ";" + chain, true},
		{"other hash, names after Cert", otherHash + ";" + good + ";URI=http://testclient.lyft.com;DNS=lyft.com;DNS=www.lyft.com", false},
		{"other hash, names after Cert and Chain", otherHash + ";" + good + ";" + chain + ";URI=;DNS=", true},
		{"other hash, Subject before Cert", otherHash + `;Subject="/C=US/ST=CA;URI=x/CN=Test Client";` + good, false},
		{"other hash after Cert", good + ";" + otherHash, false},
		{"empty", "Hash=;" + good, false},
		{"correct, URI before Cert", correct + ";URI=spiffe://mail;" + good, false},
		{"correct, in capitals, quoted DNS before Cert", strings.ToUpper(correct) + `;DNS="mail.example";` + good, false},
		{"correct, URI before Chain", correct + ";URI=;" + chain, true},
		{"none, URI before Cert", "URI=spiffe://mail;" + good, false},
		{"none, DNS before Chain", "DNS=mail.example;" + chain, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			have, err := certheader.Parse([]string{tt.value}, limit)
			want := [][]byte{f.leaf.der, f.intermediate.der}
			if !tt.chain {
				want = want[:1]
			}
			if err != nil {
				t.Fatalf("refused: %v", err)
			}
			checkChain(t, have, want...)
		})
	}
}

// TestXFCCFields checks that 128 fields are accepted.
func TestXFCCFields(t *testing.T) {
	f := readFiles(t)
	chain, err := certheader.Parse([]string{strings.Repeat("URI=;", 127) + f.values["xfcc-bare"]}, limit)
	if err != nil {
		t.Fatalf("refused: %v", err)
	}
	checkChain(t, chain, f.leaf.der)
}

// TestFourCertificates checks that four certificates are accepted.
func TestFourCertificates(t *testing.T) {
	f := readFiles(t)
	ders := [][]byte{f.leaf.der, f.intermediate.der, f.intermediate.der, f.intermediate.der}
	for _, form := range certheader.Forms() {
		chain, err := certheader.Parse([]string{certheader.Encode(form, ders...)}, limit)
		switch {
		case err != nil:
			t.Errorf("form %s: refused: %v", form, err)
		case form == certheader.RFC9440:
			checkChain(t, chain, f.leaf.der)
		default:
			checkChain(t, chain, ders...)
		}
	}
}
