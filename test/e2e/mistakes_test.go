package e2e

import (
	"encoding/base64"
	"net/url"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

// TestCommonMistakesGetHints attaches what users attach by mistake. Response and log
// contain a hint that the documents repeat, and no part of the value.
func TestCommonMistakesGetHints(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	key, ca := string(m.ReadFile(t, "p256.key")), harness.NewCertificate(t, m.ReadFile(t, m.CertFile))
	harness.KeepPEM([]byte(key))
	m.WriteFile(t, "client.crt", string(mail.PEM))
	m.Openssl(t, "req", "-new", "-config", "ca.cnf", "-key", "p256.key", "-subj", "/OU=mail", "-out", "client.csr")
	harness.KeepPEM(m.ReadFile(t, "client.csr"))
	g := harness.NewGateway(t, m, nil)
	g.CheckLogAtEnd(t)
	g.WantAllowed(t, harness.Get("/events", mail))

	text, der := string(mail.PEM), mail.HeaderValue(certheader.Base64DER)
	inOneLine := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	const malformed = refusal.CredentialMalformed
	tests := []struct {
		name, value string
		reason      refusal.Reason
		hint        string
	}{
		{"private key", url.PathEscape(key), refusal.CredentialPrivateKey, "make a new one, have the old certificate revoked"},
		{"private key behind the certificate", inOneLine(text + key), refusal.CredentialPrivateKey, "make a new one, have the old certificate revoked"},
		{"private key in DER", inOneLine(m.Openssl(t, "pkey", "-in", "p256.key", "-outform", "der")), refusal.CredentialPrivateKey, "make a new one, have the old certificate revoked"},
		{"request", inOneLine(string(m.ReadFile(t, "client.csr"))), malformed, "This is a certificate request: attach the certificate that was issued for it"},
		{"public key", inOneLine(m.PublicKey), malformed, "This is a public key: attach the certificate over it"},
		{"CA", ca.HeaderValue(certheader.Base64DER), refusal.CertificateUnsuitable, "This is the certificate of a CA: attach the client's certificate, which is the first of a chain"},
		{"openssl req -x509", inOneLine(m.Openssl(t, "req", "-new", "-x509", "-key", m.KeyFile, "-subj", "/OU=mail")), refusal.CertificateUnsuitable, "made with openssl req -x509, add -addext basicConstraints=critical,CA:FALSE to that command"},
		{"text before", inOneLine(m.Openssl(t, "x509", "-in", "client.crt", "-text")), malformed, "There is text before the certificate: attach the output of openssl x509 -in FILE"},
		{"name of a file", "/etc/certgate/mail.crt", malformed, "This is the name of a file: attach the certificate in the file"},
		{"single quotes in a shell", "$(certgate header mail.crt)", malformed, "This is a variable or command that was not substituted"},
		{"quotes", `"` + der + `"`, malformed, "The value is in quotes: attach it without quotes"},
		{"Python's bytes", "b'" + der + "'", malformed, "The value is in quotes: attach it without quotes"},
		{"a plus as a space", der[:100] + " " + der[101:], malformed, "There is white space in the base64"},
		{"base64 in lines", der[:64] + " " + der[64:], malformed, "There is white space in the base64"},
		{"encoded twice", url.QueryEscape(mail.HeaderValue(certheader.PercentPEM)), malformed, "The value is encoded twice: encode it once"},
		{"cut off", der[:300], malformed, "The end of the certificate is missing: the value was truncated"},
		{"unsupported key", inOneLine(unsupported(t, m)), malformed, "The certificate has a key on the curve secp256k1, which is not supported: make an RSA, P-256, P-384, P-521 or Ed25519 key and have the certificate issued over it"},
		{"nothing", "", refusal.CredentialMissing, "Attach the client certificate in X-SSL-Auth"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			wantHint(t, g, harness.GetWithCredential(test.value), test.reason, test.hint)
		})
	}
	t.Run("another header", func(t *testing.T) {
		wantHint(t, g, harness.PlainGet("/events").With("X-SSL-Client-Cert: "+der), refusal.ProxyUntrusted, "A client attaches its certificate in X-SSL-Auth")
	})
	t.Run("line breaks", func(t *testing.T) {
		wantHint(t, g, harness.GetWithCredential(text), refusal.RequestMalformed, "There are line breaks in a header")
	})
	t.Run("line breaks of a key", func(t *testing.T) {
		wantHint(t, g, harness.GetWithCredential(key), refusal.RequestMalformed, "There is a private key in a header")
	})
	t.Run(`\n for line breaks is accepted`, func(t *testing.T) {
		g.WantAllowed(t, harness.GetWithCredential(mail.HeaderValue(certheader.EscapedPEM)))
	})
}

// unsupported makes a certificate over a key that crypto/x509 does not support.
func unsupported(t *testing.T, m *harness.MasterKey) string {
	t.Helper()
	m.Openssl(t, "ecparam", "-name", "secp256k1", "-genkey", "-noout", "-out", "unsupported.key")
	harness.KeepPEM(m.ReadFile(t, "unsupported.key"))
	return m.Openssl(t, "req", "-new", "-x509", "-key", "unsupported.key", "-subj", "/OU=mail")
}

// wantHint expects the reason, and the hint in the response, the log and the documents.
func wantHint(t *testing.T, g *harness.Gateway, r harness.Request, reason refusal.Reason, hint string) {
	t.Helper()
	a := harness.Send(t, g.Addr, r)
	harness.RecordOutput("certgate's answer in "+t.Name(), a.Body)
	g.Upstream.WantNothing(t)
	p := a.Problem(t)
	if p.Reason != string(reason) || a.Status != reason.Status() || !strings.Contains(p.Detail, hint) {
		t.Errorf("want %s and %q, found %d %s", reason, hint, a.Status, a.Body)
	}
	g.CheckAuditLine(t, p.RequestID, func(t testing.TB, line harness.AuditLine) {
		t.Helper()
		if line.Reason != string(reason) || !strings.HasSuffix(line.Detail, ". "+p.Detail) {
			t.Errorf("want the hint in the log, too, found %+v", line)
		}
	})
	if !strings.Contains(harness.Documents(t), hint) {
		t.Errorf("want %q in the README, found none", hint)
	}
}
