package public

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/surface/echo"
)

func withEcho(b *fixture) { b.options.EchoPath = "/events/echo" }

// withDenyList puts the client social on the deny list.
func withDenyList(t *testing.T) func(*fixture) {
	t.Helper()
	return func(b *fixture) {
		withEcho(b)
		policy, err := access.Compile([]access.Rule{{Name: "all", Clients: []string{"*"}, Allow: []string{"GET /"}}}, []access.Denied{{Client: "social"}})
		if err != nil {
			t.Fatal(err)
		}
		b.options.Gate().Policy = policy
	}
}

func TestEchoIsOff(t *testing.T) {
	b := newFixture(t, nil)
	res := b.send(t, request("GET /events/echo HTTP/1.1", "X-SSL-Auth: "+encode(newCertificates(t).mail)))
	if res.StatusCode != http.StatusOK || res.Text != "" || b.forwarded() != 1 {
		t.Errorf("response %d %q: want the upstream's", res.StatusCode, res.Text)
	}
}

func TestEcho(t *testing.T) {
	w := newCertificates(t)
	for name, cert := range map[string]string{"mail": encode(w.mail), "social": encode(w.social)} { // no rule names social
		b := newFixture(t, func(b *fixture) {
			withEcho(b)
			trusting("127.0.0.0/8")(b)
		})
		res := b.send(t, request("GET /events/echo/a%20b?c HTTP/1.1", "X-SSL-Auth: "+cert, "X-Forwarded-For: 198.51.100.7", "Authorization: password"))
		var a echo.Response
		if err := json.Unmarshal([]byte(res.Text), &a); err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("response %d %q: %v", res.StatusCode, res.Text, err)
		}
		if a.Client != name || a.Auth != "bearer" || !a.PeerTrusted || a.Source != "198.51.100.7" || a.Target != echo.Of("/events/echo/a%20b?c") || !strings.HasPrefix(a.Peer, "127.0.0.1:") {
			t.Errorf("response %+v", a)
		}
		sum := sha256.Sum256([]byte(cert))
		if lines := a.Header("X-SSL-Auth"); len(lines) != 1 || lines[0].SHA256 != hex.EncodeToString(sum[:]) || lines[0].Length != len(cert) {
			t.Errorf("lines %v of the credential", lines)
		}
		if leaked(res.raw, cert) || strings.Contains(res.raw, "password") {
			t.Errorf("a value is in the response: %s", res.raw)
		}
		if h := res.Header; h.Get("Cache-Control") != "no-store" || h.Get("Content-Type") != "application/json; charset=utf-8" || h.Get("X-Request-Id") == "" {
			t.Errorf("header %v", h)
		}
		record := b.record(t)
		if record["decision"] != "allowed" || record["client"] != name || record["rule"] != nil || record["status"] != 200.0 || record["detail"] != "served by the echo of ECHO_PATH" ||
			record["request_id"] != res.Header.Get("X-Request-Id") || record["path"] != "/events/echo/a%20b" {
			t.Errorf("record %v", record)
		}
		if n := b.forwarded(); n != 0 {
			t.Errorf("the upstream got %d requests, want none", n)
		}
	}
}

func TestEchoRefuses(t *testing.T) {
	w := newCertificates(t)
	tests := []struct {
		name, request string
		change        func(*fixture)
		want          refusal.Reason
	}{
		{"no certificate", request("GET /events/echo HTTP/1.1"), withEcho, refusal.CredentialMissing},
		{"two certificates", request("GET /events/echo HTTP/1.1", "X-SSL-Auth: "+encode(w.mail), "X-SSL-Auth: "+encode(w.mail)), withEcho, refusal.CredentialDuplicated},
		{"a proxy's header", request("GET /events/echo HTTP/1.1", "Client-Cert: "+certheader.Encode(certheader.RFC9440, w.mail.Raw)), withEcho, refusal.ProxyUntrusted},
		{"another master key", request("GET /events/echo HTTP/1.1", "X-SSL-Auth: "+encode(w.other)), withEcho, refusal.CertificateUntrusted},
		{"denied", request("GET /events/echo HTTP/1.1", "X-SSL-Auth: "+encode(w.social)), withDenyList(t), refusal.AccessDenied},
		{"POST without a certificate", request("POST /events/echo HTTP/1.1"), withEcho, refusal.CredentialMissing},
		{"POST", request("POST /events/echo HTTP/1.1", "X-SSL-Auth: "+encode(w.mail)), withEcho, refusal.MethodNotAllowed},
		{"CONNECT", request("CONNECT /events/echo HTTP/1.1", "X-SSL-Auth: "+encode(w.mail)), withEcho, refusal.MethodNotAllowed},
		{"dot segments", request("GET /events/echo/../echo HTTP/1.1", "X-SSL-Auth: "+encode(w.mail)), withEcho, refusal.PathAmbiguous},
		{"two lengths", request("GET /events/echo HTTP/1.1", "X-SSL-Auth: "+encode(w.mail), "Content-Length: 5", "Transfer-Encoding: chunked"), withEcho, refusal.RequestAmbiguous},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newFixture(t, tt.change)
			res := b.send(t, tt.request)
			wantProblem(t, res, tt.want)
			if tt.want == refusal.MethodNotAllowed && res.Header.Get("Allow") != "GET, HEAD" {
				t.Errorf("Allow %q, want GET, HEAD", res.Header.Get("Allow"))
			}
			if strings.Contains(res.Text, "sha256") || b.forwarded() != 0 {
				t.Errorf("response %s: want no digest and no forwarded request", res.Text)
			}
		})
	}
}

// TestEchoPath checks that the echo serves only its path and subpaths, and that all other
// requests reach the upstream.
func TestEchoPath(t *testing.T) {
	w := newCertificates(t)
	b := newFixture(t, withEcho)
	for path, echoes := range map[string]bool{
		"/events/echo": true, "/events/echo?x": true, "/events/echo/": true, "/events/echo/x": true,
		"/events/": false, "/events/echox": false, "/events/echo;x": false, "/events/ech%6f": false, "/events/ECHO": false, "/events/x?/events/echo": false,
	} {
		res := b.send(t, request(fmt.Sprintf("GET %s HTTP/1.1", path), "X-SSL-Auth: "+encode(w.mail)))
		if found := strings.Contains(res.Text, "certgate_echo"); found != echoes || res.StatusCode != http.StatusOK {
			t.Errorf("%s: echo %t and status %d, want %t and 200", path, found, res.StatusCode, echoes)
		}
	}
}
