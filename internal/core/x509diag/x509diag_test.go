package x509diag_test

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/x509diag"
	"github.com/certgate/certgate/internal/testkit/ca"
)

// fields are the DER elements of a TBSCertificate.
type fields struct {
	version, serial, algorithm, issuer, validity, subject, spki, extensions []byte
}

// newFields returns the fields of a certificate that crypto/x509 accepts.
func newFields(t testing.TB) fields {
	t.Helper()
	cert := ca.New(t).Client(t, ca.Key(t).Public(), func(c *x509.Certificate) { c.DNSNames = []string{"mail.example"} })
	all := split(t, contentOf(t, cert.RawTBSCertificate))
	if len(all) != 8 {
		t.Fatalf("want 8 fields, found %d", len(all))
	}
	return fields{all[0], all[1], all[2], all[3], all[4], all[5], all[6], all[7]}
}

// certificate returns a certificate of the fields with an invalid signature.
func (f fields) certificate(t testing.TB) []byte {
	t.Helper()
	tbs := wrap(t, 0x30, f.version, f.serial, f.algorithm, f.issuer, f.validity, f.subject, f.spki, f.extensions)
	return wrap(t, 0x30, tbs, f.algorithm, wrap(t, 3, []byte{0, 1, 2, 3}))
}

func contentOf(t testing.TB, der []byte) []byte {
	t.Helper()
	var e asn1.RawValue
	if _, err := asn1.Unmarshal(der, &e); err != nil {
		t.Fatal(err)
	}
	return e.Bytes
}

func split(t testing.TB, der []byte) (elements [][]byte) {
	t.Helper()
	for len(der) > 0 {
		var e asn1.RawValue
		rest, err := asn1.Unmarshal(der, &e)
		if err != nil {
			t.Fatal(err)
		}
		elements, der = append(elements, e.FullBytes), rest
	}
	return elements
}

// wrap returns an element with a tag and the parts as its content.
func wrap(t testing.TB, tag byte, parts ...[]byte) []byte {
	t.Helper()
	content := bytes.Join(parts, nil)
	der, err := asn1.Marshal(asn1.RawValue{Class: int(tag >> 6), IsCompound: tag&0x20 != 0, Tag: int(tag & 0x1f), Bytes: content})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func object(t testing.TB, value any) []byte {
	t.Helper()
	der, err := asn1.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// publicKey returns a SubjectPublicKeyInfo.
func publicKey(t testing.TB, algorithm asn1.ObjectIdentifier, parameters ...[]byte) []byte {
	t.Helper()
	id := wrap(t, 0x30, append([][]byte{object(t, algorithm)}, parameters...)...)
	return wrap(t, 0x30, id, wrap(t, 3, bytes.Repeat([]byte{4}, 66)))
}

func nameWith(t testing.TB, tag byte) []byte {
	t.Helper()
	attribute := wrap(t, 0x30, object(t, asn1.ObjectIdentifier{2, 5, 4, 11}), wrap(t, tag, []byte("\x00\x00\x00m")))
	return wrap(t, 0x30, wrap(t, 0x31, attribute))
}

var (
	ecKey     = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
	secp256k1 = asn1.ObjectIdentifier{1, 3, 132, 0, 10}
	brainpool = asn1.ObjectIdentifier{1, 3, 36, 3, 3, 2, 8, 1, 1, 7}
)

// keys returns unsupported keys by a part of their description.
func keys(t testing.TB) map[string][]byte {
	t.Helper()
	return map[string][]byte{
		"a key on the curve secp256k1":       publicKey(t, ecKey, object(t, secp256k1)),
		"a key on the curve brainpool":       publicKey(t, ecKey, object(t, brainpool)),
		"explicit elliptic curve parameters": publicKey(t, ecKey, wrap(t, 0x30, []byte{2, 1, 1})),
		"an elliptic curve that Go's":        publicKey(t, ecKey, object(t, asn1.ObjectIdentifier{1, 3, 132, 0, 1})),
		"an Ed448 key":                       publicKey(t, asn1.ObjectIdentifier{1, 3, 101, 113}),
		"an RSASSA-PSS key":                  publicKey(t, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}),
		"an ML-DSA key":                      publicKey(t, asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 3, 18}),
		"a key of an algorithm that Go's":    publicKey(t, asn1.ObjectIdentifier{1, 2, 3, 4}),
		"a key of an algorithm that Go's ":   publicKey(t, asn1.ObjectIdentifier{1, 2, 268435455, 268435455, 268435455, 268435455, 268435455}),
	}
}

func TestUnsupportedKeys(t *testing.T) {
	for want, spki := range keys(t) {
		t.Run(want, func(t *testing.T) {
			want := strings.TrimSpace(want)
			f := newFields(t)
			f.spki = spki
			der := f.certificate(t)
			var fault x509diag.Fault
			var ok bool
			cert, err := x509.ParseCertificate(der)
			if err != nil {
				fault, ok = x509diag.Unreadable(der)
			} else {
				fault, ok = x509diag.UnsupportedKey(cert)
			}
			if !ok || !strings.Contains(fault.Description, want) || fault.Hint == "" {
				t.Errorf("want %q of the certificate, found %+v and %v", want, fault, ok)
			}
			if fault, ok := x509diag.PublicKey(spki); !ok || !strings.Contains(fault.Description, want) {
				t.Errorf("want %q of the key, found %+v and %v", want, fault, ok)
			}
		})
	}
}

func TestUnreadable(t *testing.T) {
	usage := wrap(t, 0x30, object(t, asn1.ObjectIdentifier{2, 5, 29, 15}), wrap(t, 4, []byte{3, 2, 7, 128}))
	tests := map[string]func(*fields){
		"a negative serial number":                            func(f *fields) { f.serial = []byte{2, 1, 0x85} },
		"text of the type UniversalString in its subject":     func(f *fields) { f.subject = nameWith(t, 28) },
		"text of the type UniversalString in its issuer":      func(f *fields) { f.issuer = nameWith(t, 28) },
		"text of the type another ASN.1 type in its subject":  func(f *fields) { f.subject = nameWith(t, 26) },
		"the same extension twice":                            func(f *fields) { f.extensions = wrap(t, 0xa3, wrap(t, 0x30, usage, usage)) },
		"a field that Go's crypto/x509 does not accept":       func(f *fields) { f.version = wrap(t, 0xa0, []byte{2, 1, 9}) },
		"a field that Go's crypto/x509 does not accept, also": func(f *fields) { f.extensions = wrap(t, 0xa3, wrap(t, 0x30, usage[:len(usage)-1])) },
	}
	for want, change := range tests {
		t.Run(want, func(t *testing.T) {
			f := newFields(t)
			change(&f)
			der := f.certificate(t)
			if _, err := x509.ParseCertificate(der); err == nil {
				t.Fatal("want a certificate that crypto/x509 refuses, found one that it accepts")
			}
			fault, ok := x509diag.Unreadable(der)
			if !ok || fault.Description != strings.TrimSuffix(want, ", also") || fault.Hint == "" {
				t.Errorf("want %q, found %+v and %v", want, fault, ok)
			}
		})
	}
	t.Run("two signature algorithms", func(t *testing.T) {
		f := newFields(t)
		parts := split(t, contentOf(t, f.certificate(t)))
		parts[1] = wrap(t, 0x30, object(t, asn1.ObjectIdentifier{1, 2, 3}))
		fault, ok := x509diag.Unreadable(wrap(t, 0x30, parts...))
		if !ok || !strings.HasPrefix(fault.Description, "two different signature algorithms") {
			t.Errorf("found %+v and %v", fault, ok)
		}
	})
}

// TestOtherInputs checks that there is no explanation for inputs that are not certificates
// and for keys that crypto/x509 supports.
func TestOtherInputs(t *testing.T) {
	f := newFields(t)
	good := f.certificate(t)
	for name, der := range map[string][]byte{
		"nothing": nil, "a key": f.spki, "a name": f.subject, "a cut certificate": good[:len(good)-1],
		"bytes after it": append(bytes.Clone(good), 0), "no signature": wrap(t, 0x30, split(t, contentOf(t, good))[:2]...),
		"a request": wrap(t, 0x30, wrap(t, 0x30, []byte{2, 1, 0}, f.subject, f.spki), f.algorithm, wrap(t, 3, []byte{0, 1})),
	} {
		if fault, ok := x509diag.Unreadable(der); ok {
			t.Errorf("%s: want no explanation, found %+v", name, fault)
		}
	}
	cert, err := x509.ParseCertificate(good)
	if err != nil {
		t.Fatal(err)
	}
	if fault, ok := x509diag.UnsupportedKey(cert); ok {
		t.Errorf("want no fault in a P-256 key, found %+v", fault)
	}
	for name, der := range map[string][]byte{"P-256": f.spki, "nothing": nil, "a certificate": good, "surplus": append(bytes.Clone(f.spki), 0)} {
		if fault, ok := x509diag.PublicKey(der); ok {
			t.Errorf("%s: want no fault, found %+v", name, fault)
		}
	}
}

// TestWork checks that explaining very long inputs needs few allocations.
func TestWork(t *testing.T) {
	const size = 1 << 20
	runs := 5
	if testing.Short() {
		runs = 1
	}
	attribute := contentOf(t, nameWith(t, 12))
	for name, change := range map[string]func(*fields){
		"attributes": func(f *fields) { f.subject = wrap(t, 0x30, bytes.Repeat(attribute, size/len(attribute))) },
		"extensions": func(f *fields) {
			var list [][]byte
			for i := range size / 12 {
				list = append(list, wrap(t, 0x30, object(t, asn1.ObjectIdentifier{1, 2, 3 + i}), []byte{4, 0}))
			}
			f.extensions = wrap(t, 0xa3, wrap(t, 0x30, list...))
		},
		"a long identifier": func(f *fields) {
			f.spki = wrap(t, 0x30, wrap(t, 0x30, wrap(t, 6, bytes.Repeat([]byte{1}, size))), wrap(t, 3, []byte{0, 1}))
		},
	} {
		f := newFields(t)
		change(&f)
		der := f.certificate(t)
		if n := testing.AllocsPerRun(runs, func() { x509diag.Unreadable(der) }); n > 50 {
			t.Errorf("%s: want at most 50 allocations, found %v", name, n)
		}
	}
}

func FuzzUnreadable(f *testing.F) {
	good := newFields(f)
	f.Add(good.certificate(f))
	for _, spki := range keys(f) {
		f.Add(spki)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		for _, explain := range []func([]byte) (x509diag.Fault, bool){x509diag.Unreadable, x509diag.PublicKey} {
			if fault, ok := explain(der); ok != (fault.Description != "") || ok != (fault.Hint != "") {
				t.Errorf("want both texts or none, found %+v and %v", fault, ok)
			}
		}
	})
}
