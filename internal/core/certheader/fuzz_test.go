package certheader_test

import (
	"bytes"
	"encoding/pem"
	"net/url"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/certheader"
)

// FuzzParse checks two properties for any value: Parse does not panic, and Parse returns
// accepted certificates unchanged when they are encoded in every form.
func FuzzParse(f *testing.F) {
	vectors := readFiles(f)
	for _, value := range vectors.values {
		f.Add(value)
	}
	for _, h := range hostileValues(vectors) {
		f.Add(h.value)
	}
	fix := newFixture(f, "ed25519")
	for _, form := range certheader.Forms() {
		f.Add(certheader.Encode(form, fix.der, fix.der))
	}
	f.Fuzz(func(t *testing.T, value string) {
		chain, err := certheader.Parse([]string{value}, limit)
		if err != nil {
			checkChain(t, chain)
			return
		}
		ders := dersOf(chain)
		for _, form := range certheader.Forms() {
			want := ders
			if form == certheader.RFC9440 {
				want = ders[:1]
			}
			again, err := certheader.Parse([]string{certheader.Encode(form, ders...)}, 8*limit)
			if err != nil {
				t.Fatalf("want form %s to be parsed: %v", form, err)
			}
			checkChain(t, again, want...)
		}
	})
}

// FuzzPercentPEM compares Parse with net/url and encoding/pem. These are more lenient, so
// they must accept every value that Parse accepts and return the same certificates.
func FuzzPercentPEM(f *testing.F) {
	for _, value := range readFiles(f).values {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if !strings.HasPrefix(value, "-----BEGIN%20") || !strings.Contains(strings.ToUpper(value), "-----%0") {
			return // encoding/pem needs line breaks
		}
		chain, err := certheader.Parse([]string{value}, limit)
		if err != nil {
			return
		}
		text, err := url.PathUnescape(value)
		if err != nil {
			t.Fatalf("net/url refuses it: %v", err)
		}
		rest := []byte(text)
		for i, der := range dersOf(chain) {
			var block *pem.Block
			block, rest = pem.Decode(rest)
			if block == nil || block.Type != "CERTIFICATE" || len(block.Headers) > 0 || !bytes.Equal(block.Bytes, der) {
				t.Fatalf("encoding/pem reads certificate %d differently", i)
			}
		}
		if len(rest) > 0 {
			t.Error("encoding/pem finds more after the certificates")
		}
	})
}
