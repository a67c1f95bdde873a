package forward_test

import (
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
	pools "github.com/certgate/certgate/internal/proxy/upstream"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
	"github.com/certgate/certgate/internal/testkit/upstream"
)

// socketPool returns a pool of Unix sockets.
func socketPool(paths ...string) *pools.Pool {
	var addresses []*url.URL
	for _, path := range paths {
		addresses = append(addresses, pools.UnixURL(path))
	}
	return pools.New(pools.Options{Addresses: addresses, MaxInFlight: 1000, Now: time.Now})
}

// listenUnix returns a listener at a path.
func listenUnix(t *testing.T, path string) *net.UnixListener {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// streamed is a request that net/http's transport sends on every route.
func streamed() string { return post([]string{"Transfer-Encoding: chunked"}, chunks("abc", "")) }

// TestUnixSocket checks that buffered and streamed requests reach the chosen Unix socket, with
// localhost as Host, also on reused connections.
func TestUnixSocket(t *testing.T) {
	for _, w := range routes {
		t.Run(string(w), func(t *testing.T) {
			dir := t.TempDir()
			one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
			got := make(chan string, 100)
			for _, path := range []string{one, two} {
				upstream.Serve(t, listenUnix(t, path), func(_ int, c *rawhttp.Conn) {
					for {
						r, _, err := c.Request()
						if err != nil {
							return
						}
						got <- path + " " + r.Host
						c.Send(rawhttp.Empty)
					}
				})
			}
			g := newGateway(t, options{route: w, pool: socketPool(one, two)})
			for _, request := range []string{get("/"), get("/"), streamed(), streamed(), get("/"), streamed()} {
				res, result := g.exchange(t, request), <-g.results
				if res.StatusCode != http.StatusOK {
					t.Fatalf("status %d, want 200: %v", res.StatusCode, result.Err)
				}
				if have, want := "unix:"+<-got, result.Upstream+" localhost"; have != want {
					t.Errorf("request at %q, want %q", have, want)
				}
			}
		})
	}
}

// TestUnixSilence checks that a kept connection of a Unix socket that received bytes without a
// request carries no other request.
func TestUnixSilence(t *testing.T) {
	for _, w := range routes {
		for name, request := range map[string]string{"buffered": get("/"), "streamed": streamed()} {
			t.Run(string(w)+"/"+name, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "s")
				answered, sent := make(chan struct{}), make(chan struct{})
				upstream.Serve(t, listenUnix(t, path), func(_ int, c *rawhttp.Conn) {
					if _, _, err := c.Request(); err != nil {
						return
					}
					c.Send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")
					select {
					case <-answered:
					case <-t.Context().Done():
						return
					}
					c.Send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
					sent <- struct{}{}
					c.Rest()
				})
				g := newGateway(t, options{route: w, pool: socketPool(path)})
				for range 3 {
					if res := g.exchange(t, request); res.Text != "good" {
						t.Fatalf("body %q, want good", res.Text)
					}
					answered <- struct{}{}
					<-sent
				}
			})
		}
	}
}

// TestUnixUnreachable checks the failures that appear when a request is sent: there is no
// socket, the file is not a socket, and no process listens.
func TestUnixUnreachable(t *testing.T) {
	dir := t.TempDir()
	abandoned := filepath.Join(dir, "abandoned")
	l := listenUnix(t, abandoned)
	l.SetUnlinkOnClose(false)
	_ = l.Close()
	tests := []struct{ name, path, want string }{
		{"no file", filepath.Join(dir, "none"), "no such file or directory"},
		{"not a socket", dir, "connection refused"},
		{"no listener", abandoned, "connection refused"},
	}
	for w, tt := range allRoutes(tests) {
		t.Run(string(w)+"/"+tt.name, func(t *testing.T) {
			g := newGateway(t, options{route: w, pool: socketPool(tt.path)})
			g.exchange(t, get("/"))
			result := <-g.results
			if reason(t, result) != refusal.UpstreamFailed || !strings.Contains(result.Err.Error(), tt.want) {
				t.Errorf("want upstream_failed with %q, found %v", tt.want, result.Err)
			}
		})
	}
}
