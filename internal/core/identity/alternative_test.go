package identity_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/testkit/ca"
)

func uri(text string) asn1.RawValue   { return generalName(6, text) }
func dns(text string) asn1.RawValue   { return generalName(2, text) }
func email(text string) asn1.RawValue { return generalName(1, text) }

func generalName(tag int, text string) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, Bytes: []byte(text)}
}

// constructed returns the name in the constructed encoding, which crypto/x509 omits.
func constructed(n asn1.RawValue) asn1.RawValue {
	inner, err := asn1.Marshal(asn1.RawValue{Tag: asn1.TagIA5String, Bytes: n.Bytes})
	if err != nil {
		panic(err)
	}
	n.IsCompound, n.Bytes = true, inner
	return n
}

// withNames returns a certificate without subject and with the subject alternative names:
// see sign.
func withNames(t *testing.T, names ...asn1.RawValue) (*x509.Certificate, *trust.Keyring, error) {
	t.Helper()
	return withExtension(t, mustMarshal(t, names...))
}

func withExtension(t *testing.T, value []byte) (*x509.Certificate, *trust.Keyring, error) {
	t.Helper()
	return sign(t, func(template *x509.Certificate) {
		template.Subject = pkix.Name{}
		template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: value}}
	})
}

func TestAlternativeNames(t *testing.T) {
	const id = "spiffe://example.org/mail"
	tests := []struct {
		name   string
		source identity.Source
		names  []asn1.RawValue
		want   string // the client, or "" for a refusal
		reason refusal.Reason
		detail string
	}{
		{name: "URI", source: identity.URI, names: []asn1.RawValue{uri(id)}, want: id},
		{name: "URI beside other kinds", source: identity.URI, names: []asn1.RawValue{dns("a.example"), uri(id), email("a@b.example"), generalName(7, "\x7f\x00\x00\x01")}, want: id},
		{name: "DNS", source: identity.DNS, names: []asn1.RawValue{dns("mail.example.org")}, want: "mail.example.org"},
		{name: "DNS in capitals", source: identity.DNS, names: []asn1.RawValue{dns("MAIL.Example.org")}, want: "mail.example.org"},
		{name: "email", source: identity.Email, names: []asn1.RawValue{email("mail@example.org")}, want: "mail@example.org"},
		{name: "email keeps its case", source: identity.Email, names: []asn1.RawValue{email("Mail@example.org")}, want: "Mail@example.org"},

		{name: "no URI", source: identity.URI, names: []asn1.RawValue{dns("a.example"), email("a@b.example")}, reason: refusal.IdentityMissing, detail: `want one URI, found none; the certificate has a client name of another kind: dns "a.example", email "a@b.example"`},
		{name: "no DNS name", source: identity.DNS, names: []asn1.RawValue{uri(id)}, reason: refusal.IdentityMissing, detail: `found none; the certificate has a client name of another kind: uri "` + id + `"`},
		{name: "no email address", source: identity.Email, names: []asn1.RawValue{dns("a.example"), dns("b.example")}, reason: refusal.IdentityMissing, detail: "want one email address, found none"},
		{name: "no OU", source: identity.OU, names: []asn1.RawValue{uri(id)}, reason: refusal.IdentityMissing, detail: `uri "` + id + `"`},
		{name: "no names at all", source: identity.URI, names: []asn1.RawValue{}, reason: refusal.IdentityMissing, detail: "found none"},
		{name: "IP address only", source: identity.DNS, names: []asn1.RawValue{generalName(7, "\x7f\x00\x00\x01")}, reason: refusal.IdentityMissing, detail: "found none"},

		{name: "two URIs", source: identity.URI, names: []asn1.RawValue{uri(id), uri("spiffe://example.org/admin")}, reason: refusal.IdentityAmbiguous, detail: "found 2"},
		{name: "the same URI twice", source: identity.URI, names: []asn1.RawValue{uri(id), uri(id)}, reason: refusal.IdentityAmbiguous, detail: "found 2"},
		{name: "SPIFFE ID beside another URI", source: identity.URI, names: []asn1.RawValue{uri(id), uri("urn:a:b")}, reason: refusal.IdentityAmbiguous, detail: "found 2"},
		{name: "valid and invalid URI", source: identity.URI, names: []asn1.RawValue{uri(id), uri("relative")}, reason: refusal.IdentityAmbiguous, detail: "found 2"},
		{name: "valid and empty URI", source: identity.URI, names: []asn1.RawValue{uri(id), uri("")}, reason: refusal.IdentityAmbiguous, detail: "found 2"},
		{name: "a second URI that crypto/x509 omits", source: identity.URI, names: []asn1.RawValue{uri(id), constructed(uri("urn:a:b"))}, reason: refusal.IdentityAmbiguous, detail: "found 2"},
		{name: "two DNS names", source: identity.DNS, names: []asn1.RawValue{dns("a.example"), dns("b.example")}, reason: refusal.IdentityAmbiguous, detail: "found 2"},
		{name: "two DNS names that differ in case", source: identity.DNS, names: []asn1.RawValue{dns("a.example"), dns("A.example")}, reason: refusal.IdentityAmbiguous, detail: "found 2"},
		{name: "DNS name and wildcard", source: identity.DNS, names: []asn1.RawValue{dns("a.example"), dns("*.a.example")}, reason: refusal.IdentityAmbiguous, detail: "found 2"},
		{name: "two email addresses", source: identity.Email, names: []asn1.RawValue{email("a@b.example"), email("c@b.example")}, reason: refusal.IdentityAmbiguous, detail: "found 2"},

		{name: "a URI that crypto/x509 omits", source: identity.URI, names: []asn1.RawValue{constructed(uri(id))}, reason: refusal.IdentityInvalid, detail: "constructed"},
		{name: "a DNS name that crypto/x509 omits", source: identity.DNS, names: []asn1.RawValue{constructed(dns("a.example"))}, reason: refusal.IdentityInvalid, detail: "constructed"},
		{name: "a name of another class", source: identity.URI, names: []asn1.RawValue{uri(id), {Tag: asn1.TagIA5String, Bytes: []byte(id)}}, reason: refusal.IdentityInvalid, detail: "ASN.1 class"},
		{name: "userinfo that net/url understands", source: identity.URI, names: []asn1.RawValue{uri("https://a@b.example/c")}, reason: refusal.IdentityInvalid, detail: "user information"},
		{name: "percent-encoding that net/url decodes", source: identity.URI, names: []asn1.RawValue{uri("spiffe://example.org/m%61il")}, reason: refusal.IdentityInvalid, detail: "'%'"},
		{name: "scheme in capitals that net/url folds", source: identity.URI, names: []asn1.RawValue{uri("SPIFFE://example.org/mail")}, reason: refusal.IdentityInvalid, detail: "scheme of lower-case"},
		{name: "empty URI", source: identity.URI, names: []asn1.RawValue{uri("")}, reason: refusal.IdentityInvalid, detail: "found 0"},
		{name: "long URI", source: identity.URI, names: []asn1.RawValue{uri("urn:" + strings.Repeat("a", 9000))}, reason: refusal.IdentityInvalid, detail: "found 9004"},
		{name: "wildcard", source: identity.DNS, names: []asn1.RawValue{dns("*.example.org")}, reason: refusal.IdentityInvalid, detail: "'*'"},
		{name: "IP address as DNS name", source: identity.DNS, names: []asn1.RawValue{dns("192.0.2.1")}, reason: refusal.IdentityInvalid, detail: "number"},
		{name: "NUL in a DNS name", source: identity.DNS, names: []asn1.RawValue{dns("mail.example\x00.other.example")}, reason: refusal.IdentityInvalid, detail: `'\x00'`},
		{name: "NUL in an email address", source: identity.Email, names: []asn1.RawValue{email("mail@example.org\x00")}, reason: refusal.IdentityInvalid, detail: `'\x00'`},
		{name: "newline in an email address", source: identity.Email, names: []asn1.RawValue{email("mail\n@example.org")}, reason: refusal.IdentityInvalid, detail: `'\n'`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cert, keyring, err := withNames(t, tt.names...)
			if err != nil {
				t.Fatalf("ParseCertificate: %v", err)
			}
			v, err := trust.NewVerifier(keyring, nil, trust.Limits{}).Verify(cert, ca.Now())
			if err != nil {
				t.Fatalf("Verify: %v", err)
			}
			client, err := tt.source.Reader().Of(v)
			if tt.want != "" {
				if err != nil || client.Name() != tt.want || client.Source() != tt.source || !client.Valid() {
					t.Errorf("Of = %q, %v; want %q", client.Name(), err, tt.want)
				}
				return
			}
			wantRefusal(t, client, err, tt.reason, tt.detail)
		})
	}
}

// TestUnreadableAlternativeNames checks encodings that crypto/x509 refuses, or reads only
// in part: no name may be overlooked, whichever of the two refuses.
func TestUnreadableAlternativeNames(t *testing.T) {
	valid := mustMarshal(t, uri("spiffe://example.org/mail"))
	tests := map[string][]byte{
		"bytes after the end":         append(append([]byte{}, valid...), valid...),
		"umlaut in a URI":             mustMarshal(t, uri("urn:\xe4")),
		"not a sequence":              mustMarshal(t)[:0],
		"URI that net/url refuses":    mustMarshal(t, uri("https://a b/")),
		"host that is not valid":      mustMarshal(t, uri("https://a..b/")),
		"DNS name that is not ASCII":  mustMarshal(t, uri("spiffe://example.org/mail"), dns("b\xfc")),
		"indefinite length":           {0x30, 0x80, 0x86, 5, 'u', 'r', 'n', ':', 'a', 0, 0},
		"length in more than minimum": {0x30, 0x81, 7, 0x86, 5, 'u', 'r', 'n', ':', 'a'},
	}
	for name, der := range tests {
		t.Run(name, func(t *testing.T) {
			cert, keyring, err := withExtension(t, der)
			if err != nil {
				return
			}
			v, err := trust.NewVerifier(keyring, nil, trust.Limits{}).Verify(cert, ca.Now())
			if err != nil {
				return
			}
			for _, s := range []identity.Source{identity.URI, identity.DNS, identity.Email} {
				if client, err := s.Reader().Of(v); refusal.Of(err) == nil {
					t.Errorf("%s: Of = %q, %v; want a refusal", s, client.Name(), err)
				}
			}
		})
	}
}

func mustMarshal(t *testing.T, names ...asn1.RawValue) []byte {
	t.Helper()
	der, err := asn1.Marshal(names)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// TestCommonName checks the common name as TestOfAccepts and TestOfRefuses check the OU.
func TestCommonName(t *testing.T) {
	tests := []struct {
		name    string
		subject []relativeNameSET
		want    string
		reason  refusal.Reason
	}{
		{"one", subject(cn("mail")), "mail", ""},
		{"beside an OU", subject(ou("social"), cn("mail")), "mail", ""},
		{"none", subject(ou("mail")), "", refusal.IdentityMissing},
		{"two", subject(cn("mail"), cn("admin")), "", refusal.IdentityAmbiguous},
		{"the same twice", subject(cn("mail"), cn("mail")), "", refusal.IdentityAmbiguous},
		{"two in one set", []relativeNameSET{{cn("mail"), cn("admin")}}, "", refusal.IdentityAmbiguous},
		{"a second one that is empty", subject(cn("mail"), cn("")), "", refusal.IdentityAmbiguous},
		{"empty", subject(cn("")), "", refusal.IdentityInvalid},
		{"wildcard", subject(cn("*")), "", refusal.IdentityInvalid},
		{"comma", subject(cn("mail,social")), "", refusal.IdentityInvalid},
		{"BMPString with the NUL that crypto/x509 removes", subject(text(commonName, asn1.TagBMPString, utf16be("mail\x00"))), "", refusal.IdentityInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client, err := identity.CN.Reader().Of(verified(t, tt.subject))
			if tt.want != "" && (err != nil || client.Name() != tt.want) {
				t.Errorf("Of = %q, %v; want %q", client.Name(), err, tt.want)
			}
			if refused := refusal.Of(err); tt.want == "" && (refused == nil || refused.Reason != tt.reason || client.Valid()) {
				t.Errorf("Of = %q, %v; want %s", client.Name(), err, tt.reason)
			}
		})
	}
}

// FuzzReader checks that a name which a reader returns is the only value of its kind in
// the bytes of the certificate, apart from the case of DNS names.
func FuzzReader(f *testing.F) {
	f.Add("spiffe://example.org/mail", "mail.example.org", "mail@example.org", byte(0))
	f.Add("urn:a:b", "A.example", "a@b", byte(1))
	f.Fuzz(func(t *testing.T, u, d, e string, more byte) {
		names := []asn1.RawValue{uri(u), dns(d), email(e)}
		if more&1 != 0 {
			names = append(names, uri(d))
		}
		if more&2 != 0 {
			names = append(names, constructed(dns(u)))
		}
		der, err := asn1.Marshal(names)
		if err != nil {
			t.Skip()
		}
		cert := &x509.Certificate{Extensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: der}}}
		for s, want := range map[identity.Source]string{identity.URI: u, identity.DNS: strings.ToLower(d), identity.Email: e} {
			name, err := s.Reader().Displayed(cert)
			if err != nil {
				continue
			}
			if name != want || s.CheckName(name) != nil || s == identity.URI && more&1 != 0 || s == identity.DNS && more&2 != 0 {
				t.Errorf("%s: found %q in %q with more names %d", s, name, []string{u, d, e}, more)
			}
		}
	})
}
