package client_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/certgate/certgate/internal/http1/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const maxHeader = 8 << 10

// upstream is a TCP server whose responses are raw bytes.
type upstream struct {
	addr  string
	conns atomic.Int64
}

type conn struct {
	net.Conn
	r *bufio.Reader
}

// newUpstream calls serve for each connection. n is the number of the connection, from 1.
func newUpstream(t testing.TB, serve func(n int, c *conn)) *upstream {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &upstream{addr: l.Addr().String()}
	var all sync.WaitGroup
	var open sync.Map
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n := int(u.conns.Add(1))
			open.Store(c, true)
			all.Go(func() {
				defer c.Close()
				serve(n, &conn{c, bufio.NewReader(c)})
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		open.Range(func(c, _ any) bool {
			c.(net.Conn).Close()
			return true
		})
		all.Wait()
	})
	return u
}

func (c *conn) say(text string) { _, _ = io.WriteString(c, text) }

// request reads one request with its body.
func (c *conn) request() (r *http.Request, body string, err error) {
	r, err = http.ReadRequest(c.r)
	if err != nil {
		return nil, "", err
	}
	b, err := io.ReadAll(r.Body)
	return r, string(b), err
}

// rest returns all bytes up to the end of the connection.
func (c *conn) rest() string {
	b, _ := io.ReadAll(c.r)
	return string(b)
}

const empty = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

func newClient(t testing.TB, addr string, change ...func(*client.Options)) *testClient {
	t.Helper()
	o := client.Options{Addr: addr, Timeout: time.Minute, MaxIdle: 64, MaxHeaderBytes: maxHeader}
	for _, f := range change {
		f(&o)
	}
	c := client.New(o)
	t.Cleanup(c.CloseIdleConnections)
	return &testClient{c}
}

// client has the interface of net/http's transport, so that the two can be compared.
type testClient struct{ *client.Client }

func (c *testClient) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	var m client.Request
	m.Begin(r.Method, r.URL.Opaque, r.Host)
	for name, values := range r.Header {
		for _, value := range values {
			m.Field(name, value)
		}
	}
	m.End(body)
	a, err := c.Do(r.Context(), &m)
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
		t.Fatalf("answer %v %q, %v: want 200 %q", res, body, err, want)
	}
}
