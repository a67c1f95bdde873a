package forward_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/proxy/dialer"
	pools "github.com/certgate/certgate/internal/proxy/upstream"
	"github.com/certgate/certgate/internal/testkit/ca"
)

// clientCertificate returns a certificate with the serial number.
func clientCertificate(t *testing.T, authority ca.CA, serial int64) *tls.Certificate {
	t.Helper()
	key := ca.Key(t)
	cert := authority.Client(t, key.Public(), ca.Current, func(c *x509.Certificate) { c.SerialNumber = big.NewInt(serial) })
	return &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
}

// securePool returns a pool of one server and the root certificates that verify it.
func securePool(t *testing.T, srv *httptest.Server) (*pools.Pool, *x509.CertPool) {
	t.Helper()
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	return pools.New(pools.Options{Addresses: []*url.URL{u}, MaxInFlight: 100, Now: time.Now}), roots
}

// TestReplacedCertificate checks that no request uses a connection that was made with a
// replaced client certificate, whether its body is buffered or streamed, and that every body
// arrives completely.
func TestReplacedCertificate(t *testing.T) {
	authority := ca.New(t)
	serials := make(chan int64, 100)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		serials <- r.TLS.PeerCertificates[0].SerialNumber.Int64()
		_, _ = io.Copy(w, r.Body)
	}))
	srv.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	p, roots := securePool(t, srv)
	security := dialer.Security{Roots: roots, Certificate: clientCertificate(t, authority, 1)}
	d := dialer.New(dialer.Options{Timeout: time.Minute}, security)
	g := newGateway(t, options{pool: p, dialer: d})
	serial := int64(1)
	for range 3 {
		for _, request := range []string{get("/"), streamed(), post([]string{"Content-Length: 3"}, "abc")} {
			res, result := g.exchange(t, request), <-g.results
			if res.StatusCode != http.StatusOK || request != get("/") && res.Text != "abc" {
				t.Fatalf("status %d with body %q, want 200: %v", res.StatusCode, res.Text, result.Err)
			}
			if have := <-serials; have != serial {
				t.Errorf("request with the client certificate %d, want %d", have, serial)
			}
			if request == streamed() { // the certificate is replaced between two kinds of request
				serial++
				security.Certificate = clientCertificate(t, authority, serial)
				d.Replace(security)
			}
		}
	}
}
