package trust_test

import (
	"bytes"
	"encoding/base64"
	"iter"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/certheader"
	"github.com/certgate/certgate/internal/trust"
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
				if !accepts(verifier, cert.Raw, midlife(cert)) {
					t.Fatalf("%s: the original is refused", name)
				}
				for i, change := range mutations(cert.Raw) {
					mutant := bytes.Clone(cert.Raw)
					mutant[i] ^= change
					if accepts(verifier, mutant, midlife(cert)) {
						t.Errorf("%s: accepted with byte %d of %d changed by %#02x", name, i, len(mutant), change)
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

// accepts sends der through the header and the verifier.
func accepts(verifier *trust.Verifier, der []byte, now time.Time) bool {
	chain, err := certheader.Parse([]string{base64.StdEncoding.EncodeToString(der)}, 16<<10)
	if err != nil {
		return false
	}
	_, err = verifier.Verify(chain.Leaf, now)
	return err == nil
}
