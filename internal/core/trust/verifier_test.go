package trust_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/testkit/ca"
)

// TestUse verifies certificates that differ in their extensions only.
func TestUse(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	public, certificate := o.newCA("ca", "ec:P-256")
	o.key("mail", "ec:P-256")
	tests := []struct {
		name       string
		extensions string
		want       refusal.Reason
	}{
		{"none, version 1", "", ""},
		{"key usage", "keyUsage=critical,digitalSignature", ""},
		{"key usage with more", "keyUsage=digitalSignature,keyEncipherment,keyAgreement", ""},
		{"keyEncipherment only", "keyUsage=critical,keyEncipherment", refusal.CertificateUnsuitable},
		{"keyEncipherment only, not critical", "keyUsage=keyEncipherment", refusal.CertificateUnsuitable},
		{"keyAgreement only, with clientAuth", "keyUsage=keyAgreement\nextendedKeyUsage=clientAuth", refusal.CertificateUnsuitable},
		{"nonRepudiation only", "keyUsage=nonRepudiation", refusal.CertificateUnsuitable},
		{"cRLSign only", "keyUsage=cRLSign", refusal.CertificateUnsuitable},
		{"an empty key usage", "keyUsage=critical,DER:030100", refusal.CertificateUnsuitable},
		{"not a CA", "basicConstraints=critical,CA:FALSE", ""},
		{"clientAuth", "extendedKeyUsage=clientAuth", ""},
		{"clientAuth, critical", "extendedKeyUsage=critical,clientAuth", ""},
		{"serverAuth and clientAuth", "extendedKeyUsage=serverAuth,clientAuth", ""},
		{"any and clientAuth", "extendedKeyUsage=anyExtendedKeyUsage,clientAuth", ""},
		{"unknown extension, not critical", "1.2.3.4=ASN1:UTF8String:x", ""},
		{"names", "subjectAltName=DNS:mail.example", ""},
		{"serverAuth only", "extendedKeyUsage=serverAuth", refusal.CertificateUnsuitable},
		{"any only", "extendedKeyUsage=anyExtendedKeyUsage", refusal.CertificateUnsuitable},
		{"unknown purpose only", "extendedKeyUsage=1.2.3.4", refusal.CertificateUnsuitable},
		{"an empty list of purposes", "extendedKeyUsage=DER:3000", refusal.CertificateUnsuitable},
		{"a CA", "basicConstraints=critical,CA:TRUE", refusal.CertificateUnsuitable},
		{"a CA, not critical", "basicConstraints=CA:TRUE", refusal.CertificateUnsuitable},
		{"keyCertSign", "keyUsage=digitalSignature,keyCertSign", refusal.CertificateUnsuitable},
		{"keyCertSign with CA:FALSE", "basicConstraints=CA:FALSE\nkeyUsage=keyCertSign", refusal.CertificateUnsuitable},
		{"unknown critical extension", "1.2.3.4=critical,ASN1:UTF8String:x", refusal.CertificateUnsuitable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cert := o.client(clientOptions{ca: "ca", key: "mail", extensions: tt.extensions})
			for _, anchor := range [][]byte{public, certificate} {
				v, err := verify(t, cert, anchor)
				check(t, cert, v, err, tt.want)
			}
		})
	}
}

// TestClientKeys verifies certificates that differ in the client's key only. A weak key
// would make signatures of the client forgeable.
func TestClientKeys(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	public, _ := o.newCA("ca", "ec:P-256")
	tests := []struct {
		kind string
		bits int // Limits.MinRSABits
		want refusal.Reason
	}{
		{"rsa:2048", 2048, ""},
		{"rsa:2048", 0, ""},
		{"rsa:2048", -1, ""},
		{"rsa:2048", 2049, refusal.CertificateWeak},
		{"rsa:1024", 1024, ""},
		{"rsa:1024", 2048, refusal.CertificateWeak},
		{"rsa:1024", 0, refusal.CertificateWeak},
		{"rsa:1024", -1, refusal.CertificateWeak},
		{"rsa:512", 1024, refusal.CertificateWeak},
		{"ec:P-256", 2048, ""},
		{"ec:P-384", 2048, ""},
		{"ec:P-521", 2048, ""},
		{"ed25519", 2048, ""},
		{"ec:P-224", 2048, refusal.CertificateWeak},
		{"x25519", 2048, refusal.CertificateWeak},
		{"ed448", 2048, refusal.CertificateWeak},
	}
	o.key("request", "ec:P-256")
	certs := map[string]*x509.Certificate{}
	for _, tt := range tests {
		if certs[tt.kind] != nil {
			continue
		}
		o.key("mail", tt.kind)
		w := clientOptions{ca: "ca", key: "mail"}
		if tt.kind == "x25519" || tt.kind == "ed448" { // another key signs the request
			o.write("mail.pub", string(o.public("mail")))
			w = clientOptions{ca: "ca", key: "request", more: []string{"-force_pubkey", "mail.pub"}}
		}
		certs[tt.kind] = o.client(w)
	}
	for _, tt := range tests {
		t.Run(tt.kind, func(t *testing.T) {
			cert := certs[tt.kind]
			verifier := trust.NewVerifier(keyring(t, public), nil, trust.Limits{MinRSABits: tt.bits})
			v, err := verifier.Verify(cert, midValidity(cert))
			check(t, cert, v, err, tt.want)
		})
	}
}

// TestShortAnchors checks that an anchor of 1024 bits verifies certificates if the keyring
// accepts it.
func TestShortAnchors(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	public, _ := o.newCA("ca", "rsa:1024")
	o.key("mail", "ec:P-256")
	cert := o.client(clientOptions{ca: "ca", key: "mail"})
	v, err := verify(t, cert, public)
	check(t, cert, v, err, "")
}

func TestTime(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	public, _ := o.newCA("ca", "ec:P-256")
	o.key("mail", "ec:P-256")
	cert := o.client(clientOptions{ca: "ca", key: "mail"})
	ring := keyring(t, public)
	const second = time.Second
	tests := []struct {
		name string
		now  time.Time
		skew time.Duration
		want refusal.Reason
	}{
		{"first second", cert.NotBefore, 0, ""},
		{"last second", cert.NotAfter, 0, ""},
		{"one second early", cert.NotBefore.Add(-second), 0, refusal.CertificateNotYetValid},
		{"one second late", cert.NotAfter.Add(second), 0, refusal.CertificateExpired},
		{"one nanosecond early", cert.NotBefore.Add(-1), 0, refusal.CertificateNotYetValid},
		{"one nanosecond late", cert.NotAfter.Add(1), 0, refusal.CertificateExpired},
		{"one second early, within the skew", cert.NotBefore.Add(-second), second, ""},
		{"one second late, within the skew", cert.NotAfter.Add(second), second, ""},
		{"the whole skew early", cert.NotBefore.Add(-60 * second), 60 * second, ""},
		{"the whole skew late", cert.NotAfter.Add(60 * second), 60 * second, ""},
		{"one second more than the skew early", cert.NotBefore.Add(-61 * second), 60 * second, refusal.CertificateNotYetValid},
		{"one second more than the skew late", cert.NotAfter.Add(61 * second), 60 * second, refusal.CertificateExpired},
		{"zero time", time.Time{}, 60 * second, refusal.CertificateNotYetValid},
		{"another time zone", cert.NotAfter.In(time.FixedZone("east", 14*3600)), 0, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v, err := trust.NewVerifier(ring, nil, trust.Limits{ClockSkew: tt.skew}).Verify(cert, tt.now)
			check(t, cert, v, err, tt.want)
		})
	}
}

func TestLifetime(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	public, _ := o.newCA("ca", "ec:P-256")
	o.key("mail", "ec:P-256")
	cert := o.client(clientOptions{ca: "ca", key: "mail"})
	life := cert.NotAfter.Sub(cert.NotBefore)
	tests := []struct {
		name  string
		limit time.Duration
		want  refusal.Reason
	}{
		{"off", 0, ""},
		{"exactly the limit", life, ""},
		{"one second too long", life - time.Second, refusal.CertificateLifetime},
		{"one day too long", life - 24*time.Hour, refusal.CertificateLifetime},
		// The clock skew does not extend the limit.
		{"one nanosecond too long", life - 1, refusal.CertificateLifetime},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			limits := trust.Limits{MaxLifetime: tt.limit, ClockSkew: time.Minute}
			v, err := trust.NewVerifier(keyring(t, public), nil, limits).Verify(cert, midValidity(cert))
			check(t, cert, v, err, tt.want)
		})
	}
}

// TestOtherIssuers checks that an issuer of the same name without the key is refused, and
// that a client cannot issue certificates.
func TestOtherIssuers(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	public, certificate := o.newCA("ca", "ec:P-256")
	o.newCA("otherCA", "ec:P-256") // with the same name as the CA
	o.key("mail", "ec:P-256")
	o.key("social", "ec:P-256")
	good := o.client(clientOptions{ca: "ca", key: "mail"})
	o.write("mail.crt", string(pemOf("CERTIFICATE", good.Raw)))

	tests := []struct {
		name string
		with clientOptions
		want refusal.Reason
	}{
		{"the CA", clientOptions{ca: "ca", key: "mail"}, ""},
		{"another CA with the same name", clientOptions{ca: "otherCA", key: "mail"}, refusal.CertificateUntrusted},
		{"a verified client", clientOptions{ca: "mail", key: "social"}, refusal.CertificateUntrusted},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cert := o.client(tt.with)
			for _, anchor := range [][]byte{public, certificate} {
				v, err := verify(t, cert, anchor)
				check(t, cert, v, err, tt.want)
			}
		})
	}
	t.Run("another kind of key", func(t *testing.T) {
		o.key("other", "ed25519")
		v, err := verify(t, good, o.public("other"))
		check(t, good, v, err, refusal.CertificateUntrusted)
	})
}

// TestForgedCertificatesAreUntrusted checks that a forged certificate is refused because
// of its signature, whatever else is wrong with it. The refusal reveals nothing else to
// the sender.
func TestForgedCertificatesAreUntrusted(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	public, _ := o.newCA("ca", "ec:P-256")
	o.newCA("otherCA", "ec:P-256")
	o.key("mail", "ec:P-256")
	o.key("short", "rsa:1024")
	revoked, err := trust.NewRevocations([]trust.Revocation{{Serial: "4f3a09"}})
	if err != nil {
		t.Fatal(err)
	}
	verifier := trust.NewVerifier(keyring(t, public), revoked, trust.Limits{MaxLifetime: time.Hour})
	defects := map[string]clientOptions{
		"expired and revoked": {ca: "otherCA", key: "mail"},
		"short key":           {ca: "otherCA", key: "short"},
		"a CA":                {ca: "otherCA", key: "mail", extensions: caExtensions},
		"server only":         {ca: "otherCA", key: "mail", extensions: "extendedKeyUsage=serverAuth"},
	}
	for name, with := range defects {
		t.Run(name, func(t *testing.T) {
			cert := o.client(with)
			v, err := verifier.Verify(cert, cert.NotAfter.Add(time.Second))
			check(t, cert, v, err, refusal.CertificateUntrusted)
		})
	}
}

// TestRotation checks that clients of both keys are accepted while both anchors are in the
// keyring, and only those of the new key afterwards.
func TestRotation(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	oldPublic, _ := o.newCA("old", "rsa:2048")
	newPublic, newCertificate := o.newCA("new", "ed25519")
	o.key("mail", "ec:P-256")
	before := o.client(clientOptions{ca: "old", key: "mail"})
	after := o.client(clientOptions{ca: "new", key: "mail"})
	tests := []struct {
		name          string
		anchors       [][]byte
		before, after refusal.Reason
	}{
		{"only the old", [][]byte{oldPublic}, "", refusal.CertificateUntrusted},
		{"old and new", [][]byte{oldPublic, newPublic}, "", ""},
		{"new and old", [][]byte{newPublic, oldPublic}, "", ""},
		{"old key and new CA", [][]byte{oldPublic, newCertificate}, "", ""},
		{"only the new", [][]byte{newPublic}, refusal.CertificateUntrusted, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v, err := verify(t, before, tt.anchors...)
			check(t, before, v, err, tt.before)
			v, err = verify(t, after, tt.anchors...)
			check(t, after, v, err, tt.after)
			if tt.after == "" && v.KeyID() != keyring(t, newPublic).Anchors()[0].ID() {
				t.Error("want the id of the anchor that accepted it, found another")
			}
		})
	}
}

// TestCriticalExtensionsAreNamed checks that the refusal of a client certificate contains
// its critical extension. nameConstraints are known but not allowed in a client's.
func TestCriticalExtensionsAreNamed(t *testing.T) {
	f := ca.New(t)
	for want, change := range map[string]func(*x509.Certificate){
		"found nameConstraints (2.5.29.30)": directories(t, true, []string{"/O=Example"}, nil),
		"found 1.2.3.4": func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
		},
	} {
		leaf := f.Client(t, ca.Key(t).Public(), change)
		v, err := verifyAt(t, leaf, nil, f.PublicKeyPEM())
		check(t, leaf, v, err, refusal.CertificateUnsuitable)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "unknown") {
			t.Errorf("want %q, found %v", want, err)
		}
	}
}
