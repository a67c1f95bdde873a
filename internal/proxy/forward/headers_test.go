package forward

import (
	"net/http"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/headers"
)

// FuzzHeaderFilter: what is decided once about common names is what the folded
// comparison says, for every name and for those that fold to the same.
func FuzzHeaderFilter(f *testing.F) {
	for _, name := range append([]string{"X-Ticket", "Te", "Proxy", "X-Client-Id", "X-Clientele", "x_ssl_auth", ""}, headers.Common()...) {
		f.Add(name)
	}
	filter := NewFilter([]string{"x-ticket", "", "Cookie"})
	f.Fuzz(func(t *testing.T, name string) {
		for _, n := range []string{name, http.CanonicalHeaderKey(name), strings.ToLower(name), strings.ReplaceAll(name, "-", "_")} {
			want := !headers.IsHopByHop(n) && !filter.Protects(n)
			if have := filter.forwards(n); have != want {
				t.Errorf("%q passes: %t, want %t", n, have, want)
			}
			kept := false
			filter.each(http.Header{n: {"x"}}, skipped{}, func(string, string) { kept = true })
			if kept != want {
				t.Errorf("%q kept: %t, want %t", n, kept, want)
			}
		}
	})
}

// TestSignatures: what the gateway has read is not for the service, and what it has
// not looked at is.
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
			t.Errorf("%s: not kept, want it kept", name)
		}
	}
}

// TestCommonNames: a name that is not canonical would never be found.
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
		t.Error("want one filter's credential not to show in another")
	}
}
