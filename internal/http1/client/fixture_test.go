package client_test

import (
	"context"
	"flag"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/certgate/certgate/internal/http1/client"
)

// TestMain lets all parallel tests run at the same time, because they wait for timeouts and
// use no processor, and finds goroutines that are left over.
func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "64")
	goleak.VerifyTestMain(m)
}

const maxHeader = 8 << 10

func newClient(t testing.TB, addr string, change ...func(*client.Options)) *testClient {
	t.Helper()
	o := client.Options{Network: "tcp", Addr: addr, Timeout: time.Minute, MaxIdle: 64, MaxHeaderBytes: maxHeader}
	for _, f := range change {
		f(&o)
	}
	c := client.New(o)
	t.Cleanup(c.CloseIdleConnections)
	return &testClient{c}
}

// testClient has the interface of net/http's transport, so that the two can be compared.
type testClient struct{ *client.Client }

func (c *testClient) RoundTrip(r *http.Request) (*http.Response, error) {
	var m client.Request
	if err := m.ReadBody(r.Body, r.ContentLength); err != nil {
		return nil, err
	}
	m.Begin(r.Method, r.URL.Opaque, r.Host)
	for name, values := range r.Header {
		for _, value := range values {
			m.Field(name, value)
		}
	}
	m.End()
	a, err := c.Do(r.Context(), &m, time.Now())
	if err != nil {
		return nil, err
	}
	h := http.Header{}
	for _, f := range a.Fields {
		h[f.Name] = append(h[f.Name], f.Value)
	}
	return &http.Response{StatusCode: a.Status, Header: h, ContentLength: a.Length, Body: a.Body, Request: r}, nil
}

func request(ctx context.Context, method, body string) *http.Request {
	r := &http.Request{
		Method: method, URL: &url.URL{Scheme: "http", Host: "upstream", Opaque: "/a?b"}, Host: "upstream",
		Header: http.Header{}, ContentLength: int64(len(body)),
	}
	if body != "" {
		r.Body = io.NopCloser(strings.NewReader(body))
	}
	return r.WithContext(ctx)
}

// exchange sends a request and reads the whole response.
func exchange(t testing.TB, c *testClient, method, body string) (*http.Response, string, error) {
	t.Helper()
	res, err := c.RoundTrip(request(t.Context(), method, body))
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res, string(b), err
}

// get expects a response with this body.
func get(t testing.TB, c *testClient, want string) {
	t.Helper()
	res, body, err := exchange(t, c, http.MethodGet, "")
	if err != nil || res.StatusCode != http.StatusOK || body != want {
		t.Fatalf("response %v %q, %v: want 200 %q", res, body, err, want)
	}
}
