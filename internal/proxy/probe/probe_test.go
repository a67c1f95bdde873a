package probe_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/proxy/dialer"
	"github.com/certgate/certgate/internal/proxy/probe"
	"github.com/certgate/certgate/internal/proxy/upstream"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
	tcp "github.com/certgate/certgate/internal/testkit/upstream"
)

// TestRun probes services with one fault each. The tests of package dialer have the faults of
// TLS handshakes.
func TestRun(t *testing.T) {
	unavailable := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	plain, secure := httptest.NewServer(unavailable), httptest.NewTLSServer(unavailable)
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	answering := func(text string) string { // a web server that responds with a page of status 400
		return tcp.Answering(t, func(*http.Request, string) string {
			return "HTTP/1.1 400 Bad Request\r\nContent-Length: " + strconv.Itoa(len(text)) + "\r\n\r\n" + text
		}).Addr
	}
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	tcp.Serve(t, l, func(_ int, c *rawhttp.Conn) {
		if _, _, err := c.Request(); err == nil {
			c.Send(rawhttp.Empty)
		}
	})
	tests := []struct {
		name, url, healthPath string
		status                int
		want                  string // contained in the problem; none if empty
	}{
		{"http", plain.URL, "", 200, ""},
		{"a health check", plain.URL, "/", 200, ""},
		{"a failed health check", plain.URL, "/healthz", 503, "want a status of 2xx or 3xx from /healthz, found 503"},
		{"a Unix socket", "unix:" + socket, "", 200, ""},
		{"no Unix socket", "unix:" + socket + "x", "", 0, "no such file or directory"},
		{"no listener", "http://" + tcp.Refusing(t), "", 0, "connection refused"},
		{"http at a TLS server", strings.Replace(secure.URL, "https", "http", 1), "", 400, "the service uses TLS, want https:// in UPSTREAM_URL"},
		{"TLS at an http server", strings.Replace(plain.URL, "http", "https", 1), "", 0, "want a TLS server, found another protocol"},
		{"an unknown issuer", secure.URL, "", 0, "want a certificate of a trusted issuer"},
		{"not HTTP", "http://" + tcp.Answering(t, func(*http.Request, string) string { return "SSH-2.0-x\r\n\r\n" }).Addr, "", 0, "malformed HTTP"},
		{"nginx without a client certificate", "http://" + answering("400 No required SSL certificate was sent"), "", 400, "the service requires a client certificate, want UPSTREAM_CERT_FILE and UPSTREAM_KEY_FILE"},
		{"nginx with a foreign client certificate", "http://" + answering("400 The SSL certificate error"), "", 400, "the service refuses the certificate of UPSTREAM_CERT_FILE"},
		{"another bad request", "http://" + answering("400 Bad Request"), "", 400, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u, err := url.Parse(tt.url)
			if err != nil {
				t.Fatal(err)
			}
			if path, ok := strings.CutPrefix(tt.url, "unix:"); ok {
				u = upstream.UnixURL(path)
			}
			results := probe.Run(t.Context(), probe.Options{Addresses: []*url.URL{u}, Timeout: time.Minute, HealthPath: tt.healthPath})
			found := results[0]
			if found.Status != tt.status || tt.want == "" && found.Err != nil || tt.want != "" && (found.Err == nil || !strings.Contains(found.Err.Error(), tt.want)) {
				t.Errorf("want status %d and %q, found %d and %v", tt.status, tt.want, found.Status, found.Err)
			}
		})
	}
}

// TestTLS checks that the version and the end of the certificate are reported, and that the
// results have the order of the addresses.
func TestTLS(t *testing.T) {
	s := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	roots := s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	closed := &url.URL{Scheme: "https", Host: tcp.Refusing(t)}
	results := probe.Run(t.Context(), probe.Options{
		Addresses: []*url.URL{closed, u}, Timeout: time.Minute, Security: dialer.Security{Roots: roots},
	})
	if results[0].URL != closed || results[0].Err == nil || results[0].TLS != "" {
		t.Errorf("want an error of the first address, found %+v", results[0])
	}
	if r := results[1]; r.Err != nil || r.Status != http.StatusNotFound || r.TLS != "TLS 1.3" || !r.NotAfter.Equal(s.Certificate().NotAfter) {
		t.Errorf("want TLS 1.3 and the end of the certificate, found %+v", r)
	}
}
