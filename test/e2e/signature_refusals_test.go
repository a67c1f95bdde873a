package e2e

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

// TestSignedRequestRefusals changes a signed request in one way, after the unchanged
// request has passed.
func TestSignedRequestRefusals(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "rsa")
	g := harness.NewGateway(t, m, harness.SignatureRequired().With(harness.Env{"AUTH_CLOCK_SKEW": "0s"}))
	g.CheckLogAtEnd(t)
	mail := NewSigner(t, m, harness.OU("mail"))
	// Another certificate of the same client over the same key, and over another.
	twin := NewSigner(t, m, harness.OU("mail"))
	other := NewSigner(t, m, harness.CertificateOptions{Subject: "/OU=mail", Key: "ed25519"})
	social := NewSigner(t, m, harness.OU("social"))
	shared := harness.Signer{Certificate: m.IssueOverMasterKey(t, "mail"), Key: m.ReadKey(t, m.KeyFile)}

	post := harness.PlainRequest("POST", "/events?a=1").Post(harness.EventJSON("Meeting"))
	attach := func(r harness.Request, as harness.Signer) harness.Request {
		return withoutField(t, r, "X-SSL-Auth").With("X-SSL-Auth: " + as.HeaderValue(certheader.Base64DER))
	}
	covering := func(components ...string) harness.SignatureOptions {
		return harness.SignatureOptions{Components: components}
	}
	all := []string{`"@method"`, `"@authority"`, `"@path"`, `"@query"`, `"x-ssl-auth"`, `"content-digest"`}
	but := func(i int) harness.SignatureOptions { return covering(slices.Delete(slices.Clone(all), i, i+1)...) }
	parameters := func(change func(p string) string) harness.SignatureOptions {
		return harness.SignatureOptions{Parameters: change(fmt.Sprintf(`;created=%d;expires=%d;nonce="n%d";keyid=%q;tag="certgate"`,
			time.Now().Unix(), time.Now().Unix()+60, time.Now().UnixNano(), "sha256/"+strings.TrimPrefix(mail.SPKI(), "sha256/")))}
	}
	cut := func(name string) harness.SignatureOptions {
		return parameters(func(p string) string {
			var kept []string
			for _, one := range strings.Split(p, ";")[1:] {
				if !strings.HasPrefix(one, name+"=") {
					kept = append(kept, one)
				}
			}
			return ";" + strings.Join(kept, ";")
		})
	}
	signed := func(s harness.SignatureOptions) harness.Request { return mail.Sign(t, post, s) }
	tests := []struct {
		name   string
		reason refusal.Reason
		bad    harness.Request
	}{
		{"not signed", refusal.ProofMissing, post.With("X-SSL-Auth: "+mail.HeaderValue(certheader.Base64DER), "Content-Digest: "+harness.Digest(post.Body))},
		{"signed for another service", refusal.ProofMissing, signed(parameters(func(p string) string { return strings.Replace(p, "certgate", "bank", 1) }))},
		{"no Signature", refusal.ProofMalformed, withoutField(t, signed(harness.SignatureOptions{}), "Signature")},
		{"no Signature-Input", refusal.ProofMalformed, withoutField(t, signed(harness.SignatureOptions{}), "Signature-Input")},
		{"another label", refusal.ProofMalformed, replacing(t, signed(harness.SignatureOptions{}), "Signature: sig1", "Signature: sig2")},
		{"not a dictionary", refusal.ProofMalformed, replacing(t, signed(harness.SignatureOptions{}), `("@method"`, `"@method"`)},
		{"a parameter twice", refusal.ProofMalformed, signed(parameters(func(p string) string { return p + `;tag="certgate"` }))},
		{"a component twice", refusal.ProofMalformed, signed(covering(append(slices.Clone(all), `"@path"`)...))},
		{"an unknown derived component", refusal.ProofMalformed, signed(covering(append(slices.Clone(all), `"@magic"`)...))},
		{"a component of responses", refusal.ProofMalformed, signed(covering(append(slices.Clone(all), `"@status"`)...))},
		{"two signatures", refusal.ProofMalformed, twice(t, signed(harness.SignatureOptions{}))},
		{"a covered field that Connection lists", refusal.ProofMalformed, mail.Sign(t, post.With("X-Total: 7"), covering(append(slices.Clone(all), `"x-total"`)...)).With("Connection: keep-alive,\tx-Total")},
		{"a label twice", refusal.ProofMalformed, signed(harness.SignatureOptions{}).With("Signature: sig1=:AAAA:")},
		{"a covered field and another spelling of it", refusal.ProofMalformed, signed(harness.SignatureOptions{}).With("Content_Digest: " + harness.Digest(""))},
		{"a lifetime of 301 seconds", refusal.ProofMalformed, signed(harness.SignatureOptions{Lifetime: 301 * time.Second})},
		{"a nonce too long", refusal.ProofMalformed, signed(harness.SignatureOptions{Nonce: strings.Repeat("n", 129)})},

		{"without @method", refusal.ProofIncomplete, signed(but(0))},
		{"without @authority", refusal.ProofIncomplete, signed(but(1))},
		{"without @path", refusal.ProofIncomplete, signed(but(2))},
		{"without @query", refusal.ProofIncomplete, signed(but(3))},
		{"without x-ssl-auth", refusal.ProofIncomplete, signed(but(4))},
		{"without content-digest", refusal.ProofIncomplete, signed(but(5))},
		{"a ? that the signature does not cover", refusal.ProofIncomplete, changed(mail.Sign(t, harness.PlainRequest("POST", "/events"), harness.SignatureOptions{}), func(r *harness.Request) { r.Target += "?" })},
		{"a field that is not there", refusal.ProofIncomplete, signed(covering(append(slices.Clone(all), `"x-absent"`)...))},
		{"without created", refusal.ProofIncomplete, signed(cut("created"))},
		{"without expires", refusal.ProofIncomplete, signed(cut("expires"))},
		{"without nonce", refusal.ProofIncomplete, signed(cut("nonce"))},
		{"without keyid", refusal.ProofIncomplete, signed(cut("keyid"))},
		{"without tag", refusal.ProofIncomplete, signed(cut("tag"))},

		{"expired", refusal.ProofExpired, signed(harness.SignatureOptions{Created: time.Now().Add(-62 * time.Second), Lifetime: time.Minute})},
		{"created in the future", refusal.ProofExpired, signed(harness.SignatureOptions{Created: time.Now().Add(10 * time.Minute)})},

		{"another method", refusal.ProofInvalid, changed(signed(harness.SignatureOptions{}), func(r *harness.Request) { r.Method = "GET" })},
		{"another path", refusal.ProofInvalid, changed(signed(harness.SignatureOptions{}), func(r *harness.Request) { r.Target = "/events/?a=1" })},
		{"another query", refusal.ProofInvalid, changed(signed(harness.SignatureOptions{}), func(r *harness.Request) { r.Target = "/events?a=2" })},
		{"no query", refusal.ProofInvalid, changed(signed(harness.SignatureOptions{}), func(r *harness.Request) { r.Target = "/events" })},
		{"another service", refusal.ProofInvalid, signed(harness.SignatureOptions{Authority: "sister.example"})},
		{"another certificate of the key", refusal.ProofInvalid, attach(signed(harness.SignatureOptions{}), twin)},
		{"another certificate of the client", refusal.ProofInvalid, attach(signed(harness.SignatureOptions{}), other)},
		{"another client", refusal.ProofInvalid, attach(signed(harness.SignatureOptions{}), social)},
		{"the certificate in another form", refusal.ProofInvalid, withoutField(t, signed(harness.SignatureOptions{}), "X-SSL-Auth").With("X-SSL-Auth: " + mail.HeaderValue(certheader.Base64PEM))},
		{"another key", refusal.ProofInvalid, attach(harness.Signer{Certificate: mail.Certificate, Key: other.Key}.Sign(t, post, harness.SignatureOptions{}), mail)},
		{"another keyid", refusal.ProofInvalid, signed(harness.SignatureOptions{KeyID: strings.Repeat("a", 64)})},
		{"another nonce", refusal.ProofInvalid, replacing(t, signed(harness.SignatureOptions{Nonce: "first-nonce"}), "first-nonce", "other-nonce")},
		{"another digest", refusal.ProofInvalid, changed(replacing(t, signed(harness.SignatureOptions{}), harness.Digest(post.Body), harness.Digest("{}")), func(r *harness.Request) { r.Body = "{}" })},
		{"another bit in the signature", refusal.ProofInvalid, flipped(t, signed(harness.SignatureOptions{}))},

		{"another body", refusal.ProofDigest, changed(signed(harness.SignatureOptions{}), func(r *harness.Request) { r.Body = strings.Replace(r.Body, "Meeting", "Beating", 1) })},
		{"an extra byte", refusal.ProofDigest, changed(signed(harness.SignatureOptions{}), func(r *harness.Request) { r.Body += " " })},
		{"no body", refusal.ProofDigest, changed(signed(harness.SignatureOptions{}), func(r *harness.Request) { r.Body = "" }).With("Content-Length: 0")},
		{"a digest of an unsupported algorithm", refusal.ProofDigest, signed(harness.SignatureOptions{Digest: "md5=:" + base64.StdEncoding.EncodeToString(make([]byte, 16)) + ":"})},

		{"the master key itself", refusal.ProofImpossible, shared.Sign(t, post, harness.SignatureOptions{})},
		{"the master key itself, not signed", refusal.ProofImpossible, post.With("X-SSL-Auth: "+shared.HeaderValue(certheader.Base64DER), "Content-Digest: "+harness.Digest(post.Body))},
	}
	for _, test := range tests {
		t.Run(string(test.reason)+"/"+test.name, func(t *testing.T) {
			g.WantAllowed(t, signed(harness.SignatureOptions{}).With("Connection: keep-alive, x-other"))
			method := test.bad.Method
			a := g.WantRefused(t, test.bad, test.reason)
			accept := a.Header.Get("Accept-Signature")
			if want := `sig1=("@method" "@authority" "@path" "@query" `; test.reason != refusal.ProofImpossible && !strings.HasPrefix(accept, want) {
				t.Errorf("%s: want Accept-Signature to begin with %s, found %q", method, want, accept)
			}
		})
	}
	reasons := map[refusal.Reason]bool{refusal.ProofReplayed: true} // TestSignedRequestReplays
	for _, test := range tests {
		reasons[test.reason] = true
	}
	for _, reason := range refusal.Reasons() {
		if strings.HasPrefix(string(reason), "proof_") && !reasons[reason] {
			t.Errorf("want a request that is refused for %s, found none", reason)
		}
	}
}
