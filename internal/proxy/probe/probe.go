// Package probe connects to each address of the upstream, as the gateway does, and reports
// the problems that it finds.
package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/certgate/certgate/internal/proxy/dialer"
	"github.com/certgate/certgate/internal/proxy/upstream"
)

const (
	// maxTimeout is the maximum time for one address.
	maxTimeout = 10 * time.Second
	// maxBody is how much of a response body is searched for known errors, in bytes.
	maxBody = 4 << 10
)

// Options configure [Run]. Addresses and Timeout are required.
type Options struct {
	// Addresses are those of package upstream.
	Addresses []*url.URL
	// Timeout bounds connecting and the response of one address. The maximum is 10 s.
	Timeout  time.Duration
	Security dialer.Security
	// HealthPath is the path of the health check, which must be answered with a status of
	// 2xx or 3xx. Without it, "/" is requested and any status is good.
	HealthPath string
}

// Result describes one address.
type Result struct {
	URL      *url.URL
	TLS      string    // the version, such as "TLS 1.3", or empty
	NotAfter time.Time // when the upstream's certificate expires; zero without TLS
	Status   int       // of the response, or 0
	Err      error     // the problem, or nil
}

// Run sends a request GET to each address, over a new connection and without an identity. The
// results have the order of the addresses.
func Run(ctx context.Context, o Options) []Result {
	results := make([]Result, len(o.Addresses))
	var all sync.WaitGroup
	for i, u := range o.Addresses {
		all.Go(func() { results[i] = probe(ctx, o, u) })
	}
	all.Wait()
	return results
}

func probe(ctx context.Context, o Options, u *url.URL) (r Result) {
	r.URL = u
	timeout := min(o.Timeout, maxTimeout)
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	d := dialer.New(dialer.Options{
		Timeout:  timeout,
		Verified: func(_ string, notAfter time.Time) { r.NotAfter = notAfter },
	}, o.Security)
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		c, err := d.Dial(ctx, u, nil)
		if secure, ok := c.(*dialer.Conn); ok {
			r.TLS = tls.VersionName(secure.ConnectionState().Version)
		}
		return c, err
	}
	transport := &http.Transport{DialContext: dial, DialTLSContext: dial, DisableKeepAlives: true, DisableCompression: true}
	r.Status, r.Err = request(ctx, transport, u, o.HealthPath)
	return r
}

// request sends one request. It returns the status, and an error for a problem of the response.
func request(ctx context.Context, transport *http.Transport, u *url.URL, healthPath string) (status int, err error) {
	scheme, host := upstream.Origin(u)
	path := healthPath
	if path == "" {
		path = "/"
	}
	req := (&http.Request{
		Method: http.MethodGet, URL: &url.URL{Scheme: scheme, Host: host, Opaque: path}, Host: host,
		Header: http.Header{"User-Agent": {"certgate"}},
	}).WithContext(ctx)
	res, err := transport.RoundTrip(req)
	if errors.Is(err, context.DeadlineExceeded) {
		return 0, fmt.Errorf("no response in time: %w", err)
	}
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(res.Body, maxBody))
	if res.StatusCode == http.StatusBadRequest {
		if problem := knownProblem(string(text)); problem != "" {
			return res.StatusCode, errors.New(problem)
		}
	}
	if healthPath != "" && (res.StatusCode < http.StatusOK || res.StatusCode >= http.StatusBadRequest) {
		return res.StatusCode, fmt.Errorf("want a status of 2xx or 3xx from %s, found %d", healthPath, res.StatusCode)
	}
	return res.StatusCode, nil
}

// knownProblem returns the problem that the body of a response with status 400 describes, or
// "". nginx completes the handshake with a client whose certificate it refuses, and responds
// with 400.
func knownProblem(body string) string {
	const usesTLS = "the service uses TLS, want https:// in UPSTREAM_URL"
	for _, known := range []struct{ phrase, problem string }{
		{"No required SSL certificate was sent", "the service requires a client certificate, want UPSTREAM_CERT_FILE and UPSTREAM_KEY_FILE"},
		{"The SSL certificate error", "the service refuses the certificate of UPSTREAM_CERT_FILE"},
		{"plain HTTP request was sent to HTTPS port", usesTLS},         // nginx
		{"sent an HTTP request to an HTTPS server", usesTLS},           // Go
		{"speaking plain HTTP to an SSL-enabled server port", usesTLS}, // Apache
	} {
		if strings.Contains(body, known.phrase) {
			return known.problem
		}
	}
	return ""
}
