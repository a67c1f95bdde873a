package doctor_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/surface/echo"
	"github.com/certgate/certgate/internal/tool/doctor"
)

// contains reports whether there is a finding with the verdict, the check and the text.
func contains(findings []doctor.Finding, want doctor.Finding) bool {
	return slices.ContainsFunc(findings, func(f doctor.Finding) bool {
		return f.Verdict == want.Verdict && f.Check == want.Check && strings.Contains(f.Text, want.Text)
	})
}

func format(findings []doctor.Finding) string {
	var b strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&b, "%s  %s  %s\n", f.Verdict, f.Check, f.Text)
	}
	return b.String()
}

// wantFindings checks that the findings contain the wanted ones and no other problem.
func wantFindings(t *testing.T, findings []doctor.Finding, want ...doctor.Finding) {
	t.Helper()
	problems := map[string]bool{}
	for _, w := range want {
		if !contains(findings, w) {
			t.Errorf("want %s of %s with %q, found\n%s", w.Verdict, w.Check, w.Text, format(findings))
		}
		problems[w.Check] = problems[w.Check] || w.Verdict == doctor.Problem
	}
	for _, f := range findings {
		if f.Verdict == doctor.Problem && !problems[f.Check] {
			t.Errorf("want no other problem, found %s: %s", f.Check, f.Text)
		}
	}
}

func problem(check, text string) doctor.Finding { return doctor.Finding{doctor.Problem, check, text} }
func note(check, text string) doctor.Finding    { return doctor.Finding{doctor.Note, check, text} }
func ok(check, text string) doctor.Finding      { return doctor.Finding{doctor.OK, check, text} }

// changing returns a rewrite that changes every credential and every form in a canary.
func changing(change func(value string) string) func(*httputil.ProxyRequest) {
	return func(r *httputil.ProxyRequest) {
		for name, values := range r.Out.Header {
			if strings.HasPrefix(name, echo.CanaryPrefix+"-Form") || name == "X-Ssl-Auth" {
				r.Out.Header[name] = []string{change(values[0])}
			}
		}
	}
}

func TestHealthy(t *testing.T) {
	t.Parallel()
	findings := proxy{}.examine(t, newGateway(t))
	wantFindings(t, findings,
		ok("connection", "HTTP/2.0 and TLS 1.3"),
		ok("echo", "in form base64, as that of client mail"),
		ok("forms", "unchanged as percent, form, spaced, escaped, joined, base64, der, rfc9440, xfcc"),
		ok("header size", "16 KiB arrives"),
		ok("headers", "once and under its name"),
		ok("doubled header", "as two"),
		ok("underscores", "under its name"),
		ok("X-Forwarded-For", `receives "127.0.0.1"`),
		ok("spoofed X-Forwarded-For", "is replaced"),
		ok("proxy headers", "replaces a client's own X-Forwarded-Host, X-Forwarded-Proto, X-Request-Id"),
		ok("proxy headers", "own X-Client-Id arrives, and the gateway deletes it"),
		note("proxy headers", "own Client-Cert, X-Forwarded-Client-Cert, X-Forwarded-Tls-Client-Cert, X-SSL-Client-Cert, SSL-Client-Cert, X-Amzn-Mtls-Clientcert, X-ARR-ClientCert arrives"),
		ok("path and query", "/a%20b, /a+b, /%41, /a/, /a, /a;b=1, ?q=a%20b+c%2Fd&q=&Q=1"),
		ok("path normalization", "the gateway refuses them: /a//b, /a/../b, /a/./b, /a/%2e%2e/b, /a%2Fb"),
		ok("signature", "Content-Digest, Signature-Input, Signature"),
		ok("authority", "sign for 127.0.0.1:"),
		ok("hop", "requests arrived on"),
	)
}

// TestSignatures checks the findings about load balancers that change signed requests.
func TestSignatures(t *testing.T) {
	t.Parallel()
	drop := func(names ...string) proxy {
		return proxy{rewrite: func(r *httputil.ProxyRequest) {
			for _, name := range names {
				r.Out.Header.Del(name)
			}
		}}
	}
	host := func(name string) proxy {
		return proxy{rewrite: func(r *httputil.ProxyRequest) {
			r.Out.Header.Del("X-Forwarded-Host")
			r.Out.Host = name
		}}
	}
	tests := []struct {
		name     string
		proxy    proxy
		settings []string
		want     []doctor.Finding
	}{
		{"dropped", drop("Signature", "Signature-Input", "Content-Digest"), nil, []doctor.Finding{
			problem("signature", "Signature does not arrive unchanged: the header does not arrive"),
			problem("signature", "Signature-Input does not arrive"), problem("signature", "Content-Digest does not arrive"),
		}},
		{"one dropped", drop("Content-Digest"), nil, []doctor.Finding{
			problem("signature", "Content-Digest does not arrive"), ok("signature", "these fields arrive unchanged: Signature-Input, Signature"),
		}},
		{"quotation marks lost", proxy{rewrite: func(r *httputil.ProxyRequest) {
			r.Out.Header.Set("Signature-Input", strings.ReplaceAll(r.Out.Header.Get("Signature-Input"), `"`, ""))
		}}, nil, []doctor.Finding{problem("signature", "its quotation marks are removed")}},
		{"refused", proxy{refuse: refuses("Signature-Input", 400)}, nil, []doctor.Finding{problem("signature", "is refused: the load balancer responds with 400")}},
		{"another host", host("gateway.internal"), nil, []doctor.Finding{note("authority", `expects "gateway.internal": set PUBLIC_AUTHORITY=127.0.0.1:`)}},
		{"another host is set", host("gateway.internal"), []string{"PUBLIC_AUTHORITY", "schedule.example.com"},
			[]doctor.Finding{note("authority", `expects "schedule.example.com"`)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			wantFindings(t, tt.proxy.examine(t, newGateway(t, tt.settings...)), tt.want...)
		})
	}
}

// passing returns a rewrite that forwards a client's own headers.
func passing(names ...string) func(*httputil.ProxyRequest) {
	return func(r *httputil.ProxyRequest) {
		for _, name := range names {
			if v := r.In.Header[name]; v != nil {
				r.Out.Header[name] = v
			}
		}
	}
}

// TestTrust checks the findings about headers of proxies, with a load balancer that the
// gateway trusts and with one that it does not.
func TestTrust(t *testing.T) {
	t.Parallel()
	const untrusted = "10.0.0.0/8"
	appending := func(r *httputil.ProxyRequest, client string) {
		r.Out.Header.Set("X-Forwarded-For", strings.TrimPrefix(r.In.Header.Get("X-Forwarded-For")+", "+client, ", "))
	}
	silent := func(r *httputil.ProxyRequest) { r.Out.Header.Del("X-Forwarded-For") }
	tests := []struct {
		name     string
		settings []string
		rewrite  func(*httputil.ProxyRequest)
		want     []doctor.Finding
	}{
		{"X-Forwarded-For passed on", nil, passing("X-Forwarded-For"), []doctor.Finding{problem("spoofed X-Forwarded-For", "a client can choose its address")}},
		{"X-Forwarded-For appended", nil, func(r *httputil.ProxyRequest) { appending(r, "203.0.113.5") },
			[]doctor.Finding{ok("spoofed X-Forwarded-For", "the gateway uses the appended address: 203.0.113.5")}},
		{"X-Forwarded-For appended for a trusted client", nil, func(r *httputil.ProxyRequest) { appending(r, "127.0.0.1") },
			[]doctor.Finding{note("spoofed X-Forwarded-For", "run the doctor from another network")}},
		{"X-Forwarded-For passed on, not trusted", []string{"TRUSTED_PROXIES", untrusted}, passing("X-Forwarded-For"), []doctor.Finding{
			note("spoofed X-Forwarded-For", "the gateway ignores it"), note("X-Forwarded-For", "which is not in TRUSTED_PROXIES")}},
		{"no X-Forwarded-For", nil, func(r *httputil.ProxyRequest) { silent(r); passing("X-Forwarded-For")(r) }, []doctor.Finding{
			problem("X-Forwarded-For", "sends none, and 127.0.0.1 is in TRUSTED_PROXIES"), problem("spoofed X-Forwarded-For", "a client can choose its address")}},
		{"no X-Forwarded-For, not trusted", []string{"TRUSTED_PROXIES", untrusted}, silent, []doctor.Finding{note("X-Forwarded-For", "all clients have the address 127.0.0.1")}},
		{"X-Forwarded-Host passed on", nil, passing("X-Forwarded-Host"), []doctor.Finding{problem("proxy headers", "own X-Forwarded-Host arrives")}},
		{"X-Forwarded-Host passed on, not trusted", []string{"TRUSTED_PROXIES", untrusted}, passing("X-Forwarded-Host"),
			[]doctor.Finding{note("proxy headers", "X-Forwarded-Host arrives, and the gateway ignores it")}},
		{"X-Forwarded-Proto passed on", nil, passing("X-Forwarded-Proto"), []doctor.Finding{problem("proxy headers", "own X-Forwarded-Proto arrives")}},
		{"X-Request-Id passed on", nil, passing("X-Request-Id"), []doctor.Finding{problem("proxy headers", "own X-Request-Id arrives from the load balancer, which the gateway trusts")}},
		{"X-Request-Id passed on, not trusted", []string{"TRUSTED_PROXIES", untrusted}, passing("X-Request-Id"),
			[]doctor.Finding{note("proxy headers", "X-Request-Id arrives, and the gateway ignores it")}},
		{"X-Request-Id replaced", nil, func(r *httputil.ProxyRequest) { r.Out.Header.Set("X-Request-Id", "1") },
			[]doctor.Finding{ok("proxy headers", "X-Request-Id")}},
		{"certificate header passed on and trusted", []string{"AUTH_PROXY_HEADER", "X-SSL-Client-Cert"}, nil,
			[]doctor.Finding{problem("proxy headers", "every client can impersonate any other client: a client's own X-SSL-Client-Cert arrives")}},
		{"certificate header deleted", []string{"AUTH_PROXY_HEADER", "X-SSL-Client-Cert"}, func(r *httputil.ProxyRequest) { r.Out.Header.Del("X-SSL-Client-Cert") },
			[]doctor.Finding{ok("proxy headers", "removes or replaces a client's own X-SSL-Client-Cert")}},
		{"certificate header added to", []string{"AUTH_PROXY_HEADER", "Client-Cert"}, func(r *httputil.ProxyRequest) {
			if r.In.Header.Get("Client-Cert") != "" {
				r.Out.Header.Add("Client-Cert", "the load balancer's")
			}
		}, []doctor.Finding{note("proxy headers", "own Client-Cert arrives in addition to the load balancer's")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			wantFindings(t, proxy{rewrite: tt.rewrite}.examine(t, newGateway(t, tt.settings...)), tt.want...)
		})
	}
}

// TestTargets checks the findings about load balancers that change paths and queries.
func TestTargets(t *testing.T) {
	t.Parallel()
	gateway := newGateway(t)
	onURL := func(change func(u *url.URL)) func(*httputil.ProxyRequest) {
		return func(r *httputil.ProxyRequest) { change(r.Out.URL) }
	}
	tests := []struct {
		name    string
		rewrite func(*httputil.ProxyRequest)
		want    []doctor.Finding
	}{
		{"decoded and encoded again", onURL(func(u *url.URL) { u.RawPath = "" }), []doctor.Finding{note("path and query", "another encoding of the same path, which makes no difference for access rules: /%41"),
			problem("path normalization", "before it forwards them: /a%2Fb arrive")}},
		{"query lost", onURL(func(u *url.URL) { u.RawQuery = "" }), []doctor.Finding{problem("path and query", "?q=a%20b+c%2Fd&q=&Q=1 does not arrive unchanged: the query is removed")}},
		{"query serialized again", onURL(func(u *url.URL) { u.RawQuery = u.Query().Encode() }), []doctor.Finding{problem("path and query", "the query is parsed and serialized again")}},
		{"no slash at the end", onURL(func(u *url.URL) { u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/"), "" }), []doctor.Finding{problem("path and query", "the slash at the end is removed"),
			problem("path normalization", "before it forwards them: /a%2Fb arrive")}},
		{"spaces to plus", onURL(func(u *url.URL) {
			u.RawPath = strings.ReplaceAll(u.EscapedPath(), "%20", "+")
			u.Opaque = u.RawPath
		}), []doctor.Finding{problem("path and query", "%20 becomes +")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			wantFindings(t, proxy{rewrite: tt.rewrite}.examine(t, gateway), tt.want...)
		})
	}
}

// TestNormalization checks that a load balancer that changes ambiguous paths is reported
// with these paths.
func TestNormalization(t *testing.T) {
	t.Parallel()
	gateway := newGateway(t)
	rewriting := func(change func(path string) string) func(*httputil.ProxyRequest) {
		return func(r *httputil.ProxyRequest) {
			r.Out.URL.RawPath = change(r.In.URL.EscapedPath())
			r.Out.URL.Path = r.Out.URL.RawPath
			if decoded, err := url.PathUnescape(r.Out.URL.RawPath); err == nil {
				r.Out.URL.Path = decoded
			}
		}
	}
	tests := []struct {
		name  string
		proxy proxy
		want  []doctor.Finding
	}{
		{"dot segments", proxy{rewrite: rewriting(func(p string) string {
			return strings.NewReplacer("/a/../b", "/b", "/a/./b", "/a/b").Replace(p)
		})}, []doctor.Finding{
			problem("path normalization", "normalizes paths before it forwards them: /a/../b, /a/./b arrive"),
			ok("path normalization", "/a//b, /a/%2e%2e/b, /a%2Fb"),
		}},
		{"slashes", proxy{rewrite: rewriting(func(p string) string { return strings.ReplaceAll(p, "//", "/") })}, []doctor.Finding{
			problem("path normalization", "normalizes paths before it forwards them: /a//b arrive"),
		}},
		{"everything", proxy{rewrite: rewriting(func(p string) string {
			decoded, err := url.PathUnescape(p)
			if err != nil || !strings.Contains(decoded, "/a") {
				return p
			}
			clean := path.Clean(decoded)
			if strings.HasSuffix(p, "/") {
				clean += "/"
			}
			return (&url.URL{Path: clean}).EscapedPath()
		})}, []doctor.Finding{
			problem("path normalization", "before it forwards them: /a//b, /a/../b, /a/./b, /a/%2e%2e/b, /a%2Fb arrive"),
		}},
		{"to another path", proxy{rewrite: rewriting(func(p string) string { return strings.ReplaceAll(p, echo.Path+"/a/../b", "/b") })}, []doctor.Finding{
			problem("path normalization", "before it forwards them: /a/../b arrive"),
		}},
		{"refused", proxy{refuse: func(r *http.Request) int {
			if strings.Contains(r.RequestURI, "//") {
				return http.StatusBadRequest
			}
			return 0
		}}, []doctor.Finding{ok("path normalization", "refuses or redirects ambiguous paths itself: /a//b")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			wantFindings(t, tt.proxy.examine(t, gateway), tt.want...)
		})
	}
}

// TestPrefix checks load balancers that forward the echo from another path.
func TestPrefix(t *testing.T) {
	t.Parallel()
	gateway := newGateway(t)
	strip := proxy{rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Path = strings.TrimPrefix(r.Out.URL.Path, "/api/v1")
		r.Out.URL.RawPath = strings.TrimPrefix(r.Out.URL.RawPath, "/api/v1")
	}}.start(t, gateway)
	wantFindings(t, examineAt(t, strip.URL+"/api/v1"+echo.Path, strip.Client()),
		note("path", "removes /api/v1 from the path"), ok("path and query", "/a%20b, /a+b, /%41, /a/, /a, /a;b=1, ?q"))
	other := proxy{rewrite: func(r *httputil.ProxyRequest) { r.Out.URL.Path = echo.Path }}.start(t, gateway)
	wantFindings(t, examineAt(t, other.URL+"/where", other.Client()), note("path", "replaces the path /where by another one (14 bytes instead of 6)"))
}

// TestNoEcho checks what the doctor recommends if the echo does not respond.
func TestNoEcho(t *testing.T) {
	t.Parallel()
	always := func(status int) proxy { return proxy{refuse: func(*http.Request) int { return status }} }
	tests := []struct {
		name     string
		settings []string
		proxy    proxy
		want     string
	}{
		{"off", []string{"ECHO_PATH", ""}, proxy{}, "has no echo at /certgate/echo, or its deny list contains the client: set ECHO_PATH=/certgate/echo at the gateway"},
		{"denied", []string{"ACCESS_RULES", "rules: [{name: a, clients: [mail], allow: [\"GET /events\"]}]\ndeny: [{client: mail}]"}, proxy{}, "its deny list contains the client"},
		{"another header", []string{"AUTH_HEADER", "X-App-Cert"}, proxy{}, "finds no certificate in X-App-Cert: configure the load balancer to forward X-App-Cert, and run certgate doctor with --header X-App-Cert"},
		{"dropped", nil, proxy{rewrite: func(r *httputil.ProxyRequest) { r.Out.Header.Del("X-SSL-Auth") }}, "finds no certificate in X-SSL-Auth: configure the load balancer to forward X-SSL-Auth"},
		{"lower case", nil, proxy{rewrite: changing(strings.ToLower)}, "in any form: the load balancer damages X-SSL-Auth"},
		{"twice", nil, proxy{rewrite: func(r *httputil.ProxyRequest) { r.Out.Header.Add("X-SSL-Auth", "x") }}, "sent once and arrives more than once"},
		{"another master key", []string{"AUTH_PUBLIC_KEY", otherKey}, proxy{}, `403 "certificate_untrusted": certgate inspect`},
		{"not found", nil, always(404), "responds with 404, and this is not the echo: set ECHO_PATH"},
		{"something else", nil, always(200), "responds with 200, and this is not the echo"},
		{"redirected", nil, always(301), "redirects to"},
		{"unreachable gateway", nil, always(502), "it cannot reach the gateway"},
		{"too long", nil, always(431), "raise its limit for header lines"},
		{"its own refusal", nil, always(403), "this is not the gateway's response"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			findings := tt.proxy.examine(t, newGateway(t, tt.settings...))
			wantFindings(t, findings, problem("echo", tt.want))
			if len(findings) != 2 {
				t.Errorf("want no further checks, found\n%s", format(findings))
			}
		})
	}
}

// otherKey is the example of a public key in RFC 8410.
const otherKey = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n"

func TestNoConnection(t *testing.T) {
	t.Parallel()
	gateway := newGateway(t)
	server := proxy{}.start(t, gateway)
	untrusting := &http.Client{Transport: &http.Transport{}}
	wantFindings(t, examineAt(t, server.URL+echo.Path, untrusting), problem("connection", "set the CA certificate with --ca"))
	wrong := server.Client()
	named := strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	wantFindings(t, examineAt(t, named+echo.Path, wrong), problem("connection", "for another name"))
	plain := httptest.NewServer(http.NotFoundHandler())
	address := plain.URL
	plain.Close()
	wantFindings(t, examineAt(t, address+echo.Path, untrusting), problem("connection", "does not respond"))
	// Without TLS and without a load balancer.
	wantFindings(t, examineAt(t, gateway.String()+echo.Path, untrusting), note("connection", "without TLS, on this machine"),
		problem("X-Forwarded-For", "sends none"), problem("spoofed X-Forwarded-For", ""), problem("proxy headers", "own X-Forwarded-Host"))
}
