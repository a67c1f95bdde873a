package public

import (
	"encoding/pem"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
)

// TestRefusedByNetHTTP checks that a request that net/http refuses before any handler runs
// gets the same kind of problem and record as every other refusal, and is not forwarded.
func TestRefusedByNetHTTP(t *testing.T) {
	t.Parallel()
	w := newCertificates(t)
	good := "X-SSL-Auth: " + encode(w.mail)
	tests := []struct {
		name    string
		request string
		want    refusal.Reason
		path    string // in the record
	}{
		{"NUL in the path", request("GET /events/\x00 HTTP/1.1", good), refusal.PathAmbiguous, `/events/\x00`},
		{"control character in the path", request("GET /events/\x01 HTTP/1.1", good), refusal.PathAmbiguous, `/events/\x01`},
		{"DEL in the path", request("GET /events/\x7f HTTP/1.1", good), refusal.PathAmbiguous, `/events/\x7f`},
		{"space in the path", request("GET /events/ x HTTP/1.1", good), refusal.PathAmbiguous, "/events/ x"},
		{"escape without hex", request("GET /events/%zz HTTP/1.1", good), refusal.PathAmbiguous, "/events/%zz"},
		{"truncated escape", request("GET /events/% HTTP/1.1", good), refusal.PathAmbiguous, "/events/%"},
		{"no slash", request("GET events HTTP/1.1", good), refusal.PathAmbiguous, "events"},
		{"NUL in the query", request("GET /events/?\x00 HTTP/1.1", good), refusal.PathAmbiguous, "/events/"},
		{"space before the colon", request("GET /events/ HTTP/1.1", good, "X-A : b"), refusal.RequestMalformed, "/events/"},
		{"NUL in a value", request("GET /events/ HTTP/1.1", good, "X-A: \x00"), refusal.RequestMalformed, "/events/"},
		{"two hosts", request("GET /events/ HTTP/1.1", good, "Host: other"), refusal.RequestMalformed, "/events/"},
		{"unknown version", request("GET /events/ HTTP/9.1", good), refusal.RequestMalformed, "/events/"},
		{"unknown coding", request("POST /events HTTP/1.1", good, "Transfer-Encoding: gzip"), refusal.RequestAmbiguous, "/events"},
		{"two lengths", request("POST /events HTTP/1.1", good, "Content-Length: 1", "Content-Length: 2"), refusal.RequestAmbiguous, "/events"},
		{"a header beyond every limit", request("GET /events/ HTTP/1.1", "X-SSL-Auth: M"+strings.Repeat("I", 2<<20)), refusal.CredentialTooLarge, "/events/"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newFixture(t, nil)
			res := b.send(t, tt.request)
			wantProblem(t, res, tt.want)
			if !res.Close {
				t.Error("want the connection closed")
			}
			if n := b.forwarded(); n != 0 {
				t.Errorf("%d requests forwarded, want none", n)
			}
			r := b.record(t)
			if r["reason"] != string(tt.want) || r["decision"] != "refused" || r["path"] != tt.path ||
				r["request_id"] != res.Header.Get("X-Request-Id") || r["source"] != "127.0.0.1" {
				t.Errorf("record %v: want reason %s, path %s and the request ID of the response", r, tt.want, tt.path)
			}
		})
	}
}

// TestHints checks that problem and record contain the hint for a mistake that a client
// can correct, and that neither contains the value that the client sent.
func TestHints(t *testing.T) {
	w := newCertificates(t)
	pemOf := func(label string) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: w.mail.Raw}))
	}
	const good = "X-A: b"
	tests := []struct {
		name, header string
		want         refusal.Reason
		hint         string
	}{
		{"no credential", good, refusal.CredentialMissing, "Attach the client certificate in X-SSL-Auth"},
		{"empty credential", "X-SSL-Auth:", refusal.CredentialMissing, "Attach the client certificate in X-SSL-Auth"},
		{"another header", "X-SSL-Client-Cert: " + encode(w.mail), refusal.ProxyUntrusted, "A client attaches its certificate in X-SSL-Auth"},
		{"quotes", `X-SSL-Auth: "` + encode(w.mail) + `"`, refusal.CredentialMalformed, "The value is in quotes"},
		{"a key", "X-SSL-Auth: " + url.PathEscape(pemOf("PRIVATE KEY")), refusal.CredentialPrivateKey, "make a new one"},
		{"line breaks", "X-SSL-Auth: " + pemOf("CERTIFICATE"), refusal.RequestMalformed, "There are line breaks in a header"},
		{"line breaks of a key", "X-SSL-Auth: " + pemOf("RSA PRIVATE KEY"), refusal.RequestMalformed, "There is a private key in a header"},
		{"another fault", "X-A : b", refusal.RequestMalformed, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newFixture(t, nil)
			res := b.send(t, request("GET /events/ HTTP/1.1", tt.header))
			wantProblem(t, res, tt.want)
			hint, _ := res.problem(t)["detail"].(string)
			detail, _ := b.record(t)["detail"].(string)
			if !strings.Contains(hint, tt.hint) || (hint == "") != (tt.hint == "") || !strings.HasSuffix(detail, hint) || detail == hint {
				t.Errorf("hint %q and detail %q: want %q in both", hint, detail, tt.hint)
			}
			for _, secret := range []string{encode(w.mail), url.PathEscape(pemOf("PRIVATE KEY"))} {
				if leaked(hint, secret) || leaked(detail, secret) {
					t.Error("the credential is in the hint or the detail")
				}
			}
		})
	}
}

// TestRefusedByNetHTTPOnAnOpenConnection checks that the second request of a connection is
// refused in the same way as the first.
func TestRefusedByNetHTTPOnAnOpenConnection(t *testing.T) {
	t.Parallel()
	w := newCertificates(t)
	b := newFixture(t, nil)
	c := rawhttp.Dial(t, b.addr)
	for _, tt := range []struct {
		request string
		status  int
	}{
		{request("GET /events/ HTTP/1.1", "X-SSL-Auth: "+encode(w.mail)), http.StatusOK},
		{request("GET /events/\x00 HTTP/1.1"), http.StatusBadRequest},
	} {
		c.Send(tt.request)
		res := c.Response(t, http.MethodGet)
		if res.Err != nil || res.StatusCode != tt.status {
			t.Fatalf("status %d, %v: want %d", res.StatusCode, res.Err, tt.status)
		}
		if tt.status == http.StatusBadRequest && !strings.Contains(res.Text, string(refusal.PathAmbiguous)) {
			t.Errorf("body %q: want the problem path_ambiguous", res.Text)
		}
	}
	if all := b.lines(t); len(all) != 2 || all[1]["reason"] != string(refusal.PathAmbiguous) {
		t.Errorf("log %v: want a record of each request", all)
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

// TestAcceptSignature checks that the response lists the components to sign.
func TestAcceptSignature(t *testing.T) {
	b := newFixture(t, func(b *fixture) { b.options.Gate().Identifier = signatureRequired{} })
	res := b.send(t, request("GET /events/ HTTP/1.1", "X-SSL-Auth: "+encode(newCertificates(t).mail)))
	wantProblem(t, res, refusal.ProofMissing)
	if found := res.Header.Values("Accept-Signature"); len(found) != 1 || found[0] != acceptSignature {
		t.Errorf("Accept-Signature %q, want %q", found, acceptSignature)
	}
}
