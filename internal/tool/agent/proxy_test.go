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
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"

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
			t.Errorf("%q: want 200, found %d and %s", target, a.StatusCode, a.body)
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
			if a.StatusCode != http.StatusCreated || a.body != "done" || a.Header.Get("X-Response") != "target" {
				t.Fatalf("want the target's response, found %d and %s", a.StatusCode, a.body)
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
	transport := &http.Transport{ExpectContinueTimeout: timeout}
	defer transport.CloseIdleConnections()
	res := must[*http.Response](t)(transport.RoundTrip(r))
	text := must[[]byte](t)(io.ReadAll(res.Body))
	_ = res.Body.Close()
	return response{res, string(text)}
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

	closed := httptest.NewServer(nil)
	closed.Close()
	s = start(t, options(f, must[*url.URL](t)(url.Parse(closed.URL))))
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

// TestGuard checks which requests are refused because a browser may have sent them for a
// page of another origin, with several methods and paths.
func TestGuard(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	g := newTarget(t, f, nil)
	o := options(f, g.url)
	o.Names = []string{"certgate-agent", "0x7f.1", "0.0.0.0"}
	s := start(t, o)
	own := s.Addr().String()
	for _, test := range []struct {
		name   string
		lines  []string
		status int
		reason string // "" for an accepted request
	}{
		{"address", []string{"Host: " + own}, 200, ""},
		{"another address", []string{"Host: 10.0.0.7"}, 200, ""},
		{"IPv6", []string{"Host: [::1]:7000"}, 200, ""},
		{"localhost", []string{"Host: localhost:7000"}, 200, ""},
		{"localhost in capitals, with dot", []string{"Host: LOCALHOST.:7000"}, 200, ""},
		{"below localhost", []string{"Host: agent.localhost"}, 200, ""},
		{"own name", []string{"Host: certgate-agent:7000"}, 200, ""},
		{"loopback", []string{"Host: 127.8.9.1:7000"}, 200, ""},
		{"unspecified", []string{"Host: 0.0.0.0"}, 421, "agent_host_unknown"},
		{"unspecified, with port", []string{"Host: 0.0.0.0:7000"}, 421, "agent_host_unknown"},
		{"unspecified, with dot", []string{"Host: 0.0.0.0."}, 421, "agent_host_unknown"},
		{"unspecified, short", []string{"Host: 0"}, 421, "agent_host_unknown"},
		{"unspecified, in hexadecimal", []string{"Host: 0x0:7000"}, 421, "agent_host_unknown"},
		{"unspecified, in two parts", []string{"Host: 0.0"}, 421, "agent_host_unknown"},
		{"this network", []string{"Host: 0.1.2.3"}, 421, "agent_host_unknown"},
		{"unspecified IPv6", []string{"Host: [::]:7000"}, 421, "agent_host_unknown"},
		{"unspecified IPv6, long", []string{"Host: [0:0:0:0:0:0:0:0]"}, 421, "agent_host_unknown"},
		{"unspecified IPv6, as IPv4", []string{"Host: [::0.0.0.0]"}, 421, "agent_host_unknown"},
		{"unspecified, mapped", []string{"Host: [::ffff:0.0.0.0]"}, 421, "agent_host_unknown"},
		{"unspecified, mapped, in hexadecimal", []string{"Host: [::ffff:0:0]:7000"}, 421, "agent_host_unknown"},
		{"unspecified without brackets", []string{"Host: ::"}, 421, "agent_host_unknown"},
		{"loopback, mapped", []string{"Host: [::ffff:127.0.0.1]:7000"}, 421, "agent_host_unknown"},
		{"loopback, short", []string{"Host: 127.1"}, 421, "agent_host_unknown"},
		{"loopback as a number", []string{"Host: 2130706433"}, 421, "agent_host_unknown"},
		{"a zone", []string{"Host: [fe80::1%25lo]"}, 421, "agent_host_unknown"},
		{"a number as own name", []string{"Host: 0x7f.1"}, 421, "agent_host_unknown"},
		{"an unspecified address as own name", []string{"Host: 0.0.0.0:7001"}, 421, "agent_host_unknown"},
		{"a browser at own name", []string{"Host: certgate-agent:7000", "User-Agent: Mozilla/5.0 (X11; Linux x86_64)"}, 403, "agent_cross_origin"},
		{"a browser at another address", []string{"Host: 10.0.0.7:7000", "User-Agent: Mozilla/5.0 (X11; Linux x86_64)"}, 403, "agent_cross_origin"},
		{"a browser at localhost", []string{"Host: localhost:7000", "User-Agent: Mozilla/5.0 (X11; Linux x86_64)"}, 200, ""},
		{"a browser at loopback", []string{"Host: [::1]:7000", "User-Agent: Mozilla/5.0 (X11; Linux x86_64)"}, 200, ""},
		{"a program at own name", []string{"Host: certgate-agent:7000", "User-Agent: curl/7.88.1"}, 200, ""},
		{"rebound", []string{"Host: evil.example"}, 421, "agent_host_unknown"},
		{"rebound, with port", []string{"Host: evil.example:7000"}, 421, "agent_host_unknown"},
		{"begins with an address", []string{"Host: 127.0.0.1.evil.example"}, 421, "agent_host_unknown"},
		{"begins with localhost", []string{"Host: localhost.evil.example"}, 421, "agent_host_unknown"},
		{"ends in localhost", []string{"Host: evillocalhost"}, 421, "agent_host_unknown"},
		{"the target's name", []string{"Host: schedule.example.com"}, 421, "agent_host_unknown"},
		{"cross-site", []string{"Sec-Fetch-Site: cross-site"}, 403, "agent_cross_origin"},
		{"same-site", []string{"Sec-Fetch-Site: same-site"}, 403, "agent_cross_origin"},
		{"unknown site", []string{"Sec-Fetch-Site: moon"}, 403, "agent_cross_origin"},
		{"two sites", []string{"Sec-Fetch-Site: none", "Sec-Fetch-Site: cross-site"}, 403, "agent_cross_origin"},
		{"address bar", []string{"Sec-Fetch-Site: none"}, 200, ""},
		{"own page", []string{"Sec-Fetch-Site: same-origin", "Host: " + own, "Origin: http://" + own}, 200, ""},
		{"foreign origin", []string{"Origin: https://evil.example"}, 403, "agent_cross_origin"},
		{"foreign port", []string{"Host: localhost:7000", "Origin: http://localhost:8000"}, 403, "agent_cross_origin"},
		{"opaque origin", []string{"Origin: null"}, 403, "agent_cross_origin"},
		{"empty origin", []string{"Origin: "}, 403, "agent_cross_origin"},
		{"own Referer", []string{"Host: " + own, "Referer: http://" + own + "/events?day=1"}, 200, ""},
		{"own Referer in capitals", []string{"Host: localhost:7000", "Referer: http://LOCALHOST:7000/"}, 200, ""},
		{"foreign Referer", []string{"Host: " + own, "Referer: https://evil.example/"}, 403, "agent_cross_origin"},
		{"Referer of another port", []string{"Host: localhost:7000", "Referer: http://localhost:8000/"}, 403, "agent_cross_origin"},
		{"own address in a foreign Referer", []string{"Host: " + own, "Referer: http://evil.example/" + own}, 403, "agent_cross_origin"},
		{"user in a foreign Referer", []string{"Host: " + own, "Referer: http://" + own + "@evil.example/"}, 403, "agent_cross_origin"},
		{"two Referers", []string{"Host: " + own, "Referer: http://" + own + "/", "Referer: http://evil.example/"}, 403, "agent_cross_origin"},
		{"no URL as Referer", []string{"Host: " + own, "Referer: /events"}, 403, "agent_cross_origin"},
		{"broken Referer", []string{"Host: " + own, "Referer: http://%zz/"}, 403, "agent_cross_origin"},
		{"empty Referer", []string{"Host: " + own, "Referer: "}, 403, "agent_cross_origin"},
		{"two origins", []string{"Host: " + own, "Origin: http://" + own, "Origin: http://evil.example"}, 403, "agent_cross_origin"},
	} {
		for _, method := range []string{"GET", "POST", "OPTIONS"} {
			t.Run(test.name+" "+method, func(t *testing.T) {
				a := s.request(t, method, "/events", "", test.lines...)
				if test.reason == "" {
					if a.StatusCode != test.status || g.wantOne(t).method != method {
						t.Errorf("want %d, found %d and %s", test.status, a.StatusCode, a.body)
					}
					return
				}
				a.wantRefusal(t, test.status, test.reason)
				g.wantNone(t)
			})
		}
		if test.reason != "" {
			s.request(t, "GET", "/healthz", "", test.lines...).wantRefusal(t, test.status, test.reason)
		}
	}
	if a := s.sendRaw(t, "GET", "GET / HTTP/1.0\r\n\r\n"); a.StatusCode != http.StatusOK || g.wantOne(t).target != "/" {
		t.Errorf("HTTP/1.0 without a host: want 200, found %d", a.StatusCode)
	}
	s.sendRaw(t, "GET", "GET / HTTP/1.0\r\nOrigin: null\r\n\r\n").wantRefusal(t, 403, "agent_cross_origin")
	g.wantNone(t)
}

// TestListen checks that an agent binds an address that other machines can reach only
// with Exposed, and logs a warning then.
func TestListen(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	g := newTarget(t, f, nil)
	for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0"} {
		o := options(f, g.url)
		o.Listen = address
		if _, err := agent.New(t.Context(), o); !errors.Is(err, agent.ErrExposed) {
			t.Errorf("%s: want %v, found %v", address, agent.ErrExposed, err)
		}
	}
	o := options(f, g.url)
	if o.Listen = "localhost:x"; !fails(t, o) {
		t.Error("want an address that cannot be bound refused")
	}
	o.Listen, o.Exposed = "0.0.0.0:0", true
	s := start(t, o)
	_, port, _ := net.SplitHostPort(s.Addr().String())
	if a := s.request(t, "GET", "/", "", "Host: 127.0.0.1:"+port); a.StatusCode != http.StatusOK {
		t.Errorf("want 200, found %d", a.StatusCode)
	}
	if n := s.countLogs(zapcore.WarnLevel, "every program that reaches the agent"); n != 1 {
		t.Errorf("want one warning, found %d", n)
	}
	if n := s.countLogs(zapcore.WarnLevel, "the target is not https"); n != 1 {
		t.Errorf("want one warning of the target, found %d", n)
	}
}

func fails(t *testing.T, o agent.Options) bool {
	t.Helper()
	_, err := agent.New(t.Context(), o)
	return err != nil
}

// TestUnixSocket checks that only the agent's own user can connect to its socket, that
// every Host is accepted there, and that the socket of a killed agent is replaced.
func TestUnixSocket(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	g := newTarget(t, f, nil)
	dir := t.TempDir()
	path := filepath.Join(dir, "agent.sock")
	stale := must[*net.UnixListener](t)(net.ListenUnix("unix", &net.UnixAddr{Name: path}))
	stale.SetUnlinkOnClose(false)
	_ = stale.Close()
	o := options(f, g.url)
	o.Listen = "unix:" + path
	s := start(t, o)
	if mode := must[os.FileInfo](t)(os.Stat(path)).Mode(); mode != os.ModeSocket|0o600 {
		t.Errorf("want a socket of mode 0600, found %s", mode)
	}
	if a := s.request(t, "GET", "/", "", "Host: schedule.example.com"); a.StatusCode != http.StatusOK {
		t.Errorf("want 200, found %d", a.StatusCode)
	}
	if !fails(t, o) {
		t.Error("want a second agent on the same socket refused")
	}
	if a := s.request(t, "GET", "/", ""); a.StatusCode != http.StatusOK {
		t.Errorf("want the first agent to serve on, found %d", a.StatusCode)
	}
	file := filepath.Join(dir, "file")
	f.write(file, []byte("kept"))
	if o.Listen = "unix:" + file; !fails(t, o) || string(must[[]byte](t)(os.ReadFile(file))) != "kept" {
		t.Error("want a regular file at the path kept")
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
	deadline := time.Now().Add(timeout)
	for { // until the listener is closed
		c, err := net.DialTimeout("tcp", s.Addr().String(), timeout)
		if err != nil {
			break
		}
		_ = c.Close()
		if time.Now().After(deadline) {
			t.Fatal("want the listener closed, found it open")
		}
	}
	close(release)
	if a := <-responses; a.StatusCode != http.StatusOK || a.body != "done" {
		t.Errorf("want the response, found %d and %s", a.StatusCode, a.body)
	}
}
