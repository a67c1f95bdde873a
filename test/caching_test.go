package test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestAnswersVary: a cache in front of the gateway learns from every answer of the
// service that it is for one client.
func TestAnswersVary(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		more environment
		want string
	}{
		{"by the certificate", nil, "X-SSL-Auth"},
		{"by another header", environment{"AUTH_HEADER": "X-Ticket"}, "X-Ticket"},
		{"by a proxy's header, too", environment{"AUTH_PROXY_HEADER": "Client-Cert", "TRUSTED_PROXIES": "192.0.2.0/24"}, "X-SSL-Auth, Client-Cert"},
		{"by the signature, too", environment{"AUTH_PROOF": "observe", "PUBLIC_AUTHORITY": "app.example"}, "X-SSL-Auth, Signature"},
	}
	m := newMaster(t, "p256")
	mail := m.issue(t, subject("mail"))
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if own := r.URL.Query().Get("vary"); own != "" {
			w.Header().Set("Vary", own)
		}
		if r.URL.Query().Has("stream") {
			_ = http.NewResponseController(w).Flush()
		}
	})
	for lane, env := range lanes() {
		for _, tt := range tests {
			t.Run(lane+"/"+tt.name, func(t *testing.T) {
				t.Parallel()
				g := serve(t, u, settings(m.publicKey, u).with(env).with(tt.more))
				for query, want := range map[string]string{
					"": tt.want, "?vary=Accept": "Accept, " + tt.want, "?vary=*": "*", "?stream": tt.want, "?stream&vary=Accept": "Accept, " + tt.want,
				} {
					r := get("/events"+query, mail)
					if name, ok := tt.more["AUTH_HEADER"]; ok {
						r.header = []string{strings.Replace(r.header[0], "X-SSL-Auth", name, 1)}
					}
					a := send(t, g.addr, r)
					if found := a.header.Values("Vary"); a.status != 200 || !slices.Equal(found, []string{want}) {
						t.Errorf("%s: status %d and Vary %q, want 200 and %q", query, a.status, found, want)
					}
				}
			})
		}
	}
}

// TestRefusalsAreNotKept: no cache keeps a refusal, those of requests that are no HTTP
// included, and those of a proxy's question.
func TestRefusalsAreNotKept(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	mail := m.issue(t, subject("mail"))
	for lane, env := range lanes() {
		t.Run(lane, func(t *testing.T) {
			t.Parallel()
			g := newGateway(t, m, judging.with(env))
			for name, r := range map[string]string{
				"no certificate":    plainGet("/events").String(),
				"no rule":           request{method: "DELETE", target: "/events", header: get("/", mail).header}.String(),
				"a broken field":    get("/events", mail).with("X-A : b").String(),
				"no request":        "nonsense\r\n\r\n",
				"a later version":   "GET / HTTP/9.9\r\nHost: a\r\n\r\n",
				"no host":           "GET / HTTP/1.1\r\n\r\n",
				"a coding":          "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
				"a header too long": get("/events", mail).with("X-A: " + strings.Repeat("a", 200<<10)).String(),
			} {
				for surface, addr := range map[string]string{"public": g.addr, "verify": g.authz.http} {
					c := dial(t, addr)
					_, _ = c.Write([]byte(r)) // the answer may come before the end
					a := c.read(t, "GET")
					if found := a.header.Values("Cache-Control"); a.status < 400 || !slices.Equal(found, []string{"no-store"}) {
						t.Errorf("%s, %s: status %d and Cache-Control %q, want a refusal and no-store", surface, name, a.status, found)
					}
				}
			}
			if found := send(t, g.addr, plainGet("/healthz")).header.Get("Cache-Control"); found != "no-store" {
				t.Errorf("health: Cache-Control %q, want no-store", found)
			}
		})
	}
}
