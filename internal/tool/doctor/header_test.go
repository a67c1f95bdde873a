package doctor_test

import (
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/surface/echo"
	"github.com/certgate/certgate/internal/tool/doctor"
)

// TestDamagedForms checks the findings about load balancers that change the certificate.
func TestDamagedForms(t *testing.T) {
	t.Parallel()
	gateway := newGateway(t)
	room := len(certheader.Encode(certheader.RFC9440, newFixture(t).mail.Raw))
	plusToSpace := strings.NewReplacer("+", " ")
	tests := []struct {
		name   string
		change func(string) string
		want   []doctor.Finding
	}{
		{"plus becomes a space", plusToSpace.Replace, []doctor.Finding{
			problem("form der", "each + arrives as a space; send it as base64"), problem("form spaced", "each + arrives as a space"),
			problem("form form", "each + arrives as a space"), problem("form escaped", "each +"), problem("form joined", "each +"),
			problem("form rfc9440", "each +"), ok("forms", "unchanged as percent, base64, xfcc"),
		}},
		{"decoded", func(s string) string {
			if text, err := url.PathUnescape(s); err == nil {
				return strings.TrimSpace(strings.ReplaceAll(text, "\n", " "))
			}
			return s
		}, []doctor.Finding{
			problem("form percent", "it arrives percent-decoded"), problem("form form", "it arrives percent-decoded"),
			problem("form xfcc", "it arrives percent-decoded"), ok("forms", "unchanged as spaced, escaped, joined, base64, der, rfc9440"),
		}},
		{"long values truncated", func(s string) string { return s[:min(len(s), room)] }, []doctor.Finding{
			problem("form percent", fmt.Sprintf("truncated to %d of", room)), problem("form base64", "truncated to"), problem("form form", "truncated to"),
			problem("form xfcc", "truncated to"), problem("form spaced", "truncated to"), problem("form escaped", "truncated to"),
			problem("form joined", "truncated to"), ok("forms", "der, rfc9440"), ok("echo", "in form der"),
		}},
		{"spaces removed", strings.NewReplacer(" ", "").Replace, []doctor.Finding{
			problem("form spaced", "each space is removed"), problem("form escaped", "each space is removed"), problem("form joined", "each space is removed"),
		}},
		{"quotation marks removed", strings.NewReplacer(`"`, "").Replace, []doctor.Finding{problem("form xfcc", "its quotation marks are removed")}},
		{"backslashes removed", strings.NewReplacer(`\`, "").Replace, []doctor.Finding{problem("form escaped", "each backslash is removed")}},
		{"percent in lower case", func(s string) string {
			if strings.HasPrefix(s, "-----BEGIN%20") {
				return strings.ToLower(s)
			}
			return s
		}, []doctor.Finding{problem("form percent", "in lower case")}},
		{"unknown", func(s string) string {
			if strings.HasPrefix(s, ":") {
				return "M" + s[5:]
			}
			return s
		}, []doctor.Finding{problem("form rfc9440", "with a change that the doctor does not recognize: ")}},
		{"emptied", func(s string) string {
			if strings.HasPrefix(s, ":") {
				return ""
			}
			return s
		}, []doctor.Finding{problem("form rfc9440", "it arrives empty")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			wantFindings(t, proxy{rewrite: changing(tt.change)}.examine(t, gateway), tt.want...)
		})
	}
}

func TestBlockedForm(t *testing.T) {
	t.Parallel()
	findings := proxy{refuse: func(r *http.Request) int {
		for _, values := range r.Header {
			if strings.Contains(values[0], "%2F") || strings.Contains(values[0], `";`) || strings.Contains(values[0], `"-----`) {
				return http.StatusForbidden // as a web application firewall does
			}
		}
		return 0
	}}.examine(t, newGateway(t))
	wantFindings(t, findings, problem("form percent", "the load balancer responds with 403"), problem("form form", "responds with 403"),
		problem("form xfcc", "responds with 403"), problem("signature", "responds with 403"), ok("forms", "spaced, escaped, joined, base64, der, rfc9440"))
}

func TestOneHeaderTreatedDifferently(t *testing.T) {
	t.Parallel()
	findings := proxy{rewrite: func(r *httputil.ProxyRequest) {
		if v := r.Out.Header.Get("X-Ssl-Auth"); strings.HasPrefix(v, ":") {
			r.Out.Header.Set("X-SSL-Auth", "other")
		}
	}}.examine(t, newGateway(t))
	wantFindings(t, findings, problem("form rfc9440", `unchanged in another header, but in X-SSL-Auth the gateway refuses the request with 401 "credential_malformed"`))
}

// TestHeaders checks the findings about load balancers that change or refuse headers.
func TestHeaders(t *testing.T) {
	t.Parallel()
	gateway := newGateway(t)
	tests := []struct {
		name  string
		proxy proxy
		want  []doctor.Finding
	}{
		{"sent twice", proxy{rewrite: func(r *httputil.ProxyRequest) {
			if v := r.In.Header.Get(echo.CanaryPrefix + "-Plain"); v != "" {
				r.Out.Header.Add(echo.CanaryPrefix+"-Plain", v)
			}
		}}, []doctor.Finding{problem("headers", "one line of the header is sent and 2 arrive")}},
		{"unknown ones dropped", proxy{rewrite: func(r *httputil.ProxyRequest) { r.Out.Header.Del(echo.CanaryPrefix + "-Plain") }},
			[]doctor.Finding{problem("headers", "the header does not arrive")}},
		{"unknown ones refused", proxy{refuse: refuses(echo.CanaryPrefix+"-Plain", 400)}, []doctor.Finding{problem("headers", "is refused: the load balancer responds with 400")}},
		{"joined", proxy{rewrite: func(r *httputil.ProxyRequest) {
			for name, values := range r.Out.Header {
				r.Out.Header[name] = []string{strings.Join(values, ", ")}
			}
		}}, []doctor.Finding{note("doubled header", "as one with a comma")}},
		{"the first only", proxy{rewrite: func(r *httputil.ProxyRequest) {
			for name, values := range r.Out.Header {
				r.Out.Header[name] = values[:1]
			}
		}}, []doctor.Finding{note("doubled header", "only one of two lines of one header arrives")}},
		{"doubled ones dropped", proxy{rewrite: func(r *httputil.ProxyRequest) { r.Out.Header.Del(echo.CanaryPrefix + "-Twice") }},
			[]doctor.Finding{note("doubled header", "0 of them arrive")}},
		{"underscores dropped", proxy{rewrite: func(r *httputil.ProxyRequest) { delete(r.Out.Header, "X_certgate_canary_under") }},
			[]doctor.Finding{ok("underscores", "does not arrive")}},
		{"underscores refused", proxy{refuse: refuses("X_certgate_canary_under", 400)}, []doctor.Finding{ok("underscores", "is refused")}},
		{"underscores made dashes", proxy{rewrite: dashes}, []doctor.Finding{problem("underscores", "arrives with -: a client can set X-Forwarded-For")}},
		{"no keep-alive", proxy{noKeepAlive: true}, []doctor.Finding{note("hop", "a connection of its own")}},
		{"4 KiB", proxy{refuse: longerThan(5 << 10)}, []doctor.Finding{note("header size", "a header of 4 KiB arrives in addition to the certificate")}},
		{"little", proxy{refuse: longerThan(2 << 10)}, []doctor.Finding{problem("header size", "only 1 KiB arrive in addition to the certificate")}},
		{"cut", proxy{rewrite: func(r *httputil.ProxyRequest) {
			if v := r.Out.Header.Get(echo.CanaryPrefix + "-Size"); len(v) > 2000 {
				r.Out.Header.Set(echo.CanaryPrefix+"-Size", v[:2000])
			}
		}}, []doctor.Finding{problem("header size", "with 4 KiB it arrives truncated to 2000 of 4096 bytes")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			wantFindings(t, tt.proxy.examine(t, gateway), tt.want...)
		})
	}
}

func dashes(r *httputil.ProxyRequest) {
	for name, values := range r.Out.Header {
		if strings.Contains(name, "_") {
			delete(r.Out.Header, name)
			r.Out.Header[http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))] = values
		}
	}
}

func refuses(name string, status int) func(*http.Request) int {
	return func(r *http.Request) int {
		if r.Header[name] != nil {
			return status
		}
		return 0
	}
}

func longerThan(limit int) func(*http.Request) int {
	return func(r *http.Request) int {
		if len(r.Header.Get(echo.CanaryPrefix+"-Size")) > limit {
			return http.StatusRequestHeaderFieldsTooLarge
		}
		return 0
	}
}
