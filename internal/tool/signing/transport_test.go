package signing_test

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/tool/signing"
)

// do sends a request with the transport and returns the response.
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

// trackedBody is a body of unknown length that records whether it was read and
// closed.
type trackedBody struct {
	io.Reader
	read, closed atomic.Bool
}

func (b *trackedBody) Read(p []byte) (int, error) { b.read.Store(true); return b.Reader.Read(p) }

func (b *trackedBody) Close() error { b.closed.Store(true); return nil }

// TestRoundTrip checks that the gateway accepts signed requests of every form
// unchanged, over HTTP/1.1 and HTTP/2.
func TestRoundTrip(t *testing.T) {
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
		{"unknown length", "POST", "/events", "/events", &trackedBody{Reader: strings.NewReader(event)}, int64(len(event))},
		{"unknown length, empty", "POST", "/events", "/events", &trackedBody{Reader: strings.NewReader("")}, 0},
		{"empty body", "POST", "/events", "/events", http.NoBody, 0},
		{"GET with a body", "GET", "/events", "/events", strings.NewReader(event), int64(len(event))},
	} {
		for name, g := range map[string]*gateway{"HTTP/1.1": plain, "HTTP/2": secure} {
			t.Run(test.name+" "+name, func(t *testing.T) {
				if seeker, ok := test.body.(io.Seeker); ok {
					_ = must[int64](t)(seeker.Seek(0, io.SeekStart))
				} else if test.body != nil && test.length > 0 {
					test.body = &trackedBody{Reader: strings.NewReader(event)}
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

// TestRoundTripKeepsRequest checks the contract of http.RoundTripper: the request
// stays unchanged except that its body is closed. Fields of the request under the
// names of the signature's fields are not sent.
func TestRoundTripKeepsRequest(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	g := newGateway(t, ca).start()
	body := &trackedBody{Reader: strings.NewReader(event)}
	r := newRequest(t, "POST", g.URL+"/events", body)
	r.Header = http.Header{
		"X-Ssl-Auth": {"other"}, "X_ssl_auth": {"other"}, "x-ssl-auth": {"other"},
		"Signature": {"other"}, "Signature-Input": {"other"}, "signature_input": {"other"}, "Content-Digest": {"other"},
		"X-Other": {"kept"},
	}
	r.Trailer = http.Header{"X-Trailer": nil}
	before := r.Header.Clone()
	res := do(t, g.transport(t, newCredential(t, ca)), r)
	if got := g.wantOne(t); got.header.Get("X-Other") != "kept" || strings.Contains(strings.ToLower(strings.Join(namesWithValue(got.header, "other"), " ")), "x") {
		t.Errorf("want none of the replaced fields, found %v", namesWithValue(got.header, "other"))
	}
	if !reflect.DeepEqual(r.Header, before) || r.Body != body || r.ContentLength != 0 || r.GetBody != nil {
		t.Error("want the request unchanged, found it changed")
	}
	if !body.closed.Load() {
		t.Error("want the body closed, found it open")
	}
	if res.Request != r {
		t.Error("want the caller's request in the response, found the signed one")
	}
}

// namesWithValue returns the names of the fields that have the value.
func namesWithValue(h http.Header, value string) (names []string) {
	for name, values := range h {
		for _, v := range values {
			if v == value {
				names = append(names, name)
			}
		}
	}
	return names
}

// TestBodyLimit checks that a request whose body is too long, or shorter than its
// Content-Length, is not sent, and that a body is not read when its Content-Length is
// too large already.
func TestBodyLimit(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	g := newGateway(t, ca).start()
	transport := g.transport(t, newCredential(t, ca))
	transport.MaxBodyBytes = 10
	for _, test := range []struct {
		name   string
		body   string
		length int64 // Content-Length, or -1 for none
		want   error
	}{
		{"at the limit", "0123456789", -1, nil},
		{"at the limit, with Content-Length", "0123456789", 10, nil},
		{"above the limit", "0123456789x", -1, signing.ErrBodyTooLarge},
		{"above the limit, with Content-Length", "0123456789x", 11, signing.ErrBodyTooLarge},
		{"shorter than Content-Length", "012345678", 10, io.ErrUnexpectedEOF},
	} {
		t.Run(test.name, func(t *testing.T) {
			body := &trackedBody{Reader: strings.NewReader(test.body)}
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
				t.Error("want a body whose Content-Length is too large unread, found it read")
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
		if !errors.Is(err, signing.ErrBodyTooLarge) {
			t.Errorf("want %v, found %v", signing.ErrBodyTooLarge, err)
		}
		g.wantNone(t)
	})
}

// TestBodyError checks that RoundTrip returns the error of reading the body.
func TestBodyError(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	g := newGateway(t, ca).start()
	fault := errors.New("read failed")
	_, err := g.transport(t, newCredential(t, ca)).RoundTrip(newRequest(t, "POST", g.URL, iotest.ErrReader(fault)))
	if !errors.Is(err, fault) {
		t.Errorf("want %v, found %v", fault, err)
	}
	g.wantNone(t)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestUnsigned checks that a request that cannot be signed is not sent.
func TestUnsigned(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	g := newGateway(t, ca).start()
	for name, change := range map[string]func(*signing.Transport, *http.Request){
		"path":        func(_ *signing.Transport, r *http.Request) { r.URL.Opaque = "/\u00fc" },
		"header name": func(transport *signing.Transport, _ *http.Request) { transport.Header = "X SSL" },
	} {
		transport, r := g.transport(t, newCredential(t, ca)), newRequest(t, "GET", g.URL, nil)
		change(transport, r)
		if _, err := transport.RoundTrip(r); !errors.Is(err, signing.ErrUnsigned) {
			t.Errorf("%s: want %v, found %v", name, signing.ErrUnsigned, err)
		}
		g.wantNone(t)
	}
}

// TestConcurrentRequests checks that concurrent requests have different nonces.
func TestConcurrentRequests(t *testing.T) {
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
	if accepted, refused := g.requests(); len(accepted) != n || len(refused) != 0 {
		t.Errorf("want %d accepted, found %d and %v", n, len(accepted), refused)
	}
}

// TestSource checks that the next request uses a replaced credential.
func TestSource(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	g := newGateway(t, ca).start()
	var current atomic.Pointer[signing.Credential]
	transport := g.transport(t, newCredential(t, newAuthority(t)))
	transport.Source = current.Load
	for _, none := range []*signing.Credential{nil, {}} {
		current.Store(none)
		if _, err := transport.Sign(newRequest(t, "GET", g.URL, nil)); !errors.Is(err, signing.ErrNoCredential) {
			t.Errorf("want %v, found %v", signing.ErrNoCredential, err)
		}
	}
	for range 2 {
		current.Store(newCredential(t, ca))
		get(t, transport, g.URL)
		g.wantOne(t)
	}
	if _, err := (&signing.Transport{Origin: g.URL}).Sign(newRequest(t, "GET", g.URL, nil)); !errors.Is(err, signing.ErrNoCredential) {
		t.Errorf("want %v, found %v", signing.ErrNoCredential, err)
	}
}

// TestHeader checks a gateway with another AUTH_HEADER.
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

// TestSign checks that the copy that Sign returns can be sent with another transport,
// once.
func TestSign(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	g := newGateway(t, ca).start()
	transport := g.transport(t, newCredential(t, ca))
	r := newRequest(t, "POST", g.URL+"/events", strings.NewReader(event))
	r.Trailer, r.TransferEncoding = http.Header{"X-Trailer": {"unsigned"}}, []string{"chunked"}
	signed := must[*http.Request](t)(transport.Sign(r))
	if signed.Trailer != nil || signed.TransferEncoding != nil {
		t.Error("want a body of known length without trailers")
	}
	do(t, transport.Base, signed)
	if got := g.wantOne(t); got.body != event {
		t.Errorf("want the body, found %q", got.body)
	}
	again := signed.Clone(t.Context())
	again.Body = must[io.ReadCloser](t)(signed.GetBody())
	do(t, transport.Base, again)
	if accepted, refused := g.requests(); len(accepted) != 0 || len(refused) != 1 || refused[0] != refusal.ProofReplayed {
		t.Errorf("want the copy refused, found %d accepted and %v", len(accepted), refused)
	}
}

// TestResponseStreams checks that the first line of a response can be read before the
// gateway sends the second.
func TestResponseStreams(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	g := newGateway(t, ca).start()
	read := make(chan struct{})
	g.handler = func(w http.ResponseWriter, r *http.Request) {
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
