package forward

import (
	"net/http"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/headers"
)

// FuzzHeaderFilter checks that the precomputed decisions about common names equal the
// result of the folded comparison, for every name and its other spellings.
func FuzzHeaderFilter(f *testing.F) {
	for _, name := range append([]string{"X-Ticket", "Te", "Proxy", "X-Client-Id", "X-Clientele", "x_ssl_auth", ""}, headers.Common()...) {
		f.Add(name)
	}
	filter := NewFilter([]string{"x-ticket", "", "Cookie"})
	f.Fuzz(func(t *testing.T, name string) {
		for _, n := range []string{name, http.CanonicalHeaderKey(name), strings.ToLower(name), strings.ReplaceAll(name, "-", "_")} {
			want := !headers.IsHopByHop(n) && !filter.Protects(n)
			if have := filter.forwards(n); have != want {
				t.Errorf("%q forwarded: %t, want %t", n, have, want)
			}
			kept := false
			filter.each(http.Header{n: {"x"}}, skipped{}, func(string, string) { kept = true })
			if kept != want {
				t.Errorf("%q kept: %t, want %t", n, kept, want)
			}
		}
	})
}

// TestSignatures checks that signature fields are stripped if the gateway has read them
// and forwarded otherwise.
func TestSignatures(t *testing.T) {
	filter := NewFilter(nil)
	kept := func(name string, signaturesRead bool) (kept bool) {
		filter.each(http.Header{name: {"x"}}, skipped{signaturesRead: signaturesRead}, func(string, string) { kept = true })
		return kept
	}
	for _, name := range []string{"Signature", "Signature-Input", "signature", "SIGNATURE-INPUT", "Signature_Input", "signature.input"} {
		if kept(name, true) || !kept(name, false) {
			t.Errorf("%s: kept %t when it was read and %t when not, want only the second", name, kept(name, true), kept(name, false))
		}
	}
	for _, name := range []string{"Content-Digest", "Accept-Signature", "Signatures", "Signature-", "Signature-Inputs", "X-Signature", "Signatur"} {
		if !kept(name, true) {
			t.Errorf("%s: want it forwarded, found it stripped", name)
		}
	}
}

// TestCommonNames checks that the precomputed names are canonical, because a lookup by
// another spelling finds nothing.
func TestCommonNames(t *testing.T) {
	filter := NewFilter([]string{"x-ticket"})
	for name := range filter.common {
		if name != http.CanonicalHeaderKey(name) {
			t.Errorf("%q is not canonical", name)
		}
	}
	if pass, ok := filter.common["X-Ticket"]; !ok || pass {
		t.Error("want the credential's header among the common names, to be dropped")
	}
	if len(NewFilter(nil).common) != len(headers.Common()) {
		t.Error("want the credential of one filter not in another")
	}
}
