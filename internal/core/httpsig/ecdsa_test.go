package httpsig_test

import (
	"bytes"
	"encoding/asn1"
	"math/big"
	"slices"
	"testing"

	"github.com/certgate/certgate/internal/core/httpsig"
)

// FuzzDERECDSA checks that the DER of a signature is the same as that of encoding/asn1.
func FuzzDERECDSA(f *testing.F) {
	for _, size := range []int{32, 48} {
		for _, first := range []byte{0, 1, 0x7f, 0x80, 0xff} {
			f.Add(slices.Repeat([]byte{first}, 2*size))
			f.Add(append([]byte{first}, bytes.Repeat([]byte{0x80}, 2*size-1)...))
			f.Add(append([]byte{0, first}, bytes.Repeat([]byte{0x7f}, 2*size-2)...))
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		size := len(raw) / 2
		if size > 60 || len(raw)%2 != 0 {
			return
		}
		want, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(raw[:size]), new(big.Int).SetBytes(raw[size:])})
		if err != nil {
			t.Fatal(err)
		}
		if der := httpsig.DERECDSA(raw, size); !bytes.Equal(der, want) {
			t.Fatalf("want %x, found %x", want, der)
		}
	})
}
