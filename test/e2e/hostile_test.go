package e2e

import (
	"encoding/base64"
	"encoding/pem"
	"net/url"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

// TestMalformedCredentials sends header values that each differ from a valid one in one
// way.
func TestMalformedCredentials(t *testing.T) {
	t.Parallel()
	m, otherKey := harness.NewMasterKey(t, "p256"), harness.NewMasterKey(t, "p256")
	mail, social := m.Issue(t, harness.OU("mail")), m.Issue(t, harness.OU("social"))
	forged := otherKey.Issue(t, harness.OU("mail"))
	g := harness.NewGateway(t, m, harness.Env{"MAX_CREDENTIAL_BYTES": "8KiB"})
	g.CheckLogAtEnd(t)
	g.WantAllowed(t, harness.Get("/events", mail))

	h := hostileTo{mail: mail, social: social, forged: forged}
	tests := append(h.pem(), append(h.der(), h.xfcc()...)...)
	if len(tests) < 30 {
		t.Errorf("want at least 30 values, found %d", len(tests))
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g.WantRefused(t, harness.GetWithCredential(test.value), test.reason)
		})
	}
	for name, lines := range map[string][]string{
		"two certificates":   {mail.HeaderValue(certheader.Base64DER), social.HeaderValue(certheader.Base64DER)},
		"the same one twice": {mail.HeaderValue(certheader.Base64DER), mail.HeaderValue(certheader.Base64DER)},
		"an empty line":      {mail.HeaderValue(certheader.Base64DER), ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := harness.PlainGet("/events")
			for _, value := range lines {
				r = r.With("X-SSL-Auth: " + value)
			}
			g.WantRefused(t, r, refusal.CredentialDuplicated)
		})
	}
	g.WantAllowed(t, harness.Get("/events", mail))
}

type hostileValue struct {
	name, value string
	reason      refusal.Reason
}

// hostileTo makes header values from certificates. The first two are accepted, and the
// third does not.
type hostileTo struct{ mail, social, forged harness.Certificate }

const malformed = refusal.CredentialMalformed

// pem returns values with changes in and around the PEM boundary lines.
func (h hostileTo) pem() []hostileValue {
	text, joined := string(h.mail.PEM), h.mail.HeaderValue(certheader.JoinedPEM)
	spaced := h.mail.HeaderValue(certheader.SpacedPEM)
	percent := func(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }
	base64PEM := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	block, _ := pem.Decode(h.mail.PEM)
	block.Headers = map[string]string{"Proc-Type": "4,CLEAR"}
	withHeader := string(pem.EncodeToMemory(block))
	damaged := strings.Replace(text, "MII", "MI!", 1)
	return []hostileValue{
		{"text before", percent("subject=OU = mail\n" + text), malformed},
		{"text before, spaced", "mail " + spaced, malformed},
		{"text behind", percent(text + "and more"), malformed},
		{"text behind, joined", joined + "x", malformed},
		{"text behind, base64", base64PEM(text + "x"), malformed},
		{"another type", percent(strings.ReplaceAll(text, "CERTIFICATE", "PUBLIC KEY")), malformed},
		{"two types", percent(strings.Replace(text, "END CERTIFICATE", "END X509 CRL", 1)), malformed},
		{"inner headers", percent(withHeader), malformed},
		{"inner headers, base64", base64PEM(withHeader), malformed},
		{"no end", percent(text[:len(text)-27]), malformed},
		{"broken escape", strings.Replace(percent(text), "%0A", "%0", 1), malformed},
		{"escaped twice", percent(percent(text)), malformed},
		{"a space inside", strings.Replace(spaced, "MII", "M I", 1), malformed},
		{"a space too many", strings.Replace(spaced, " MII", "  MII", 1), malformed},
		{"mixed line ends", strings.Replace(spaced, " MII", `\nMII`, 1), malformed},
		{"damaged first", percent(damaged + string(h.social.PEM)), malformed},
		{"damaged second", percent(string(h.social.PEM) + damaged), malformed},
		{"five certificates", percent(strings.Repeat(text, 5)), malformed},
		{"a flood of BEGIN", strings.Repeat("-----BEGIN CERTIFICATE-----", 200), malformed},
		{"empty block", "-----BEGIN CERTIFICATE-----" + "-----END CERTIFICATE-----", malformed},
		{"a forged certificate before the valid one", percent(string(h.forged.PEM) + text), refusal.CertificateUntrusted},
	}
}

// der returns values with changes of the DER bytes.
func (h hostileTo) der() []hostileValue {
	der := h.mail.Parsed.Raw
	encoded := func(der []byte) string { return base64.StdEncoding.EncodeToString(der) }
	good := encoded(der)
	inner := append([]byte(nil), der...)
	inner[3] += 2 // the outer length: two more bytes inside
	return []hostileValue{
		{"trailing DER", encoded(append(append([]byte(nil), der...), 5, 0)), malformed},
		{"a surplus element", encoded(append(inner, 5, 0)), malformed},
		{"cut DER", encoded(der[:len(der)-3]), malformed},
		{"indefinite length", encoded(append(append([]byte{0x30, 0x80}, der[4:]...), 0, 0)), malformed},
		{"base64 without its last letter", good[:len(good)-1], malformed},
		{"base64 for addresses", strings.NewReplacer("+", "-", "/", "_").Replace(h.withBoth()), malformed},
		{"a space in base64", good[:76] + " " + good[76:], malformed},
		{"quoted", `"` + good + `"`, malformed},
		{"a comma behind", good + ",", malformed},
		{"two lines merged", good + ", " + good, malformed},
		{"a flood of commas", "M" + strings.Repeat(",", 8000), malformed},
		{"no closing colon", ":" + good, malformed},
		{"parameters", ":" + good + ":;a=1", malformed},
		{"a list of byte sequences", ":" + good + ":, :" + good + ":", malformed},
		{"too large", strings.Repeat("M", 8<<10+1), refusal.CredentialTooLarge},
		{"a key", encoded(h.mail.Parsed.RawSubjectPublicKeyInfo), malformed},
		{"a name", "mail", malformed},
	}
}

// withBoth is base64 in which + or / occur.
func (h hostileTo) withBoth() string {
	value := h.mail.HeaderValue(certheader.Base64DER)
	if strings.ContainsAny(value, "+/") {
		return value
	}
	return value[:40] + "+" + value[41:]
}

// xfcc returns values with changes of Envoy's fields.
func (h hostileTo) xfcc() []hostileValue {
	good := h.mail.HeaderValue(certheader.XFCC)
	other := h.social.HeaderValue(certheader.XFCC)
	return []hostileValue{
		{"two elements", good + "," + other, malformed},
		{"Cert twice", good + ";" + other, malformed},
		{"an open quote", strings.TrimSuffix(good, `"`), malformed},
		{"an unknown field", good + ";Admin=yes", malformed},
		{"no certificate", `By=spiffe://x;URI=spiffe://mail`, malformed},
		{"another's hash", "Hash=" + h.social.Fingerprint() + ";URI=spiffe://mail;" + good, malformed},
		{"another's chain", good + ";" + strings.Replace(other, "Cert=", "Chain=", 1), malformed},
	}
}
