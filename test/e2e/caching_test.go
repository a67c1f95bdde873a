package e2e

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/certgate/certgate/test/harness"
)

// TestResponsesVaryByCredential checks that every response of the service tells caches that
// it depends on the credential.
func TestResponsesVaryByCredential(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		more harness.Env
		want string
	}{
		{"by the certificate", nil, "X-SSL-Auth"},
		{"by another header", harness.Env{"AUTH_HEADER": "X-Ticket"}, "X-Ticket"},
		{"by a proxy's header, too", harness.Env{"AUTH_PROXY_HEADER": "Client-Cert", "TRUSTED_PROXIES": "192.0.2.0/24"}, "X-SSL-Auth, Client-Cert"},
		{"by the signature, too", harness.Env{"AUTH_PROOF": "observe", "PUBLIC_AUTHORITY": "app.example"}, "X-SSL-Auth, Signature"},
	}
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	u := harness.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if own := r.URL.Query().Get("vary"); own != "" {
			w.Header().Set("Vary", own)
		}
		if r.URL.Query().Has("stream") {
			_ = http.NewResponseController(w).Flush()
		}
	})
	for name, env := range bothHTTP() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, tt := range tests {
				t.Run(tt.name, func(t *testing.T) {
					t.Parallel()
					g := harness.StartGateway(t, u, harness.GatewayEnv(m.PublicKey, u).With(env).With(tt.more))
					for query, want := range map[string]string{
						"": tt.want, "?vary=Accept": "Accept, " + tt.want, "?vary=*": "*", "?stream": tt.want, "?stream&vary=Accept": "Accept, " + tt.want,
					} {
						r := harness.Get("/events"+query, mail)
						if name, ok := tt.more["AUTH_HEADER"]; ok {
							r.Header = []string{strings.Replace(r.Header[0], "X-SSL-Auth", name, 1)}
						}
						a := harness.Send(t, g.Addr, r)
						if found := a.Header.Values("Vary"); a.Status != 200 || !slices.Equal(found, []string{want}) {
							t.Errorf("%s: status %d and Vary %q, want 200 and %q", query, a.Status, found, want)
						}
					}
				})
			}
		})
	}
}

// TestRefusalsAreNotCached checks Cache-Control: no-store on every refusal, including those
// of malformed HTTP and of /verify.
func TestRefusalsAreNotCached(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	for name, env := range bothHTTP() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := harness.NewGateway(t, m, harness.AuthzEnabled.With(env))
			for name, r := range map[string]string{
				"no certificate":    harness.PlainGet("/events").String(),
				"no rule":           harness.Request{Method: "DELETE", Target: "/events", Header: harness.Get("/", mail).Header}.String(),
				"a broken field":    harness.Get("/events", mail).With("X-A : b").String(),
				"no request":        "nonsense\r\n\r\n",
				"a later version":   "GET / HTTP/9.9\r\nHost: a\r\n\r\n",
				"no host":           "GET / HTTP/1.1\r\n\r\n",
				"a coding":          "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
				"a header too long": harness.Get("/events", mail).With("X-A: " + strings.Repeat("a", 200<<10)).String(),
			} {
				for surface, addr := range map[string]string{"public": g.Addr, "verify": g.Authz.HTTP} {
					c := harness.Dial(t, addr)
					_, _ = c.Write([]byte(r)) // the response may come before the end
					a := c.ReadResponse(t, "GET")
					if found := a.Header.Values("Cache-Control"); a.Status < 400 || !slices.Equal(found, []string{"no-store"}) {
						t.Errorf("%s, %s: status %d and Cache-Control %q, want a refusal and no-store", surface, name, a.Status, found)
					}
				}
			}
			if found := harness.Send(t, g.Addr, harness.PlainGet("/healthz")).Header.Get("Cache-Control"); found != "no-store" {
				t.Errorf("health: Cache-Control %q, want no-store", found)
			}
		})
	}
}
