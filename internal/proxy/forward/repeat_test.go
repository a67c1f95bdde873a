package forward_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/http1/client"
	"github.com/certgate/certgate/internal/proxy/forward"
)

// repeater is a client's connection that says itself whether the client repeats
// itself.
type repeater struct {
	*httptest.ResponseRecorder
	place      any
	generation uint64
	asked      int
	relayed    int
}

func (w *repeater) Repeats() (*any, uint64) {
	w.asked++
	return &w.place, w.generation
}

func (w *repeater) Relay(status int, _ int64, _ *client.Lines, _ [2]client.Field) {
	w.relayed++
	w.WriteHeader(status)
}

// asking is all that a request to the upstream is made of.
type asking struct {
	generation     uint64
	method, target string
	header         http.Header
	hop            forward.Hop
}

// TestRepeat: what was written for the request before is used again for one that
// is made of the same only. Each difference on its own has to arrive.
func TestRepeat(t *testing.T) {
	tests := []struct {
		name   string
		change func(*asking)
	}{
		{"nothing", func(*asking) {}},
		{"the client's header", func(a *asking) { a.generation++; a.header = http.Header{"Accept": {"b"}} }},
		{"the method", func(a *asking) { a.method = http.MethodPut }},
		{"the target", func(a *asking) { a.target = "/a?c" }},
		{"the request's id", func(a *asking) { a.hop.RequestID = "r-2" }},
		{"how it was shown", func(a *asking) { a.hop.Auth = "mtls" }},
		{"the address", func(a *asking) { a.hop.For = "192.0.2.8" }},
		{"the scheme", func(a *asking) { a.hop.Proto = "http" }},
		{"the host", func(a *asking) { a.hop.Host = "other.example" }},
		{"whether signatures were read", func(a *asking) { a.hop.SignaturesRead = true }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			first := asking{1, http.MethodPost, "/a?b", http.Header{"Accept": {"a"}, "Signature": {"s"}}, hop}
			second := first
			tt.change(&second)
			client := &repeater{}
			have := sent(t, client, first, second, first)
			want := sent(t, nil, first, second, first)
			if diff := cmp.Diff(want, have); diff != "" || client.asked != 3 {
				t.Errorf("asked %d times; the upstream got (-want +have):\n%s", client.asked, diff)
			}
		})
	}
}

// TestNoRepeat: requests that share memory but no client's connection have nothing of
// each other.
func TestNoRepeat(t *testing.T) {
	up, got := recorder(t)
	f := newForwarder(up.addr)
	t.Cleanup(f.Close)
	other := hop
	other.For, other.Auth = "192.0.2.8", "mtls"
	for range 3 {
		for _, a := range []asking{
			{0, http.MethodGet, "/", http.Header{"Accept": {"a"}}, hop},
			{0, http.MethodGet, "/", http.Header{"Accept": {"b"}}, other},
		} {
			if result := forwarded(t, f, nil, a); result.Err != nil {
				t.Fatal(result.Err)
			}
			have := headers(<-got)
			for _, want := range []string{"Accept: " + a.header.Get("Accept"), "X-Forwarded-For: " + a.hop.For, "X-Client-Auth: " + a.hop.Auth} {
				if !slices.Contains(have, want) {
					t.Errorf("header %q, want %q", have, want)
				}
			}
		}
	}
}

// TestRepeatOfAnotherCertificate: the same request, as a proxy sends it on one
// connection for two clients, or for one with two certificates.
func TestRepeatOfAnotherCertificate(t *testing.T) {
	up, got := recorder(t)
	f := newForwarder(up.addr)
	t.Cleanup(f.Close)
	w := &repeater{}
	for _, name := range []string{"mail", "social", "mail", "mail"} {
		client, err := newClient(name)
		if err != nil {
			t.Fatal(err)
		}
		w.ask(t, f, client)
		have := headers(<-got)
		for _, want := range []string{"X-Client-Id: " + name, "X-Client-Cert-Fingerprint: " + client.Certificate().Fingerprint()} {
			if !slices.Contains(have, want) {
				t.Errorf("header %q, want %q", have, want)
			}
		}
	}
}

// ask sends the one request that does not change, for the client.
func (w *repeater) ask(t *testing.T, f *forward.Forwarder, client identity.Client) {
	t.Helper()
	g, err := grantTo(client, http.MethodGet, "/")
	if err != nil {
		t.Fatal(err)
	}
	w.ResponseRecorder = httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	if result := f.Forward(w, r, g, hop); result.Err != nil {
		t.Fatal(result.Err)
	}
}

// TestRepeatAtAnotherAddress: each address hears its own name.
func TestRepeatAtAnotherAddress(t *testing.T) {
	one, gotOne := recorder(t)
	two, gotTwo := recorder(t)
	f := forward.New(forward.Options{Pool: pool(one.addr, two.addr), Timeout: time.Minute, MaxBodyBytes: maxBody})
	t.Cleanup(f.Close)
	client, err := mail()
	if err != nil {
		t.Fatal(err)
	}
	w := &repeater{}
	for range 4 {
		w.ask(t, f, client)
		select {
		case head := <-gotOne:
			wantHost(t, head, one.addr)
		case head := <-gotTwo:
			wantHost(t, head, two.addr)
		}
	}
	if one.conns.Load() == 0 || two.conns.Load() == 0 {
		t.Error("want requests at both addresses")
	}
}

func wantHost(t *testing.T, head, host string) {
	t.Helper()
	if have := headers(head); !slices.Contains(have, "Host: "+host) {
		t.Errorf("header %q, want host %s", have, host)
	}
}

// TestRepeatTooLong: a long header is not kept.
func TestRepeatTooLong(t *testing.T) {
	client := &repeater{}
	long := asking{1, http.MethodGet, "/", http.Header{"Cookie": {strings.Repeat("x", 5000)}}, hop}
	short := asking{2, http.MethodGet, "/", http.Header{}, hop}
	_ = sent(t, client, short)
	if client.place == nil {
		t.Error("nothing is kept of a short header")
	}
	_ = sent(t, client, short, long)
	if client.place != nil {
		t.Error("a long header is kept")
	}
}

// TestRepeatOfWhatCannotBeSent: it cannot be sent the second time either, in whole or
// in part.
func TestRepeatOfWhatCannotBeSent(t *testing.T) {
	bad := hop
	bad.Host = "a\r\nX-Evil: b"
	tests := map[string]asking{
		"the client's":  {1, http.MethodGet, "/", http.Header{"Accept": {"a\r\nX-Evil: b"}}, hop},
		"the gateway's": {1, http.MethodGet, "/", http.Header{}, bad},
	}
	for name, a := range tests {
		t.Run(name, func(t *testing.T) {
			up, got := recorder(t)
			f := newForwarder(up.addr)
			t.Cleanup(f.Close)
			client := &repeater{}
			for range 3 {
				if result := forwarded(t, f, client, a); reason(t, result) != refusal.UpstreamFailed {
					t.Errorf("result %v, want an error", result)
				}
			}
			if len(got) > 0 {
				t.Errorf("the upstream got %q", <-got)
			}
		})
	}
}

// sent are the headers that the upstream gets; without a client's connection each is
// that of the first request of a gateway.
func sent(t *testing.T, client *repeater, all ...asking) (heads [][]string) {
	t.Helper()
	up, got := recorder(t)
	f := newForwarder(up.addr)
	defer func() { f.Close() }()
	for _, a := range all {
		if client == nil {
			f.Close()
			f = newForwarder(up.addr)
		}
		if result := forwarded(t, f, client, a); result.Err != nil || result.Status != http.StatusOK {
			t.Fatalf("result %v", result)
		}
		head := <-got
		line, _, _ := strings.Cut(head, "\r\n")
		lines := append([]string{line}, headers(head)...)
		heads = append(heads, slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "Host: ") }))
	}
	return heads
}

// forwarded is what becomes of the request on the client's connection, if there is one.
func forwarded(t *testing.T, f *forward.Forwarder, client *repeater, a asking) forward.Result {
	t.Helper()
	g, err := grant(a.method, a.target)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), a.method, a.target, nil)
	r.Header = a.header
	var w http.ResponseWriter = httptest.NewRecorder()
	if client != nil {
		client.ResponseRecorder, client.generation = httptest.NewRecorder(), a.generation
		w = client
	}
	return f.Forward(w, r, g, a.hop)
}

// framework is what has put itself around a client's connection.
type framework struct {
	http.ResponseWriter

	body strings.Builder
}

func (w *framework) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *framework) Write(p []byte) (int, error) { return w.body.Write(p) }

// TestRelayIsSeen: a framework knows that an answer has begun, though it does not see
// its header. Else it would put a page of its own behind it.
func TestRelayIsSeen(t *testing.T) {
	up := answering(t, "HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2026 09:00:00 GMT\r\nContent-Length: 5\r\n\r\nhello")
	f := newForwarder(up.addr)
	defer f.Close()
	g, err := grant(http.MethodGet, "/")
	if err != nil {
		t.Fatal(err)
	}
	client := &repeater{ResponseRecorder: httptest.NewRecorder()}
	w := &framework{ResponseWriter: client}
	result := f.Forward(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil), g, hop)
	if result.Err != nil || client.relayed != 1 || w.body.String() != "hello" {
		t.Errorf("result %v, %d headers relayed, and the framework saw %q", result, client.relayed, &w.body)
	}
}
