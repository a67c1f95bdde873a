package trust_test

import (
	"bytes"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
)

func TestRevocation(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	public, _ := o.newCA("ca", "ec:P-256")
	o.key("mail", "ec:P-256")
	cert := o.client(clientOptions{ca: "ca", key: "mail", serial: "0x4f3a09"})
	ring := keyring(t, public)
	spki := spkiOf(cert.RawSubjectPublicKeyInfo)
	otherSPKI := spkiOf(public)
	fingerprint := hexSum(cert.RawTBSCertificate)
	tests := []struct {
		name  string
		entry trust.Revocation
		want  refusal.Reason
	}{
		{"serial", trust.Revocation{Serial: "4f3a09"}, refusal.CertificateRevoked},
		{"upper case", trust.Revocation{Serial: "4F3A09"}, refusal.CertificateRevoked},
		{"colons", trust.Revocation{Serial: "4f:3a:09"}, refusal.CertificateRevoked},
		{"as openssl prints it", trust.Revocation{Serial: "4F:3A:09"}, refusal.CertificateRevoked},
		{"leading zero", trust.Revocation{Serial: "04f3a09"}, refusal.CertificateRevoked},
		{"leading zero bytes", trust.Revocation{Serial: "00:00:4f:3a:09"}, refusal.CertificateRevoked},
		{"key", trust.Revocation{SPKI: spki}, refusal.CertificateRevoked},
		{"certificate", trust.Revocation{Certificate: fingerprint}, refusal.CertificateRevoked},
		{"certificate, upper case", trust.Revocation{Certificate: strings.ToUpper(fingerprint)}, refusal.CertificateRevoked},
		{"certificate, colons", trust.Revocation{Certificate: withColons(fingerprint)}, refusal.CertificateRevoked},
		{"certificate, as openssl prints digests", trust.Revocation{Certificate: strings.ToUpper(withColons(fingerprint))}, refusal.CertificateRevoked},
		{"the hash of the whole certificate", trust.Revocation{Certificate: hexSum(cert.Raw)}, ""},
		{"another serial", trust.Revocation{Serial: "4f3a08"}, ""},
		{"a longer serial", trust.Revocation{Serial: "014f3a09"}, ""},
		{"a trailing zero", trust.Revocation{Serial: "4f3a0900"}, ""},
		{"the serial in decimal", trust.Revocation{Serial: cert.SerialNumber.String()}, ""},
		{"another key", trust.Revocation{SPKI: otherSPKI}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			revocations, err := trust.NewRevocations([]trust.Revocation{tt.entry})
			if err != nil {
				t.Fatal(err)
			}
			v, err := trust.NewVerifier(ring, revocations, trust.Limits{}).Verify(cert, midValidity(cert))
			check(t, cert, v, err, tt.want)
		})
	}
	t.Run("none", func(t *testing.T) {
		for _, none := range []*trust.Revocations{nil, {}} {
			v, err := trust.NewVerifier(ring, none, trust.Limits{}).Verify(cert, midValidity(cert))
			check(t, cert, v, err, "")
		}
	})
}

// TestSerialLengths checks that serial numbers of any length are revoked by the value
// that Serial returns.
func TestSerialLengths(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	public, _ := o.newCA("ca", "ec:P-256")
	o.key("mail", "ec:P-256")
	tests := []struct{ serial, want string }{
		{"0x01", "01"},
		{"0x0f", "0f"},
		{"0x80", "80"},
		{"0x0100", "0100"},
		{"0xffeeddccbbaa99887766554433221100ffeeddcc", "ffeeddccbbaa99887766554433221100ffeeddcc"},
	}
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			cert := o.client(clientOptions{ca: "ca", key: "mail", serial: tt.serial})
			v, err := verify(t, cert, public)
			check(t, cert, v, err, "")
			if v.Serial() != tt.want {
				t.Errorf("serial %q, want %q", v.Serial(), tt.want)
			}
			revocations, err := trust.NewRevocations([]trust.Revocation{{Serial: v.Serial(), Reason: "key leaked"}})
			if err != nil {
				t.Fatal(err)
			}
			v, err = trust.NewVerifier(keyring(t, public), revocations, trust.Limits{}).Verify(cert, midValidity(cert))
			check(t, cert, v, err, refusal.CertificateRevoked)
			if refused := refusal.Of(err); refused == nil || !strings.Contains(refused.Detail, "key leaked") {
				t.Errorf("want the operator's reason in the detail, found %v", err)
			}
		})
	}
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// withColons inserts a colon between bytes, as openssl does.
func withColons(digits string) string {
	var parts []string
	for pair := range slices.Chunk([]byte(digits), 2) {
		parts = append(parts, string(pair))
	}
	return strings.Join(parts, ":")
}

func spkiOf(der []byte) string {
	sum := sha256.Sum256(der)
	return "sha256/" + base64.StdEncoding.EncodeToString(sum[:])
}

func TestRevocationFaults(t *testing.T) {
	spki := spkiOf([]byte("key"))
	fingerprint := hexSum([]byte("certificate"))
	tests := []struct {
		name  string
		entry trust.Revocation
		want  string // part of the problem; "" if accepted
	}{
		{"serial", trust.Revocation{Serial: "4f3a09"}, ""},
		{"serial zero", trust.Revocation{Serial: "0"}, ""},
		{"64 digits", trust.Revocation{Serial: strings.Repeat("f", 64)}, ""},
		{"spki", trust.Revocation{SPKI: spki}, ""},
		{"nothing", trust.Revocation{Reason: "leaked"}, "exactly one"},
		{"certificate", trust.Revocation{Certificate: fingerprint}, ""},
		{"serial and certificate", trust.Revocation{Serial: "4f3a09", Certificate: fingerprint}, "exactly one"},
		{"spki and certificate", trust.Revocation{SPKI: spki, Certificate: fingerprint}, "exactly one"},
		{"all", trust.Revocation{Serial: "4f3a09", SPKI: spki, Certificate: fingerprint}, "exactly one"},
		{"31 bytes of a certificate", trust.Revocation{Certificate: fingerprint[2:]}, "64 hex digits"},
		{"33 bytes of a certificate", trust.Revocation{Certificate: fingerprint + "00"}, "64 hex digits"},
		{"63 digits", trust.Revocation{Certificate: fingerprint[1:]}, "64 hex digits"},
		{"a space", trust.Revocation{Certificate: " " + fingerprint}, "64 hex digits"},
		{"a line end", trust.Revocation{Certificate: fingerprint + "\n"}, "64 hex digits"},
		{"not hex digits", trust.Revocation{Certificate: "g" + fingerprint[1:]}, "64 hex digits"},
		{"prefixed", trust.Revocation{Certificate: "sha256/" + fingerprint}, "64 hex digits"},
		{"colons only", trust.Revocation{Certificate: "::"}, "64 hex digits"},
		{"both", trust.Revocation{Serial: "4f3a09", SPKI: spki}, "exactly one"},
		{"no digits", trust.Revocation{Serial: "::"}, "in hex"},
		{"0x", trust.Revocation{Serial: "0x4f3a09"}, "in hex"},
		{"negative", trust.Revocation{Serial: "-4f3a09"}, "in hex"},
		{"plus", trust.Revocation{Serial: "+4f3a09"}, "in hex"},
		{"underscore", trust.Revocation{Serial: "4f_3a"}, "in hex"},
		{"space around", trust.Revocation{Serial: " 4f3a09"}, "in hex"},
		{"space inside", trust.Revocation{Serial: "4f 3a 09"}, "in hex"},
		{"not hex", trust.Revocation{Serial: "4g"}, "in hex"},
		{"not hex inside", trust.Revocation{Serial: "4fg9"}, "in hex"},
		{"65 digits", trust.Revocation{Serial: strings.Repeat("f", 65)}, "in hex"},
		{"no prefix", trust.Revocation{SPKI: strings.TrimPrefix(spki, "sha256/")}, "sha256/"},
		{"another hash", trust.Revocation{SPKI: strings.Replace(spki, "sha256", "sha512", 1)}, "sha256/"},
		{"upper-case prefix", trust.Revocation{SPKI: strings.Replace(spki, "sha256", "SHA256", 1)}, "sha256/"},
		{"31 bytes", trust.Revocation{SPKI: "sha256/" + base64.StdEncoding.EncodeToString(make([]byte, 31))}, "32 bytes"},
		{"33 bytes", trust.Revocation{SPKI: "sha256/" + base64.StdEncoding.EncodeToString(make([]byte, 33))}, "32 bytes"},
		{"no padding", trust.Revocation{SPKI: strings.TrimSuffix(spki, "=")}, "32 bytes"},
		{"unused bits set", trust.Revocation{SPKI: "sha256/" + strings.Repeat("A", 42) + "B="}, "32 bytes"},
		{"newline inside", trust.Revocation{SPKI: spki[:20] + "\n" + spki[20:]}, "32 bytes"},
		{"newline after", trust.Revocation{SPKI: spki + "\n"}, "32 bytes"},
		{"hex", trust.Revocation{SPKI: "sha256/" + strings.Repeat("ab", 32)}, "32 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := trust.NewRevocations([]trust.Revocation{tt.entry})
			var fault *trust.RevocationError
			switch {
			case tt.want == "" && (err != nil || r == nil):
				t.Errorf("refused: %v", err)
			case tt.want != "" && (!errors.As(err, &fault) || !strings.Contains(fault.Problem, tt.want)):
				t.Errorf("want a problem about %q, found %v", tt.want, err)
			case tt.want != "" && r != nil:
				t.Error("want no revocations with an error, found some")
			}
		})
	}
}

// TestEveryRevocationFaultIsReported checks that one error reports all invalid entries, so
// that the operator can correct them in one step.
func TestEveryRevocationFaultIsReported(t *testing.T) {
	_, err := trust.NewRevocations([]trust.Revocation{{Serial: "zz"}, {Serial: "4f"}, {SPKI: "x"}, {}})
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("want joined faults, found %v", err)
	}
	var found []int
	for _, e := range joined.Unwrap() {
		var fault *trust.RevocationError
		if !errors.As(e, &fault) {
			t.Fatalf("want a RevocationError, found %T", e)
		}
		found = append(found, fault.Index)
	}
	if want := []int{0, 2, 3}; len(found) != 3 || found[0] != want[0] || found[1] != want[1] || found[2] != want[2] {
		t.Errorf("faults in entries %v, want %v", found, want)
	}
	if !strings.Contains(err.Error(), "revocation 3: ") {
		t.Errorf("want entries counted from 1 in the message, found %q", err)
	}
}

// TestDeniesSerial checks serial numbers as the log has them, and the number of entries that do
// not depend on serial numbers.
func TestDeniesSerial(t *testing.T) {
	t.Parallel()
	digest := sha256.Sum256([]byte("key"))
	r, err := trust.NewRevocations([]trust.Revocation{
		{Serial: "4F:3A:09"}, {Serial: "0"},
		{SPKI: "sha256/" + base64.StdEncoding.EncodeToString(digest[:])}, {Certificate: hex.EncodeToString(digest[:])},
	})
	if err != nil {
		t.Fatal(err)
	}
	for serial, want := range map[string]bool{"4f3a09": true, "00": true, "4f3a08": false, "": false, hex.EncodeToString(digest[:]): false} {
		if got := r.DeniesSerial(serial); got != want {
			t.Errorf("DeniesSerial(%q) = %t, want %t", serial, got, want)
		}
	}
	if r.Keys() != 2 || (*trust.Revocations)(nil).Keys() != 0 || (*trust.Revocations)(nil).DeniesSerial("00") {
		t.Errorf("Keys = %d, want 2, and nothing for nil", r.Keys())
	}
}

// TestReencodedSignature replaces s of an ECDSA signature by n-s, which anyone can do and
// which still verifies. The certificate must keep its fingerprint and stay revoked.
func TestReencodedSignature(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	public, _ := o.newCA("ca", "ec:P-256")
	o.key("mail", "ec:P-256")
	cert := o.client(clientOptions{ca: "ca", key: "mail"})
	reencoded := otherSignature(t, cert)
	if bytes.Equal(reencoded.Raw, cert.Raw) || !bytes.Equal(reencoded.RawTBSCertificate, cert.RawTBSCertificate) {
		t.Fatal("want the same signed bytes under another signature")
	}
	first, err := verify(t, cert, public)
	check(t, cert, first, err, "")
	second, err := verify(t, reencoded, public)
	check(t, reencoded, second, err, "")
	if first.Fingerprint() != second.Fingerprint() || first.Serial() != second.Serial() {
		t.Error("want the same fingerprint and serial for both encodings")
	}
	for _, entry := range []trust.Revocation{{Serial: first.Serial()}, {SPKI: spkiOf(cert.RawSubjectPublicKeyInfo)}, {Certificate: first.Fingerprint()}} {
		revocations, err := trust.NewRevocations([]trust.Revocation{entry})
		if err != nil {
			t.Fatal(err)
		}
		v, err := trust.NewVerifier(keyring(t, public), revocations, trust.Limits{}).Verify(reencoded, midValidity(reencoded))
		check(t, reencoded, v, err, refusal.CertificateRevoked)
	}
}

// TestRevokedChain checks that the deny list applies to every certificate below the anchor,
// with either encoding of its signature. Certificates outside the path do not matter.
func TestRevokedChain(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	_, ca := o.newCA("ca", "ec:P-256")
	one := o.intermediate(intermediateOptions{name: "one", ca: "ca"}) // serial 11
	sub := o.intermediate(intermediateOptions{name: "sub", ca: "one"})
	o.key("mail", "ec:P-256")
	leaf := o.client(clientOptions{ca: "sub", key: "mail"})
	direct := o.client(clientOptions{ca: "ca", key: "mail"})
	ring := keyring(t, ca)
	for name, c := range map[string]*x509.Certificate{"client": leaf, "issuer": sub, "issuer's issuer": one} {
		for kind, entry := range map[string]trust.Revocation{
			"serial":      {Serial: c.SerialNumber.Text(16)},
			"spki":        {SPKI: spkiOf(c.RawSubjectPublicKeyInfo)},
			"certificate": {Certificate: hexSum(c.RawTBSCertificate)},
		} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				revocations, err := trust.NewRevocations([]trust.Revocation{entry})
				if err != nil {
					t.Fatal(err)
				}
				verifier := trust.NewVerifier(ring, revocations, trust.Limits{})
				v, err := verifier.Verify(leaf, midValidity(leaf), sub, one)
				check(t, leaf, v, err, refusal.CertificateRevoked)
				reencoded := otherSignature(t, leaf)
				v, err = verifier.Verify(reencoded, midValidity(leaf), otherSignature(t, sub), otherSignature(t, one))
				check(t, reencoded, v, err, refusal.CertificateRevoked)
				if c != leaf {
					v, err = verifier.Verify(direct, midValidity(direct), sub, one)
					check(t, direct, v, err, "")
				}
			})
		}
	}
}

// otherSignature returns the P-256 certificate with the signature (r, n-s) instead of
// (r, s).
func otherSignature(t *testing.T, cert *x509.Certificate) *x509.Certificate {
	t.Helper()
	var outer struct{ TBS, Algorithm, Signature asn1.RawValue }
	var signature struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(cert.Raw, &outer); err != nil {
		t.Fatal(err)
	}
	if _, err := asn1.Unmarshal(cert.Signature, &signature); err != nil {
		t.Fatal(err)
	}
	signature.S.Sub(elliptic.P256().Params().N, signature.S)
	raw := marshal(t, signature)
	outer.Signature = asn1.RawValue{FullBytes: marshal(t, asn1.BitString{Bytes: raw, BitLength: 8 * len(raw)})}
	reencoded, err := x509.ParseCertificate(marshal(t, outer))
	if err != nil {
		t.Fatal(err)
	}
	return reencoded
}

func marshal(t *testing.T, value any) []byte {
	t.Helper()
	der, err := asn1.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return der
}
