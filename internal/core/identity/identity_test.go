package identity_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
)

// attribute and relativeNameSET spell a subject as DER has it, so that a test
// can say what pkix.Name cannot: string types, shared sets, no string at all.
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

// subject puts each attribute into a set of its own, as certificates do.
func subject(attributes ...attribute) []relativeNameSET {
	sets := make([]relativeNameSET, 0, len(attributes))
	for _, a := range attributes {
		sets = append(sets, relativeNameSET{a})
	}
	return sets
}

// utf16be is the content of a BMPString.
func utf16be(s string) string {
	var b strings.Builder
	for _, r := range s {
		b.WriteByte(byte(r >> 8))
		b.WriteByte(byte(r))
	}
	return b.String()
}

// certificate is signed by a fresh master key and has the given subject. The
// error is x509's, when it does not take the subject at all.
func certificate(t *testing.T, name []relativeNameSET) (*x509.Certificate, *trust.Keyring, error) {
	t.Helper()
	der, err := asn1.Marshal(name)
	if err != nil {
		t.Fatal(err)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		RawSubject:   der,
		NotBefore:    time.Unix(1_700_000_000, 0),
		NotAfter:     time.Unix(1_800_000_000, 0),
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	keyring, err := trust.ParseKeyring(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}), 2048)
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
	v, err := trust.NewVerifier(keyring, nil, trust.Limits{MinRSABits: 2048}).Verify(cert, cert.NotAfter.Add(-time.Second))
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
		{"beside the common name in one set", []relativeNameSET{{cn("x"), ou("mail")}}, "mail"},
		{"64 characters", subject(ou(strings.Repeat("a", 64))), strings.Repeat("a", 64)},
		{"case and inner space stay", subject(ou("Web Client")), "Web Client"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := verified(t, tt.subject)
			client, err := identity.Of(v)
			if err != nil {
				t.Fatalf("Of: %v", err)
			}
			if client.Name() != tt.want || client.String() != tt.want || !client.Valid() {
				t.Errorf("Of = %q, valid %v; want %q, valid", client.Name(), client.Valid(), tt.want)
			}
			if client.Certificate() != v {
				t.Error("the client does not carry the certificate it was read from")
			}
		})
	}
}

// Each subject differs from the accepted one in one way.
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
		{"BMPString with the NUL that x509 strips", subject(text(unit, asn1.TagBMPString, utf16be("mail\x00"))), refusal.IdentityInvalid, "NUL"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client, err := identity.Of(verified(t, tt.subject))
			refused := refusal.Of(err)
			if refused == nil || refused.Reason != tt.want || !strings.Contains(refused.Detail, tt.detail) {
				t.Fatalf("Of = %v, want %s with %q", err, tt.want, tt.detail)
			}
			if client.Valid() || client.Name() != "" {
				t.Errorf("a refusal came with client %q", client.Name())
			}
		})
	}
}

// An OU that is no string must not be skipped: beside "mail" it would be a
// second OU that nobody sees. Today crypto/x509 refuses such a subject; should
// that change, Of has to.
func TestOfRefusesWhatIsNoString(t *testing.T) {
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
			if client, err := identity.Of(verified(t, s)); refusal.Of(err) == nil {
				t.Errorf("Of = %q, %v; want a refusal", client.Name(), err)
			}
		})
	}
}

func TestZeroValuesAreRefused(t *testing.T) {
	_, err := identity.Of(trust.Verified{})
	if refused := refusal.Of(err); refused == nil || refused.Reason != refusal.IdentityMissing {
		t.Errorf("Of(zero) = %v, want %s", err, refusal.IdentityMissing)
	}
	var nobody identity.Client
	if nobody.Valid() || nobody.Name() != "" || nobody.Certificate().Valid() {
		t.Error("the zero Client is valid")
	}
}
