package trust_test

import (
	"crypto/x509"
	"net/url"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/testkit/ca"
)

// TestConstraintsOfEverySource checks that the name constraints of an anchor and of an
// intermediate limit each part of a certificate that can hold the client's name. It
// compares with openssl, except in the cases that differ on purpose. A bare public key has
// no constraints.
func TestConstraintsOfEverySource(t *testing.T) {
	type change = func(*x509.Certificate)
	uris := func(permitted, excluded []string) change {
		return func(c *x509.Certificate) { c.PermittedURIDomains, c.ExcludedURIDomains = permitted, excluded }
	}
	dns := func(permitted, excluded []string) change {
		return func(c *x509.Certificate) { c.PermittedDNSDomains, c.ExcludedDNSDomains = permitted, excluded }
	}
	emails := func(permitted, excluded []string) change {
		return func(c *x509.Certificate) {
			c.PermittedEmailAddresses, c.ExcludedEmailAddresses = permitted, excluded
		}
	}
	name := func(text string) change { return subject(t, text) }
	uri := func(texts ...string) change {
		return func(c *x509.Certificate) {
			for _, text := range texts {
				parsed, err := url.Parse(text)
				if err != nil {
					t.Fatal(err)
				}
				c.URIs = append(c.URIs, parsed)
			}
		}
	}
	host := func(names ...string) change { return func(c *x509.Certificate) { c.DNSNames = names } }
	address := func(addresses ...string) change { return func(c *x509.Certificate) { c.EmailAddresses = addresses } }
	partner := []string{"partner.example"}
	below := []string{".partner.example"}
	tests := []struct {
		name    string
		limit   change
		leaf    change
		want    bool
		differs bool // from openssl, on purpose
	}{
		{name: "ou, permitted", limit: directories(t, true, []string{"/OU=mail"}, nil), leaf: name("/OU=mail/CN=x"), want: true},
		{name: "ou, not permitted", limit: directories(t, true, []string{"/OU=mail"}, nil), leaf: name("/OU=social/CN=x")},
		{name: "ou, excluded", limit: directories(t, true, nil, []string{"/OU=mail"}), leaf: name("/OU=mail")},
		{name: "ou, not excluded", limit: directories(t, true, nil, []string{"/OU=mail"}), leaf: name("/OU=social"), want: true},
		{name: "cn, permitted", limit: directories(t, true, []string{"/CN=mail"}, nil), leaf: name("/CN=mail"), want: true},
		{name: "cn, not permitted", limit: directories(t, true, []string{"/CN=mail"}, nil), leaf: name("/CN=social")},
		{name: "cn, in another case", limit: directories(t, true, []string{"/CN=mail"}, nil), leaf: name("/CN=Mail"), differs: true},
		{name: "cn, excluded", limit: directories(t, true, nil, []string{"/CN=mail"}), leaf: name("/CN=mail")},
		{name: "cn, excluded in another case", limit: directories(t, true, nil, []string{"/CN=mail"}), leaf: name("/CN=Mail")},
		{name: "cn, not excluded", limit: directories(t, true, nil, []string{"/CN=mail"}), leaf: name("/CN=social"), want: true},

		{name: "uri, permitted", limit: uris(partner, nil), leaf: uri("spiffe://partner.example/mail"), want: true},
		{name: "uri, not permitted", limit: uris(partner, nil), leaf: uri("spiffe://other.example/mail")},
		{name: "uri, host below the permitted host", limit: uris(partner, nil), leaf: uri("spiffe://tenant.partner.example/mail")},
		{name: "uri, host below the permitted domain", limit: uris(below, nil), leaf: uri("spiffe://tenant.partner.example/mail"), want: true},
		{name: "uri, the permitted domain itself", limit: uris(below, nil), leaf: uri("spiffe://partner.example/mail")},
		{name: "uri, a longer host", limit: uris(partner, nil), leaf: uri("spiffe://notpartner.example/mail")},
		{name: "uri, with a port", limit: uris(partner, nil), leaf: uri("https://partner.example:8443/mail"), want: true},
		{name: "uri, the host as user", limit: uris(partner, nil), leaf: uri("https://partner.example@other.example/mail")},
		{name: "uri, without host", limit: uris(partner, nil), leaf: uri("urn:example:mail")},
		{name: "uri, the second outside", limit: uris(partner, nil), leaf: uri("spiffe://partner.example/a", "spiffe://other.example/a")},
		{name: "uri, excluded", limit: uris(nil, partner), leaf: uri("spiffe://partner.example/mail")},
		{name: "uri, host below the excluded host", limit: uris(nil, partner), leaf: uri("spiffe://tenant.partner.example/mail"), differs: true},
		{name: "uri, not excluded", limit: uris(nil, partner), leaf: uri("spiffe://other.example/mail"), want: true},

		{name: "dns, permitted", limit: dns(partner, nil), leaf: host("mail.partner.example"), want: true},
		{name: "dns, permitted in upper case", limit: dns(partner, nil), leaf: host("MAIL.Partner.Example"), want: true},
		{name: "dns, not permitted", limit: dns(partner, nil), leaf: host("mail.other.example")},
		{name: "dns, a longer name", limit: dns(partner, nil), leaf: host("notpartner.example")},
		{name: "dns, the second outside", limit: dns(partner, nil), leaf: host("a.partner.example", "a.other.example")},
		{name: "dns, excluded", limit: dns(nil, partner), leaf: host("mail.partner.example")},
		{name: "dns, excluded in upper case", limit: dns(nil, partner), leaf: host("MAIL.PARTNER.EXAMPLE")},
		{name: "dns, not excluded", limit: dns(nil, partner), leaf: host("mail.other.example"), want: true},

		{name: "email, permitted host", limit: emails(partner, nil), leaf: address("mail@partner.example"), want: true},
		{name: "email, not permitted", limit: emails(partner, nil), leaf: address("mail@other.example")},
		{name: "email, host below the permitted host", limit: emails(partner, nil), leaf: address("mail@tenant.partner.example")},
		{name: "email, host below the permitted domain", limit: emails(below, nil), leaf: address("mail@tenant.partner.example"), want: true},
		{name: "email, permitted address", limit: emails([]string{"mail@partner.example"}, nil), leaf: address("mail@partner.example"), want: true},
		{name: "email, another address", limit: emails([]string{"mail@partner.example"}, nil), leaf: address("social@partner.example")},
		{name: "email, the local part in another case", limit: emails([]string{"mail@partner.example"}, nil), leaf: address("MAIL@partner.example")},
		{name: "email, the second outside", limit: emails(partner, nil), leaf: address("a@partner.example", "a@other.example")},
		{name: "email, excluded", limit: emails(nil, partner), leaf: address("mail@partner.example")},
		{name: "email, not excluded", limit: emails(nil, partner), leaf: address("mail@other.example"), want: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := refusal.CertificateUntrusted
			if tt.want {
				want = ""
			}
			anchor := ca.New(t, subject(t, "/O=root"), tt.limit)
			cert := anchor.Client(t, ca.Key(t).Public(), tt.leaf)
			v, err := verifyAt(t, cert, nil, anchor.CertificatePEM())
			check(t, cert, v, err, want)
			v, err = verifyAt(t, cert, nil, anchor.PublicKeyPEM())
			check(t, cert, v, err, "")

			root := ca.New(t, subject(t, "/O=root"))
			between := root.Intermediate(t, "", subject(t, "/O=between"), tt.limit)
			under := between.Client(t, ca.Key(t).Public(), tt.leaf)
			v, err = verifyAt(t, under, chain{between.Certificate}, root.CertificatePEM())
			check(t, under, v, err, want)
			if testing.Short() {
				return // without openssl
			}
			if agrees := opensslVerifies(t, under, between.Certificate, root.Certificate) == tt.want; agrees == tt.differs {
				t.Errorf("openssl agrees: %v, want %v", agrees, !tt.differs)
			}
		})
	}
}
