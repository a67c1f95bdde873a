package test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/refusal"
)

// judging is what a gateway needs to answer other proxies on loopback.
var judging = environment{"AUTHZ_ADDR": "127.0.0.1:0", "AUTHZ_GRPC_ADDR": "127.0.0.1:0", "AUTHZ_PEERS": "127.0.0.1/32", "TRUSTED_PROXIES": "127.0.0.1/32"}

// judgement is what became of a request, by whatever way it was asked about.
type judgement struct {
	reason      string // "" when it passes
	client      string // of one that passes
	fingerprint string
}

// mode is a way to have a request judged.
type mode struct {
	name  string
	judge func(t *testing.T, g *gateway, r request) judgement
}

// modes are all ways in.
func modes() []mode {
	return []mode{
		{"proxy", byProxy},
		{"X-Original", byVerify("X-Original-Method", "X-Original-URI")},
		{"X-Forwarded", byVerify("X-Forwarded-Method", "X-Forwarded-Uri")},
		{"ext_authz", byExtAuthz(false)},
		{"ext_authz, raw headers", byExtAuthz(true)},
	}
}

// byProxy sends the request through the gateway.
func byProxy(t *testing.T, g *gateway, r request) judgement {
	t.Helper()
	a := send(t, g.addr, r)
	if a.status != 200 {
		g.upstream.wantNothing(t)
		g.wantProblem(t, a, refusal.Reason(a.problem(t).Reason))
		return judgement{reason: a.problem(t).Reason}
	}
	head := g.upstream.wantOne(t)
	return judgement{client: headerValues(head, "X-Client-Id")[0], fingerprint: headerValues(head, "X-Client-Cert-Fingerprint")[0]}
}

// byVerify asks about the request as a proxy does that names it in these headers.
func byVerify(method, target string) func(t *testing.T, g *gateway, r request) judgement {
	return func(t *testing.T, g *gateway, r request) judgement {
		t.Helper()
		question := request{method: "GET", target: "/verify", header: r.header}.with(method+": "+r.method, target+": "+r.target)
		a := send(t, g.authz.http, question)
		g.upstream.wantNothing(t)
		if a.status != 200 {
			p := a.problem(t)
			wantVerifyRefused(t, g, a, refusal.Reason(p.Reason))
			return judgement{reason: p.Reason}
		}
		if line := g.auditOf(t, a.header.Get("X-Request-Id")); line.Surface != "verify" || line.Method != r.method || line.Decision != "allowed" {
			t.Errorf("want an allowed %s of verify in the log, found %+v", r.method, line)
		}
		return judgement{client: a.header.Get("X-Client-Id"), fingerprint: a.header.Get("X-Client-Cert-Fingerprint")}
	}
}

// wantVerifyRefused wants the reason everywhere, and 401 or 403.
func wantVerifyRefused(t *testing.T, g *gateway, a answer, reason refusal.Reason) {
	t.Helper()
	p, want := a.problem(t), 403
	if reason.Status() == 401 {
		want = 401
	}
	if p.Reason != string(reason) || a.status != want || p.Status != want || a.header.Get("X-Certgate-Reason") != string(reason) {
		t.Errorf("want %d %s, found %d with %q and %+v", want, reason, a.status, a.header.Get("X-Certgate-Reason"), p)
	}
	if line := g.auditOf(t, p.RequestID); line.Reason != string(reason) || line.Surface != "verify" || line.Status != want || line.Detail == "" {
		t.Errorf("want %s of verify with a detail in the log, found %+v", reason, line)
	}
}

// TestSameVerdict: however a request is judged, by forwarding it or on behalf of
// another proxy, the verdict and the reason are the same.
func TestSameVerdict(t *testing.T) {
	t.Parallel()
	m, stranger := newMaster(t, "p256"), newMaster(t, "p256")
	g := newGateway(t, m, judging.with(environment{
		"AUTH_PROXY_HEADER": "Client-Cert", "MAX_CREDENTIAL_BYTES": "8KiB",
		"ACCESS_RULES": "rules: [{name: events, clients: [mail], allow: [\"GET /events\", \"POST /events/{id}\", \"GET /files/{rest...}\"]}]\ndeny: [{client: leaked}]\n",
	}))
	now := time.Now()
	mail, social := m.issue(t, subject("mail")), m.issue(t, subject("social"))
	base := get("/events", mail)
	as := func(o certificateOptions) request { return get("/events", m.issue(t, o)) }
	bare := func(lines ...string) request { return plainGet("/events").with(lines...) }
	proxys := "Client-Cert: " + mail.header(certheader.RFC9440)
	own := func(c certificate) string { return "X-SSL-Auth: " + c.header(certheader.Base64DER) }
	post := base
	post.method, post.target = "POST", "/events/7?notify=%2e%2e//"
	with := func(method, target string) request {
		r := base
		r.method, r.target = method, target
		return r
	}
	tests := []struct {
		name    string
		request request
		want    refusal.Reason // "" for mail
	}{
		{"allowed", base, ""},
		{"HEAD", with("HEAD", "/events"), ""},
		{"a method, a segment and a query", post, ""},
		{"escapes", with("GET", "/files/a%20b/%C3%A9+c;v=1"), ""},
		{"proxy's certificate", bare(proxys), ""},
		{"proxy's certificate beside another client's", bare(proxys, own(social)), ""},

		{"another method", with("DELETE", "/events"), refusal.AccessDenied},
		{"lower case", with("get", "/events"), refusal.AccessDenied},
		{"TRACE", with("TRACE", "/events"), refusal.AccessDenied},
		{"another path", with("GET", "/other"), refusal.AccessDenied},
		{"another case", with("GET", "/Events"), refusal.AccessDenied},
		{"a slash behind", with("GET", "/events/"), refusal.AccessDenied},
		{"verify itself", with("GET", "/verify"), refusal.AccessDenied},
		{"another client", get("/events", social), refusal.AccessDenied},
		{"a denied client", as(subject("leaked")), refusal.AccessDenied},

		{"double slash", with("GET", "//events"), refusal.PathAmbiguous},
		{"dot segment", with("GET", "/files/../events"), refusal.PathAmbiguous},
		{"encoded dots", with("GET", "/files/%2e%2e/events"), refusal.PathAmbiguous},
		{"encoded twice", with("GET", "/files/%252e%252e/events"), refusal.PathAmbiguous},
		{"encoded slash", with("GET", "/files%2fevents"), refusal.PathAmbiguous},
		{"backslash", with("GET", `/files\..\events`), refusal.PathAmbiguous},
		{"overlong dot", with("GET", "/files/%c0%ae/events"), refusal.PathAmbiguous},
		{"encoded NUL", with("GET", "/events%00"), refusal.PathAmbiguous},
		{"half an escape", with("GET", "/events%2"), refusal.PathAmbiguous},
		{"Tomcat's parameters", with("GET", "/files/..;/events"), refusal.PathAmbiguous},
		{"absolute form", with("GET", "http://app.example/events"), refusal.PathAmbiguous},
		{"no slash", with("GET", "events"), refusal.PathAmbiguous},

		{"no header", bare(), refusal.CredentialMissing},
		{"empty header", bare("X-SSL-Auth:"), refusal.CredentialMissing},
		{"a password", bare("X-SSL-Auth: hunter2"), refusal.CredentialMalformed},
		{"no certificate", bare("X-SSL-Auth: " + base64.StdEncoding.EncodeToString([]byte("0\x82 what?"))), refusal.CredentialMalformed},
		{"two headers", base.with(base.header[0]), refusal.CredentialDuplicated},
		{"two clients", bare(own(mail), own(social)), refusal.CredentialDuplicated},
		{"too long", bare("X-SSL-Auth: " + strings.Repeat("M", 8<<10+1)), refusal.CredentialTooLarge},
		{"underscores", bare("X_SSL_Auth: " + mail.header(certheader.Base64DER)), refusal.CredentialMissing},
		{"another proxy's header", bare("X-Forwarded-Client-Cert: " + mail.header(certheader.XFCC)), refusal.ProxyUntrusted},
		{"proxy's certificate of another client", bare("Client-Cert: "+social.header(certheader.RFC9440), own(mail)), refusal.AccessDenied},
		{"proxy's certificate twice", bare(proxys, proxys), refusal.CredentialDuplicated},
		{"proxy's certificate empty", bare("Client-Cert:", own(mail)), refusal.CredentialMissing},

		{"another master key", get("/events", stranger.issue(t, subject("mail"))), refusal.CertificateUntrusted},
		{"expired", as(certificateOptions{subject: "/OU=mail", notBefore: now.Add(-48 * time.Hour), notAfter: now.Add(-24 * time.Hour)}), refusal.CertificateExpired},
		{"not valid yet", as(certificateOptions{subject: "/OU=mail", notBefore: now.Add(time.Hour)}), refusal.CertificateNotYetValid},
		{"for servers", as(certificateOptions{subject: "/OU=mail", extensions: "extendedKeyUsage = serverAuth\n"}), refusal.CertificateUnsuitable},
		{"no OU", as(certificateOptions{subject: "/CN=mail"}), refusal.IdentityMissing},
		{"two OUs", as(certificateOptions{subject: "/OU=mail/OU=social"}), refusal.IdentityAmbiguous},
		{"a space behind", as(subject("mail ")), refusal.IdentityInvalid},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			want := judgement{reason: string(test.want)}
			if test.want == "" {
				want = judgement{client: "mail", fingerprint: mail.fingerprint()}
			}
			for _, m := range modes() {
				if found := m.judge(t, g, test.request); found != want {
					t.Errorf("%s: want %+v, found %+v", m.name, want, found)
				}
			}
		})
	}
}

// TestSameRate: each way in takes the tokens of one bucket.
func TestSameRate(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	g := newGateway(t, m, judging.with(environment{
		"ACCESS_RULES": "rules: [{name: rare, clients: [\"*\"], allow: [\"GET /events\"], rate: 1/h}]\n",
	}))
	for i, first := range modes() {
		client := m.issue(t, subject("client-"+string(rune('a'+i))))
		if found := first.judge(t, g, get("/events", client)); found.reason != "" {
			t.Fatalf("%s: want it to pass, found %+v", first.name, found)
		}
		for _, second := range modes() {
			if found := second.judge(t, g, get("/events", client)); found.reason != string(refusal.RateLimited) {
				t.Errorf("%s after %s: want rate_limited, found %+v", second.name, first.name, found)
			}
		}
	}
}

// TestOrigin: a question about nothing, or about two requests.
func TestOrigin(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	g := newGateway(t, m, judging)
	good := request{method: "GET", target: "/verify", header: get("", m.issue(t, subject("mail"))).header}
	question := good.with("X-Original-Method: GET", "X-Original-URI: /events")
	if a := send(t, g.authz.http, question); a.status != 200 || a.body != "" {
		t.Fatalf("want 200, found %d and %s", a.status, a.body)
	}
	wantVerifyRefused(t, g, send(t, g.authz.http, good), refusal.OriginMissing)
	wantVerifyRefused(t, g, send(t, g.authz.http, good.with("X-Original-URI: /events", "X-Forwarded-Method: GET")), refusal.OriginMissing)
	wantVerifyRefused(t, g, send(t, g.authz.http, question.with("X-Original-URI: /events")), refusal.OriginAmbiguous)
	wantVerifyRefused(t, g, send(t, g.authz.http, question.with("X-Forwarded-Method: GET", "X-Forwarded-Uri: /public")), refusal.OriginAmbiguous)
	// What is asked about there is no business of the public surface.
	found := strings.Join(g.wantAllowed(t, get("/events", m.issue(t, subject("mail"))).with("X-Original-Method: DELETE", "X-Original-URI: /other")), "\n")
	if strings.Contains(found, "X-Original") || !strings.HasPrefix(found, "GET /events ") {
		t.Errorf("want GET /events and no X-Original- at the upstream, found it")
	}
	g.upstream.wantNothing(t)
}

// TestPeers: only who is on the list may ask.
func TestPeers(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	g := newGateway(t, m, judging.with(environment{"AUTHZ_PEERS": "127.0.0.2"}))
	question := request{method: "GET", target: "/verify", header: get("", m.issue(t, subject("mail"))).header}.
		with("X-Original-Method: GET", "X-Original-URI: /events")
	wantVerifyRefused(t, g, send(t, g.authz.http, question), refusal.PeerUntrusted)
	wantVerifyRefused(t, g, send(t, g.authz.http, question.with("X-Forwarded-For: 127.0.0.2")), refusal.PeerUntrusted)
	g.upstream.wantNothing(t)
}

// TestAuthzSettings: nobody is a peer by default.
func TestAuthzSettings(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	for name, env := range map[string]environment{
		"no peers":  {"AUTHZ_ADDR": "127.0.0.1:0"},
		"Envoy's":   {"AUTHZ_GRPC_ADDR": "127.0.0.1:0"},
		"empty":     {"AUTHZ_ADDR": "127.0.0.1:0", "AUTHZ_PEERS": ""},
		"everybody": {"AUTHZ_ADDR": "127.0.0.1:0", "AUTHZ_PEERS": "0.0.0.0/0"},
	} {
		result := finish(t, "certgate", minimal(t, m).with(env), "check")
		if result.code != 2 || !strings.Contains(result.stderr, "AUTHZ_PEERS: ") {
			t.Errorf("%s: want exit code 2 for AUTHZ_PEERS, found %+v", name, result)
		}
	}
}
