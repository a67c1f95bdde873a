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

// TestEveryByteOfACertificateCounts changes every byte of a valid certificate, one at a
// time, and parses and verifies the result as a header value. Every mutant must be
// refused, whether the change is inside the signed part or in the encoding around it.
func TestEveryByteOfACertificateCounts(t *testing.T) {
	tests := []struct{ name, ca, client string }{
		{"RSA", "rsa:2048", "rsa:2048"},
		{"P-256", "ec:P-256", "ec:P-256"},
		{"Ed25519", "ed25519", "ed25519"},
	}
	const extensions = "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth"
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := newOpenSSL(t)
			public, _ := o.newCA("ca", tt.ca)
			o.key("mail", tt.client)
			for name, ext := range map[string]string{"version 1": "", "version 3": extensions} {
				cert := o.client(clientOptions{ca: "ca", key: "mail", extensions: ext})
				verifier := trust.NewVerifier(keyring(t, public), nil, trust.Limits{})
				if !accepts(verifier, midValidity(cert), cert.Raw) {
					t.Fatalf("%s: the original is refused", name)
				}
				for i, change := range mutations(cert.Raw) {
					mutant := bytes.Clone(cert.Raw)
					mutant[i] ^= change
					if accepts(verifier, midValidity(cert), mutant) {
						t.Errorf("%s: accepted with byte %d of %d changed by %#02x", name, i, len(mutant), change)
					}
				}
			}
		})
	}
}

// TestEveryByteOfAChainCounts changes every byte of a client certificate and of the
// intermediate above it.
func TestEveryByteOfAChainCounts(t *testing.T) {
	for _, kind := range []string{"rsa:2048", "ec:P-256", "ed25519"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			o := newOpenSSL(t)
			_, ca := o.newCA("ca", kind)
			one := o.intermediate(intermediateOptions{name: "one", ca: "ca", kind: kind})
			o.key("mail", kind)
			leaf := o.client(clientOptions{ca: "one", key: "mail"})
			verifier := trust.NewVerifier(keyring(t, ca), nil, trust.Limits{})
			good := [][]byte{leaf.Raw, one.Raw}
			if !accepts(verifier, midValidity(leaf), good...) {
				t.Fatal("the original is refused")
			}
			for which, der := range good {
				for i, change := range mutations(der) {
					mutants := slices.Clone(good)
					mutants[which] = bytes.Clone(der)
					mutants[which][i] ^= change
					if accepts(verifier, midValidity(leaf), mutants...) {
						t.Errorf("accepted with byte %d of certificate %d changed by %#02x", i, which, change)
					}
				}
			}
		})
	}
}

// mutations yields every position with every change to try there. With -short it yields
// every eighth position.
func mutations(der []byte) iter.Seq2[int, byte] {
	step := 1
	if testing.Short() {
		step = 8
	}
	return func(yield func(int, byte) bool) {
		for i := 0; i < len(der); i += step {
			for _, change := range []byte{0x01, 0x80, 0xff} {
				if !yield(i, change) {
					return
				}
			}
		}
	}
}

// accepts parses the certificates as a header value, the client's first, and reports
// whether the verifier accepts them.
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
