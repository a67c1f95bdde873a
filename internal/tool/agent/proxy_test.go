package agent_test

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/certgate/certgate/internal/testkit/rawhttp"
	"github.com/certgate/certgate/internal/testkit/upstream"
	"github.com/certgate/certgate/internal/tool/agent"
	"github.com/certgate/certgate/internal/tool/signing"
)

// TestForwardsTargetUnchanged checks that request targets are signed and forwarded byte
// for byte.
func TestForwardsTargetUnchanged(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	g := newTarget(t, f, nil)
	s := start(t, options(f, g.url))
	for _, target := range []string{
		"/", "/events", "/events/", "/events?from=2013-08-01&to=%20", "/events?", "/events?a;b=c&%zz&d",
		"//events", "/events//1", "//a%2fb", "/./events", "/events/../admin", "/events/..", "/events/%2e%2e/admin",
		"/a%2fb", "/a%2Fb", "/a%5cb", `/a\b`, "/%41", "/a%20b", "/a+b", "/%C3%BC", "/%ff", "/%00",
		"/{id}", "/a|b", "/a^b", "/a\"b", "/<a>", "/a'b", "/a;b=c", "/a,b", "/a:b", "/@a", "/*", "/a#b", "/a?b#c",
		"/http://evil.example/", "/healthz/", "/healthz%20",
	} {
		a := s.request(t, "GET", target, "")
		if a.StatusCode != http.StatusOK {
			t.Errorf("%q: want 200, found %d and %s", target, a.StatusCode, a.Text)
			continue
		}
		if got := g.wantOne(t).target; got != target {
			t.Errorf("want %q, found %q", target, got)
		}
	}
	// A target that cannot be signed is not forwarded.
	for _, target := range []string{"/\u00fc", "/?\u00fc"} {
		s.request(t, "GET", target, "").wantRefusal(t, 400, "agent_request_unsigned")
		g.wantNone(t)
	}
	// Package url cannot represent two slashes with bytes that it escapes.
	if s.request(t, "GET", "//a|b", ""); g.wantOne(t).target != "//a%7Cb" {
		t.Error("want two slashes to stay two")
	}
}

// TestRefusesOtherTargetForms checks that an agent cannot be used as a forward proxy.
func TestRefusesOtherTargetForms(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	g := newTarget(t, f, nil)
	s := start(t, options(f, g.url))
	s.request(t, "GET", "http://localhost/events", "").wantRefusal(t, 400, "agent_request_invalid")
	s.request(t, "GET", g.URL+"/events", "").wantRefusal(t, 400, "agent_request_invalid")
	s.request(t, "OPTIONS", "*", "").wantRefusal(t, 400, "agent_request_invalid")
	s.request(t, "CONNECT", "localhost:443", "", "Host: localhost:443").wantRefusal(t, 400, "agent_request_invalid")
	g.wantNone(t)
}

// TestRequests checks that methods and bodies arrive, with every kind of body framing.
func TestRequests(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	g := newTarget(t, f, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Response", "target")
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, "done")
	})
	s := start(t, options(f, g.url))
	const chunks = "4\r\nfour\r\n5;x=y\r\nfive5\r\n0\r\nX-Trailer: x\r\n\r\n"
	for _, test := range []struct {
		name, method, body, want string
		lines                    []string
	}{
		{"GET", "GET", "", "", nil},
		{"POST", "POST", "content", "content", []string{"Content-Type: text/plain"}},
		{"POST without body", "POST", "", "", []string{"Content-Length: 0"}},
		{"PUT", "PUT", "content", "content", nil},
		{"PATCH", "PATCH", "content", "content", nil},
		{"DELETE", "DELETE", "", "", nil},
		{"DELETE with body", "DELETE", "content", "content", nil},
		{"PURGE", "PURGE", "", "", nil},
		{"chunked", "POST", chunks, "fourfive5", []string{"Transfer-Encoding: chunked", "Trailer: X-Trailer"}},
		{"chunked, empty", "POST", "0\r\n\r\n", "", []string{"Transfer-Encoding: chunked"}},
		{"Expect", "POST", "content", "content", []string{"Expect: 100-continue"}},
		{"at the limit", "POST", strings.Repeat("x", 100), strings.Repeat("x", 100), nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			var a response
			if test.name == "Expect" {
				a = s.requestExpecting(t, test.body)
			} else {
				a = s.request(t, test.method, "/events", test.body, test.lines...)
			}
			if a.StatusCode != http.StatusCreated || a.Text != "done" || a.Header.Get("X-Response") != "target" {
				t.Fatalf("want the target's response, found %d and %s", a.StatusCode, a.Text)
			}
			got := g.wantOne(t)
			if got.method != test.method || got.body != test.want || got.host != g.url.Host {
				t.Errorf("want %s and %q for the target's host, found %+v", test.method, test.want, got)
			}
			for _, name := range []string{"Trailer", "X-Trailer", "Expect", "Transfer-Encoding"} {
				if got.header.Get(name) != "" {
					t.Errorf("want no %s, found one", name)
				}
			}
		})
	}
}

// requestExpecting waits for 100 Continue before it sends the body.
func (s *sidecar) requestExpecting(t *testing.T, body string) response {
	t.Helper()
	r := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.Addr().String()+"/events", strings.NewReader(body)))
	r.Header.Set("Expect", "100-continue")
	transport := &http.Transport{ExpectContinueTimeout: rawhttp.Timeout}
	defer transport.CloseIdleConnections()
	res := must[*http.Response](t)(transport.RoundTrip(r))
	text := must[[]byte](t)(io.ReadAll(res.Body))
	_ = res.Body.Close()
	return response{rawhttp.Response{Response: res, Text: string(text)}}
}

// TestHeaders checks that the agent removes the fields that it or the gateway sets, and
// hop-by-hop fields, and forwards all others.
func TestHeaders(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	g := newTarget(t, f, nil)
	s := start(t, options(f, g.url))
	s.request(t, "POST", "/events", "content",
		"X-SSL-Auth: other", "X_SSL_Auth: other", "Signature: sig1=:AAAA:", `Signature-Input: sig1=();tag="certgate"`,
		"Content-Digest: sha-256=:AAAA:", "Forwarded: for=1.2.3.4", "X-Forwarded-For: 1.2.3.4", "X-Forwarded-Host: evil.example",
		"X-Forwarded-Proto: https", "Upgrade: websocket", "Connection: upgrade, x-hop", "X-Hop: 1", "Te: trailers", "Keep-Alive: 5",
		"Proxy-Authorization: x", "User-Agent: program/1", "Accept-Encoding: br", "Cookie: a=b", "Authorization: Bearer x", "Idempotency-Key: 1")
	got := g.wantOne(t)
	for _, name := range []string{
		"X_ssl_auth", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto",
		"Upgrade", "Connection", "X-Hop", "Te", "Keep-Alive", "Proxy-Authorization",
	} {
		if got.header[name] != nil {
			t.Errorf("want no %s, found one", name)
		}
	}
	for name, want := range map[string]string{
		"User-Agent": "program/1", "Accept-Encoding": "br", "Cookie": "a=b", "Authorization": "Bearer x", "Idempotency-Key": "1",
	} {
		if found := got.header.Get(name); found != want {
			t.Errorf("%s: want %q, found %q", name, want, found)
		}
	}
	if s.request(t, "GET", "/", ""); g.wantOne(t).header["User-Agent"] != nil {
		t.Error("want no User-Agent when the program sends none")
	}
	if s.request(t, "GET", "/", ""); g.wantOne(t).header["Accept-Encoding"] != nil {
		t.Error("want no Accept-Encoding when the program sends none")
	}
}

// TestResponseStreams checks that the first line of a response arrives before the target
// sends the second.
func TestResponseStreams(t *testing.T) {
	t.Parallel()
	read := make(chan struct{})
	f := newFiles(t)
	g := newTarget(t, f, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "8") // without it, ReverseProxy always flushes at once
		_, _ = io.WriteString(w, "one\n")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-read:
			_, _ = io.WriteString(w, "two\n")
		case <-r.Context().Done():
		}
	})
	s := start(t, options(f, g.url))
	r := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.Addr().String()+"/", strings.NewReader("x")))
	res := must[*http.Response](t)(http.DefaultTransport.RoundTrip(r))
	defer func() { _ = res.Body.Close() }()
	lines := bufio.NewReader(res.Body)
	if line := must[string](t)(lines.ReadString('\n')); line != "one\n" {
		t.Errorf("want the first line, found %q", line)
	}
	close(read)
	if line := must[string](t)(lines.ReadString('\n')); line != "two\n" {
		t.Errorf("want the second line, found %q", line)
	}
}

// TestRefusals checks the agent's own responses, whose reasons show whether the request
// was sent.
func TestRefusals(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	g := newTarget(t, f, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	s := start(t, options(f, g.url))
	s.request(t, "POST", "/", strings.Repeat("x", 101)).wantRefusal(t, 413, "agent_body_too_large")
	s.request(t, "POST", "/", "65\r\n"+strings.Repeat("x", 101)+"\r\n0\r\n\r\n", "Transfer-Encoding: chunked").wantRefusal(t, 413, "agent_body_too_large")
	s.request(t, "POST", "/", "zz\r\n", "Transfer-Encoding: chunked").wantRefusal(t, 400, "agent_request_invalid")
	g.wantNone(t)
	s.request(t, "POST", "/", "x").wantRefusal(t, 502, "agent_gateway_failed")
	g.wantOne(t)

	s = start(t, options(f, &url.URL{Scheme: "http", Host: upstream.Refusing(t)}))
	s.request(t, "POST", "/", "x").wantRefusal(t, 502, "agent_gateway_unreachable")

	untrusted := httptest.NewUnstartedServer(nil)
	untrusted.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	untrusted.StartTLS()
	t.Cleanup(untrusted.Close)
	s = start(t, options(f, must[*url.URL](t)(url.Parse(untrusted.URL))))
	s.request(t, "POST", "/", "x").wantRefusal(t, 502, "agent_gateway_unreachable")
	if n := s.countLogs(zapcore.WarnLevel, "refused"); n != 1 {
		t.Errorf("want one line about it in the log, found %d", n)
	}
	for _, test := range []struct {
		err       error
		connected bool
		want      string
	}{
		{os.ErrDeadlineExceeded, true, "agent_gateway_timeout"},
		{os.ErrDeadlineExceeded, false, "agent_gateway_unreachable"},
		{errors.New("reset"), true, "agent_gateway_failed"},
		{signing.ErrUnsigned, false, "agent_request_unsigned"},
	} {
		if found := agent.ReasonOf(test.err, test.connected); found != test.want {
			t.Errorf("%v, connected %t: want %s, found %s", test.err, test.connected, test.want, found)
		}
	}
}

// TestCredentialRefused checks that the program gets the gateway's response, and the
// operator a line in the log.
func TestCredentialRefused(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	g := newTarget(t, newFiles(t), nil) // with another master key
	s := start(t, options(f, g.url))
	if a := s.request(t, "GET", "/", ""); a.StatusCode != http.StatusUnauthorized || a.Header.Get("Www-Authenticate") == "" {
		t.Errorf("want the gateway's response, found %d", a.StatusCode)
	}
	if n := s.countLogs(zapcore.WarnLevel, "the gateway refuses the credential"); n != 1 {
		t.Errorf("want one line, found %d", n)
	}
}

// TestDrain checks that an open request is finished after the listener was closed.
func TestDrain(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	f := newFiles(t)
	g := newTarget(t, f, func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-release
		_, _ = io.WriteString(w, "done")
	})
	s := start(t, options(f, g.url))
	responses := make(chan response, 1)
	go func() { responses <- s.request(t, "POST", "/", "x") }()
	<-arrived
	s.cancel()
	deadline := time.Now().Add(rawhttp.Timeout)
	for { // until the listener is closed
		c, err := net.DialTimeout("tcp", s.Addr().String(), rawhttp.Timeout)
		if err != nil {
			break
		}
		_ = c.Close()
		if time.Now().After(deadline) {
			t.Fatal("want the listener closed, found it open")
		}
	}
	close(release)
	if a := <-responses; a.StatusCode != http.StatusOK || a.Text != "done" {
		t.Errorf("want the response, found %d and %s", a.StatusCode, a.Text)
	}
}
