package e2e

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

// TestSignedRequestsWithEveryKey sends requests signed with each kind of key.
func TestSignedRequestsWithEveryKey(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "rsa")
	g := harness.NewGateway(t, m, harness.SignatureRequired())
	for _, key := range []string{"p256", "p384", "ed25519", "rsa", "rsa4096"} {
		t.Run(key, func(t *testing.T) {
			c := NewSigner(t, m, harness.CertificateOptions{Subject: "/OU=mail", Key: key})
			for _, r := range []harness.Request{
				harness.PlainRequest("GET", "/events"), harness.PlainRequest("GET", "/events?from=2013-08-01&%20="), harness.PlainRequest("HEAD", "/events"),
				harness.PlainRequest("POST", "/events").Post(harness.EventJSON("Meeting")), harness.PlainRequest("POST", "/events"),
				harness.PlainRequest("POST", "/events").Post(strings.Repeat("a", 200<<10)),
			} {
				head := g.WantAllowed(t, c.Sign(t, r, harness.SignatureOptions{}))
				if found := harness.HeaderValues(head, "X-Client-Auth"); !slices.Equal(found, []string{"signed"}) {
					t.Errorf("%s %s: want X-Client-Auth: signed, found %q", r.Method, r.Target, found)
				}
				for _, name := range []string{"Signature", "Signature-Input", "X-SSL-Auth"} {
					if found := harness.HeaderValues(head, name); len(found) != 0 {
						t.Errorf("want no %s at the upstream, found %d", name, len(found))
					}
				}
			}
		})
	}
}

// TestSignedChunkedBody checks that a signed body arrives unchanged however it was framed.
func TestSignedChunkedBody(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	g := harness.NewGateway(t, m, harness.SignatureRequired())
	c := NewSigner(t, m, harness.OU("mail"))
	body := strings.Repeat("0123456789", 20<<10)
	r := c.Sign(t, harness.PlainRequest("POST", "/events").Post(body), harness.SignatureOptions{}).With("Transfer-Encoding: chunked")
	r.Body = harness.Chunked(body, 7777)
	a := harness.Send(t, g.Addr, r)
	if a.Status != 200 {
		t.Fatalf("want 200, found %d and %s", a.Status, a.Body)
	}
	if found := g.Upstream.Take(); !strings.HasSuffix(found, "\r\n\r\n"+body) {
		t.Errorf("want the body whole at the upstream, found %d bytes", len(found))
	}
	other := c.Sign(t, harness.PlainRequest("POST", "/events").Post(body), harness.SignatureOptions{}).With("Transfer-Encoding: chunked")
	other.Body = harness.Chunked(body[1:]+"x", 7777)
	g.WantRefused(t, other, refusal.ProofDigest)
}

// TestSignedRequestRefusals changes a signed request in one way, after the unchanged
// request has passed.
func TestSignedRequestRefusals(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "rsa")
	g := harness.NewGateway(t, m, harness.SignatureRequired().With(harness.Env{"AUTH_CLOCK_SKEW": "0s"}))
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
		{"for somebody else", refusal.ProofMissing, signed(parameters(func(p string) string { return strings.Replace(p, "certgate", "bank", 1) }))},
		{"no Signature", refusal.ProofMalformed, withoutField(t, signed(harness.SignatureOptions{}), "Signature")},
		{"no Signature-Input", refusal.ProofMalformed, withoutField(t, signed(harness.SignatureOptions{}), "Signature-Input")},
		{"another label", refusal.ProofMalformed, replacing(t, signed(harness.SignatureOptions{}), "Signature: sig1", "Signature: sig2")},
		{"not a dictionary", refusal.ProofMalformed, replacing(t, signed(harness.SignatureOptions{}), `("@method"`, `"@method"`)},
		{"a parameter twice", refusal.ProofMalformed, signed(parameters(func(p string) string { return p + `;tag="certgate"` }))},
		{"a component twice", refusal.ProofMalformed, signed(covering(append(slices.Clone(all), `"@path"`)...))},
		{"an unknown derived component", refusal.ProofMalformed, signed(covering(append(slices.Clone(all), `"@magic"`)...))},
		{"a component of answers", refusal.ProofMalformed, signed(covering(append(slices.Clone(all), `"@status"`)...))},
		{"two signatures", refusal.ProofMalformed, twice(t, signed(harness.SignatureOptions{}))},
		{"a covered field that Connection takes away", refusal.ProofMalformed, mail.Sign(t, post.With("X-Total: 7"), covering(append(slices.Clone(all), `"x-total"`)...)).With("Connection: keep-alive,\tx-Total")},
		{"a label twice", refusal.ProofMalformed, signed(harness.SignatureOptions{}).With("Signature: sig1=:AAAA:")},
		{"a covered field with a twin", refusal.ProofMalformed, signed(harness.SignatureOptions{}).With("Content_Digest: " + harness.Digest(""))},
		{"a life of 301 seconds", refusal.ProofMalformed, signed(harness.SignatureOptions{Lifetime: 301 * time.Second})},
		{"a nonce too long", refusal.ProofMalformed, signed(harness.SignatureOptions{Nonce: strings.Repeat("n", 129)})},

		{"without @method", refusal.ProofIncomplete, signed(but(0))},
		{"without @authority", refusal.ProofIncomplete, signed(but(1))},
		{"without @path", refusal.ProofIncomplete, signed(but(2))},
		{"without @query", refusal.ProofIncomplete, signed(but(3))},
		{"without x-ssl-auth", refusal.ProofIncomplete, signed(but(4))},
		{"without content-digest", refusal.ProofIncomplete, signed(but(5))},
		{"a ? that nobody signed", refusal.ProofIncomplete, changed(mail.Sign(t, harness.PlainRequest("POST", "/events"), harness.SignatureOptions{}), func(r *harness.Request) { r.Target += "?" })},
		{"a field that is not there", refusal.ProofIncomplete, signed(covering(append(slices.Clone(all), `"x-absent"`)...))},
		{"without created", refusal.ProofIncomplete, signed(cut("created"))},
		{"without expires", refusal.ProofIncomplete, signed(cut("expires"))},
		{"without nonce", refusal.ProofIncomplete, signed(cut("nonce"))},
		{"without keyid", refusal.ProofIncomplete, signed(cut("keyid"))},
		{"without tag", refusal.ProofIncomplete, signed(cut("tag"))},

		{"expired", refusal.ProofExpired, signed(harness.SignatureOptions{Created: time.Now().Add(-62 * time.Second), Lifetime: time.Minute})},
		{"not begun", refusal.ProofExpired, signed(harness.SignatureOptions{Created: time.Now().Add(10 * time.Minute)})},

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
		{"a bit of the signature", refusal.ProofInvalid, flipped(t, signed(harness.SignatureOptions{}))},

		{"another body", refusal.ProofDigest, changed(signed(harness.SignatureOptions{}), func(r *harness.Request) { r.Body = strings.Replace(r.Body, "Meeting", "Beating", 1) })},
		{"a byte more", refusal.ProofDigest, changed(signed(harness.SignatureOptions{}), func(r *harness.Request) { r.Body += " " })},
		{"no body", refusal.ProofDigest, changed(signed(harness.SignatureOptions{}), func(r *harness.Request) { r.Body = "" }).With("Content-Length: 0")},
		{"a digest of no known kind", refusal.ProofDigest, signed(harness.SignatureOptions{Digest: "md5=:" + base64.StdEncoding.EncodeToString(make([]byte, 16)) + ":"})},

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

func changed(r harness.Request, change func(*harness.Request)) harness.Request {
	change(&r)
	return r
}

// twice has the same signature under another label, too.
func twice(t *testing.T, r harness.Request) harness.Request {
	t.Helper()
	input, signature := r.Value("Signature-Input"), r.Value("Signature")
	return r.With("Signature-Input: "+strings.Replace(input, "sig1", "sig2", 1), "Signature: "+strings.Replace(signature, "sig1", "sig2", 1))
}

// flipped has another bit in the middle of the signature.
func flipped(t *testing.T, r harness.Request) harness.Request {
	t.Helper()
	text := strings.TrimSuffix(strings.TrimPrefix(r.Value("Signature"), "sig1=:"), ":")
	signature, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	signature[len(signature)/2] ^= 1
	return withoutField(t, r, "Signature").With("Signature: sig1=:" + base64.StdEncoding.EncodeToString(signature) + ":")
}

// TestSignedRequestReplays sends one signed request on many connections at once and expects
// exactly one accepted.
func TestSignedRequestReplays(t *testing.T) {
	t.Parallel()
	const times, connections = 10_000, 32
	m := harness.NewMasterKey(t, "p256")
	g := harness.NewGateway(t, m, harness.SignatureRequired())
	r := NewSigner(t, m, harness.OU("mail")).Sign(t, harness.PlainRequest("POST", "/events").Post(harness.EventJSON("Meeting")), harness.SignatureOptions{})
	var allowed, replayed atomic.Int64
	var senders sync.WaitGroup
	for range connections {
		c := harness.Dial(t, g.Addr)
		senders.Go(func() {
			for range times / connections {
				if _, err := c.Write([]byte(r.String())); err != nil {
					t.Error(err)
					return
				}
				switch a := c.ReadResponse(t, r.Method); {
				case a.Status == 200:
					allowed.Add(1)
				case a.Status == 401 && strings.Contains(a.Body, string(refusal.ProofReplayed)):
					replayed.Add(1)
				default:
					t.Errorf("want 200 or proof_replayed, found %d and %s", a.Status, a.Body)
					return
				}
			}
		})
	}
	senders.Wait()
	if allowed.Load() != 1 || replayed.Load() != times/connections*connections-1 {
		t.Errorf("want 1 allowed and all others replayed, found %d and %d", allowed.Load(), replayed.Load())
	}
	g.Upstream.WantOne(t)
}

// TestRefusedRequestKeepsNonce checks that a refused request does not use up its nonce.
func TestRefusedRequestKeepsNonce(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	g := harness.NewGateway(t, m, harness.SignatureRequired().With(harness.Env{
		"ACCESS_RULES": "rules:\n  - {name: add, clients: [mail], allow: [\"POST /events\"], rate: 1/h, burst: 1}\n",
	}))
	c := NewSigner(t, m, harness.OU("mail"))
	r := c.Sign(t, harness.PlainRequest("POST", "/events").Post("body"), harness.SignatureOptions{})
	g.WantRefused(t, flipped(t, r), refusal.ProofInvalid)
	g.WantRefused(t, changed(r, func(r *harness.Request) { r.Body = "ydob" }), refusal.ProofDigest)
	g.WantRefused(t, changed(r, func(r *harness.Request) { r.Target = "/other" }), refusal.AccessDenied)
	g.WantAllowed(t, r)
	// And a replay takes no token of the rate either: it is the replay that is named.
	g.WantRefused(t, r, refusal.ProofReplayed)
	g.WantRefused(t, c.Sign(t, harness.PlainRequest("POST", "/events").Post("body"), harness.SignatureOptions{}), refusal.RateLimited)
}

// TestProofSettingOfRule checks that a rule's proof setting overrides AUTH_PROOF.
func TestProofSettingOfRule(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	c := NewSigner(t, m, harness.OU("mail"))
	rules := `rules:
  - {name: signed, clients: [mail], allow: ["GET /signed"], proof: require}
  - {name: seen, clients: [mail], allow: ["GET /seen", "POST /seen"], proof: observe}
  - {name: "off", clients: [mail], allow: ["GET /off"], proof: "off"}
  - {name: unsaid, clients: [mail], allow: ["GET /unsaid"]}
`
	for _, setting := range []string{"off", "observe", "require"} {
		t.Run(setting, func(t *testing.T) {
			g := harness.NewGateway(t, m, harness.SignatureRequired().With(harness.Env{"AUTH_PROOF": setting, "ACCESS_RULES": rules}))
			wantAuth := func(r harness.Request, auth string) harness.AuditLine {
				t.Helper()
				head := g.WantAllowed(t, r)
				if found := harness.HeaderValues(head, "X-Client-Auth"); !slices.Equal(found, []string{auth}) {
					t.Errorf("%s: want X-Client-Auth: %s, found %q", r.Target, auth, found)
				}
				return g.AuditLineOf(t, harness.HeaderValues(head, "X-Request-Id")[0])
			}
			bearer := func(target string) harness.Request {
				return harness.PlainRequest("GET", target).With("X-SSL-Auth: " + c.HeaderValue(certheader.Base64DER))
			}
			signed := func(target string) harness.Request {
				return c.Sign(t, harness.PlainRequest("GET", target), harness.SignatureOptions{})
			}

			g.WantRefused(t, bearer("/signed"), refusal.ProofMissing)
			wantAuth(signed("/signed"), "signed")
			wantAuth(bearer("/off"), "bearer")
			wantAuth(signed("/off"), "bearer")

			if l := wantAuth(bearer("/seen"), "bearer"); l.WouldRefuse != string(refusal.ProofMissing) {
				t.Errorf("want would_refuse proof_missing, found %+v", l)
			}
			once := signed("/seen")
			if l := wantAuth(once, "signed"); l.WouldRefuse != "" || l.Auth != "signed" {
				t.Errorf("want a signed request, found %+v", l)
			}
			if l := wantAuth(once, "bearer"); l.WouldRefuse != string(refusal.ProofReplayed) {
				t.Errorf("want would_refuse proof_replayed, found %+v", l)
			}
			other := c.Sign(t, harness.PlainRequest("POST", "/seen").Post("body"), harness.SignatureOptions{})
			other.Body = "ydob"
			if l := wantAuth(other, "bearer"); l.WouldRefuse != string(refusal.ProofDigest) {
				t.Errorf("want would_refuse proof_digest, found %+v", l)
			}

			switch setting {
			case "require":
				g.WantRefused(t, bearer("/unsaid"), refusal.ProofMissing)
				wantAuth(signed("/unsaid"), "signed")
			case "observe":
				wantAuth(bearer("/unsaid"), "bearer")
				wantAuth(signed("/unsaid"), "signed")
			default:
				wantAuth(bearer("/unsaid"), "bearer")
				wantAuth(signed("/unsaid"), "bearer")
			}
		})
	}
}

// TestMutualTLSNeedsNoSignature checks that a client that a trusted proxy authenticated by
// TLS need not sign.
func TestMutualTLSNeedsNoSignature(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	g := harness.NewGateway(t, m, harness.SignatureRequired().With(harness.Env{"AUTH_PROXY_HEADER": "Client-Cert", "TRUSTED_PROXIES": "127.0.0.1"}))
	c := NewSigner(t, m, harness.OU("mail"))
	head := g.WantAllowed(t, harness.PlainRequest("GET", "/events").With("Client-Cert: "+c.HeaderValue(certheader.RFC9440)))
	if found := harness.HeaderValues(head, "X-Client-Auth"); !slices.Equal(found, []string{"mtls"}) {
		t.Errorf("want X-Client-Auth: mtls, found %q", found)
	}
	g.WantRefused(t, harness.Get("/events", c.Certificate), refusal.ProofMissing)
}

// TestSignedAuthority checks that a signature is valid for PUBLIC_AUTHORITY only, or for
// the request's host without it.
func TestSignedAuthority(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	c := NewSigner(t, m, harness.OU("mail"))
	signed := func(authority string) harness.Request {
		return c.Sign(t, harness.PlainRequest("GET", "/events"), harness.SignatureOptions{Authority: authority})
	}
	t.Run("public", func(t *testing.T) {
		g := harness.NewGateway(t, m, harness.Env{"AUTH_PROOF": "require", "PUBLIC_AUTHORITY": "Schedule.example.com:443, other.example:8443"})
		head := g.WantAllowed(t, signed("schedule.example.com"))
		// The service gets the host that was signed, not the one that a proxy wrote.
		if found := harness.HeaderValues(head, "X-Forwarded-Host"); !slices.Equal(found, []string{"schedule.example.com"}) {
			t.Errorf("want X-Forwarded-Host: schedule.example.com, found %q", found)
		}
		g.WantRefused(t, signed("app.example"), refusal.ProofInvalid)
	})
	t.Run("host", func(t *testing.T) {
		g := harness.NewGateway(t, m, harness.Env{"AUTH_PROOF": "require"})
		g.WantAllowed(t, signed("app.example"))
		g.WantRefused(t, signed("schedule.example.com"), refusal.ProofInvalid)
		// From an untrusted peer.
		g.WantRefused(t, signed("schedule.example.com").With("X-Forwarded-Host: schedule.example.com"), refusal.ProofInvalid)
		if _, err := g.Stderr.WaitLine(func(l string) bool { return strings.Contains(l, "PUBLIC_AUTHORITY") }); err != nil {
			t.Errorf("want a warning that names PUBLIC_AUTHORITY: %v", err)
		}
	})
	t.Run("trusted proxy", func(t *testing.T) {
		g := harness.NewGateway(t, m, harness.Env{"AUTH_PROOF": "require", "TRUSTED_PROXIES": "127.0.0.1"})
		g.WantAllowed(t, signed("schedule.example.com").With("X-Forwarded-Host: schedule.example.com"))
	})
}

// TestSignedCredentialHeader checks that a signature must cover the field that AUTH_HEADER
// names.
func TestSignedCredentialHeader(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	c := NewSigner(t, m, harness.OU("mail"))
	g := harness.NewGateway(t, m, harness.SignatureRequired().With(harness.Env{"AUTH_HEADER": "X-App-Cert"}))
	g.WantAllowed(t, c.Sign(t, harness.PlainRequest("GET", "/events"), harness.SignatureOptions{Header: "X-App-Cert"}))
	other := c.Sign(t, harness.PlainRequest("GET", "/events"), harness.SignatureOptions{}).With("X-App-Cert: " + c.HeaderValue(certheader.Base64DER))
	a := g.WantRefused(t, other, refusal.ProofIncomplete)
	if accept := a.Header.Get("Accept-Signature"); !strings.Contains(accept, `"x-app-cert"`) {
		t.Errorf("want Accept-Signature to name the header, found %q", accept)
	}
}

// TestLegacyRSASignatures checks that rsa-v1_5-sha256 is accepted only where the setting
// allows it.
func TestLegacyRSASignatures(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "rsa")
	c := NewSigner(t, m, harness.CertificateOptions{Subject: "/OU=mail", Key: "rsa"})
	legacy := func() harness.Request {
		return c.Sign(t, harness.PlainRequest("GET", "/events"), harness.SignatureOptions{LegacyRSA: true})
	}
	g := harness.NewGateway(t, m, harness.SignatureRequired())
	g.WantRefused(t, legacy(), refusal.ProofInvalid)
	g = harness.NewGateway(t, m, harness.SignatureRequired().With(harness.Env{"AUTH_PROOF_LEGACY_RSA": "true"}))
	g.WantAllowed(t, legacy())
	g.WantAllowed(t, c.Sign(t, harness.PlainRequest("GET", "/events"), harness.SignatureOptions{}))
}

// TestSignatureValidityPeriod checks the validity period of signatures to the second, with
// AUTH_CLOCK_SKEW.
func TestSignatureValidityPeriod(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	c := NewSigner(t, m, harness.OU("mail"))
	g := harness.NewGateway(t, m, harness.SignatureRequired().With(harness.Env{"AUTH_CLOCK_SKEW": "10m"})) // five minutes of it apply
	at := func(created, lifetime time.Duration) harness.Request {
		return c.Sign(t, harness.PlainRequest("GET", "/events"), harness.SignatureOptions{Created: time.Now().Add(created), Lifetime: lifetime})
	}
	const leeway, moment = 5 * time.Minute, 45 * time.Second
	g.WantAllowed(t, at(0, 5*time.Minute))
	g.WantAllowed(t, at(-leeway-time.Minute+moment, time.Minute))
	g.WantRefused(t, at(-leeway-time.Minute-2*time.Second, time.Minute), refusal.ProofExpired)
	g.WantAllowed(t, at(leeway-2*time.Second, time.Minute))
	g.WantRefused(t, at(leeway+moment, time.Minute), refusal.ProofExpired)
}
