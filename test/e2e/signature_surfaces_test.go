package e2e

import (
	"slices"
	"strings"
	"testing"

	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

// TestSignedRequestsOnEverySurface checks that a signature is accepted on every surface,
// and once on all of them together.
func TestSignedRequestsOnEverySurface(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	g := harness.NewGateway(t, m, harness.AuthzEnabled.With(harness.SignatureRequired()).With(harness.Env{"AUTH_PROXY_HEADER": "Client-Cert"}))
	g.CheckLogAtEnd(t)
	c := NewSigner(t, m, harness.OU("mail"))
	for _, mode := range modes() {
		t.Run(mode.name, func(t *testing.T) {
			want := func(r harness.Request, reason refusal.Reason) {
				t.Helper()
				if found := mode.decide(t, g, r); found.reason != string(reason) || (reason == "") != (found.client == "mail") {
					t.Errorf("%s: want %q, found %+v", r.Method, reason, found)
				}
			}
			once := c.Sign(t, harness.PlainRequest("GET", "/events?a=1&a=%20"), harness.SignatureOptions{})
			want(once, "")
			want(once, refusal.ProofReplayed)
			for _, other := range modes() {
				if found := other.decide(t, g, once); found.reason != string(refusal.ProofReplayed) {
					t.Errorf("%s after %s: want proof_replayed, found %+v", other.name, mode.name, found)
				}
			}
			want(c.Sign(t, harness.PlainRequest("HEAD", "/events"), harness.SignatureOptions{}), "")
			want(harness.Get("/events", c.Certificate), refusal.ProofMissing)
			want(changed(c.Sign(t, harness.PlainRequest("GET", "/events"), harness.SignatureOptions{}), func(r *harness.Request) { r.Target = "/other" }), refusal.ProofInvalid)
			want(c.Sign(t, harness.PlainRequest("GET", "/events"), harness.SignatureOptions{Authority: "sister.example"}), refusal.ProofInvalid)
			want(harness.PlainRequest("GET", "/events").With("Client-Cert: "+c.HeaderValue(certheader.RFC9440)), "")
			// These checks are sent without the content, so only the proxy can verify its digest.
			if mode.name == "proxy" {
				want(c.Sign(t, harness.PlainRequest("POST", "/events").Post("body"), harness.SignatureOptions{}), "")
				return
			}
			want(c.Sign(t, harness.PlainRequest("POST", "/events").Post("body"), harness.SignatureOptions{}), refusal.ProofDigest)
			want(c.Sign(t, harness.PlainRequest("POST", "/events"), harness.SignatureOptions{}), refusal.ProofDigest)
			want(c.Sign(t, harness.PlainRequest("GET", "/events"), harness.SignatureOptions{Digest: harness.Digest("")}), refusal.ProofDigest)
		})
	}
}

// TestSignedBodyInCheckRequest checks the digest of a body that Envoy sends in its check
// request.
func TestSignedBodyInCheckRequest(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	g := harness.NewGateway(t, m, harness.AuthzEnabled.With(harness.SignatureRequired()))
	c := NewSigner(t, m, harness.OU("mail"))
	body := strings.Repeat(harness.EventJSON("Meeting"), 4000) // 430 kB
	check := func(change func(*auth.AttributeContext_HttpRequest)) *auth.CheckResponse {
		t.Helper()
		question := checkRequest(c.Sign(t, harness.PlainRequest("POST", "/events").Post(body), harness.SignatureOptions{}), true)
		change(question.Attributes.Request.Http)
		return checkAt(t, g.Authz.GRPC, question)
	}
	for _, test := range []struct {
		name   string
		change func(*auth.AttributeContext_HttpRequest)
		want   refusal.Reason
	}{
		{"as bytes", func(r *auth.AttributeContext_HttpRequest) { r.RawBody = []byte(body) }, ""},
		{"as text", func(r *auth.AttributeContext_HttpRequest) { r.Body = body }, ""},
		{"a part of it", func(r *auth.AttributeContext_HttpRequest) { r.RawBody = []byte(body[:8192]) }, refusal.ProofDigest},
		{"another", func(r *auth.AttributeContext_HttpRequest) { r.RawBody = []byte(strings.Replace(body, "M", "B", 1)) }, refusal.ProofDigest},
		{"none", func(*auth.AttributeContext_HttpRequest) {}, refusal.ProofDigest},
	} {
		t.Run(test.name, func(t *testing.T) {
			res := check(test.change)
			found := ""
			for _, option := range res.GetDeniedResponse().GetHeaders() {
				if strings.EqualFold(option.Header.Key, "X-Certgate-Reason") {
					found = option.Header.Value
				}
			}
			if found != string(test.want) || (res.GetOkResponse() != nil) != (test.want == "") {
				t.Fatalf("want %q, found %q", test.want, found)
			}
			if test.want != "" {
				return
			}
			for _, option := range res.GetOkResponse().GetHeaders() {
				if strings.EqualFold(option.Header.Key, "X-Client-Auth") && option.Header.Value != "signed" {
					t.Errorf("want X-Client-Auth: signed, found %q", option.Header.Value)
				}
			}
			if removed := res.GetOkResponse().GetHeadersToRemove(); !slices.Contains(removed, "signature") || !slices.Contains(removed, "signature-input") {
				t.Errorf("want the signature removed, found %q", removed)
			}
		})
	}
}

// TestSignedRequestsAfterReload checks that a new proof rule applies to the next request,
// and that used nonces stay used.
func TestSignedRequestsAfterReload(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	g, file := rulesFrom(t, m, harness.AllowAllRules)
	c := NewSigner(t, m, harness.OU("mail"))
	requiring := harness.AllowAllRules + "    proof: require\n"
	g.WantAllowed(t, harness.Get("/events", c.Certificate))
	wantReloaded(t, g, "rules", func() { replaceFile(t, file, requiring) })
	g.WantRefused(t, harness.Get("/events", c.Certificate), refusal.ProofMissing)
	r := c.Sign(t, harness.PlainRequest("GET", "/events"), harness.SignatureOptions{})
	g.WantAllowed(t, r)
	wantReloaded(t, g, "rules", func() { replaceFile(t, file, "# the same\n"+requiring) })
	g.WantRefused(t, r, refusal.ProofReplayed)
}

// TestObservedSignaturesKeepBodies checks that proof: observe changes no request, whatever
// its body.
func TestObservedSignaturesKeepBodies(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	g := harness.NewGateway(t, m, harness.SignatureRequired().With(harness.Env{"AUTH_PROOF": "observe", "MAX_BODY_BYTES": "100KiB", "READ_TIMEOUT": "5s"}))
	c := NewSigner(t, m, harness.OU("mail"))
	large := strings.Repeat("a", 100<<10)
	signed := func(body string) harness.Request {
		return c.Sign(t, harness.PlainRequest("POST", "/events").Post(body), harness.SignatureOptions{})
	}
	inChunks := func(body string) harness.Request {
		r := signed(body).With("Transfer-Encoding: chunked")
		r.Body = harness.Chunked(body, 5000)
		return r
	}
	g.WantAllowed(t, signed(large))
	g.WantAllowed(t, changed(signed(large), func(r *harness.Request) { r.Body = "b" + r.Body[1:] }))
	g.WantAllowed(t, inChunks(large))
	g.WantRefused(t, signed(large+"a"), refusal.BodyTooLarge)
	g.WantProblem(t, harness.Send(t, g.Addr, inChunks(large+"a")), refusal.BodyTooLarge)
	g.WantProblem(t, harness.Send(t, g.Addr, changed(signed("12345").With("Content-Length: 5"), func(r *harness.Request) { r.Body = "1234" })), refusal.RequestTimeout)
	g.Upstream.Take()
	g.WantAllowed(t, signed("small"))
}

// TestSignedBodyMemoryIsReleased checks that the memory of a signed body is free when its
// request has ended. A client may hold 16 MiB here, half of a quarter of GOMEMLIMIT.
func TestSignedBodyMemoryIsReleased(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	g := harness.NewGateway(t, m, harness.SignatureRequired().With(harness.Env{"GOMEMLIMIT": "128MiB"}))
	c := NewSigner(t, m, harness.OU("mail"))
	body := strings.Repeat("a", 1<<20)
	for range 24 {
		if a := harness.Send(t, g.Addr, c.Sign(t, harness.PlainRequest("POST", "/events").Post(body), harness.SignatureOptions{})); a.Status != 200 {
			t.Fatalf("want 200, found %d and %s", a.Status, a.Body)
		}
		g.Upstream.Take()
	}
}
