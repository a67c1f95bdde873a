package test

import (
	"encoding/base64"
	"net/url"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/refusal"
)

// TestCommonMistakes: what people attach instead of a certificate, each beside
// the certificate itself. The answer says what to do, in words that the README
// repeats; the log says it, too; neither has a piece of what was sent.
func TestCommonMistakes(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	mail := m.issue(t, subject("mail"))
	key, ca := string(m.read(t, "p256.key")), newCertificate(t, m.read(t, m.cert))
	run.secrets.keepPEM([]byte(key))
	run.secrets.keepPEM(m.read(t, "client.csr"))
	g := newGateway(t, m, nil)
	g.wantAllowed(t, get("/events", mail))

	text, der := string(mail.pem), mail.header(certheader.Base64DER)
	inOneLine := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	const malformed = refusal.CredentialMalformed
	tests := []struct {
		name, value string
		reason      refusal.Reason
		hint        string
	}{
		{"private key", url.PathEscape(key), refusal.CredentialPrivateKey, "make a new one, have the old certificate revoked"},
		{"private key behind the certificate", inOneLine(text + key), refusal.CredentialPrivateKey, "make a new one, have the old certificate revoked"},
		{"private key in DER", inOneLine(m.openssl(t, "pkey", "-in", "p256.key", "-outform", "der")), refusal.CredentialPrivateKey, "make a new one, have the old certificate revoked"},
		{"request", inOneLine(string(m.read(t, "client.csr"))), malformed, "This is a certificate request: attach the certificate that was issued for it"},
		{"public key", inOneLine(m.publicKey), malformed, "This is a public key: attach the certificate over it"},
		{"CA", ca.header(certheader.Base64DER), refusal.CertificateUnsuitable, "This is the certificate of a CA: attach the client's own, the first of a chain"},
		{"openssl req -x509", inOneLine(m.openssl(t, "req", "-new", "-x509", "-key", m.key, "-subj", "/OU=mail")), refusal.CertificateUnsuitable, "made with openssl req -x509, add -addext basicConstraints=critical,CA:FALSE to that command"},
		{"text before", inOneLine(m.openssl(t, "x509", "-in", "client.crt", "-text")), malformed, "There is text before the certificate: attach what openssl x509 -in FILE prints"},
		{"name of a file", "/etc/certgate/mail.crt", malformed, "This is the name of a file: attach the certificate that is in it"},
		{"single quotes in a shell", "$(certgate header mail.crt)", malformed, "This is a variable or command that nothing has replaced"},
		{"quotes", `"` + der + `"`, malformed, "The value is in quotes: attach it without them"},
		{"Python's bytes", "b'" + der + "'", malformed, "The value is in quotes: attach it without them"},
		{"a plus as a space", der[:100] + " " + der[101:], malformed, "There is white space in the base64"},
		{"base64 in lines", der[:64] + " " + der[64:], malformed, "There is white space in the base64"},
		{"encoded twice", url.QueryEscape(mail.header(certheader.PercentPEM)), malformed, "The value is encoded twice: encode it once"},
		{"cut off", der[:300], malformed, "The end of the certificate is missing: something cut the value off"},
		{"unsupported key", inOneLine(m.unsupported(t)), malformed, "The certificate has a key on the curve secp256k1, which is not supported: make an RSA, P-256, P-384, P-521 or Ed25519 key and have the certificate issued over it"},
		{"nothing", "", refusal.CredentialMissing, "Attach the client certificate in X-SSL-Auth"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			wantHint(t, g, credential(test.value), test.reason, test.hint)
		})
	}
	t.Run("another header", func(t *testing.T) {
		wantHint(t, g, plainGet("/events").with("X-SSL-Client-Cert: "+der), refusal.ProxyUntrusted, "A client attaches its certificate in X-SSL-Auth")
	})
	t.Run("line breaks", func(t *testing.T) {
		wantHint(t, g, credential(text), refusal.RequestMalformed, "There are line breaks in a header")
	})
	t.Run("line breaks of a key", func(t *testing.T) {
		wantHint(t, g, credential(key), refusal.RequestMalformed, "There is a private key in a header")
	})
	t.Run(`\n for line breaks is none`, func(t *testing.T) {
		g.wantAllowed(t, credential(mail.header(certheader.EscapedPEM)))
	})
}

// unsupported makes a certificate over a key that crypto/x509 does not support.
func (m *master) unsupported(t *testing.T) string {
	t.Helper()
	m.openssl(t, "ecparam", "-name", "secp256k1", "-genkey", "-noout", "-out", "unsupported.key")
	run.secrets.keepPEM(m.read(t, "unsupported.key"))
	return m.openssl(t, "req", "-new", "-x509", "-key", "unsupported.key", "-subj", "/OU=mail")
}

// wantHint wants the reason, and the hint in the answer, the log and the README.
func wantHint(t *testing.T, g *gateway, r request, reason refusal.Reason, hint string) {
	t.Helper()
	a := send(t, g.addr, r)
	run.secrets.said("certgate's answer in "+t.Name(), a.body)
	g.upstream.wantNothing(t)
	p := a.problem(t)
	if p.Reason != string(reason) || a.status != reason.Status() || !strings.Contains(p.Detail, hint) {
		t.Errorf("want %s and %q, found %d %s", reason, hint, a.status, a.body)
	}
	if line := g.auditOf(t, p.RequestID); line.Reason != string(reason) || !strings.HasSuffix(line.Detail, ". "+p.Detail) {
		t.Errorf("want the hint in the log, too, found %+v", line)
	}
	if !strings.Contains(documents(t), hint) {
		t.Errorf("want %q in the README, found none", hint)
	}
}
