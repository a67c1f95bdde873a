package dialer_test

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/proxy/dialer"
	"github.com/certgate/certgate/internal/testkit/ca"
)

// authority issues certificates that are valid now.
type authority struct{ ca.CA }

func newAuthority(t *testing.T) authority {
	t.Helper()
	return authority{ca.New(t, ca.Current)}
}

// issue returns a certificate for schedule.internal with its key.
func (a authority) issue(t *testing.T, changes ...ca.Change) tls.Certificate {
	t.Helper()
	key := ca.Key(t)
	changes = append([]ca.Change{ca.Current, func(c *x509.Certificate) { c.DNSNames = []string{"schedule.internal"} }}, changes...)
	cert := a.Client(t, key.Public(), changes...)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: crypto.PrivateKey(key), Leaf: cert}
}

func (a authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.Certificate)
	return pool
}

// serve starts a TLS server that echoes bytes, and returns its URL.
func serve(t *testing.T, config *tls.Config) *url.URL {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go echo(nc, config)
		}
	}()
	return &url.URL{Scheme: "https", Host: l.Addr().String()}
}

// echo handles one connection; without a configuration it does not use TLS. It reads to the
// end of the connection, so that a close does not become a reset, which could overtake an alert.
func echo(nc net.Conn, config *tls.Config) {
	defer nc.Close()
	if config == nil {
		_, _ = io.WriteString(nc, "SSH-2.0-x\r\n")
		_, _ = io.Copy(io.Discard, nc)
		return
	}
	c := tls.Server(nc, config)
	if err := c.Handshake(); err == nil {
		_, _ = io.Copy(c, c)
	}
	_, _ = io.Copy(io.Discard, nc)
}

// exchange opens a connection and sends one byte back and forth. It returns the first error.
func exchange(t *testing.T, d *dialer.Dialer, u *url.URL) error {
	t.Helper()
	c, err := d.Dial(t.Context(), u, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Write([]byte("x")); err != nil {
		return err
	}
	_, err = io.ReadFull(c, make([]byte, 1))
	return err
}

// TestHandshake checks that each side verifies the other one, and that the errors name what
// the operator has to compare. Each case differs from the first one in one way.
func TestHandshake(t *testing.T) {
	ours, foreign := newAuthority(t), newAuthority(t)
	good := func() *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{ours.issue(t)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ours.pool(), MinVersion: tls.VersionTLS12}
	}
	own, other := ours.issue(t), foreign.issue(t)
	const (
		none    = "the upstream requested a client certificate, and UPSTREAM_CERT_FILE is not set: "
		refused = "the upstream requested a client certificate and received that of UPSTREAM_CERT_FILE: "
	)
	tests := []struct {
		name   string
		server func(c *tls.Config)
		client func(s *dialer.Security)
		want   string // the start of the error; none if empty
	}{
		{"good", nil, nil, ""},
		{"good with TLS 1.2", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, nil, ""},
		{"TLS 1.1", func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, nil, "remote error: tls: protocol version not supported"},
		{"unknown issuer", nil, func(s *dialer.Security) { s.Roots = foreign.pool() }, `want a certificate of a trusted issuer, found issuer "CN=Example CA,O=Example": tls: failed to verify certificate: x509: certificate signed by unknown authority`},
		{"the CAs of the system", nil, func(s *dialer.Security) { s.Roots = nil }, "want a certificate of a trusted issuer"},
		{"wrong name", nil, func(s *dialer.Security) { s.ServerName = "other.internal" }, `want a certificate for "other.internal", found one for "schedule.internal"`},
		{"the name of the address", nil, func(s *dialer.Security) { s.ServerName = "" }, `want a certificate for "127.0.0.1", found one for "schedule.internal"`},
		{"expired", func(c *tls.Config) {
			c.Certificates = []tls.Certificate{ours.issue(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })}
		}, nil, "tls: failed to verify certificate: x509: certificate has expired"},
		{"no client certificate", nil, func(s *dialer.Security) { s.Certificate = nil }, none + "remote error: tls: certificate required"},
		{"no client certificate with TLS 1.2", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, func(s *dialer.Security) { s.Certificate = nil }, none + "remote error: tls: "},
		{"foreign client certificate", nil, func(s *dialer.Security) { s.Certificate = &other }, refused + "remote error: tls: "},
		{"foreign client certificate with TLS 1.2", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, func(s *dialer.Security) { s.Certificate = &other }, refused + "remote error: tls: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			config, security := good(), dialer.Security{Roots: ours.pool(), Certificate: &own, ServerName: "schedule.internal"}
			if tt.server != nil {
				tt.server(config)
			}
			if tt.client != nil {
				tt.client(&security)
			}
			err := exchange(t, dialer.New(dialer.Options{Timeout: time.Minute}, security), serve(t, config))
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.want)) {
				t.Errorf("want %q, found %v", tt.want, err)
			}
		})
	}
}

// TestNotTLS checks the error for an upstream that uses another protocol.
func TestNotTLS(t *testing.T) {
	err := exchange(t, dialer.New(dialer.Options{Timeout: time.Minute}, dialer.Security{}), serve(t, nil))
	if err == nil || !strings.HasPrefix(err.Error(), "want a TLS server, found another protocol: ") {
		t.Errorf("want an error about the protocol, found %v", err)
	}
}

// TestOutdated checks that a connection is outdated after the certificates were replaced,
// even if they are equal.
func TestOutdated(t *testing.T) {
	ours := newAuthority(t)
	security := dialer.Security{Roots: ours.pool(), ServerName: "schedule.internal"}
	d := dialer.New(dialer.Options{Timeout: time.Minute}, security)
	u := serve(t, &tls.Config{Certificates: []tls.Certificate{ours.issue(t)}, MinVersion: tls.VersionTLS12})
	for range 2 {
		nc, err := d.Dial(t.Context(), u, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		c, ok := nc.(*dialer.Conn)
		if !ok || c.Outdated() {
			t.Fatalf("want a current connection, found %T", nc)
		}
		if d.Replace(security); !c.Outdated() {
			t.Error("want an outdated connection")
		}
	}
}

// TestVerified checks the address and the time that are reported after a handshake: the chain
// expires with its first certificate, and a refused certificate is not reported.
func TestVerified(t *testing.T) {
	ours := newAuthority(t)
	soon := time.Now().Add(time.Minute).Truncate(time.Second)
	between := authority{ours.Intermediate(t, "between", ca.Current, func(c *x509.Certificate) { c.NotAfter = soon })}
	chain := between.issue(t)
	chain.Certificate = append(chain.Certificate, between.Certificate.Raw)
	u := serve(t, &tls.Config{Certificates: []tls.Certificate{chain}, MinVersion: tls.VersionTLS12})
	found := map[string]time.Time{}
	d := dialer.New(dialer.Options{
		Timeout:  time.Minute,
		Verified: func(name string, notAfter time.Time) { found[name] = notAfter },
	}, dialer.Security{Roots: ours.pool(), ServerName: "other.internal"})
	if err := exchange(t, d, u); err == nil || len(found) != 0 {
		t.Errorf("want a refused certificate and no report, found %v and %v", err, found)
	}
	d.Replace(dialer.Security{Roots: ours.pool(), ServerName: "schedule.internal"})
	if err := exchange(t, d, u); err != nil {
		t.Fatal(err)
	}
	if at, ok := found[u.Host]; !ok || !at.Equal(soon) {
		t.Errorf("want %s for %s, found %v", soon, u.Host, found)
	}
}
