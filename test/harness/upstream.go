package harness

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// Upstream is a service that records every byte it receives.
type Upstream struct {
	URL string

	mu         sync.Mutex
	bytes      strings.Builder
	incomplete chan struct{} // one for each request whose body did not arrive completely
}

// NewUpstream starts a service that reads the body of every request and responds with 200,
// unless respond, which may be nil, writes another response.
func NewUpstream(t *testing.T, respond func(w http.ResponseWriter, r *http.Request)) *Upstream {
	t.Helper()
	u := &Upstream{incomplete: make(chan struct{}, 100)}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			u.incomplete <- struct{}{}
		}
		if respond != nil {
			respond(w, r)
		}
	}))
	server.Listener = recordingListener{server.Listener, u}
	server.Start()
	t.Cleanup(server.Close)
	u.URL = server.URL
	return u
}

// Take returns the bytes since the last call.
func (u *Upstream) Take() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	text := u.bytes.String()
	u.bytes.Reset()
	return text
}

// WantIncompleteRequest waits for a request whose body does not arrive completely.
func (u *Upstream) WantIncompleteRequest(t *testing.T) {
	t.Helper()
	select {
	case <-u.incomplete:
	case <-time.After(Timeout):
		t.Error("want an incomplete request at the upstream, found none")
	}
}

// WantNothing fails when the upstream has received a byte.
func (u *Upstream) WantNothing(t *testing.T) {
	t.Helper()
	if found := u.Take(); found != "" {
		t.Errorf("want nothing at the upstream, found %d bytes beginning with %.200q", len(found), found)
	}
}

// WantOne expects exactly one request and returns its header lines.
func (u *Upstream) WantOne(t *testing.T) []string {
	t.Helper()
	found := u.Take()
	if n := strings.Count(strings.ToLower(found), "\r\nx-request-id: "); n != 1 {
		t.Fatalf("want one request at the upstream, found %d", n)
	}
	head, _, _ := strings.Cut(found, "\r\n\r\n")
	return strings.Split(head, "\r\n")
}

type recordingListener struct {
	net.Listener
	upstream *Upstream
}

func (l recordingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return recordingConn{c, l.upstream}, nil
}

type recordingConn struct {
	net.Conn
	upstream *Upstream
}

func (c recordingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.upstream.mu.Lock()
	defer c.upstream.mu.Unlock()
	c.upstream.bytes.Write(p[:n])
	return n, err
}
