package certheader_test

import (
	"bytes"
	"encoding/pem"
	"net/url"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/certheader"
)

// FuzzParse holds any value to two properties: nothing panics, and what is
// accepted are certificates that every form carries unchanged.
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
				t.Fatalf("form %s does not carry the certificates: %v", form, err)
			}
			checkChain(t, again, want...)
		}
	})
}

// FuzzPercentPEM compares with a reader that shares no code with ours: net/url
// and encoding/pem. Theirs is the laxer one, so what we take they must take, and
// read the same in it.
func FuzzPercentPEM(f *testing.F) {
	for _, value := range readFiles(f).values {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if !strings.HasPrefix(value, "-----BEGIN%20") || !strings.Contains(strings.ToUpper(value), "-----%0") {
			return // no escaped line ends, which encoding/pem needs
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
			t.Error("encoding/pem finds more behind the certificates")
		}
	})
}
