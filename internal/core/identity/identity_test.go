package identity_test

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/testkit/ca"
)

// attribute and relativeNameSET describe a subject as in DER. pkix.Name cannot describe
// string types, sets with several attributes and values that are not strings.
type attribute struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

type relativeNameSET []attribute

var (
	commonName = asn1.ObjectIdentifier{2, 5, 4, 3}
	unit       = asn1.ObjectIdentifier{2, 5, 4, 11}
)

func text(kind asn1.ObjectIdentifier, tag int, value string) attribute {
	return attribute{kind, asn1.RawValue{Tag: tag, Bytes: []byte(value)}}
}

func ou(value string) attribute { return text(unit, asn1.TagUTF8String, value) }

func cn(value string) attribute { return text(commonName, asn1.TagUTF8String, value) }

// subject returns a subject with one set per attribute, as in most certificates.
func subject(attributes ...attribute) []relativeNameSET {
	sets := make([]relativeNameSET, 0, len(attributes))
	for _, a := range attributes {
		sets = append(sets, relativeNameSET{a})
	}
	return sets
}

// utf16be returns the content of a BMPString.
func utf16be(s string) string {
	var b strings.Builder
	for _, r := range s {
		b.WriteByte(byte(r >> 8))
		b.WriteByte(byte(r))
	}
	return b.String()
}

// certificate returns a certificate with the subject: see sign.
func certificate(t *testing.T, name []relativeNameSET) (*x509.Certificate, *trust.Keyring, error) {
	t.Helper()
	der, err := asn1.Marshal(name)
	if err != nil {
		t.Fatal(err)
	}
	return sign(t, func(template *x509.Certificate) { template.RawSubject = der })
}

// sign returns a changed client certificate, signed by a new master key, and the keyring
// with that key. The error is the one of x509.ParseCertificate, which refuses some names.
func sign(t *testing.T, change ca.Change) (*x509.Certificate, *trust.Keyring, error) {
	t.Helper()
	issuer := ca.New(t)
	template := ca.ClientTemplate()
	change(template)
	raw, err := x509.CreateCertificate(rand.Reader, template, issuer.Certificate, ca.Key(t).Public(), issuer.Key)
	if err != nil {
		t.Fatal(err)
	}
	keyring, err := trust.ParseKeyring(issuer.PublicKeyPEM(), 0)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(raw)
	return cert, keyring, err
}

func verified(t *testing.T, name []relativeNameSET) trust.Verified {
	t.Helper()
	cert, keyring, err := certificate(t, name)
	if err != nil {
		t.Fatalf("ParseCertificate: %v", err)
	}
	v, err := trust.NewVerifier(keyring, nil, trust.Limits{}).Verify(cert, ca.Now())
	if err != nil {
		t.Fatalf("Verify: %v", err)
	}
	return v
}

func TestOfAccepts(t *testing.T) {
	tests := []struct {
		name    string
		subject []relativeNameSET
		want    string
	}{
		{"UTF8String", subject(cn("x"), ou("mail")), "mail"},
		{"PrintableString", subject(text(unit, asn1.TagPrintableString, "mail")), "mail"},
		{"IA5String", subject(text(unit, asn1.TagIA5String, "mail@example")), "mail@example"},
		{"T61String", subject(text(unit, asn1.TagT61String, "mail")), "mail"},
		{"BMPString", subject(text(unit, asn1.TagBMPString, utf16be("mail"))), "mail"},
		{"without common name", subject(ou("mail")), "mail"},
		{"in one set with the common name", []relativeNameSET{{cn("x"), ou("mail")}}, "mail"},
		{"64 characters", subject(ou(strings.Repeat("a", 64))), strings.Repeat("a", 64)},
		{"case and inner space", subject(ou("Web Client")), "Web Client"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := verified(t, tt.subject)
			client, err := identity.OU.Reader().Of(v)
			if err != nil {
				t.Fatalf("Of: %v", err)
			}
			if client.Name() != tt.want || client.String() != tt.want || !client.Valid() {
				t.Errorf("Of = %q, valid %v; want %q, valid", client.Name(), client.Valid(), tt.want)
			}
			if c := client.Certificate(); c.Thumbprint() != v.Thumbprint() || !c.Valid() || c.Certificate() != nil {
				t.Error("want the verification of the certificate from which the name was read, without the parsed certificate")
			}
		})
	}
}

// TestOfRefuses checks subjects that differ from an accepted one in one property.
func TestOfRefuses(t *testing.T) {
	tests := []struct {
		name    string
		subject []relativeNameSET
		want    refusal.Reason
		detail  string
	}{
		{"no OU", subject(cn("mail")), refusal.IdentityMissing, "found none"},
		{"no subject", subject(), refusal.IdentityMissing, "found none"},
		{"two OUs", subject(ou("mail"), ou("admin")), refusal.IdentityAmbiguous, `found 2: ["mail" "admin"]`},
		{"the same OU twice", subject(ou("mail"), ou("mail")), refusal.IdentityAmbiguous, "found 2"},
		{"two OUs in one set", []relativeNameSET{{ou("mail"), ou("admin")}}, refusal.IdentityAmbiguous, "found 2"},
		{"a second OU that is empty", subject(ou("mail"), ou("")), refusal.IdentityAmbiguous, "found 2"},
		{"two OUs of different string types", subject(ou("mail"), text(unit, asn1.TagPrintableString, "mail")), refusal.IdentityAmbiguous, "found 2"},

		{"empty OU", subject(ou("")), refusal.IdentityInvalid, "found 0"},
		{"65 characters", subject(ou(strings.Repeat("a", 65))), refusal.IdentityInvalid, "found 65"},
		{"trailing space", subject(ou("mail ")), refusal.IdentityInvalid, "at the end"},
		{"leading space", subject(ou(" mail")), refusal.IdentityInvalid, "at the beginning"},
		{"two spaces", subject(ou("web  client")), refusal.IdentityInvalid, "single spaces"},
		{"leading dot", subject(ou(".mail")), refusal.IdentityInvalid, "at the beginning"},
		{"non-ASCII letter", subject(ou("m\u0430il")), refusal.IdentityInvalid, "ASCII letters"},
		{"newline", subject(ou("mail\nx")), refusal.IdentityInvalid, `'\n'`},
		{"NUL inside", subject(ou("mail\x00x")), refusal.IdentityInvalid, `'\x00'`},
		{"the rules' wildcard", subject(ou("*")), refusal.IdentityInvalid, "'*'"},
		{"T61String above ASCII", subject(text(unit, asn1.TagT61String, "ma\xeel")), refusal.IdentityInvalid, "'î'"},
		{"BMPString above ASCII", subject(text(unit, asn1.TagBMPString, utf16be("m\u0430il"))), refusal.IdentityInvalid, "ASCII letters"},
		{"BMPString with the NUL that crypto/x509 removes", subject(text(unit, asn1.TagBMPString, utf16be("mail\x00"))), refusal.IdentityInvalid, "NUL"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client, err := identity.OU.Reader().Of(verified(t, tt.subject))
			wantRefusal(t, client, err, tt.want, tt.detail)
		})
	}
}

func wantRefusal(t *testing.T, client identity.Client, err error, reason refusal.Reason, detail string) {
	t.Helper()
	refused := refusal.Of(err)
	if refused == nil || refused.Reason != reason || !strings.Contains(refused.Detail, detail) {
		t.Fatalf("Of = %v, want %s with %q", err, reason, detail)
	}
	if client.Valid() || client.Name() != "" {
		t.Errorf("want no client with a refusal, found %q", client.Name())
	}
}

// TestOfRefusesOtherTypes checks that an OU that is not a string is refused, by crypto/x509
// or by Of. If it were ignored, the certificate would have a hidden second OU.
func TestOfRefusesOtherTypes(t *testing.T) {
	number := attribute{unit, asn1.RawValue{Tag: asn1.TagInteger, Bytes: []byte{1}}}
	octets := attribute{unit, asn1.RawValue{Tag: asn1.TagOctetString, Bytes: []byte("mail")}}
	for name, s := range map[string][]relativeNameSET{
		"integer":               subject(number),
		"octet string":          subject(octets),
		"integer beside string": subject(ou("mail"), number),
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := certificate(t, s); err != nil {
				return
			}
			if client, err := identity.OU.Reader().Of(verified(t, s)); refusal.Of(err) == nil {
				t.Errorf("Of = %q, %v; want a refusal", client.Name(), err)
			}
		})
	}
}

func TestZeroValuesAreRefused(t *testing.T) {
	for name, v := range map[string]trust.Verified{"zero": {}, "without certificate": verified(t, subject(ou("mail"))).WithoutCertificate()} {
		client, err := identity.OU.Reader().Of(v)
		if refused := refusal.Of(err); refused == nil || refused.Reason != refusal.IdentityMissing || client.Valid() {
			t.Errorf("%s: Of = %q, %v, want %s", name, client.Name(), err, refusal.IdentityMissing)
		}
	}
	var zero identity.Client
	if zero.Valid() || zero.Name() != "" || zero.Certificate().Valid() {
		t.Error("the zero Client is valid")
	}
}
