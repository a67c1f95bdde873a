package forward_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
	"github.com/certgate/certgate/internal/testkit/upstream"
)

// TestRequestLine checks that the request line is forwarded byte for byte, because the
// access decision was made for these bytes.
func TestRequestLine(t *testing.T) {
	t.Parallel()
	for _, w := range routes {
		t.Run(string(w), func(t *testing.T) {
			targets := []string{
				"/", "/events", "/events/", "/events/%7Efoo?x=1;y=%zz&&a=b?c", "/events?", "/a%2Cb", "/a,b", "/%61", "/%c3%a9", "/%C3%A9",
				"/a?b=\xff\xfe", "/a??", "/a?/../b//c", "/a?%2e%2e%00", "/a;v=1", "/a+b", "/a:b@c", "/~a!$&'()*=", "/a%20b?c+d", "/?http://x/",
			}
			up, got := recorder(t)
			g := newGateway(t, options{route: w, upstream: up.Addr})
			for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"} {
				for _, target := range targets {
					g.exchange(t, rawhttp.Lines(method+" "+target+" HTTP/1.1", "Host: gateway", "Content-Length: 0", ""))
					line, _, _ := strings.Cut(<-got, "\r\n")
					if want := method + " " + target + " HTTP/1.1"; line != want {
						t.Errorf("request line %q, want %q", line, want)
					}
				}
			}
		})
	}
}

// headers returns the sorted header lines of a head, without the request line.
func headers(head string) []string {
	all := strings.Split(strings.TrimSuffix(head, "\r\n"), "\r\n")[1:]
	slices.Sort(all)
	return all
}

// own returns the lines that the gateway adds to each request.
func own(t *testing.T, host string) []string {
	t.Helper()
	client, err := mail()
	if err != nil {
		t.Fatal(err)
	}
	return []string{
		"Host: " + host,
		"X-Client-Auth: bearer",
		"X-Client-Cert-Fingerprint: " + client.Certificate().Fingerprint(),
		"X-Client-Cert-Serial: " + client.Certificate().Serial(),
		"X-Client-Id: mail",
		"X-Forwarded-For: 192.0.2.7",
		"X-Forwarded-Host: api.example",
		"X-Forwarded-Proto: https",
		"X-Request-Id: r-1",
	}
}

// TestHeaders checks that the upstream receives the lines of the gateway exactly once, and
// no line of the client with a name that a server may treat as the same.
func TestHeaders(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		send []string
		pass []string
	}{
		{"no fields", nil, nil},
		{"ordinary", []string{"Accept: */*", "Cookie: a=b", "Authorization: Basic eA==", "User-Agent: curl", "Content-Type: text/plain"},
			[]string{"Accept: */*", "Cookie: a=b", "Authorization: Basic eA==", "User-Agent: curl", "Content-Type: text/plain"}},
		{"twice", []string{"Accept: a", "accept: b"}, []string{"Accept: a", "Accept: b"}},
		{"signatures that the gateway did not read", []string{"Signature: s", "Signature-Input: i", "Content-Digest: d"}, []string{"Signature: s", "Signature-Input: i", "Content-Digest: d"}},
		{"similar", []string{"X-Clientele: a", "Xclient-Id: b", "X-Forward: c", "X-Sslx: d", "X-Real-Ip6: e", "X-Originality: f", "Proxied: g"},
			[]string{"X-Clientele: a", "Xclient-Id: b", "X-Forward: c", "X-Sslx: d", "X-Real-Ip6: e", "X-Originality: f", "Proxied: g"}},

		{"client id", []string{"X-Client-Id: root"}, nil},
		{"client id twice", []string{"X-CLIENT-ID: root", "x-client-id: root"}, nil},
		{"client id with underscores", []string{"x_client_id: root", "X_Client-Id: root"}, nil},
		{"client id with dots and more", []string{"X.Client.Id: root", "X!Client~Id: root", "X-Client'Id: root", "x|client^id: root"}, nil},
		{"each identity field", []string{"X-Client-Auth: x", "X-Client-Cert-Serial: x", "X-Client-Cert-Fingerprint: x", "X-Client-Assertion: x", "X-Request-Id: x",
			"X-Forwarded-For: x", "X-Forwarded-Proto: x", "X-Forwarded-Host: x"}, nil},
		{"each identity field with underscores", []string{"X_Client_Auth: x", "X_Client_Cert_Serial: x", "X_Client_Cert_Fingerprint: x", "X_Client_Assertion: x", "x.client-assertion: x", "X_Request_Id: x",
			"X_Forwarded_For: x", "X_Forwarded_Proto: x", "X_Forwarded_Host: x"}, nil},
		{"other X-Client fields", []string{"X-Client-Role: x", "X-Client-: x", "x_client_verified: x"}, nil},
		{"forwarding", []string{"Forwarded: for=x", "X-Forwarded-Server: x", "X-Forwarded-Port: 1", "X-Forwarded-Prefix: /x", "X-Forwarded-User: root", "X-Real-Ip: x", "X_Real_IP: x"}, nil},
		{"certificates that a proxy attaches", []string{"Client-Cert: x", "Client-Cert-Chain: x", "client_cert: x", "X-Forwarded-Client-Cert: x", "X-Forwarded-Tls-Client-Cert: x",
			"X-Forwarded-Tls-Client-Cert-Info: x", "X-Ssl-Client-Verify: SUCCESS", "Ssl-Client-Cert: x", "X-Amzn-Mtls-Clientcert: x", "X-Arr-Clientcert: x"}, nil},
		{"method overrides", []string{"X-HTTP-Method-Override: DELETE", "X-HTTP-Method: DELETE", "X-Method-Override: DELETE", "x_http_method_override: DELETE"}, nil},
		{"path overrides", []string{"X-Original-URL: /admin", "X-Rewrite-URL: /admin", "X_Original_URL: /admin", "X-Original-Uri: /admin"}, nil},
		{"httpoxy", []string{"Proxy: http://evil"}, nil},
		{"the credential", []string{"X-Ticket: secret", "x-ticket: secret"}, nil},
		{"other spellings of the credential", []string{"X_Ticket: secret", "x.ticket: secret"}, nil},
		{"the default credential", []string{"X-SSL-Auth: secret", "X_SSL_Auth: secret"}, nil},

		{"hop by hop", []string{"Keep-Alive: x", "Proxy-Connection: x", "Proxy-Authenticate: x", "Proxy-Authorization: x", "TE: trailers", "Trailer: x", "Upgrade: x"}, nil},
		{"upgrade", []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-Websocket-Key: x"}, []string{"Sec-Websocket-Key: x"}},
		{"listed in Connection", []string{"Connection: X-Custom, close", "X-Custom: x", "X-Other: y"}, []string{"X-Other: y"}},
		{"identity fields listed in Connection", []string{"Connection: X-Client-Id, X-Forwarded-For", "connection: x-request-id,X-Client-Auth , host", "Connection: X-Client-Cert-Fingerprint, X-Client-Cert-Serial"}, nil},
		{"listed in another spelling", []string{"Connection: x_custom", "X-Custom: x", "X-Other: y"}, []string{"X-Other: y"}},
		{"64 options in Connection", []string{"Connection: " + strings.Repeat(",", 62) + "X-A", "Connection: X-B", "X-A: x", "X-B: x", "X-C: y"}, []string{"X-C: y"}},
		{"users of other proxies", []string{"Remote-User: root", "remote_user: root", "X-Remote-User: root", "X-Auth-Request-Email: root", "X-Forwarded-Groups: root"}, nil},
		{"certificates of other proxies", []string{"CloudFront-Viewer-Cert-Pem: x", "cf.client.cert.der.base64: x", "Cf_Cert_Verified: true", "X-Tls-Client-Cert: x"}, nil},
		{"files", []string{"X-Accel-Redirect: /x", "X_Accel_Mapping: /=/etc", "X-Sendfile-Type: X-Accel-Redirect"}, nil},
		{"addresses of other proxies", []string{"True-Client-IP: x", "true~client~ip: x", "CF-Connecting-IP: x"}, nil},
		{"a length", []string{"Content-Length: 0"}, nil},
		{"other spellings of the framing fields", []string{"Content_Length: 7", "content.length: 7", "Transfer_Encoding: chunked"}, nil},
	}
	up, got := recorder(t)
	for w, tt := range allRoutes(tests) {
		t.Run(string(w)+" "+tt.name, func(t *testing.T) {
			g := newGateway(t, options{route: w, upstream: up.Addr})
			g.exchange(t, rawhttp.Lines(append(append([]string{"GET / HTTP/1.1", "Host: gateway"}, tt.send...), "")...))
			want := append(own(t, up.Addr), tt.pass...)
			slices.Sort(want)
			if have := headers(<-got); !slices.Equal(have, want) {
				t.Errorf("headers %q, want %q", have, want)
			}
		})
	}
}

// TestRepeatable checks the spelling of the idempotency keys. net/http may send a POST
// twice if it recognizes such a field, so they are sent in lower case; the client of the
// fast path sends each POST once.
func TestRepeatable(t *testing.T) {
	tests := []struct {
		route route
		pass  []string
	}{
		{http1Client, []string{"Idempotency-Key: k", "X-Idempotency-Key: l"}},
		{netHTTP, []string{"idempotency-key: k", "x-idempotency-key: l"}},
	}
	for _, tt := range tests {
		t.Run(string(tt.route), func(t *testing.T) {
			up, got := recorder(t)
			g := newGateway(t, options{route: tt.route, upstream: up.Addr})
			g.exchange(t, post([]string{"Content-Length: 0", "Idempotency-Key: k", "X-Idempotency-Key: l"}, ""))
			want := append(own(t, up.Addr), append(tt.pass, "Content-Length: 0")...)
			slices.Sort(want)
			if have := headers(<-got); !slices.Equal(have, want) {
				t.Errorf("headers %q, want %q", have, want)
			}
		})
	}
}

func TestExpectIsHandledByGateway(t *testing.T) {
	for _, w := range routes {
		t.Run(string(w), func(t *testing.T) {
			got := make(chan string, 1)
			up := upstream.New(t, func(_ int, c *rawhttp.Conn) {
				head, _ := c.Head()
				got <- head
				c.Send(rawhttp.Empty)
			})
			g := newGateway(t, options{route: w, upstream: up.Addr})
			c := rawhttp.Dial(t, g.addr)
			c.Send(post([]string{"Expect: 100-continue", "Content-Length: 3"}, ""))
			if head, err := c.Head(); err != nil || head != "HTTP/1.1 100 Continue\r\n" {
				t.Fatalf("response %q, %v: want 100 Continue", head, err)
			}
			c.Send("abc")
			if res := c.Response(t, http.MethodPost); res.StatusCode != http.StatusOK {
				t.Errorf("status %d, want 200", res.StatusCode)
			}
			if head := <-got; strings.Contains(head, "Expect") {
				t.Errorf("the upstream got %q: want no Expect", head)
			}
		})
	}
}

func TestEmptyBodyKeepsItsFraming(t *testing.T) {
	up, got := recorder(t)
	tests := []struct {
		method  string
		framing []string
	}{
		{"GET", nil}, {"HEAD", nil}, {"DELETE", nil}, {"OPTIONS", nil},
		{"POST", []string{"Content-Length: 0"}}, {"PUT", []string{"Content-Length: 0"}}, {"PATCH", []string{"Content-Length: 0"}},
	}
	for w, tt := range allRoutes(tests) {
		t.Run(string(w)+" "+tt.method, func(t *testing.T) {
			g := newGateway(t, options{route: w, upstream: up.Addr})
			g.exchange(t, rawhttp.Lines(tt.method+" / HTTP/1.1", "Host: gateway", "Content-Length: 0", ""))
			want := append(own(t, up.Addr), tt.framing...)
			slices.Sort(want)
			if have := headers(<-got); !slices.Equal(have, want) {
				t.Errorf("headers %q, want %q", have, want)
			}
		})
	}
}

// TestTooManyOptions checks that a request whose Connection field lists too many options is
// refused before a byte is sent to the upstream.
func TestTooManyOptions(t *testing.T) {
	for _, w := range routes {
		t.Run(string(w), func(t *testing.T) {
			up, got := recorder(t)
			g := newGateway(t, options{route: w, upstream: up.Addr})
			g.exchange(t, rawhttp.Lines("GET / HTTP/1.1", "Host: gateway", "Connection: "+strings.Repeat(",", 64), "X-A: x", ""))
			if result := <-g.results; refusal.Of(result.Err) == nil || refusal.Of(result.Err).Reason != refusal.RequestMalformed {
				t.Errorf("result %+v, want it refused with request_malformed", result)
			}
			if len(got) > 0 {
				t.Errorf("the upstream got %q, want nothing", <-got)
			}
		})
	}
}
