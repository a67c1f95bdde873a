package e2e

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

// decision is the result of a request on any surface.
type decision struct {
	reason      string // "" when it passes
	client      string // of one that passes
	fingerprint string
}

// mode is a surface that decides on requests.
type mode struct {
	name   string
	decide func(t *testing.T, g *harness.Gateway, r harness.Request) decision
}

// modes returns all surfaces.
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
func byProxy(t *testing.T, g *harness.Gateway, r harness.Request) decision {
	t.Helper()
	a := harness.Send(t, g.Addr, r)
	if a.Status != 200 {
		g.Upstream.WantNothing(t)
		g.WantProblem(t, a, refusal.Reason(a.Problem(t).Reason))
		return decision{reason: a.Problem(t).Reason}
	}
	head := g.Upstream.WantOne(t)
	return decision{client: harness.HeaderValues(head, "X-Client-Id")[0], fingerprint: harness.HeaderValues(head, "X-Client-Cert-Fingerprint")[0]}
}

// byVerify returns a function that sends the request to /verify as a proxy does, with the
// description of the request in these headers.
func byVerify(method, target string) func(t *testing.T, g *harness.Gateway, r harness.Request) decision {
	return func(t *testing.T, g *harness.Gateway, r harness.Request) decision {
		t.Helper()
		question := harness.Request{Method: "GET", Target: "/verify", Header: r.Header}.With(method+": "+r.Method, target+": "+r.Target)
		a := harness.Send(t, g.Authz.HTTP, question)
		g.Upstream.WantNothing(t)
		if a.Status != 200 {
			p := a.Problem(t)
			harness.WantVerifyRefused(t, g, a, refusal.Reason(p.Reason))
			return decision{reason: p.Reason}
		}
		g.CheckAuditLine(t, a.Header.Get("X-Request-Id"), func(t testing.TB, line harness.AuditLine) {
			t.Helper()
			if line.Surface != "verify" || line.Method != r.Method || line.Decision != "allowed" {
				t.Errorf("want an allowed %s of verify in the log, found %+v", r.Method, line)
			}
		})
		return decision{client: a.Header.Get("X-Client-Id"), fingerprint: a.Header.Get("X-Client-Cert-Fingerprint")}
	}
}

// TestVerdictIsTheSameOnEverySurface compares the verdict of the proxy with those of
// /verify and ext_authz for the same requests.
func TestVerdictIsTheSameOnEverySurface(t *testing.T) {
	t.Parallel()
	m, otherKey := harness.NewMasterKey(t, "p256"), harness.NewMasterKey(t, "p256")
	g := harness.NewGateway(t, m, harness.AuthzEnabled.With(harness.Env{
		"AUTH_PROXY_HEADER": "Client-Cert", "MAX_CREDENTIAL_BYTES": "8KiB",
		"ACCESS_RULES": "rules: [{name: events, clients: [mail], allow: [\"GET /events\", \"POST /events/{id}\", \"GET /files/{rest...}\"]}]\ndeny: [{client: leaked}]\n",
	}))
	g.CheckLogAtEnd(t)
	now := time.Now()
	mail, social := m.Issue(t, harness.OU("mail")), m.Issue(t, harness.OU("social"))
	base := harness.Get("/events", mail)
	as := func(o harness.CertificateOptions) harness.Request { return harness.Get("/events", m.Issue(t, o)) }
	bare := func(lines ...string) harness.Request { return harness.PlainGet("/events").With(lines...) }
	proxys := "Client-Cert: " + mail.HeaderValue(certheader.RFC9440)
	own := func(c harness.Certificate) string { return "X-SSL-Auth: " + c.HeaderValue(certheader.Base64DER) }
	post := base
	post.Method, post.Target = "POST", "/events/7?notify=%2e%2e//"
	with := func(method, target string) harness.Request {
		r := base
		r.Method, r.Target = method, target
		return r
	}
	tests := []struct {
		name    string
		request harness.Request
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
		{"a slash at the end", with("GET", "/events/"), refusal.AccessDenied},
		{"verify itself", with("GET", "/verify"), refusal.AccessDenied},
		{"another client", harness.Get("/events", social), refusal.AccessDenied},
		{"a denied client", as(harness.OU("leaked")), refusal.AccessDenied},

		{"double slash", with("GET", "//events"), refusal.PathAmbiguous},
		{"dot segment", with("GET", "/files/../events"), refusal.PathAmbiguous},
		{"encoded dots", with("GET", "/files/%2e%2e/events"), refusal.PathAmbiguous},
		{"encoded twice", with("GET", "/files/%252e%252e/events"), refusal.PathAmbiguous},
		{"encoded slash", with("GET", "/files%2fevents"), refusal.PathAmbiguous},
		{"backslash", with("GET", `/files\..\events`), refusal.PathAmbiguous},
		{"overlong dot", with("GET", "/files/%c0%ae/events"), refusal.PathAmbiguous},
		{"encoded NUL", with("GET", "/events%00"), refusal.PathAmbiguous},
		{"an incomplete escape", with("GET", "/events%2"), refusal.PathAmbiguous},
		{"Tomcat's parameters", with("GET", "/files/..;/events"), refusal.PathAmbiguous},
		{"absolute form", with("GET", "http://app.example/events"), refusal.PathAmbiguous},
		{"no slash", with("GET", "events"), refusal.PathAmbiguous},

		{"no header", bare(), refusal.CredentialMissing},
		{"empty header", bare("X-SSL-Auth:"), refusal.CredentialMissing},
		{"a password", bare("X-SSL-Auth: hunter2"), refusal.CredentialMalformed},
		{"no certificate", bare("X-SSL-Auth: " + base64.StdEncoding.EncodeToString([]byte("0\x82 what?"))), refusal.CredentialMalformed},
		{"two headers", base.With(base.Header[0]), refusal.CredentialDuplicated},
		{"two clients", bare(own(mail), own(social)), refusal.CredentialDuplicated},
		{"too long", bare("X-SSL-Auth: " + strings.Repeat("M", 8<<10+1)), refusal.CredentialTooLarge},
		{"underscores", bare("X_SSL_Auth: " + mail.HeaderValue(certheader.Base64DER)), refusal.CredentialMissing},
		{"another proxy's header", bare("X-Forwarded-Client-Cert: " + mail.HeaderValue(certheader.XFCC)), refusal.ProxyUntrusted},
		{"proxy's certificate of another client", bare("Client-Cert: "+social.HeaderValue(certheader.RFC9440), own(mail)), refusal.AccessDenied},
		{"proxy's certificate twice", bare(proxys, proxys), refusal.CredentialDuplicated},
		{"proxy's certificate empty", bare("Client-Cert:", own(mail)), refusal.CredentialMissing},

		{"another master key", harness.Get("/events", otherKey.Issue(t, harness.OU("mail"))), refusal.CertificateUntrusted},
		{"expired", as(harness.CertificateOptions{Subject: "/OU=mail", NotBefore: now.Add(-48 * time.Hour), NotAfter: now.Add(-24 * time.Hour)}), refusal.CertificateExpired},
		{"not valid yet", as(harness.CertificateOptions{Subject: "/OU=mail", NotBefore: now.Add(time.Hour)}), refusal.CertificateNotYetValid},
		{"for servers", as(harness.CertificateOptions{Subject: "/OU=mail", Extensions: "extendedKeyUsage = serverAuth\n"}), refusal.CertificateUnsuitable},
		{"no OU", as(harness.CertificateOptions{Subject: "/CN=mail"}), refusal.IdentityMissing},
		{"two OUs", as(harness.CertificateOptions{Subject: "/OU=mail/OU=social"}), refusal.IdentityAmbiguous},
		{"a space at the end", as(harness.OU("mail ")), refusal.IdentityInvalid},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			want := decision{reason: string(test.want)}
			if test.want == "" {
				want = decision{client: "mail", fingerprint: mail.Fingerprint()}
			}
			for _, m := range modes() {
				if found := m.decide(t, g, test.request); found != want {
					t.Errorf("%s: want %+v, found %+v", m.name, want, found)
				}
			}
		})
	}
}

// TestRateLimitIsSharedBySurfaces checks that all surfaces take tokens of one bucket.
func TestRateLimitIsSharedBySurfaces(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	g := harness.NewGateway(t, m, harness.AuthzEnabled.With(harness.Env{
		"ACCESS_RULES": "rules: [{name: rare, clients: [\"*\"], allow: [\"GET /events\"], rate: 1/h}]\n",
	}))
	g.CheckLogAtEnd(t)
	for i, first := range modes() {
		client := m.Issue(t, harness.OU("client-"+string(rune('a'+i))))
		if found := first.decide(t, g, harness.Get("/events", client)); found.reason != "" {
			t.Fatalf("%s: want it to pass, found %+v", first.name, found)
		}
		for _, second := range modes() {
			if found := second.decide(t, g, harness.Get("/events", client)); found.reason != string(refusal.RateLimited) {
				t.Errorf("%s after %s: want rate_limited, found %+v", second.name, first.name, found)
			}
		}
	}
}

// TestVerifyRefusesAmbiguousOrigin sends /verify requests that describe no original
// request, or two.
func TestVerifyRefusesAmbiguousOrigin(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	g := harness.NewGateway(t, m, harness.AuthzEnabled)
	good := harness.Request{Method: "GET", Target: "/verify", Header: harness.Get("", m.Issue(t, harness.OU("mail"))).Header}
	question := good.With("X-Original-Method: GET", "X-Original-URI: /events")
	if a := harness.Send(t, g.Authz.HTTP, question); a.Status != 200 || a.Body != "" {
		t.Fatalf("want 200, found %d and %s", a.Status, a.Body)
	}
	harness.WantVerifyRefused(t, g, harness.Send(t, g.Authz.HTTP, good), refusal.OriginMissing)
	harness.WantVerifyRefused(t, g, harness.Send(t, g.Authz.HTTP, good.With("X-Original-URI: /events", "X-Forwarded-Method: GET")), refusal.OriginMissing)
	harness.WantVerifyRefused(t, g, harness.Send(t, g.Authz.HTTP, question.With("X-Original-URI: /events")), refusal.OriginAmbiguous)
	harness.WantVerifyRefused(t, g, harness.Send(t, g.Authz.HTTP, question.With("X-Forwarded-Method: GET", "X-Forwarded-Uri: /public")), refusal.OriginAmbiguous)
	// The public surface ignores these fields.
	found := strings.Join(g.WantAllowed(t, harness.Get("/events", m.Issue(t, harness.OU("mail"))).With("X-Original-Method: DELETE", "X-Original-URI: /other")), "\n")
	if strings.Contains(found, "X-Original") || !strings.HasPrefix(found, "GET /events ") {
		t.Errorf("want GET /events and no X-Original- at the upstream, found it")
	}
	g.Upstream.WantNothing(t)
}

// TestVerifyRefusesUnlistedPeers checks that only the addresses in AUTHZ_PEERS may use
// /verify and ext_authz.
func TestVerifyRefusesUnlistedPeers(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	g := harness.NewGateway(t, m, harness.AuthzEnabled.With(harness.Env{"AUTHZ_PEERS": "127.0.0.2"}))
	question := harness.Request{Method: "GET", Target: "/verify", Header: harness.Get("", m.Issue(t, harness.OU("mail"))).Header}.
		With("X-Original-Method: GET", "X-Original-URI: /events")
	harness.WantVerifyRefused(t, g, harness.Send(t, g.Authz.HTTP, question), refusal.PeerUntrusted)
	harness.WantVerifyRefused(t, g, harness.Send(t, g.Authz.HTTP, question.With("X-Forwarded-For: 127.0.0.2")), refusal.PeerUntrusted)
	g.Upstream.WantNothing(t)
}

// TestAuthzRequiresPeers checks that AUTHZ_PEERS has no default.
func TestAuthzRequiresPeers(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	for name, env := range map[string]harness.Env{
		"no peers":      {"AUTHZ_ADDR": "127.0.0.1:0"},
		"Envoy's":       {"AUTHZ_GRPC_ADDR": "127.0.0.1:0"},
		"empty":         {"AUTHZ_ADDR": "127.0.0.1:0", "AUTHZ_PEERS": ""},
		"all addresses": {"AUTHZ_ADDR": "127.0.0.1:0", "AUTHZ_PEERS": "0.0.0.0/0"},
	} {
		result := harness.Run(t, "certgate", minimal(t, m).With(env), "check")
		if result.ExitCode != 2 || !strings.Contains(result.Stderr, "AUTHZ_PEERS: ") {
			t.Errorf("%s: want exit code 2 for AUTHZ_PEERS, found %+v", name, result)
		}
	}
}
