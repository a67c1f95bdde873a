package test

import (
	"slices"
	"strings"
	"testing"

	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/refusal"
)

// TestProofOnEveryWay: a signature counts on whatever way a request is judged, and
// once on all of them together.
func TestProofOnEveryWay(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	g := newGateway(t, m, judging.with(proving()).with(environment{"AUTH_PROXY_HEADER": "Client-Cert"}))
	c := m.newClient(t, subject("mail"))
	for _, mode := range modes() {
		t.Run(mode.name, func(t *testing.T) {
			want := func(r request, reason refusal.Reason) {
				t.Helper()
				if found := mode.judge(t, g, r); found.reason != string(reason) || (reason == "") != (found.client == "mail") {
					t.Errorf("%s: want %q, found %+v", r.method, reason, found)
				}
			}
			once := c.sign(t, plain("GET", "/events?a=1&a=%20"), claim{})
			want(once, "")
			want(once, refusal.ProofReplayed)
			for _, other := range modes() {
				if found := other.judge(t, g, once); found.reason != string(refusal.ProofReplayed) {
					t.Errorf("%s after %s: want proof_replayed, found %+v", other.name, mode.name, found)
				}
			}
			want(c.sign(t, plain("HEAD", "/events"), claim{}), "")
			want(get("/events", c.certificate), refusal.ProofMissing)
			want(changed(c.sign(t, plain("GET", "/events"), claim{}), func(r *request) { r.target = "/other" }), refusal.ProofInvalid)
			want(c.sign(t, plain("GET", "/events"), claim{authority: "sister.example"}), refusal.ProofInvalid)
			want(plain("GET", "/events").with("Client-Cert: "+c.header(certheader.RFC9440)), "")
			// Of a request with content only the proxy can tell whether it is the one
			// that was signed.
			if mode.name == "proxy" {
				want(c.sign(t, plain("POST", "/events").post("body"), claim{}), "")
				return
			}
			want(c.sign(t, plain("POST", "/events").post("body"), claim{}), refusal.ProofDigest)
			want(c.sign(t, plain("POST", "/events"), claim{}), refusal.ProofDigest)
			want(c.sign(t, plain("GET", "/events"), claim{digest: digest("")}), refusal.ProofDigest)
		})
	}
}

// TestProofOfABodyAtEnvoy: Envoy can send the content along, and then it is judged.
func TestProofOfABodyAtEnvoy(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	g := newGateway(t, m, judging.with(proving()))
	c := m.newClient(t, subject("mail"))
	body := strings.Repeat(eventBody("Meeting"), 4000) // 430 kB
	judge := func(change func(*auth.AttributeContext_HttpRequest)) *auth.CheckResponse {
		t.Helper()
		question := checkRequest(c.sign(t, plain("POST", "/events").post(body), claim{}), true)
		change(question.Attributes.Request.Http)
		return checkAt(t, g.authz.grpc, question)
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
			res := judge(test.change)
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

// TestProofBehindProxies: what the client signed is what arrives behind each real
// proxy, and a copy that is taken there is worth nothing.
func TestProofBehindProxies(t *testing.T) {
	t.Parallel()
	c := newCast(t)
	mail := client{c.mail, c.clients.readKey(t, "p256.key")}
	for _, file := range tlsFiles() {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			f := newFrontWith(t, c, file, proving().with(environment{"TRUSTED_PROXIES": "127.0.0.1/32"}))
			f.start(t, file, nil)
			for _, r := range []request{
				plain("GET", "/events?from=2013-08-01&q=%20%2B+"), plain("GET", "/events/a%20b;v=1"),
				plain("POST", "/events").post(eventBody("Meeting")), plain("POST", "/events").post(strings.Repeat("a", 300<<10)),
			} {
				r = mail.sign(t, r, claim{})
				wantShown(t, f.wantMail(t, r), "mail", "signed", c.mail)
				for _, again := range []answer{f.asMail(t, r), send(t, f.gateway.addr, r)} {
					f.gateway.wantProblem(t, again, refusal.ProofReplayed)
				}
				f.gateway.upstream.wantNothing(t)
			}
		})
	}
}

// TestProofBehindAnotherHost: a real nginx that writes its own Host.
func TestProofBehindAnotherHost(t *testing.T) {
	t.Parallel()
	c := newCast(t)
	const file = "nginx-tls.conf"
	mail := client{c.mail, c.clients.readKey(t, "p256.key")}
	r := func() request { return mail.sign(t, plain("GET", "/events"), claim{}) }
	rewriting := func(text string) string {
		return strings.Replace(text, "proxy_set_header Host $host;", "proxy_set_header Host gateway.internal;", 1)
	}
	f := newFrontWith(t, c, file, environment{"AUTH_PROOF": "require"})
	f.start(t, file, rewriting)
	f.gateway.wantProblem(t, f.asMail(t, r()), refusal.ProofInvalid)
	f = newFrontWith(t, c, file, proving())
	f.start(t, file, rewriting)
	f.wantMail(t, r())
}

// TestProofAfterAReload: the rule that asks for proof counts for the next request,
// and what was used stays used.
func TestProofAfterAReload(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	g, file := rulesFrom(t, m, everybodyReadsAndAdds)
	c := m.newClient(t, subject("mail"))
	requiring := everybodyReadsAndAdds + "    proof: require\n"
	g.wantAllowed(t, get("/events", c.certificate))
	g.wantReloaded(t, "rules", func() { replaceFile(t, file, requiring) })
	g.wantRefused(t, get("/events", c.certificate), refusal.ProofMissing)
	r := c.sign(t, plain("GET", "/events"), claim{})
	g.wantAllowed(t, r)
	g.wantReloaded(t, "rules", func() { replaceFile(t, file, "# the same\n"+requiring) })
	g.wantRefused(t, r, refusal.ProofReplayed)
}

// TestProofObservesBodies: who is only observed fares as if nobody had looked, whatever
// its body.
func TestProofObservesBodies(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	g := newGateway(t, m, proving().with(environment{"AUTH_PROOF": "observe", "MAX_BODY_BYTES": "100KiB", "READ_TIMEOUT": "5s"}))
	c := m.newClient(t, subject("mail"))
	large := strings.Repeat("a", 100<<10)
	signed := func(body string) request { return c.sign(t, plain("POST", "/events").post(body), claim{}) }
	inChunks := func(body string) request {
		r := signed(body).with("Transfer-Encoding: chunked")
		r.body = chunked(body, 5000)
		return r
	}
	g.wantAllowed(t, signed(large))
	g.wantAllowed(t, changed(signed(large), func(r *request) { r.body = "b" + r.body[1:] }))
	g.wantAllowed(t, inChunks(large))
	g.wantRefused(t, signed(large+"a"), refusal.BodyTooLarge)
	g.wantProblem(t, send(t, g.addr, inChunks(large+"a")), refusal.BodyTooLarge)
	g.wantProblem(t, send(t, g.addr, changed(signed("12345").with("Content-Length: 5"), func(r *request) { r.body = "1234" })), refusal.RequestTimeout)
	g.upstream.take()
	g.wantAllowed(t, signed("small"))
}

// TestProofGivesBodiesBack: the memory of a signed body is free again when its request
// is over. A client has 16 MiB of it here, half of a quarter of GOMEMLIMIT.
func TestProofGivesBodiesBack(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	g := newGateway(t, m, proving().with(environment{"GOMEMLIMIT": "128MiB"}))
	c := m.newClient(t, subject("mail"))
	body := strings.Repeat("a", 1<<20)
	for range 24 {
		if a := send(t, g.addr, c.sign(t, plain("POST", "/events").post(body), claim{})); a.status != 200 {
			t.Fatalf("want 200, found %d and %s", a.status, a.body)
		}
		g.upstream.take()
	}
}
