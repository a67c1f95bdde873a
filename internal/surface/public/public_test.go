package public

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/guard/certcache"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
)

func TestAllowed(t *testing.T) {
	w := newCertificates(t)
	b := newFixture(t, func(b *fixture) {
		b.respond = func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, "made")
		}
	})
	res := b.send(t, request("POST /events?token=hidden-in-the-query HTTP/1.1", "X-SSL-Auth: "+encode(w.mail), "Content-Length: 2")+"{}")
	if res.StatusCode != http.StatusCreated || res.Text != "made" || res.Close {
		t.Errorf("response %d %q, close %t: want the upstream's, and the connection open", res.StatusCode, res.Text, res.Close)
	}
	got := <-b.requests
	if id := got.Header.Get("X-Request-Id"); len(id) != 32 || id != res.Header.Get("X-Request-Id") {
		t.Errorf("request id %q at the upstream, %q at the client: want the same", id, res.Header.Get("X-Request-Id"))
	}
	record := b.record(t)
	for _, volatile := range []string{"time", "duration_ms", "key_id", "serial", "not_after"} {
		if record[volatile] == nil {
			t.Errorf("the record has no %s", volatile)
		}
		delete(record, volatile)
	}
	want := map[string]any{
		"level": "info", "msg": "request", "decision": "allowed", "client": "mail", "auth": "bearer", "rule": "events",
		"method": "POST", "path": "/events", "request_id": res.Header.Get("X-Request-Id"), "source": "127.0.0.1",
		"status": 201.0, "bytes_in": 2.0, "bytes_out": 4.0,
	}
	if !maps.Equal(record, want) {
		t.Errorf("record %v, want %v", record, want)
	}
	wantMetric(t, b, `certgate_requests_total{decision="allowed",reason=""} 1`)
	wantMetric(t, b, `certgate_requests_in_flight 0`)
}

func wantMetric(t *testing.T, b *fixture, line string) {
	t.Helper()
	if !strings.Contains(b.metrics(), line+"\n") {
		t.Errorf("no metric %s", line)
	}
}

// TestRefusals checks for every reason that the client gets the status and the problem,
// that log and metrics contain the reason, and that nothing reaches the upstream.
func TestRefusals(t *testing.T) {
	t.Parallel()
	w := newCertificates(t)
	good := "X-SSL-Auth: " + encode(w.mail)
	tests := []struct {
		name    string
		request string
		change  func(*fixture)
		want    refusal.Reason
		close   bool
		client  any // in the log
	}{
		{name: "no credential", request: request("GET /events/ HTTP/1.1"), want: refusal.CredentialMissing},
		{name: "empty credential", request: request("GET /events/ HTTP/1.1", "X-SSL-Auth:"), want: refusal.CredentialMissing},
		{name: "two credentials", request: request("GET /events/ HTTP/1.1", good, good), want: refusal.CredentialDuplicated},
		{name: "two credentials, one empty", request: request("GET /events/ HTTP/1.1", "x-ssl-auth:", good), want: refusal.CredentialDuplicated},
		{name: "malformed credential", request: request("GET /events/ HTTP/1.1", "X-SSL-Auth: Mnonsense"), want: refusal.CredentialMalformed},
		{name: "credential too large", request: request("GET /events/ HTTP/1.1", "X-SSL-Auth: "+strings.Repeat("M", maxCredential+1)), want: refusal.CredentialTooLarge, close: true},
		{name: "credential in a header with underscores", request: request("GET /events/ HTTP/1.1", "X_SSL_Auth: "+encode(w.mail)), want: refusal.CredentialMissing},
		{name: "credential in the query", request: request("GET /events/?X-SSL-Auth=" + encode(w.mail)[:10] + " HTTP/1.1"), want: refusal.CredentialMissing},
		{name: "another master key", request: request("GET /events/ HTTP/1.1", "X-SSL-Auth: "+encode(w.other)), want: refusal.CertificateUntrusted},
		{name: "no verifier", request: request("GET /events/ HTTP/1.1", good), want: refusal.CertificateUntrusted,
			change: func(b *fixture) { b.options.Gate().Identifier = gate.Verification{MaxCredentialBytes: maxCredential} }},
		{name: "another path", request: request("GET /other HTTP/1.1", good), want: refusal.AccessDenied, client: "mail"},
		{name: "another client", request: request("GET /events/ HTTP/1.1", "X-SSL-Auth: "+encode(w.social)), want: refusal.AccessDenied, client: "social"},
		{name: "dot segments", request: request("GET /x/../events/ HTTP/1.1", good), want: refusal.PathAmbiguous, close: true},
		{name: "absolute form", request: request("GET http://gateway/events/ HTTP/1.1", good), want: refusal.PathAmbiguous, close: true},
		{name: "OPTIONS with asterisk", request: request("OPTIONS * HTTP/1.1", good), want: refusal.PathAmbiguous, close: true},
		{name: "connect", request: request("CONNECT upstream:80 HTTP/1.1", good), want: refusal.PathAmbiguous, close: true},
		{name: "connect with a path", request: request("CONNECT /events/ HTTP/1.1", good), want: refusal.AccessDenied, close: true, client: "mail"},
		{name: "trace", request: request("TRACE /events/ HTTP/1.1", good), want: refusal.AccessDenied, client: "mail"},
		{name: "HTTP/2 without TLS", request: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", want: refusal.PathAmbiguous, close: true},
		{name: "two lengths", request: request("POST /events HTTP/1.1", good, "Content-Length: 5", "Transfer-Encoding: chunked") + "0\r\n\r\n", want: refusal.RequestAmbiguous, close: true},
		{name: "Transfer-Encoding in HTTP/1.0", request: request("POST /events HTTP/1.0", good, "Connection: keep-alive", "Transfer-Encoding: chunked") + "0\r\n\r\n", want: refusal.RequestAmbiguous, close: true},
		{name: "two lengths without a credential", request: request("GET / HTTP/1.1", "Content-Length: 5", "Transfer-Encoding: chunked") + "0\r\n\r\n", want: refusal.RequestAmbiguous, close: true},
		{name: "body too large", request: request("POST /events HTTP/1.1", good, "Content-Length: 1001"), want: refusal.BodyTooLarge, close: true, client: "mail"},
		{name: "post to the health route", request: request("POST /healthz HTTP/1.1", good), want: refusal.MethodNotAllowed},
		{name: "delete of the health route", request: request("DELETE /healthz HTTP/1.1", good), want: refusal.MethodNotAllowed},
	}
	for _, tt := range tests {
		check := func(t *testing.T, b *fixture) {
			t.Helper()
			res := b.send(t, tt.request)
			wantProblem(t, res, tt.want)
			if res.Close != tt.close {
				t.Errorf("close %t, want %t", res.Close, tt.close)
			}
			record := b.record(t)
			if record["reason"] != string(tt.want) || record["decision"] != "refused" || record["level"] != "info" ||
				record["client"] != tt.client || record["request_id"] != res.Header.Get("X-Request-Id") {
				t.Errorf("record %v: want refused, %s, client %v and the request ID of the response", record, tt.want, tt.client)
			}
			wantMetric(t, b, fmt.Sprintf(`certgate_requests_total{decision="refused",reason="%s"} 1`, tt.want))
			if n := b.forwarded(); n != 0 {
				t.Errorf("the upstream got %d requests, want none", n)
			}
		}
		t.Run(tt.name, func(t *testing.T) { check(t, newFixture(t, tt.change)) })
		t.Run(tt.name+", with cache", func(t *testing.T) {
			check(t, newFixture(t, func(b *fixture) {
				if tt.change != nil {
					tt.change(b)
				}
				g := b.options.Gate()
				g.Identifier = certcache.New(g.Identifier)
				g.Identifier.Identify(gate.Claim{Values: []string{encode(w.mail)}}, time.Now())
			}))
		})
	}
}

// TestCachedCertificate checks that a cached certificate produces the same response,
// record and upstream headers as a newly verified one.
func TestCachedCertificate(t *testing.T) {
	w := newCertificates(t)
	b := newFixture(t, func(b *fixture) {
		g := b.options.Gate()
		g.Identifier = certcache.New(g.Identifier)
	})
	var upstream []http.Header
	for range 2 {
		if res := b.send(t, request("GET /events/ HTTP/1.1", "X-SSL-Auth: "+encode(w.mail))); res.StatusCode != http.StatusOK {
			t.Fatalf("status %d, want 200", res.StatusCode)
		}
		got := (<-b.requests).Header
		got.Del("X-Request-Id")
		upstream = append(upstream, got)
	}
	if !reflect.DeepEqual(upstream[0], upstream[1]) || upstream[0].Get("X-Client-Cert-Fingerprint") == "" {
		t.Errorf("headers at the upstream %q and, from the cache, %q: want the same, with a fingerprint", upstream[0], upstream[1])
	}
	records := b.lines(t)
	for _, r := range records {
		for _, volatile := range []string{"time", "duration_ms", "request_id"} {
			delete(r, volatile)
		}
	}
	if !maps.Equal(records[0], records[1]) || records[0]["client"] != "mail" || records[0]["serial"] == nil {
		t.Errorf("record %v and, from the cache, %v: want the same, with client and serial", records[0], records[1])
	}
}

// reasonsWithHint lists the reasons whose problems may contain a hint.
var reasonsWithHint = []refusal.Reason{
	refusal.CredentialMissing, refusal.CredentialMalformed, refusal.CredentialPrivateKey, refusal.ProxyUntrusted,
	refusal.CertificateUnsuitable, refusal.RequestMalformed,
}

// wantProblem checks that the response is the problem document of the reason, and that it
// discloses nothing else.
func wantProblem(t *testing.T, res response, want refusal.Reason) {
	t.Helper()
	id := res.Header.Get("X-Request-Id")
	doc := map[string]any{
		"type": "urn:certgate:" + string(want), "title": want.Title(), "status": float64(want.Status()),
		"reason": string(want), "request_id": id,
	}
	have := res.problem(t)
	if hint := have["detail"]; hint != nil && slices.Contains(reasonsWithHint, want) {
		doc["detail"] = hint
	}
	if !maps.Equal(have, doc) || res.StatusCode != want.Status() || len(id) != 32 {
		t.Errorf("status %d, want %d; id %q; problem %v, want %v", res.StatusCode, want.Status(), id, have, doc)
	}
	header := map[string]string{
		"Content-Type": "application/problem+json", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "WWW-Authenticate": "",
	}
	if want.Status() == http.StatusUnauthorized {
		header["WWW-Authenticate"] = `Certificate realm="certgate", header="X-SSL-Auth", error="` + string(want) + `"`
	}
	for name, value := range header {
		if have := res.Header.Get(name); have != value {
			t.Errorf("%s: %q, want %q", name, have, value)
		}
	}
}

// TestFailures checks the problem and the record of requests that fail after the gate has
// granted them.
func TestFailures(t *testing.T) {
	w := newCertificates(t)
	good := "X-SSL-Auth: " + encode(w.mail)
	tests := []struct {
		name     string
		request  string
		change   func(*fixture)
		want     refusal.Reason
		decision string
		level    string
	}{
		{"upstream closes the connection", request("GET /events/ HTTP/1.1", good), func(b *fixture) {
			b.respond = func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
		}, refusal.UpstreamFailed, "failed", "error"},
		{"body exceeds the limit", request("POST /events HTTP/1.1", good, "Transfer-Encoding: chunked") + "3e9\r\n" + strings.Repeat("x", 1001) + "\r\n0\r\n\r\n", func(b *fixture) {
			b.respond = func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }
		}, refusal.BodyTooLarge, "refused", "info"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newFixture(t, tt.change)
			wantProblem(t, b.send(t, tt.request), tt.want)
			record := b.record(t)
			if record["reason"] != string(tt.want) || record["decision"] != tt.decision || record["level"] != tt.level || record["client"] != "mail" {
				t.Errorf("record %v: want %s %s at level %s", record, tt.decision, tt.want, tt.level)
			}
		})
	}
}

// TestTruncatedResponse checks that a truncated upstream response does not get a regular
// end, in particular not from a recovery middleware.
func TestTruncatedResponse(t *testing.T) {
	w := newCertificates(t)
	b := newFixture(t, func(b *fixture) {
		b.respond = func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "part")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	})
	res := b.send(t, request("GET /events/ HTTP/1.1", "X-SSL-Auth: "+encode(w.mail)))
	if res.StatusCode != http.StatusOK || res.Err == nil {
		t.Errorf("status %d, body %q, %v: want 200 and a truncated body", res.StatusCode, res.Text, res.Err)
	}
	record := b.record(t)
	if record["reason"] != "upstream_failed" || record["decision"] != "failed" || record["status"] != 200.0 || record["bytes_out"] != 4.0 {
		t.Errorf("record %v: want failed, upstream_failed, status 200, 4 bytes", record)
	}
}

func TestPanic(t *testing.T) {
	w := newCertificates(t)
	b := newFixture(t, func(b *fixture) { b.options.Gate = nil })
	res := b.send(t, request("GET /events/?token=hidden-in-the-query HTTP/1.1", "X-SSL-Auth: "+encode(w.mail)))
	wantProblem(t, res, refusal.Internal)
	lines := b.lines(t)
	if len(lines) != 2 || lines[0]["msg"] != "panic in a handler" || lines[0]["stack"] == nil {
		t.Fatalf("log %v: want the panic and a record", lines)
	}
	if r := lines[1]; r["msg"] != "request" || r["reason"] != "internal" || r["decision"] != "failed" || r["level"] != "error" || r["request_id"] != res.Header.Get("X-Request-Id") {
		t.Errorf("record %v: want failed, internal, error and the request ID of the response", r)
	}
	wantMetric(t, b, `certgate_requests_in_flight 0`)
	wantMetric(t, b, `certgate_requests_total{decision="failed",reason="internal"} 1`)
	if text := b.text(); strings.Contains(text, "hidden-in-the-query") || leaked(text, encode(w.mail)) {
		t.Errorf("the log of a panic has the query or the credential: %s", text)
	}
}

// TestEmptyNotFound checks that an empty 404 of the upstream stays empty. Gin replaces an
// unwritten 404 with its own page.
func TestEmptyNotFound(t *testing.T) {
	w := newCertificates(t)
	for _, method := range []string{"GET", "HEAD"} {
		b := newFixture(t, func(b *fixture) {
			b.respond = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }
		})
		res := b.send(t, request(method+" /events/x HTTP/1.1", "X-SSL-Auth: "+encode(w.mail)))
		if res.StatusCode != http.StatusNotFound || res.Text != "" || res.Header.Get("Content-Type") != "" {
			t.Errorf("%s: response %d %q, type %q: want the upstream's empty one", method, res.StatusCode, res.Text, res.Header.Get("Content-Type"))
		}
		if record := b.record(t); record["decision"] != "allowed" || record["status"] != 404.0 {
			t.Errorf("%s: record %v: want allowed with 404", method, record)
		}
	}
}

// TestPipelinedAmbiguousRequest checks that an ambiguous request after a valid one on the
// same connection is refused, and that no later request on it is served.
func TestPipelinedAmbiguousRequest(t *testing.T) {
	w := newCertificates(t)
	good := "X-SSL-Auth: " + encode(w.mail)
	b := newFixture(t, nil)
	c := rawhttp.Dial(t, b.addr)
	c.Send(request("POST /events HTTP/1.1", good, "Content-Length: 2") + "{}" +
		request("POST /events HTTP/1.1", good, "Content-Length: 4", "Transfer-Encoding: chunked") + "0\r\n\r\n" +
		request("GET /events/hidden HTTP/1.1", good))
	for _, want := range []int{http.StatusOK, http.StatusBadRequest} {
		if res := c.Response(t, http.MethodPost); res.StatusCode != want || res.Err != nil {
			t.Fatalf("status %d, %v: want %d", res.StatusCode, res.Err, want)
		}
	}
	c.WantClosed(t)
	if n := b.forwarded(); n != 1 {
		t.Errorf("the upstream got %d requests, want the first only", n)
	}
}

func TestHealth(t *testing.T) {
	for _, method := range []string{"GET", "HEAD"} {
		b := newFixture(t, nil)
		if res := b.send(t, request(method+" /healthz HTTP/1.1")); res.StatusCode != http.StatusOK || res.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: status %d, want 200", method, res.StatusCode)
		}
		stopping := newFixture(t, func(b *fixture) { b.options.Stopping = func() bool { return true } })
		res := stopping.send(t, request(method+" /healthz HTTP/1.1"))
		if res.StatusCode != http.StatusServiceUnavailable || !res.Close {
			t.Errorf("%s while stopping: status %d, close %t: want 503 and close", method, res.StatusCode, res.Close)
		}
		if method == "GET" && res.problem(t)["reason"] != "draining" {
			t.Errorf("problem %q, want draining", res.Text)
		}
		if n := b.forwarded() + stopping.forwarded(); n != 0 {
			t.Errorf("the upstream got %d requests, want none", n)
		}
	}
}

// TestCredentialHeaderName checks that only the configured credential header is read.
func TestCredentialHeaderName(t *testing.T) {
	w := newCertificates(t)
	tests := []struct {
		name, header string
		want         int
	}{
		{"configured name", "X-My-Cert: " + encode(w.mail), http.StatusOK},
		{"in another case", "x-mY-cert: " + encode(w.mail), http.StatusOK},
		{"default name", "X-SSL-Auth: " + encode(w.mail), http.StatusUnauthorized},
		{"with underscores", "X_My_Cert: " + encode(w.mail), http.StatusUnauthorized},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newFixture(t, func(b *fixture) { b.provenance.CredentialHeader = "x-my-cert" })
			if res := b.send(t, request("GET /events/ HTTP/1.1", tt.header)); res.StatusCode != tt.want {
				t.Errorf("status %d, want %d", res.StatusCode, tt.want)
			}
		})
	}
}
