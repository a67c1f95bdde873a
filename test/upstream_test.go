package test

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

// upstream is a service that records every byte it receives, to prove that
// nothing refused was forwarded.
type upstream struct {
	url string

	mu     sync.Mutex
	bytes  strings.Builder
	broken chan struct{} // one for each request whose body did not arrive whole
}

// newUpstream answers every request with 200 once its body is read, after
// answer had a chance to do something else; answer may be nil.
func newUpstream(t *testing.T, answer func(w http.ResponseWriter, r *http.Request)) *upstream {
	t.Helper()
	u := &upstream{broken: make(chan struct{}, 100)}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			u.broken <- struct{}{}
		}
		if answer != nil {
			answer(w, r)
		}
	}))
	server.Listener = recordingListener{server.Listener, u}
	server.Start()
	t.Cleanup(server.Close)
	u.url = server.URL
	return u
}

// take is every byte received since the last call.
func (u *upstream) take() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	text := u.bytes.String()
	u.bytes.Reset()
	return text
}

// wantBroken waits for a request that ends too early.
func (u *upstream) wantBroken(t *testing.T) {
	t.Helper()
	select {
	case <-u.broken:
	case <-time.After(patience):
		t.Error("want a broken request at the upstream, found none")
	}
}

// wantNothing fails when something was forwarded.
func (u *upstream) wantNothing(t *testing.T) {
	t.Helper()
	if found := u.take(); found != "" {
		t.Errorf("want nothing at the upstream, found %d bytes beginning with %.200q", len(found), found)
	}
}

// wantOne wants exactly one request, and returns its header.
func (u *upstream) wantOne(t *testing.T) []string {
	t.Helper()
	found := u.take()
	if n := strings.Count(found, "\r\nX-Request-Id: "); n != 1 {
		t.Fatalf("want one request at the upstream, found %d", n)
	}
	head, _, _ := strings.Cut(found, "\r\n\r\n")
	return strings.Split(head, "\r\n")
}

type recordingListener struct {
	net.Listener
	upstream *upstream
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
	upstream *upstream
}

func (c recordingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.upstream.mu.Lock()
	defer c.upstream.mu.Unlock()
	c.upstream.bytes.Write(p[:n])
	return n, err
}

// headerValues returns the values of all fields whose name some service could take for
// the given one: case does not count, and every character that is no letter or digit
// is the same.
func headerValues(head []string, name string) []string {
	var values []string
	for _, line := range head[1:] {
		if n, value, _ := strings.Cut(line, ":"); foldName(n) == foldName(name) {
			values = append(values, strings.TrimSpace(value))
		}
	}
	return values
}

// foldName maps all spellings of a field name to one.
func foldName(name string) string {
	return strings.Map(func(c rune) rune {
		if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' {
			return c
		}
		return '-'
	}, strings.ToLower(name))
}
