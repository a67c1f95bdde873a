package httpsig

import (
	"bytes"
	"crypto/ecdsa"
	"encoding/asn1"
	"errors"
	"math/big"
)

// verifyECDSA verifies the concatenation of r and s, each as long as the curve's order
// (RFC 9421, section 3.3.4). DER signatures are rejected.
func verifyECDSA(key *ecdsa.PublicKey, digest, signature []byte) bool {
	size := orderSize(key)
	return len(signature) == 2*size && ecdsa.VerifyASN1(key, digest, derECDSA(signature, size))
}

// derECDSA converts the concatenation of r and s, each of size bytes, to DER. The size is at
// most 60, so that every length fits into one byte.
func derECDSA(raw []byte, size int) []byte {
	der := make([]byte, 2, 2+2*(3+48)) // enough for P-384
	der = appendInteger(der, raw[:size])
	der = appendInteger(der, raw[size:])
	der[0], der[1] = asn1.TagSequence|0x20, byte(len(der)-2) //nolint:gosec // see above
	return der
}

// appendInteger appends an unsigned big-endian number as a DER integer, which has no
// superfluous leading zeros, and one zero before a first bit that is set.
func appendInteger(der, number []byte) []byte {
	number = bytes.TrimLeft(number, "\x00")
	if len(number) > 0 && number[0] < 0x80 {
		return append(append(der, asn1.TagInteger, byte(len(number))), number...) //nolint:gosec // see derECDSA
	}
	return append(append(der, asn1.TagInteger, byte(len(number)+1), 0), number...) //nolint:gosec // see derECDSA
}

func orderSize(key *ecdsa.PublicKey) int { return (key.Params().N.BitLen() + 7) / 8 }

// rawECDSA converts the DER signature of a [crypto.Signer] to the concatenation of r
// and s, each of size bytes.
func rawECDSA(der []byte, size int) ([]byte, error) {
	var pair struct{ R, S *big.Int }
	rest, err := asn1.Unmarshal(der, &pair)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 || pair.R.Sign() <= 0 || pair.S.Sign() <= 0 || pair.R.BitLen() > 8*size || pair.S.BitLen() > 8*size {
		return nil, errors.New("want an ECDSA signature in DER from the key, found other bytes")
	}
	raw := make([]byte, 2*size)
	pair.R.FillBytes(raw[:size])
	pair.S.FillBytes(raw[size:])
	return raw, nil
}
