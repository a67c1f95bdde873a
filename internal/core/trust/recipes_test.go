package trust_test

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
)

// TestMasterKeyRecipe follows the first article: there is no CA, and the master key signs
// the client's request as its own.
func TestMasterKeyRecipe(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	if testing.Short() {
		o.key("master", "rsa:2048") // because a new key can take half a second
	} else {
		o.openssl("genrsa", "-out", "master.key", "2048")
	}
	o.openssl("req", "-new", "-config", "req.cnf", "-key", "master.key", "-subj", "/O=Example/OU=mail/CN=mail", "-out", "mail.csr")
	o.openssl("x509", "-req", "-in", "mail.csr", "-signkey", "master.key", "-out", "mail.crt")
	public := o.openssl("rsa", "-in", "master.key", "-pubout")
	cert := parsed(t, o.read("mail.crt"))
	if cert.Version != 1 || len(cert.Extensions) != 0 {
		t.Fatalf("want a version 1 certificate without extensions, found version %d with %d", cert.Version, len(cert.Extensions))
	}

	v, err := verify(t, cert, public)
	check(t, cert, v, err, "")
	checkDetails(t, o, v, "mail.crt", "master")
}

// TestSelfSignedRecipe checks certificates that openssl req -x509 makes with the master
// key and a client's name. By default they are CA certificates and are refused with a hint
// at the option that changes this.
func TestSelfSignedRecipe(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	o.key("master", "rsa:2048")
	const how = "add -addext basicConstraints=critical,CA:FALSE"
	for _, tt := range []struct {
		name string
		more []string
		want refusal.Reason
		hint bool
	}{
		{"default", nil, refusal.CertificateUnsuitable, true},
		{"CA:FALSE", []string{"-addext", "basicConstraints=critical,CA:FALSE"}, "", false},
		{"a CA with keyCertSign", []string{"-addext", "keyUsage=critical,keyCertSign"}, refusal.CertificateUnsuitable, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// This test uses the default configuration of openssl on purpose.
			args := []string{"req", "-new", "-x509", "-key", "master.key", "-subj", "/O=Example/OU=mail", "-days", "30"}
			cert := parsed(t, o.openssl(append(args, tt.more...)...))
			v, err := verify(t, cert, o.public("master"))
			check(t, cert, v, err, tt.want)
			if d := refusal.Of(err); d != nil && strings.Contains(d.Hint, how) != tt.hint {
				t.Errorf("want %q in the hint: %t, found %q", how, tt.hint, d.Hint)
			}
		})
	}
}

// TestAuthorityRecipe follows the second article: a CA signs the request of a client that
// has its own key. The anchor may be the CA's bare key or its certificate.
func TestAuthorityRecipe(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: this test makes two RSA keys with openssl")
	}
	o := newOpenSSL(t)
	o.openssl("genrsa", "-out", "ca.key", "2048")
	// This test uses the default configuration of openssl, as the article does.
	o.openssl("req", "-new", "-x509", "-key", "ca.key", "-subj", "/O=Example/CN=Example CA", "-days", "365", "-out", "ca.crt")
	o.openssl("genrsa", "-out", "mail.key", "2048")
	o.openssl("req", "-new", "-config", "req.cnf", "-key", "mail.key", "-subj", "/O=Example/OU=mail/CN=mail", "-out", "mail.csr")
	o.openssl("x509", "-req", "-in", "mail.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-set_serial", "01", "-out", "mail.crt")
	cert := parsed(t, o.read("mail.crt"))

	anchors := map[string][]byte{
		"bare key":       o.openssl("rsa", "-in", "ca.key", "-pubout"),
		"PKCS 1 key":     o.openssl("rsa", "-in", "ca.key", "-RSAPublicKey_out"),
		"CA certificate": o.read("ca.crt"),
	}
	for name, anchor := range anchors {
		t.Run(name, func(t *testing.T) {
			v, err := verify(t, cert, anchor)
			check(t, cert, v, err, "")
			checkDetails(t, o, v, "mail.crt", "ca")
		})
	}
	t.Run("the client's own key", func(t *testing.T) {
		v, err := verify(t, cert, o.public("mail"))
		check(t, cert, v, err, refusal.CertificateUntrusted)
	})
}

// checkDetails compares a Verified with the output of openssl for the same file and for
// the key that signed it.
func checkDetails(t *testing.T, o opensslCA, v trust.Verified, file, signer string) {
	t.Helper()
	serial := strings.TrimSpace(strings.TrimPrefix(string(o.openssl("x509", "-in", file, "-noout", "-serial")), "serial="))
	if want := strings.ToLower(serial); v.Serial() != want {
		t.Errorf("serial %q, want %q as openssl prints it", v.Serial(), want)
	}
	spki := sha256.Sum256(o.openssl("pkey", "-in", signer+".key", "-pubout", "-outform", "DER"))
	if want := hex.EncodeToString(spki[:]); v.KeyID().String() != want || v.KeyID().Short() != want[:16] || v.ShortKeyID() != want[:16] {
		t.Errorf("key id %s (%s, %s), want %s as openssl computes it", v.KeyID(), v.KeyID().Short(), v.ShortKeyID(), want)
	}
	tbs := sha256.Sum256(v.Certificate().RawTBSCertificate)
	if want := hex.EncodeToString(tbs[:]); v.Fingerprint() != want {
		t.Errorf("fingerprint %s, want %s, the hash of the signed bytes", v.Fingerprint(), want)
	}
}

// TestAnchorAlgorithms checks every kind of key, as bare key and as CA certificate: it
// accepts certificates that it signed and refuses those of another key of the same kind.
func TestAnchorAlgorithms(t *testing.T) {
	tests := []struct{ kind, want string }{
		{"rsa:2048", "RSA-2048"},
		{"rsa:3072", "RSA-3072"},
		{"ec:P-256", "P-256"},
		{"ec:P-384", "P-384"},
		{"ec:P-521", "P-521"},
		{"ed25519", "Ed25519"},
	}
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			t.Parallel()
			o := newOpenSSL(t)
			public, certificate := o.newCA("ca", tt.kind)
			otherPublic, otherCertificate := o.newCA("otherCA", strings.Replace(tt.kind, "3072", "2048", 1))
			o.key("mail", "ec:P-256")
			cert := o.client(clientOptions{ca: "ca", key: "mail"})
			for _, anchor := range [][]byte{public, certificate} {
				if got := keyring(t, anchor).Anchors()[0].Algorithm(); got != tt.want {
					t.Errorf("algorithm %q, want %q", got, tt.want)
				}
				v, err := verify(t, cert, anchor)
				check(t, cert, v, err, "")
			}
			for _, anchor := range [][]byte{otherPublic, otherCertificate} {
				v, err := verify(t, cert, anchor)
				check(t, cert, v, err, refusal.CertificateUntrusted)
			}
		})
	}
}

// algorithmText returns the name of an algorithm in the detail of a refusal.
func algorithmText(a x509.SignatureAlgorithm) string {
	if a == x509.UnknownSignatureAlgorithm {
		return "an unsupported algorithm"
	}
	return a.String()
}

// TestDigests checks that an RSA anchor accepts signatures with SHA-256, SHA-384 and
// SHA-512, with either padding, and no others.
func TestDigests(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	public, _ := o.newCA("ca", "rsa:2048")
	o.key("mail", "ec:P-256")
	pss := []string{"-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"}
	longSalt := []string{"-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:max"}
	tests := []struct {
		digest string
		more   []string
		want   x509.SignatureAlgorithm
		reason refusal.Reason
	}{
		{"-sha256", nil, x509.SHA256WithRSA, ""},
		{"-sha384", nil, x509.SHA384WithRSA, ""},
		{"-sha512", nil, x509.SHA512WithRSA, ""},
		{"-sha256", pss, x509.SHA256WithRSAPSS, ""},
		{"-sha384", pss, x509.SHA384WithRSAPSS, ""},
		{"-sha512", pss, x509.SHA512WithRSAPSS, ""},
		{"-md5", nil, x509.MD5WithRSA, refusal.CertificateWeak},
		{"-sha1", nil, x509.SHA1WithRSA, refusal.CertificateWeak},
		{"-sha224", nil, x509.UnknownSignatureAlgorithm, refusal.CertificateWeak},
		{"-sha1", pss, x509.UnknownSignatureAlgorithm, refusal.CertificateWeak},
		{"-sha256", longSalt, x509.UnknownSignatureAlgorithm, refusal.CertificateWeak},
	}
	for _, tt := range tests {
		t.Run(tt.want.String()+tt.digest, func(t *testing.T) {
			cert := o.client(clientOptions{ca: "ca", key: "mail", digest: tt.digest, more: tt.more})
			if cert.SignatureAlgorithm != tt.want {
				t.Fatalf("the fixture has a %v signature", cert.SignatureAlgorithm)
			}
			v, err := verify(t, cert, public)
			check(t, cert, v, err, tt.reason)
			if want := "found " + algorithmText(tt.want); err != nil && !strings.HasSuffix(err.Error(), want) {
				t.Errorf("want a detail that ends with %q, found %v", want, err)
			}
		})
	}
	t.Run("ECDSA-SHA1", func(t *testing.T) {
		public, _ := o.newCA("ec", "ec:P-256")
		cert := o.client(clientOptions{ca: "ec", key: "mail", digest: "-sha1"})
		v, err := verify(t, cert, public)
		check(t, cert, v, err, refusal.CertificateWeak)
	})
}
