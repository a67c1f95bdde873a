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

func echoing(b *bench) { b.options.EchoPath = "/events/echo" }

// denying has social on the deny list.
func denying(t *testing.T) func(*bench) {
	t.Helper()
	return func(b *bench) {
		echoing(b)
		policy, err := access.Compile([]access.Rule{{Name: "all", Clients: []string{"*"}, Allow: []string{"GET /"}}}, []access.Denied{{Client: "social"}})
		if err != nil {
			t.Fatal(err)
		}
		b.options.Gate().Policy = policy
	}
}

func TestEchoIsOff(t *testing.T) {
	b := newBench(t, nil)
	res := b.ask(t, request("GET /events/echo HTTP/1.1", "X-SSL-Auth: "+encode(newWorld(t).mail)))
	if res.StatusCode != http.StatusOK || res.body != "" || b.forwarded() != 1 {
		t.Errorf("answer %d %q: want the upstream's", res.StatusCode, res.body)
	}
}

func TestEcho(t *testing.T) {
	w := newWorld(t)
	for name, cert := range map[string]string{"mail": encode(w.mail), "social": encode(w.social)} { // no rule names social
		b := newBench(t, func(b *bench) {
			echoing(b)
			trusting("127.0.0.0/8")(b)
		})
		res := b.ask(t, request("GET /events/echo/a%20b?c HTTP/1.1", "X-SSL-Auth: "+cert, "X-Forwarded-For: 198.51.100.7", "Authorization: password"))
		var a echo.Answer
		if err := json.Unmarshal([]byte(res.body), &a); err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("answer %d %q: %v", res.StatusCode, res.body, err)
		}
		if a.Client != name || a.Auth != "bearer" || !a.PeerTrusted || a.Source != "198.51.100.7" || a.Target != echo.Of("/events/echo/a%20b?c") || !strings.HasPrefix(a.Peer, "127.0.0.1:") {
			t.Errorf("answer %+v", a)
		}
		sum := sha256.Sum256([]byte(cert))
		if lines := a.Header("X-SSL-Auth"); len(lines) != 1 || lines[0].SHA256 != hex.EncodeToString(sum[:]) || lines[0].Length != len(cert) {
			t.Errorf("lines %v of the credential", lines)
		}
		if leaked(res.raw, cert) || strings.Contains(res.raw, "password") {
			t.Errorf("a value is in the answer: %s", res.raw)
		}
		if h := res.Header; h.Get("Cache-Control") != "no-store" || h.Get("Content-Type") != "application/json; charset=utf-8" || h.Get("X-Request-Id") == "" {
			t.Errorf("header %v", h)
		}
		record := b.record(t)
		if record["decision"] != "allowed" || record["client"] != name || record["rule"] != nil || record["status"] != 200.0 || record["detail"] != "answered by the echo of ECHO_PATH" ||
			record["request_id"] != res.Header.Get("X-Request-Id") || record["path"] != "/events/echo/a%20b" {
			t.Errorf("record %v", record)
		}
		if n := b.forwarded(); n != 0 {
			t.Errorf("the upstream got %d requests, want none", n)
		}
	}
}

func TestEchoRefuses(t *testing.T) {
	w := newWorld(t)
	tests := []struct {
		name, request string
		change        func(*bench)
		want          refusal.Reason
	}{
		{"no certificate", request("GET /events/echo HTTP/1.1"), echoing, refusal.CredentialMissing},
		{"two", request("GET /events/echo HTTP/1.1", "X-SSL-Auth: "+encode(w.mail), "X-SSL-Auth: "+encode(w.mail)), echoing, refusal.CredentialDuplicated},
		{"a proxy's", request("GET /events/echo HTTP/1.1", "Client-Cert: "+certheader.Encode(certheader.RFC9440, w.mail.Raw)), echoing, refusal.ProxyUntrusted},
		{"another master key", request("GET /events/echo HTTP/1.1", "X-SSL-Auth: "+encode(w.other)), echoing, refusal.CertificateUntrusted},
		{"denied", request("GET /events/echo HTTP/1.1", "X-SSL-Auth: "+encode(w.social)), denying(t), refusal.AccessDenied},
		{"posted without a certificate", request("POST /events/echo HTTP/1.1"), echoing, refusal.CredentialMissing},
		{"posted", request("POST /events/echo HTTP/1.1", "X-SSL-Auth: "+encode(w.mail)), echoing, refusal.MethodNotAllowed},
		{"connected", request("CONNECT /events/echo HTTP/1.1", "X-SSL-Auth: "+encode(w.mail)), echoing, refusal.MethodNotAllowed},
		{"two paths in one", request("GET /events/echo/../echo HTTP/1.1", "X-SSL-Auth: "+encode(w.mail)), echoing, refusal.PathAmbiguous},
		{"two lengths", request("GET /events/echo HTTP/1.1", "X-SSL-Auth: "+encode(w.mail), "Content-Length: 5", "Transfer-Encoding: chunked"), echoing, refusal.RequestAmbiguous},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, tt.change)
			res := b.ask(t, tt.request)
			wantProblem(t, res, tt.want)
			if tt.want == refusal.MethodNotAllowed && res.Header.Get("Allow") != "GET, HEAD" {
				t.Errorf("Allow %q, want GET, HEAD", res.Header.Get("Allow"))
			}
			if strings.Contains(res.body, "sha256") || b.forwarded() != 0 {
				t.Errorf("answer %s: want nothing told and nothing forwarded", res.body)
			}
		})
	}
}

// TestEchoTakesItsPathOnly: what the echo does not answer is the upstream's.
func TestEchoTakesItsPathOnly(t *testing.T) {
	w := newWorld(t)
	b := newBench(t, echoing)
	for path, echoes := range map[string]bool{
		"/events/echo": true, "/events/echo?x": true, "/events/echo/": true, "/events/echo/x": true,
		"/events/": false, "/events/echox": false, "/events/echo;x": false, "/events/ech%6f": false, "/events/ECHO": false, "/events/x?/events/echo": false,
	} {
		res := b.ask(t, request(fmt.Sprintf("GET %s HTTP/1.1", path), "X-SSL-Auth: "+encode(w.mail)))
		if found := strings.Contains(res.body, "certgate_echo"); found != echoes || res.StatusCode != http.StatusOK {
			t.Errorf("%s: echo %t and status %d, want %t and 200", path, found, res.StatusCode, echoes)
		}
	}
}
