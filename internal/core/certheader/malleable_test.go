package certheader_test

import (
	"bytes"
	"crypto/x509"
	"testing"

	"github.com/certgate/certgate/internal/core/certheader"
)

// TestShiftedSignature checks that unused bits in the signature are refused. A BIT STRING
// may have unused bits at its end, and crypto/x509 shifts the content back. An ECDSA
// signature begins with the byte 0x30, whose two upper bits are zero, so any sender can
// shift it two bits to the left.
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

// shiftLeft returns the content of a BIT STRING: the number of unused bits and the bytes
// shifted by that number.
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
