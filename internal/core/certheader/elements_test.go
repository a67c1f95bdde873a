package certheader

import (
	"bytes"
	"encoding/asn1"
	"testing"
)

func TestCountElements(t *testing.T) {
	oneByte := []byte{0x05, 0x00}
	octets := func(content ...byte) []byte { return append([]byte{0x04, byte(len(content))}, content...) }
	tests := []struct {
		name string
		der  []byte
		want int
	}{
		{"nothing", nil, 0},
		{"a NULL", oneByte, 1},
		{"two elements", []byte{5, 0, 5, 0}, 2},
		{"a SEQUENCE of two", []byte{0x30, 4, 5, 0, 5, 0}, 3},
		{"a SET of one", []byte{0x31, 2, 5, 0}, 2},
		{"a context tag of one", []byte{0xa3, 2, 5, 0}, 2},
		{"an OCTET STRING of bytes", octets(5, 0), 1},
		{"an OCTET STRING that holds a SEQUENCE", octets(0x30, 2, 5, 0), 3},
		{"an OID of 7 bytes", append([]byte{6, 7}, make([]byte, 7)...), 2},
		{"an OID of 16 bytes", append([]byte{6, 16}, make([]byte, 16)...), 4},
		{"a URI", []byte{0x86, 2, 'a', ':'}, 2},
		{"a DNS name", []byte{0x82, 1, 'a'}, 1},
		{"a BIT STRING", []byte{3, 5, 0, 0x30, 2, 5, 0}, 1},
		{"a length of two bytes", append([]byte{0x30, 0x81, 0x80}, bytes.Repeat(oneByte, 64)...), 65},
		{"a length of three bytes", append([]byte{0x30, 0x82, 0x01, 0x00}, bytes.Repeat(oneByte, 128)...), 129},
		{"content that ends early", []byte{0x30, 6, 5, 0, 5, 0}, 0},
		{"damaged content", []byte{0x30, 4, 5, 0, 5, 9, 5, 0}, 3},
		{"an indefinite length", []byte{0x30, 0x80, 5, 0, 0, 0}, 0},
		{"a long tag number", []byte{0x3f, 0x81, 1, 2, 5, 0}, 0},
		{"the limit", bytes.Repeat(oneByte, maxElements), maxElements},
		{"more than the limit", bytes.Repeat(oneByte, 10*maxElements), maxElements + 1},
		{"nested beyond the limit", nested(t, 2*maxElements), maxElements + 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := countElements([][]byte{tt.der}); got != tt.want {
				t.Errorf("want %d elements, found %d", tt.want, got)
			}
		})
	}
	if got := countElements([][]byte{oneByte, oneByte}); got != 2 {
		t.Errorf("want the elements of both certificates, found %d", got)
	}
}

// nested returns as many SEQUENCE elements inside each other.
func nested(t *testing.T, depth int) []byte {
	t.Helper()
	var der []byte
	for range depth {
		var err error
		if der, err = asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: der}); err != nil {
			t.Fatal(err)
		}
	}
	return der
}

// TestHasControl puts every byte at every position of two words, and compares the result
// with the definition.
func TestHasControl(t *testing.T) {
	for _, other := range []byte{'A', 0x80, 0xff, '\t'} {
		for position := range 19 {
			for c := range 256 {
				value := bytes.Repeat([]byte{other}, 19)
				value[position] = byte(c)
				want := c < 0x20 && c != '\t' || c == 0x7f
				if got := hasControl(string(value)); got != want {
					t.Fatalf("%q: want %t, found %t", value, want, got)
				}
			}
		}
	}
}
