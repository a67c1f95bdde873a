package certheader_test

import (
	"bytes"
	"crypto/x509"
	"testing"

	"github.com/certgate/certgate/internal/certheader"
)

// TestShiftedSignature: a BIT STRING may leave bits at its end unused, and
// crypto/x509 shifts the rest back into place. An ECDSA signature begins with
// the byte 30, whose two upper bits are zero, so anybody can write it two bits
// to the left.
func TestShiftedSignature(t *testing.T) {
	f := newFixture(t, "p256")
	tbs, algorithm, signature := f.elements(t)
	shifted := append([]byte{3, byte(len(signature.Bytes))}, shiftLeft(signature.Bytes[1:], 2)...)
	der := sequence(t, tbs.FullBytes, algorithm.FullBytes, shifted)

	original, err := x509.ParseCertificate(f.der)
	if err != nil {
		t.Fatal(err)
	}
	lenient, err := x509.ParseCertificate(der)
	if err != nil || !bytes.Equal(lenient.Signature, original.Signature) {
		t.Fatalf("want a value that crypto/x509 reads as the same signature, found another (%v)", err)
	}
	_, err = certheader.Parse([]string{base64Of(der)}, limit)
	checkReason(t, err, malformed)
}

// shiftLeft is the content of a BIT STRING: the number of unused bits, then the
// bytes moved up by as many.
func shiftLeft(b []byte, bits int) []byte {
	shifted := []byte{byte(bits)}
	for i, c := range b {
		next := byte(0)
		if i+1 < len(b) {
			next = b[i+1] >> (8 - bits)
		}
		shifted = append(shifted, c<<bits|next)
	}
	return shifted
}

// FuzzParse holds any value to two properties: nothing panics, and what is
// accepted is one certificate that every form carries unchanged.
func FuzzParse(f *testing.F) {
	fix := newFixture(f, "ed25519")
	for _, form := range forms {
		f.Add(certheader.Encode(form, fix.der))
	}
	for _, vectors := range [][]vector{percentVectors(fix), boundaryVectors(fix), lineVectors(fix), base64Vectors(fix), shapeVectors(fix)} {
		for _, v := range vectors {
			f.Add(v.value)
		}
	}
	f.Fuzz(func(t *testing.T, value string) {
		cert, err := certheader.Parse([]string{value}, limit)
		if err != nil {
			if cert.Leaf != nil {
				t.Fatal("want a certificate or an error, found both")
			}
			return
		}
		for _, form := range forms {
			again, err := certheader.Parse([]string{certheader.Encode(form, cert.Leaf.Raw)}, 8*limit)
			if err != nil || !bytes.Equal(again.Leaf.Raw, cert.Leaf.Raw) {
				t.Fatalf("form %s does not carry the certificate: %v", form, err)
			}
		}
	})
}

// Parse is on the way of every request: it runs before anything is known about
// the sender, so its cost is also what a stranger can make the gateway spend.
func BenchmarkParse(b *testing.B) {
	f := newFixture(b, "rsa")
	for _, form := range forms {
		values := []string{certheader.Encode(form, f.der)}
		b.Run(string(form), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := certheader.Parse(values, limit); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	flood := []string{floodVectors()[3].value}
	b.Run("refused flood", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := certheader.Parse(flood, limit); err == nil {
				b.Fatal("accepted")
			}
		}
	})
}
