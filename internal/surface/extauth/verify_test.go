package extauth

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
)

const verify = "GET /verify HTTP/1.1"

func original(method, target string) []string {
	return []string{"X-Original-Method: " + method, "X-Original-URI: " + target}
}

func forwarded(method, target string) []string {
	return []string{"X-Forwarded-Method: " + method, "X-Forwarded-Uri: " + target}
}

// wantRefused checks the response and the record of a refusal.
func wantRefused(t *testing.T, b *fixture, res rawhttp.Response, reason refusal.Reason) map[string]any {
	t.Helper()
	var p struct {
		Status            int
		Reason, RequestID string
	}
	if err := json.Unmarshal([]byte(res.Text), &p); err != nil {
		t.Fatalf("status %d: want a problem, found %q", res.StatusCode, res.Text)
	}
	h := res.Header
	if p.Reason != string(reason) || res.StatusCode != Status(reason) || p.Status != res.StatusCode || h.Get("X-Certgate-Reason") != string(reason) {
		t.Fatalf("status %d, X-Certgate-Reason %q and %s: want %s with %d", res.StatusCode, h.Get("X-Certgate-Reason"), res.Text, reason, Status(reason))
	}
	if challenged := h.Get("WWW-Authenticate") != ""; challenged != (res.StatusCode == http.StatusUnauthorized) || h.Get("Cache-Control") != "no-store" {
		t.Errorf("header %v: want a challenge with 401 only, and no-store", h)
	}
	for name := range h {
		if strings.HasPrefix(name, "X-Client-") {
			t.Errorf("want no identity with a refusal, found %s", name)
		}
	}
	line := b.record(t)
	if line["reason"] != string(reason) || line["decision"] != "refused" || line["surface"] != "verify" || line["detail"] == nil ||
		line["status"] != float64(res.StatusCode) || line["request_id"] != h.Get("X-Request-Id") {
		t.Errorf("record %v: want %s, refused, of verify, with the request ID of the response", line, reason)
	}
	return line
}

// TestOriginal checks which header fields are accepted as the description of the original
// request.
func TestOriginal(t *testing.T) {
	good := original("GET", "/events")
	join := slices.Concat[[]string]
	tests := []struct {
		name string
		send []string
		want refusal.Reason // "" for 200
	}{
		{"nginx", good, ""},
		{"Traefik, Caddy", forwarded("GET", "/events"), ""},
		{"with a query", original("GET", "/events?a=/../%00"), ""},
		{"both, the same", join(good, forwarded("GET", "/events")), ""},
		{"with fields with underscores", join(good, []string{"X_Original_URI: /other", "X_Forwarded_Uri: /other"}), ""},
		{"with the fields of IIS", join(good, []string{"X-Original-URL: /other", "X-Rewrite-URL: /other"}), ""},

		{"neither", nil, refusal.OriginMissing},
		{"no method", good[1:], refusal.OriginMissing},
		{"no target", good[:1], refusal.OriginMissing},
		{"empty method", original("", "/events"), refusal.OriginMissing},
		{"empty target", original("GET", ""), refusal.OriginMissing},
		{"underscores", []string{"X_Original_Method: GET", "X_Original_URI: /events"}, refusal.OriginMissing},
		{"an incomplete pair of each kind", []string{"X-Original-URI: /events", "X-Forwarded-Method: GET"}, refusal.OriginMissing},
		{"the other incomplete pair of each kind", []string{"X-Forwarded-Uri: /events", "X-Original-Method: GET"}, refusal.OriginMissing},
		{"a pair and an incomplete one", join(good, []string{"X-Forwarded-Method: GET"}), refusal.OriginMissing},
		{"a pair and an empty one", join(good, []string{"X-Forwarded-Method:", "X-Forwarded-Uri:"}), refusal.OriginMissing},
		{"a pair and one without a target", join(good, forwarded("GET", "")), refusal.OriginMissing},
		{"a pair and one without a method", join(good, forwarded("", "/other")), refusal.OriginMissing},

		{"two methods", join(good, []string{"X-Original-Method: GET"}), refusal.OriginAmbiguous},
		{"two targets", join(good, []string{"X-Original-URI: /events"}), refusal.OriginAmbiguous},
		{"two targets, one empty", join([]string{"X-Original-URI:"}, good), refusal.OriginAmbiguous},
		{"two targets in two cases", join(good, []string{"x-original-uri: /events"}), refusal.OriginAmbiguous},
		{"the other pair twice", join(good, forwarded("GET", "/events"), forwarded("GET", "/events")), refusal.OriginAmbiguous},
		{"another method", join(good, forwarded("POST", "/events")), refusal.OriginAmbiguous},
		{"another target", join(good, forwarded("GET", "/events?")), refusal.OriginAmbiguous},
		{"another target that no rule allows", join(original("GET", "/other"), forwarded("GET", "/events")), refusal.OriginAmbiguous},

		{"two methods in one", original("GET, GET", "/events"), refusal.AccessDenied},
		{"method in lower case", original("get", "/events"), refusal.AccessDenied},
		{"method with a space", original("GET /events", "/events"), refusal.AccessDenied},
		{"CONNECT", original("CONNECT", "/events"), refusal.AccessDenied},
		{"two targets in one", original("GET", "/events, /events"), refusal.PathAmbiguous},
		{"absolute", original("GET", "http://app.example/events"), refusal.PathAmbiguous},
		{"without a scheme", original("GET", "//app.example/events"), refusal.PathAmbiguous},
		{"authority", original("GET", "app.example:443"), refusal.PathAmbiguous},
		{"asterisk", original("GET", "*"), refusal.PathAmbiguous},
		{"dot segment", original("GET", "/x/../events"), refusal.PathAmbiguous},
		{"encoded dot segment", original("GET", "/x/%2e%2e/events"), refusal.PathAmbiguous},
		{"encoded slash", original("GET", "/x%2fevents"), refusal.PathAmbiguous},
		{"encoded twice", original("GET", "/x%252fevents"), refusal.PathAmbiguous},
		{"invalid escape", original("GET", "/events%"), refusal.PathAmbiguous},
		{"fragment", original("GET", "/events#x"), refusal.PathAmbiguous},
		{"bytes beyond ASCII", original("GET", "/events\xff"), refusal.PathAmbiguous},
		{"too long", original("GET", "/events?"+strings.Repeat("a", 8<<10)), refusal.PathAmbiguous},
		{"another path", original("GET", "/other"), refusal.AccessDenied},
		{"another method that is not allowed", original("DELETE", "/events"), refusal.AccessDenied},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newFixture(t, nil)
			res := rawhttp.Exchange(t, b.serve(t), httpRequest(verify, append(tt.send, "X-SSL-Auth: "+encode(newCertificates(t).mail))...))
			if tt.want != "" {
				wantRefused(t, b, res, tt.want)
				return
			}
			line := b.record(t)
			if res.StatusCode != http.StatusOK || line["decision"] != "allowed" || line["path"] != "/events" || line["method"] != "GET" {
				t.Errorf("status %d %s, record %v: want GET /events allowed", res.StatusCode, res.Text, line)
			}
		})
	}
}

// TestAllowed checks the complete response and record.
func TestAllowed(t *testing.T) {
	w := newCertificates(t)
	b := newFixture(t, nil)
	res := rawhttp.Exchange(t, b.serve(t), httpRequest(verify, append(original("POST", "/events?secret=1"), "X-SSL-Auth: "+encode(w.mail),
		"X-Client-Id: social", "X-Request-Id: mine", "X-Client-Auth: mtls", "Traceparent: 00-"+traceID+"-"+spanID+"-01")...))
	id := res.Header.Get("X-Request-Id")
	want := map[string]string{"X-Client-Id": "mail", "X-Client-Auth": "bearer", "Cache-Control": "no-store", "Content-Length": "0"}
	for name, value := range want {
		if have := res.Header[name]; !slices.Equal(have, []string{value}) {
			t.Errorf("%s %q, want %q once", name, have, value)
		}
	}
	if res.StatusCode != http.StatusOK || res.Text != "" || len(id) != 32 ||
		len(res.Header.Get("X-Client-Cert-Fingerprint")) != 64 || res.Header.Get("X-Client-Cert-Serial") == "" || res.Header.Get("X-Certgate-Reason") != "" {
		t.Errorf("status %d, header %v, body %q: want 200 with the identity and nothing else", res.StatusCode, res.Header, res.Text)
	}
	line := b.record(t)
	for name, value := range map[string]any{
		"surface": "verify", "decision": "allowed", "client": "mail", "auth": "bearer", "rule": "events", "method": "POST", "path": "/events",
		"trace_id": traceID, "span_id": spanID, "request_id": id, "source": "127.0.0.1", "status": 200.0, "serial": res.Header.Get("X-Client-Cert-Serial"),
	} {
		if line[name] != value {
			t.Errorf("%s %v in the record, want %v", name, line[name], value)
		}
	}
}

// TestPeers checks that every check from another address than the peers' is refused before
// its certificate is read.
func TestPeers(t *testing.T) {
	good := append(original("GET", "/events"), "X-SSL-Auth: "+encode(newCertificates(t).mail))
	for name, peers := range map[string][]netip.Prefix{
		"no peers":    nil,
		"other peers": {netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("::1/128")},
	} {
		for _, send := range [][]string{good, append(good[:3:3], "X-Forwarded-For: 192.0.2.1", "X-Real-Ip: 192.0.2.1", "Forwarded: for=192.0.2.1"), nil} {
			b := newFixture(t, func(b *fixture) {
				trusting(b) // a trusted proxy is not necessarily a peer
				b.options.Peers = peers
			})
			res := rawhttp.Exchange(t, b.serve(t), httpRequest(verify, send...))
			line := wantRefused(t, b, res, refusal.PeerUntrusted)
			if b.sources.calls != 0 || !res.Close || line["path"] != "/verify" {
				t.Errorf("%s: %d verifications, close %t, record %v: want no verification and the connection closed", name, b.sources.calls, res.Close, line)
			}
		}
	}
}

// TestCredential checks that the credential rules of the public surface apply.
func TestCredential(t *testing.T) {
	w := newCertificates(t)
	mail, social := encode(w.mail), encode(w.social)
	proxy := func(b *fixture) { b.provenance.ProxyHeader = "Client-Cert" }
	both := func(b *fixture) { proxy(b); trusting(b) }
	tests := []struct {
		name   string
		change func(*fixture)
		send   []string
		want   refusal.Reason
		auth   string
	}{
		{"none", nil, nil, refusal.CredentialMissing, ""},
		{"a client's", nil, []string{"X-SSL-Auth: " + mail}, "", "bearer"},
		{"another client's", nil, []string{"X-SSL-Auth: " + social}, refusal.AccessDenied, ""},
		{"two", nil, []string{"X-SSL-Auth: " + mail, "X-SSL-Auth: " + mail}, refusal.CredentialDuplicated, ""},
		{"broken", nil, []string{"X-SSL-Auth: hunter2"}, refusal.CredentialMalformed, ""},
		{"too long", nil, []string{"X-SSL-Auth: " + strings.Repeat("M", 2049)}, refusal.CredentialTooLarge, ""},
		{"a proxy's, no setting", trusting, []string{"Client-Cert: " + mail}, refusal.ProxyUntrusted, ""},
		{"a proxy's, a peer but not trusted", proxy, []string{"Client-Cert: " + mail}, refusal.ProxyUntrusted, ""},
		{"a proxy's, trusted", both, []string{"Client-Cert: " + mail}, "", "mtls"},
		{"a proxy's, the client's header is ignored", both, []string{"Client-Cert: " + social, "X-SSL-Auth: " + mail}, refusal.AccessDenied, ""},
		{"a proxy's, empty", both, []string{"Client-Cert:", "X-SSL-Auth: " + mail}, refusal.CredentialMissing, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newFixture(t, tt.change)
			res := rawhttp.Exchange(t, b.serve(t), httpRequest(verify, append(original("GET", "/events"), tt.send...)...))
			if tt.want != "" {
				wantRefused(t, b, res, tt.want)
				return
			}
			if have := res.Header.Get("X-Client-Auth"); res.StatusCode != http.StatusOK || have != tt.auth || b.record(t)["auth"] != tt.auth {
				t.Errorf("status %d, X-Client-Auth %q: want 200 by %s", res.StatusCode, have, tt.auth)
			}
		})
	}
}

// TestSource checks that the source is the client's address if the peer is a trusted
// proxy, so that failures are attributed to the client.
func TestSource(t *testing.T) {
	for want, change := range map[string]func(*fixture){"127.0.0.1": nil, "198.51.100.7": trusting} {
		b := newFixture(t, change)
		res := rawhttp.Exchange(t, b.serve(t), httpRequest(verify, append(original("GET", "/events"), "X-SSL-Auth: x", "X-Forwarded-For: 198.51.100.7", "X-Request-Id: mine")...))
		line := wantRefused(t, b, res, refusal.CredentialMalformed)
		if b.sources.last.String() != want || line["source"] != want || (line["request_id"] == "mine") != (change != nil) {
			t.Errorf("source %s, record %v: want %s", b.sources.last, line, want)
		}
	}
}

// TestRate checks that a check consumes a token of the rate limit.
func TestRate(t *testing.T) {
	b := newFixture(t, nil)
	addr := b.serve(t)
	send := httpRequest(verify, append(original("GET", "/rare"), "X-SSL-Auth: "+encode(newCertificates(t).mail))...)
	if res := rawhttp.Exchange(t, addr, send); res.StatusCode != http.StatusOK {
		t.Fatalf("status %d %s, want 200", res.StatusCode, res.Text)
	}
	b.log.Reset()
	res := rawhttp.Exchange(t, addr, send)
	wantRefused(t, b, res, refusal.RateLimited)
	if after := res.Header.Get("Retry-After"); after == "" || after == "0" {
		t.Errorf("Retry-After %q, want seconds", after)
	}
}

// TestRequestsOfTheProxy checks that the proxy's own request may have any method and a
// body, which is not read, and that only its path is relevant.
func TestRequestsOfTheProxy(t *testing.T) {
	good := append(original("GET", "/events"), "X-SSL-Auth: "+encode(newCertificates(t).mail))
	body := append(good[:3:3], "Content-Length: 5") // the body is never sent
	tests := []struct {
		name, request string
		want          refusal.Reason
	}{
		{"HEAD", httpRequest("HEAD /verify HTTP/1.1", good...), ""},
		{"POST with a body", httpRequest("POST /verify HTTP/1.1", body...) + "hello", ""},
		{"DELETE", httpRequest("DELETE /verify HTTP/1.1", good...), ""},
		{"HTTP/1.0", httpRequest("GET /verify HTTP/1.0", good...), ""},
		{"a query", httpRequest("GET /verify?x=1 HTTP/1.1", good...), ""},
		{"another path", httpRequest("GET /events HTTP/1.1", good...), refusal.RequestMalformed},
		{"trailing slash", httpRequest("GET /verify/ HTTP/1.1", good...), refusal.RequestMalformed},
		{"subpath", httpRequest("GET /verify/events HTTP/1.1", good...), refusal.RequestMalformed},
		{"health", httpRequest("GET /healthz HTTP/1.1", good...), refusal.RequestMalformed},
		{"metrics", httpRequest("GET /metrics HTTP/1.1", good...), refusal.RequestMalformed},
		{"root", httpRequest("GET / HTTP/1.1", good...), refusal.RequestMalformed},
		{"a method that Gin does not support", httpRequest("PROPFIND /verify HTTP/1.1", good...), refusal.RequestMalformed},
		{"two lengths", httpRequest("POST /verify HTTP/1.1", append(body, "Transfer-Encoding: chunked")...) + "0\r\n\r\n", refusal.RequestAmbiguous},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newFixture(t, nil)
			res := rawhttp.Exchange(t, b.serve(t), tt.request)
			if tt.want != "" {
				wantRefused(t, b, res, tt.want)
			} else if res.StatusCode != http.StatusOK || res.Header.Get("X-Client-Id") != "mail" {
				t.Errorf("status %d %s: want 200 and mail", res.StatusCode, res.Text)
			}
		})
	}
}

// panickingIdentifier is an identifier that panics.
type panickingIdentifier struct{}

func (panickingIdentifier) Identify(gate.Claim, time.Time) gate.Identification { panic("broken") }

// TestFailsClosed checks that an internal error is a refusal.
func TestFailsClosed(t *testing.T) {
	for name, g := range map[string]*gate.Gate{"a panic": {Identifier: panickingIdentifier{}}, "the zero gate": {}} {
		b := newFixture(t, func(b *fixture) { b.gate = g })
		res := rawhttp.Exchange(t, b.serve(t), httpRequest(verify, append(original("GET", "/events"), "X-SSL-Auth: "+encode(newCertificates(t).mail))...))
		if res.StatusCode != http.StatusForbidden || res.Header.Get("X-Client-Id") != "" || !strings.Contains(res.Text, `"reason"`) {
			t.Errorf("%s: status %d %s: want 403 and a problem", name, res.StatusCode, res.Text)
		}
	}
}

func TestZeroDecision(t *testing.T) {
	if d := granted(gate.Decision{}); d.Refusal == nil || d.Refusal.Reason != refusal.Internal {
		t.Errorf("%+v: want it refused", d)
	}
}

// TestStatus checks that every reason maps to 401 or 403, and to 401 only if that is its
// own status.
func TestStatus(t *testing.T) {
	for _, r := range append(refusal.Reasons(), "no such reason") {
		if s := Status(r); s != http.StatusUnauthorized && s != http.StatusForbidden || (s == http.StatusUnauthorized) != (r.Status() == http.StatusUnauthorized) {
			t.Errorf("%s: status %d for %d", r, s, r.Status())
		}
	}
}

// TestDraining checks that draining closes the connection and does not change the
// decision.
func TestDraining(t *testing.T) {
	b := newFixture(t, func(b *fixture) { b.options.Draining = func() bool { return true } })
	res := rawhttp.Exchange(t, b.serve(t), httpRequest(verify, append(original("GET", "/events"), "X-SSL-Auth: "+encode(newCertificates(t).mail))...))
	if res.StatusCode != http.StatusOK || !res.Close {
		t.Errorf("status %d, close %t: want 200 and close", res.StatusCode, res.Close)
	}
}

// signatureRequired is an identifier that requires a signature.
type signatureRequired struct{}

func (signatureRequired) Identify(gate.Claim, time.Time) gate.Identification {
	refused := refusal.New(refusal.ProofMissing, "want a signature, found none")
	refused.AcceptSignature = acceptSignature
	return gate.Identification{Err: refused}
}

const acceptSignature = `sig1=("@method" "x-ssl-auth");created;tag="certgate"`

// TestAcceptSignature checks that the responses of both surfaces list the components to
// sign.
func TestAcceptSignature(t *testing.T) {
	b := newFixture(t, func(b *fixture) { b.gate.Identifier = signatureRequired{} })
	res := rawhttp.Exchange(t, b.serve(t), httpRequest(verify, append(original("GET", "/events"), "X-SSL-Auth: "+encode(newCertificates(t).mail))...))
	wantRefused(t, b, res, refusal.ProofMissing)
	b = newFixture(t, func(b *fixture) { b.gate.Identifier = signatureRequired{} })
	c, _ := b.serveEnvoy(t)
	denied := check(t, c, newCheck(t))
	wantDenied(t, b, denied, refusal.ProofMissing)
	for surface, found := range map[string]string{
		"verify": res.Header.Get("Accept-Signature"), "ext_authz": headersOf(t, denied.GetDeniedResponse().Headers)["accept-signature"],
	} {
		if found != acceptSignature {
			t.Errorf("%s: Accept-Signature %q, want %q", surface, found, acceptSignature)
		}
	}
}
