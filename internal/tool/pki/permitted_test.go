package pki

import (
	"testing"

	"github.com/certgate/certgate/internal/core/identity"
)

// TestPermitted checks for each source that an authority with name constraints issues the
// permitted names only, and that its other sources are not limited.
func TestPermitted(t *testing.T) {
	tests := []struct {
		permit  string
		source  identity.Source
		inside  string
		outside string
	}{
		{"ou=mail", identity.OU, "mail", "social"},
		{"cn=mail", identity.CN, "mail", "Mail"},
		{"dns=partner.example", identity.DNS, "mail.partner.example", "mail.example.org"},
		{"uri=partner.example", identity.URI, "spiffe://partner.example/mail", "spiffe://tenant.partner.example/mail"},
		{"uri=.partner.example", identity.URI, "spiffe://tenant.partner.example/mail", "spiffe://partner.example/mail"},
		{"email=partner.example", identity.Email, "mail@partner.example", "mail@tenant.partner.example"},
		{"email=mail@partner.example", identity.Email, "mail@partner.example", "social@partner.example"},
	}
	for _, tt := range tests {
		p, err := ParsePermitted(tt.permit)
		wantError(t, err, "")
		options := goodOptions()
		options.Permitted = []Permitted{p}
		a := mustNew(t, options)
		request := Request{Client: tt.inside, Source: tt.source, PublicKey: mustGenerate(t, P256).Public(), Lifetime: day, Now: epoch}
		issued, err := a.Issue(request)
		wantError(t, err, "")
		v, err := newVerifier(t, a.CertificatePEM()).Verify(issued, epoch)
		wantError(t, err, "")
		if client, err := tt.source.Reader().Of(v); err != nil || client.Name() != tt.inside {
			t.Errorf("%s: Of = %q, %v; want %q", tt.permit, client.Name(), err, tt.inside)
		}
		request.Client = tt.outside
		_, err = a.Issue(request)
		wantError(t, err, "want a client name that the name constraints of the CA permit")
	}
}

func TestParsePermittedErrors(t *testing.T) {
	for text, want := range map[string]string{
		"mail": "want SOURCE=NAME", "": "want SOURCE=NAME", "ou=": "want 1 to 64 characters", "OU=mail": "want ou, cn, uri, dns or email",
		"uri=spiffe://partner.example/": "want only lower-case", "uri=": "want 1 to 253", "dns=.partner.example": "want labels",
		"dns=*.partner.example": "want only lower-case", "email=a@b@c": "after the @", "ou=*": "want only ASCII letters",
	} {
		_, err := ParsePermitted(text)
		wantError(t, err, want)
	}
}
