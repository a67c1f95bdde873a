package client_test

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/certgate/certgate/cmd/certgate/client"
	"github.com/certgate/certgate/internal/core/refusal"
)

// do sends a request by the transport and wants an answer.
func do(t *testing.T, transport http.RoundTripper, r *http.Request) *http.Response {
	t.Helper()
	res, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

func newRequest(t *testing.T, method, url string, body io.Reader) *http.Request {
	t.Helper()
	return must[*http.Request](t)(http.NewRequestWithContext(t.Context(), method, url, body))
}

func get(t *testing.T, transport http.RoundTripper, url string) *http.Response {
	t.Helper()
	return do(t, transport, newRequest(t, "GET", url, nil))
}

const event = `{"event":{"name":"Meeting"}}`

// tracked is a body that knows whether it was read and closed; its length is not
// known.
type tracked struct {
	io.Reader
	read, closed atomic.Bool
}

func (b *tracked) Read(p []byte) (int, error) { b.read.Store(true); return b.Reader.Read(p) }

func (b *tracked) Close() error { b.closed.Store(true); return nil }

// TestSigned: the gateway believes whatever a program sends, and gets it as it was
// sent, over HTTP/1.1 and HTTP/2.
func TestSigned(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	plain, secure := newGateway(t, ca).start(), newGateway(t, ca)
	secure.StartTLS()
	c := newCredential(t, ca)
	for _, test := range []struct {
		name, method, target, want string
		body                       io.Reader
		length                     int64
	}{
		{"GET", "GET", "/events", "/events", nil, 0},
		{"no method", "", "/events", "/events", nil, 0},
		{"no path", "GET", "", "/", nil, 0},
		{"query", "GET", "/events?from=a%20b&to", "/events?from=a%20b&to", nil, 0},
		{"empty query", "GET", "/events?", "/events?", nil, 0},
		{"escaped", "GET", "/events/a%2Fb%7Ec/%C3%BC", "/events/a%2Fb%7Ec/%C3%BC", nil, 0},
		{"two slashes", "GET", "//events", "//events", nil, 0},
		{"HEAD", "HEAD", "/events", "/events", nil, 0},
		{"DELETE", "DELETE", "/events/1", "/events/1", nil, 0},
		{"POST", "POST", "/events", "/events", strings.NewReader(event), int64(len(event))},
		{"unknown length", "POST", "/events", "/events", &tracked{Reader: strings.NewReader(event)}, int64(len(event))},
		{"unknown length of none", "POST", "/events", "/events", &tracked{Reader: strings.NewReader("")}, 0},
		{"empty body", "POST", "/events", "/events", http.NoBody, 0},
		{"GET with a body", "GET", "/events", "/events", strings.NewReader(event), int64(len(event))},
	} {
		for name, g := range map[string]*gateway{"HTTP/1.1": plain, "HTTP/2": secure} {
			t.Run(test.name+" "+name, func(t *testing.T) {
				if seeker, ok := test.body.(io.Seeker); ok {
					_ = must[int64](t)(seeker.Seek(0, io.SeekStart))
				} else if test.body != nil && test.length > 0 {
					test.body = &tracked{Reader: strings.NewReader(event)}
				}
				r := newRequest(t, test.method, g.URL+test.target, test.body)
				r.Method = test.method
				r.Header.Set("Content-Type", "application/json")
				res := do(t, g.transport(t, c), r)
				got := g.wantOne(t)
				if res.StatusCode != http.StatusOK || got.target != test.want || got.length != test.length || int64(len(got.body)) != test.length {
					t.Errorf("want %s with %d bytes, found %d, %+v", test.want, test.length, res.StatusCode, got)
				}
				if !strings.HasPrefix(res.Proto, name[:len("HTTP/1")]) {
					t.Errorf("want %s, found %s", name, res.Proto)
				}
			})
		}
	}
}

// TestCallersRequestIsUntouched: as a RoundTripper must leave it, but for the body,
// which is closed. What it has under the names of the signature's fields does not
// go out beside ours.
func TestCallersRequestIsUntouched(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	g := newGateway(t, ca).start()
	body := &tracked{Reader: strings.NewReader(event)}
	r := newRequest(t, "POST", g.URL+"/events", body)
	r.Header = http.Header{
		"X-Ssl-Auth": {"other"}, "X_ssl_auth": {"other"}, "x-ssl-auth": {"other"},
		"Signature": {"other"}, "Signature-Input": {"other"}, "signature_input": {"other"}, "Content-Digest": {"other"},
		"X-Other": {"kept"},
	}
	r.Trailer = http.Header{"X-Trailer": nil}
	before := r.Header.Clone()
	res := do(t, g.transport(t, newCredential(t, ca)), r)
	if got := g.wantOne(t); got.header.Get("X-Other") != "kept" || strings.Contains(strings.ToLower(strings.Join(keysWith(got.header, "other"), " ")), "x") {
		t.Errorf("want the other header only, found %v", keysWith(got.header, "other"))
	}
	if !reflect.DeepEqual(r.Header, before) || r.Body != body || r.ContentLength != 0 || r.GetBody != nil {
		t.Error("want the request as it was, found it changed")
	}
	if !body.closed.Load() {
		t.Error("want the body closed, found it open")
	}
	if res.Request != r {
		t.Error("want the caller's request in the answer, found another, which has the credential")
	}
}

// keysWith are the names of fields that have the value.
func keysWith(h http.Header, value string) (names []string) {
	for name, values := range h {
		for _, v := range values {
			if v == value {
				names = append(names, name)
			}
		}
	}
	return names
}

// TestBodyLimit: what is too long is not sent, and not read further than it takes
// to know.
func TestBodyLimit(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	g := newGateway(t, ca).start()
	transport := g.transport(t, newCredential(t, ca))
	transport.MaxBodyBytes = 10
	for _, test := range []struct {
		name   string
		body   string
		length int64 // -1: not said
		want   error
	}{
		{"at the limit", "0123456789", -1, nil},
		{"at the limit, said", "0123456789", 10, nil},
		{"over", "0123456789x", -1, client.ErrBodyTooLarge},
		{"over, said", "0123456789x", 11, client.ErrBodyTooLarge},
		{"shorter than said", "012345678", 10, io.ErrUnexpectedEOF},
	} {
		t.Run(test.name, func(t *testing.T) {
			body := &tracked{Reader: strings.NewReader(test.body)}
			r := newRequest(t, "POST", g.URL, body)
			r.ContentLength = test.length
			res, err := transport.RoundTrip(r)
			if err == nil {
				_ = res.Body.Close()
			}
			if !errors.Is(err, test.want) || !body.closed.Load() {
				t.Errorf("want %v and a closed body, found %v, closed: %t", test.want, err, body.closed.Load())
			}
			if test.length > transport.MaxBodyBytes && body.read.Load() {
				t.Error("want a body that is known to be too long unread, found it read")
			}
			if test.want == nil {
				g.wantOne(t)
			}
			g.wantNone(t)
		})
	}
	t.Run("default", func(t *testing.T) {
		transport := g.transport(t, newCredential(t, ca))
		do(t, transport, newRequest(t, "POST", g.URL, strings.NewReader(strings.Repeat("x", 1<<20))))
		g.wantOne(t)
		_, err := transport.RoundTrip(newRequest(t, "POST", g.URL, strings.NewReader(strings.Repeat("x", 1<<20+1))))
		if !errors.Is(err, client.ErrBodyTooLarge) {
			t.Errorf("want %v, found %v", client.ErrBodyTooLarge, err)
		}
		g.wantNone(t)
	})
}

// TestBodyFault: the program's own fault comes back as it is.
func TestBodyFault(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	g := newGateway(t, ca).start()
	fault := errors.New("disk on fire")
	_, err := g.transport(t, newCredential(t, ca)).RoundTrip(newRequest(t, "POST", g.URL, iotest.ErrReader(fault)))
	if !errors.Is(err, fault) {
		t.Errorf("want %v, found %v", fault, err)
	}
	g.wantNone(t)
}

// TestOrigin: the credential goes to one place.
func TestOrigin(t *testing.T) {
	t.Parallel()
	c := newCredential(t, newAuthority(t))
	var sent atomic.Int32
	base := roundTripper(func(r *http.Request) (*http.Response, error) {
		sent.Add(1)
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Header: http.Header{}}, nil
	})
	for _, test := range []struct {
		name, origin, url, host string
		good                    bool
	}{
		{"same", "https://app.example", "https://app.example/events", "", true},
		{"slash", "https://app.example/", "https://app.example/events", "", true},
		{"default port", "https://app.example", "https://app.example:443/events", "", true},
		{"default port of http", "http://app.example:80", "http://app.example/events", "app.example:80", true},
		{"case", "https://app.example", "HTTPS://APP.example/events", "", true},
		{"another name", "https://bücher.example", "https://xn--bcher-kva.example/", "", true},
		{"address", "https://[::1]:8443", "https://[::1]:8443/", "", true},
		{"another scheme", "https://app.example", "http://app.example/events", "", false},
		{"another scheme, same port", "https://app.example", "http://app.example:443/events", "", false},
		{"another host", "https://app.example", "https://app.example.org/events", "", false},
		{"another port", "https://app.example", "https://app.example:8443/events", "", false},
		{"user in front", "https://app.example", "https://app.example@evil.example/", "", false},
		{"another Host", "https://app.example", "https://app.example/events", "evil.example", false},
		{"no origin", "", "https://app.example/events", "", false},
		{"a path", "https://app.example/v1", "https://app.example/v1/events", "", false},
		{"another protocol", "ftp://app.example", "ftp://app.example/", "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			sent.Store(0)
			r := newRequest(t, "GET", test.url, nil)
			if test.host != "" {
				r.Host = test.host
			}
			res, err := (&client.Transport{Credential: c, Origin: test.origin, Base: base}).RoundTrip(r)
			if err == nil {
				_ = res.Body.Close()
			}
			if good := err == nil; good != test.good || good != (sent.Load() == 1) {
				t.Errorf("want sent %t, found %d requests and the error %v", test.good, sent.Load(), err)
			}
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestTargets: no form but the origin's own can be signed.
func TestTargets(t *testing.T) {
	t.Parallel()
	c := newCredential(t, newAuthority(t))
	for name, change := range map[string]func(*http.Request){
		"CONNECT":   func(r *http.Request) { r.Method = "CONNECT" },
		"asterisk":  func(r *http.Request) { r.URL.Opaque = "*" },
		"absolute":  func(r *http.Request) { r.URL.Opaque = "//app.example/events" },
		"no URL":    func(r *http.Request) { r.URL = nil },
		"empty URL": func(r *http.Request) { r.URL = &url.URL{} },
		"no scheme": func(r *http.Request) { r.URL.Scheme = "" },
	} {
		r := newRequest(t, "GET", "https://app.example/events", nil)
		change(r)
		if _, err := (&client.Transport{Credential: c, Origin: "https://app.example"}).Sign(r); err == nil {
			t.Errorf("%s: want an error, found none", name)
		}
	}
}

// TestUnsigned: nothing is sent that could not be believed.
func TestUnsigned(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	g := newGateway(t, ca).start()
	for name, change := range map[string]func(*client.Transport, *http.Request){
		"path":        func(_ *client.Transport, r *http.Request) { r.URL.Opaque = "/\u00fc" },
		"header name": func(transport *client.Transport, _ *http.Request) { transport.Header = "X SSL" },
	} {
		transport, r := g.transport(t, newCredential(t, ca)), newRequest(t, "GET", g.URL, nil)
		change(transport, r)
		if _, err := transport.RoundTrip(r); !errors.Is(err, client.ErrUnsigned) {
			t.Errorf("%s: want %v, found %v", name, client.ErrUnsigned, err)
		}
		g.wantNone(t)
	}
}

// TestRedirects: a client that follows takes the credential nowhere else, and signs
// anew at home.
func TestRedirects(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	g := newGateway(t, ca).start()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("want nothing elsewhere, found a request")
	}))
	t.Cleanup(elsewhere.Close)
	g.next = func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		case "/on":
			http.Redirect(w, r, "/events?x=1", http.StatusTemporaryRedirect)
		}
	}
	browser := http.Client{Transport: g.transport(t, newCredential(t, ca))}
	if _, err := browser.Do(newRequest(t, "POST", g.URL+"/away", strings.NewReader(event))); !errors.Is(err, client.ErrOrigin) {
		t.Errorf("want %v, found %v", client.ErrOrigin, err)
	}
	g.wantOne(t)
	res, err := browser.Do(newRequest(t, "POST", g.URL+"/on", strings.NewReader(event)))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if passed, denied := g.seen(); len(passed) != 2 || len(denied) != 0 || passed[1].target != "/events?x=1" || passed[1].body != event {
		t.Errorf("want two signed requests, found %d and %v", len(passed), denied)
	}
}

// TestLostAnswer: the gateway has taken the request and the connection dies before
// the answer. net/http repeats a GET, signature and all; it is signed anew then. A
// POST is not repeated, and with an Idempotency-Key, where net/http does repeat it,
// the gateway does not take it twice.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	for _, test := range []struct {
		name, method, key string
		passed            int
		denied            []refusal.Reason
		status            int // 0: an error
	}{
		{"GET", "GET", "", 2, []refusal.Reason{refusal.ProofReplayed}, 200},
		{"HEAD", "HEAD", "", 2, []refusal.Reason{refusal.ProofReplayed}, 200},
		{"POST", "POST", "", 1, nil, 0},
		{"POST with a key", "POST", "8e03978e", 1, []refusal.Reason{refusal.ProofReplayed}, 401},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			g := newGateway(t, ca).start()
			transport := g.transport(t, newCredential(t, ca))
			get(t, transport, g.URL) // so that there is a connection to reuse
			drain(t, get(t, transport, g.URL))
			g.seen()
			lose := true
			g.next = func(w http.ResponseWriter, _ *http.Request) {
				if lose {
					lose = false
					panic(http.ErrAbortHandler)
				}
			}
			r := newRequest(t, test.method, g.URL+"/events", nil)
			if test.method == "POST" {
				r = newRequest(t, test.method, g.URL+"/events", strings.NewReader(event))
			}
			if test.key != "" {
				r.Header.Set("Idempotency-Key", test.key)
			}
			status := 0
			if res, err := transport.RoundTrip(r); err == nil {
				status = res.StatusCode
				_ = res.Body.Close()
			}
			passed, denied := g.seen()
			if len(passed) != test.passed || !reflect.DeepEqual(denied, test.denied) || status != test.status {
				t.Errorf("want %d passed, %v and status %d; found %d, %v and %d", test.passed, test.denied, test.status, len(passed), denied, status)
			}
		})
	}
}

func drain(t *testing.T, res *http.Response) {
	t.Helper()
	_ = must[[]byte](t)(io.ReadAll(res.Body))
	_ = res.Body.Close()
}

// TestReplayedTwice: signing anew is tried once.
func TestReplayedTwice(t *testing.T) {
	t.Parallel()
	sent := 0
	base := roundTripper(func(*http.Request) (*http.Response, error) {
		sent++
		return &http.Response{StatusCode: http.StatusUnauthorized, Body: http.NoBody, Header: http.Header{"Www-Authenticate": {`Certificate error="proof_replayed"`}}}, nil
	})
	res := get(t, &client.Transport{Credential: newCredential(t, newAuthority(t)), Origin: "https://app.example", Base: base}, "https://app.example/")
	if res.StatusCode != http.StatusUnauthorized || sent != 2 {
		t.Errorf("want 401 after two tries, found %d after %d", res.StatusCode, sent)
	}
}

// TestEachIsItsOwn: many at a time, each with its nonce.
func TestEachIsItsOwn(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	g := newGateway(t, ca).start()
	transport := g.transport(t, newCredential(t, ca))
	var all sync.WaitGroup
	const n = 50
	for range n {
		all.Go(func() {
			res, err := transport.RoundTrip(newRequest(t, "POST", g.URL, strings.NewReader(event)))
			if err != nil {
				t.Error(err)
				return
			}
			_ = res.Body.Close()
		})
	}
	all.Wait()
	if passed, denied := g.seen(); len(passed) != n || len(denied) != 0 {
		t.Errorf("want %d passed, found %d and %v", n, len(passed), denied)
	}
}

// TestSource: a new credential counts for the next request.
func TestSource(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	g := newGateway(t, ca).start()
	var current atomic.Pointer[client.Credential]
	transport := g.transport(t, newCredential(t, newAuthority(t)))
	transport.Source = current.Load
	for _, none := range []*client.Credential{nil, {}} {
		current.Store(none)
		if _, err := transport.Sign(newRequest(t, "GET", g.URL, nil)); !errors.Is(err, client.ErrNoCredential) {
			t.Errorf("want %v, found %v", client.ErrNoCredential, err)
		}
	}
	for range 2 {
		current.Store(newCredential(t, ca))
		get(t, transport, g.URL)
		g.wantOne(t)
	}
	if _, err := (&client.Transport{Origin: g.URL}).Sign(newRequest(t, "GET", g.URL, nil)); !errors.Is(err, client.ErrNoCredential) {
		t.Errorf("want %v, found %v", client.ErrNoCredential, err)
	}
}

// TestHeader: the gateway may have another AUTH_HEADER.
func TestHeader(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	g := newGateway(t, ca).start()
	g.verifier.CredentialHeader = "X-Client-Credential"
	transport := g.transport(t, newCredential(t, ca))
	transport.Header = "x-client-credential"
	get(t, transport, g.URL)
	if got := g.wantOne(t); got.header.Get("X-SSL-Auth") != "" {
		t.Error("want no X-SSL-Auth, found one")
	}
}

// TestSign: a signed request can be sent by others, whole.
func TestSign(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	g := newGateway(t, ca).start()
	transport := g.transport(t, newCredential(t, ca))
	r := newRequest(t, "POST", g.URL+"/events", strings.NewReader(event))
	r.Trailer, r.TransferEncoding = http.Header{"X-Trailer": {"unsigned"}}, []string{"chunked"}
	signed := must[*http.Request](t)(transport.Sign(r))
	if signed.Trailer != nil || signed.TransferEncoding != nil {
		t.Error("want nothing behind the body, which is of a known length")
	}
	do(t, transport.Base, signed)
	if got := g.wantOne(t); got.body != event {
		t.Errorf("want the body, found %q", got.body)
	}
	again := signed.Clone(t.Context())
	again.Body = must[io.ReadCloser](t)(signed.GetBody())
	do(t, transport.Base, again)
	if passed, denied := g.seen(); len(passed) != 0 || len(denied) != 1 || denied[0] != refusal.ProofReplayed {
		t.Errorf("want the copy refused, found %d passed and %v", len(passed), denied)
	}
}

// TestAnswersStream: the first line can be read before there is a second.
func TestAnswersStream(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	g := newGateway(t, ca).start()
	read := make(chan struct{})
	g.next = func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "one\n")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-read:
			_, _ = io.WriteString(w, "two\n")
		case <-r.Context().Done():
		}
	}
	lines := bufio.NewReader(get(t, g.transport(t, newCredential(t, ca)), g.URL).Body)
	if line := must[string](t)(lines.ReadString('\n')); line != "one\n" {
		t.Errorf("want the first line, found %q", line)
	}
	close(read)
	if line := must[string](t)(lines.ReadString('\n')); line != "two\n" {
		t.Errorf("want the second line, found %q", line)
	}
}
