package proxies

import (
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

// TestSignedRequestsThroughProxies checks that signed requests arrive unchanged through
// each real proxy, and that a copy is refused.
func TestSignedRequestsThroughProxies(t *testing.T) {
	t.Parallel()
	c := newCredentials(t)
	mail := harness.Signer{Certificate: c.mail, Key: c.clients.ReadKey(t, "p256.key")}
	for _, file := range tlsFiles() {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			f := newProxiedGatewayWith(t, c, file, harness.SignatureRequired().With(harness.Env{"TRUSTED_PROXIES": "127.0.0.1/32"}))
			f.start(t, file, nil)
			for _, r := range []harness.Request{
				harness.PlainRequest("GET", "/events?from=2013-08-01&q=%20%2B+"), harness.PlainRequest("GET", "/events/a%20b;v=1"),
				harness.PlainRequest("POST", "/events").Post(harness.EventJSON("Meeting")), harness.PlainRequest("POST", "/events").Post(strings.Repeat("a", 300<<10)),
			} {
				r = mail.Sign(t, r, harness.SignatureOptions{})
				harness.WantClientHeaders(t, f.wantMail(t, r), "mail", "signed", c.mail)
				for _, again := range []harness.Response{f.sendAsMail(t, r), harness.Send(t, f.gateway.Addr, r)} {
					f.gateway.WantProblem(t, again, refusal.ProofReplayed)
				}
				f.gateway.Upstream.WantNothing(t)
			}
		})
	}
}

// TestSignedRequestsThroughProxyWithOtherHost uses an nginx that writes its own Host.
func TestSignedRequestsThroughProxyWithOtherHost(t *testing.T) {
	t.Parallel()
	c := newCredentials(t)
	const file = "nginx-tls.conf"
	mail := harness.Signer{Certificate: c.mail, Key: c.clients.ReadKey(t, "p256.key")}
	r := func() harness.Request {
		return mail.Sign(t, harness.PlainRequest("GET", "/events"), harness.SignatureOptions{})
	}
	rewriting := func(text string) string {
		return strings.Replace(text, "proxy_set_header Host $host;", "proxy_set_header Host gateway.internal;", 1)
	}
	f := newProxiedGatewayWith(t, c, file, harness.Env{"AUTH_PROOF": "require"})
	f.start(t, file, rewriting)
	f.gateway.WantProblem(t, f.sendAsMail(t, r()), refusal.ProofInvalid)
	f = newProxiedGatewayWith(t, c, file, harness.SignatureRequired())
	f.start(t, file, rewriting)
	f.wantMail(t, r())
}
