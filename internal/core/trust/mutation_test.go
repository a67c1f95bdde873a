package trust_test

import (
	"bytes"
	"encoding/base64"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/trust"
)

// TestNoByteIsFree changes every byte of a good certificate, one at a time, and
// sends the result the way a request would: no mutant may be accepted, neither
// one that changes what was signed nor one that only spells it differently.
func TestNoByteIsFree(t *testing.T) {
	tests := []struct{ name, ca, client string }{
		{"RSA", "rsa:2048", "rsa:2048"},
		{"P-256", "ec:P-256", "ec:P-256"},
		{"Ed25519", "ed25519", "ed25519"},
	}
	const extensions = "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth"
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t)
			public, _ := o.authority("ca", tt.ca)
			o.key("mail", tt.client)
			for name, ext := range map[string]string{"version 1": "", "version 3": extensions} {
				cert := o.client(order{ca: "ca", key: "mail", extensions: ext})
				verifier := trust.NewVerifier(keyring(t, public), nil, trust.Limits{})
				if !accepts(verifier, midlife(cert), cert.Raw) {
					t.Fatalf("%s: the original is refused", name)
				}
				for i, change := range mutations(cert.Raw) {
					mutant := bytes.Clone(cert.Raw)
					mutant[i] ^= change
					if accepts(verifier, midlife(cert), mutant) {
						t.Errorf("%s: accepted with byte %d of %d changed by %#02x", name, i, len(mutant), change)
					}
				}
			}
		})
	}
}

// TestNoByteOfAChainIsFree is the same for a certificate below an intermediate:
// every byte of either.
func TestNoByteOfAChainIsFree(t *testing.T) {
	for _, kind := range []string{"rsa:2048", "ec:P-256", "ed25519"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t)
			_, ca := o.authority("ca", kind)
			one := o.intermediate(issuer{name: "one", ca: "ca", kind: kind})
			o.key("mail", kind)
			leaf := o.client(order{ca: "one", key: "mail"})
			verifier := trust.NewVerifier(keyring(t, ca), nil, trust.Limits{})
			good := [][]byte{leaf.Raw, one.Raw}
			if !accepts(verifier, midlife(leaf), good...) {
				t.Fatal("the original is refused")
			}
			for which, der := range good {
				for i, change := range mutations(der) {
					mutants := slices.Clone(good)
					mutants[which] = bytes.Clone(der)
					mutants[which][i] ^= change
					if accepts(verifier, midlife(leaf), mutants...) {
						t.Errorf("accepted with byte %d of certificate %d changed by %#02x", i, which, change)
					}
				}
			}
		})
	}
}

// mutations is every position with every change that is tried there.
func mutations(der []byte) iter.Seq2[int, byte] {
	return func(yield func(int, byte) bool) {
		for i := range der {
			for _, change := range []byte{0x01, 0x80, 0xff} {
				if !yield(i, change) {
					return
				}
			}
		}
	}
}

// accepts sends the certificates, the client's first, through the header and the verifier.
func accepts(verifier *trust.Verifier, now time.Time, ders ...[]byte) bool {
	var encoded []string
	for _, der := range ders {
		encoded = append(encoded, base64.StdEncoding.EncodeToString(der))
	}
	chain, err := certheader.Parse([]string{strings.Join(encoded, ",")}, 16<<10)
	if err != nil {
		return false
	}
	_, err = verifier.Verify(chain.Leaf, now, chain.Intermediates...)
	return err == nil
}
