package forward_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/http1/client"
	"github.com/certgate/certgate/internal/proxy/forward"
)

// fastRecorder is a ResponseWriter with the methods of http1/server. It counts the calls.
type fastRecorder struct {
	*httptest.ResponseRecorder
	calls, reuses int
}

func (w *fastRecorder) ReuseRequest() { w.reuses++ }

func (w *fastRecorder) WriteFields(status int, _ int64, _ []client.Field) {
	w.calls++
	w.WriteHeader(status)
}

// forwardedRequest contains everything that the request to the upstream is built from.
type forwardedRequest struct {
	method, target string
	header         http.Header
	hop            forward.Metadata
}

// TestConsecutiveRequests checks that a request is built from its own fields only, even if
// the previous request differs in one of them.
func TestConsecutiveRequests(t *testing.T) {
	tests := []struct {
		name   string
		change func(*forwardedRequest)
	}{
		{"nothing", func(*forwardedRequest) {}},
		{"client header", func(r *forwardedRequest) { r.header = http.Header{"Accept": {"b"}} }},
		{"method", func(r *forwardedRequest) { r.method = http.MethodPut }},
		{"target", func(r *forwardedRequest) { r.target = "/a?c" }},
		{"request id", func(r *forwardedRequest) { r.hop.RequestID = "r-2" }},
		{"authentication method", func(r *forwardedRequest) { r.hop.Auth = "mtls" }},
		{"address", func(r *forwardedRequest) { r.hop.For = "192.0.2.8" }},
		{"scheme", func(r *forwardedRequest) { r.hop.Proto = "http" }},
		{"host", func(r *forwardedRequest) { r.hop.Host = "other.example" }},
		{"signatures read", func(r *forwardedRequest) { r.hop.SignaturesRead = true }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			first := forwardedRequest{http.MethodPost, "/a?b", http.Header{"Accept": {"a"}, "Signature": {"s"}}, hop}
			second := first
			tt.change(&second)
			one, other := receivedHead(t, first), receivedHead(t, second)
			up, got := recorder(t)
			f := newForwarder(up.Addr)
			t.Cleanup(f.Close)
			for _, request := range []struct {
				forwardedRequest
				want []string
			}{{first, one}, {second, other}, {first, one}} {
				if result := forwardRequest(t, f, request.forwardedRequest); result.Err != nil {
					t.Fatal(result.Err)
				}
				if have := withoutHost(<-got); !slices.Equal(have, request.want) {
					t.Errorf("the upstream got %q, want %q", have, request.want)
				}
			}
		})
	}
}

// receivedHead returns the head that the upstream receives for the first request of a new
// Forwarder.
func receivedHead(t *testing.T, request forwardedRequest) []string {
	t.Helper()
	up, got := recorder(t)
	f := newForwarder(up.Addr)
	defer f.Close()
	if result := forwardRequest(t, f, request); result.Err != nil {
		t.Fatal(result.Err)
	}
	return withoutHost(<-got)
}

// withoutHost returns the request line and the sorted header lines, without the Host.
func withoutHost(head string) []string {
	line, _, _ := strings.Cut(head, "\r\n")
	all := append([]string{line}, headers(head)...)
	return slices.DeleteFunc(all, func(l string) bool { return strings.HasPrefix(l, "Host: ") })
}

// forwardRequest forwards the request of the client "mail".
func forwardRequest(t *testing.T, f *forward.Forwarder, request forwardedRequest) forward.Result {
	t.Helper()
	g, err := grant(request.method, request.target)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), request.method, request.target, nil)
	r.Header = request.header
	w := &fastRecorder{ResponseRecorder: httptest.NewRecorder()}
	return f.Forward(w, r, f.Body(w, r), g, &request.hop)
}

// TestConsecutiveClients checks that equal requests of two clients, and of one client with
// two certificates, contain the identity of their own certificate.
func TestConsecutiveClients(t *testing.T) {
	up, got := recorder(t)
	f := newForwarder(up.Addr)
	t.Cleanup(f.Close)
	for _, name := range []string{"mail", "social", "mail", "mail"} {
		client, err := newClient(name)
		if err != nil {
			t.Fatal(err)
		}
		forwardFor(t, f, client)
		have := headers(<-got)
		for _, want := range []string{"X-Client-Id: " + name, "X-Client-Cert-Fingerprint: " + client.Certificate().Fingerprint()} {
			if !slices.Contains(have, want) {
				t.Errorf("header %q, want %q", have, want)
			}
		}
	}
}

// forwardFor forwards the same request for any client.
func forwardFor(t *testing.T, f *forward.Forwarder, client identity.Client) {
	t.Helper()
	g, err := grantTo(client, http.MethodGet, "/")
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	w := &fastRecorder{ResponseRecorder: httptest.NewRecorder()}
	if result := f.Forward(w, r, f.Body(w, r), g, &hop); result.Err != nil {
		t.Fatal(result.Err)
	}
}

// TestHostOfEachAddress checks that each address of the upstream receives its own name in
// Host.
func TestHostOfEachAddress(t *testing.T) {
	one, gotOne := recorder(t)
	two, gotTwo := recorder(t)
	f := forward.New(forward.Options{Pool: pool(one.Addr, two.Addr), Timeout: time.Minute, MaxBodyBytes: maxBody, FastPath: true})
	t.Cleanup(f.Close)
	client, err := mail()
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		forwardFor(t, f, client)
		select {
		case head := <-gotOne:
			wantHost(t, head, one.Addr)
		case head := <-gotTwo:
			wantHost(t, head, two.Addr)
		}
	}
	if one.Conns() == 0 || two.Conns() == 0 {
		t.Error("want requests at both addresses")
	}
}

func wantHost(t *testing.T, head, host string) {
	t.Helper()
	if have := headers(head); !slices.Contains(have, "Host: "+host) {
		t.Errorf("header %q, want host %s", have, host)
	}
}

// TestUnsendableFields checks that a field value with a line break is refused and that no
// part of the request is sent.
func TestUnsendableFields(t *testing.T) {
	bad := hop
	bad.Host = "a\r\nX-Evil: b"
	tests := map[string]forwardedRequest{
		"of the client":  {http.MethodGet, "/", http.Header{"Accept": {"a\r\nX-Evil: b"}}, hop},
		"of the gateway": {http.MethodGet, "/", http.Header{}, bad},
	}
	for name, request := range tests {
		t.Run(name, func(t *testing.T) {
			up, got := recorder(t)
			f := newForwarder(up.Addr)
			t.Cleanup(f.Close)
			for range 3 {
				if result := forwardRequest(t, f, request); reason(t, result) != refusal.UpstreamFailed {
					t.Errorf("result %v, want upstream_failed", result)
				}
			}
			if len(got) > 0 {
				t.Errorf("the upstream got %q", <-got)
			}
		})
	}
}

// framework wraps a ResponseWriter as a web framework does.
type framework struct {
	http.ResponseWriter

	body strings.Builder
}

func (w *framework) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *framework) Write(p []byte) (int, error) { return w.body.Write(p) }

// TestBodyPassesTheFramework checks that the body is written through the wrapping
// ResponseWriter although the header bypasses it. Otherwise, the framework would append an
// error page.
func TestBodyPassesTheFramework(t *testing.T) {
	up := answering(t, "HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2026 09:00:00 GMT\r\nContent-Length: 5\r\n\r\nhello")
	f := newForwarder(up.Addr)
	defer f.Close()
	g, err := grant(http.MethodGet, "/")
	if err != nil {
		t.Fatal(err)
	}
	client := &fastRecorder{ResponseRecorder: httptest.NewRecorder()}
	w := &framework{ResponseWriter: client}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	result := f.Forward(w, r, f.Body(w, r), g, &hop)
	if result.Err != nil || client.calls != 1 || w.body.String() != "hello" {
		t.Errorf("result %v, %d calls of WriteFields, body %q through the framework", result, client.calls, &w.body)
	}
}

// TestReuseRequest checks that the server may use the memory of a request again only if nothing reads
// the request after the handler has returned.
func TestReuseRequest(t *testing.T) {
	upstream := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/aborted" {
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, "hello")
	})
	tests := []struct {
		name, target  string
		length        int
		unknownLength bool
		transport     bool
		want          int
	}{
		{name: "no body", target: "/", want: 1},
		{name: "body in memory", target: "/", length: client.MaxBuffered, want: 1},
		{name: "long body, which a goroutine may still send", target: "/", length: client.MaxBuffered + 1},
		{name: "body of unknown length", target: "/", length: 1, unknownLength: true},
		{name: "transport of net/http", target: "/", length: 1, transport: true},
		{name: "no response", target: "/aborted", length: 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := forward.New(forward.Options{FastPath: true, Pool: pool(upstream), Timeout: time.Minute, MaxBodyBytes: 1 << 20})
			defer f.Close()
			if tt.transport {
				f.UseTransport()
			}
			g, err := grant(http.MethodPost, tt.target)
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, tt.target, strings.NewReader(strings.Repeat("x", tt.length)))
			if tt.unknownLength {
				r.ContentLength = -1
			}
			w := &fastRecorder{ResponseRecorder: httptest.NewRecorder()}
			b := f.Body(w, r)
			defer b.Release()
			responses := 1
			if tt.target == "/aborted" {
				responses = 0
			}
			if result := f.Forward(w, r, b, g, &hop); (result.Err == nil) != (responses == 1) || w.calls != responses {
				t.Errorf("result %+v, %d responses, want %d", result, w.calls, responses)
			}
			if w.reuses != tt.want {
				t.Errorf("%d calls of ReuseRequest, want %d", w.reuses, tt.want)
			}
		})
	}
}
