package certheader_test

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/refusal"
)

// selfSigned returns a certificate over a key made with the arguments of openssl genpkey.
func selfSigned(t *testing.T, genpkey []string, req ...string) []byte {
	t.Helper()
	dir := t.TempDir()
	key, crt := filepath.Join(dir, "key"), filepath.Join(dir, "crt")
	openssl(t, append([]string{"genpkey", "-out", key}, genpkey...)...)
	openssl(t, append([]string{"req", "-new", "-x509", "-key", key, "-subj", "/OU=mail", "-out", crt}, req...)...)
	return read(t, crt).der
}

// TestUnsupported checks that a complete certificate that crypto/x509 does not support is
// refused for that reason in every form, without a hint about its encoding.
func TestUnsupported(t *testing.T) {
	ec := func(curve string) []string {
		return []string{"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:" + curve}
	}
	p256 := ec("P-256")
	good := selfSigned(t, p256)
	der := map[string][]byte{
		"on the curve secp256k1":   selfSigned(t, ec("secp256k1")),
		"on the curve brainpool":   selfSigned(t, ec("brainpoolP256r1")),
		"explicit elliptic curve":  selfSigned(t, append(ec("P-256"), "-pkeyopt", "ec_param_enc:explicit")),
		"an Ed448 key":             selfSigned(t, []string{"-algorithm", "ED448"}),
		"an RSASSA-PSS key":        selfSigned(t, []string{"-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:1024"}),
		"a negative serial number": selfSigned(t, p256, "-set_serial", "-5"),
		// -subj OU=mail is a UTF8String (12) of four letters; UniversalString is 28.
		"UniversalString in its": bytes.ReplaceAll(good, []byte("\x0c\x04mail"), []byte("\x1c\x04mail")),
		// subjectKeyIdentifier (2.5.29.14) becomes authorityKeyIdentifier (2.5.29.35).
		"the same extension twice": bytes.ReplaceAll(good, []byte("\x55\x1d\x0e"), []byte("\x55\x1d\x23")),
		"a field that Go's":        bytes.Replace(good, []byte("\xa0\x03\x02\x01\x02"), []byte("\xa0\x03\x02\x01\x09"), 1),
	}
	for want, der := range der {
		for _, form := range certheader.Forms() {
			t.Run(want+"/"+string(form), func(t *testing.T) {
				value := certheader.Encode(form, der)
				checkHint(t, hintTest{value: value, hint: want}, refusal.CredentialMalformed)
				_, err := certheader.Parse([]string{value}, limit)
				text := err.Error()
				if !strings.Contains(text, "which is not supported: ") || strings.Contains(text, "base64") || strings.Contains(text, "nil") {
					t.Errorf("want a refusal about the certificate only, found %q", text)
				}
			})
		}
	}
	t.Run("surplus elements", func(t *testing.T) {
		tbs, algorithm, signature := fixture{der: good}.elements(t)
		der := sequence(t, tbs.FullBytes, algorithm.FullBytes, signature.FullBytes, []byte{5, 0})
		checkHint(t, hintTest{value: base64Of(der), hint: "did not sign"}, refusal.CredentialMalformed)
	})
}

// TestUnsupportedIntermediate checks that an intermediate with an unsupported key is
// accepted in a chain, because the path may not need it, and that an unreadable one is
// refused.
func TestUnsupportedIntermediate(t *testing.T) {
	leaf := readFiles(t).leaf.der
	chain := func(intermediate []byte) []string {
		return []string{certheader.Encode(certheader.Base64DER, leaf, intermediate)}
	}
	if _, err := certheader.Parse(chain(selfSigned(t, []string{"-algorithm", "ED448"})), limit); err != nil {
		t.Errorf("want the chain, found %v", err)
	}
	_, err := certheader.Parse(chain(selfSigned(t, []string{"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"})), limit)
	checkReason(t, err, refusal.CredentialMalformed)
	if err == nil || !strings.Contains(err.Error(), "secp256k1") {
		t.Errorf("want the curve named, found %v", err)
	}
}
