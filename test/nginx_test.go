package test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/certheader"
	"github.com/certgate/certgate/internal/denial"
)

// nginxConfig takes: listening address, gateway.
const nginxConfig = `daemon off;
master_process off;
pid nginx.pid;
error_log stderr notice;
events {}
http {
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    large_client_header_buffers 4 32k;
    server {
        listen %s ssl;
        ssl_certificate server.crt;
        ssl_certificate_key server.key;
        ssl_client_certificate ca.crt;
        ssl_verify_client %s;
        location / {
            proxy_pass http://%s;
            proxy_set_header X-SSL-Client-Cert $ssl_client_escaped_cert;
        }
    }
}
`

// tlsProxy is an nginx that asks for client certificates.
type tlsProxy struct {
	url     string
	roots   *x509.CertPool
	clients *master
}

// startNginx puts a real nginx before g.
func startNginx(t *testing.T, g *gateway, clients *master, verify string) tlsProxy {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatal("want nginx in CI, found none")
	}
	if err != nil {
		t.Skip("nginx is not installed: no real proxy is tried")
	}
	server := newMaster(t, "p256")
	own := server.issue(t, certificateOptions{subject: "/CN=127.0.0.1", extensions: "subjectAltName = IP:127.0.0.1\n"})
	addr := freeAddress(t)
	server.write(t, "nginx.conf", fmt.Sprintf(nginxConfig, addr, verify, g.addr))
	server.write(t, "server.crt", string(own.pem))
	server.write(t, "server.key", string(server.read(t, "p256.key")))
	server.write(t, "ca.crt", string(clients.read(t, clients.cert)))

	command := exec.Command(program, "-p", server.dir, "-c", filepath.Join(server.dir, "nginx.conf"), "-e", "stderr")
	launch(t, "nginx", nil, command)
	waitForListener(t, addr)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(server.read(t, server.cert))
	return tlsProxy{"https://" + addr, roots, clients}
}

// freeAddress is one that nobody listened on a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// waitForListener dials until somebody listens who does not say so.
func waitForListener(t *testing.T, addr string) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if c, err := net.DialTimeout("tcp", addr, patience); err == nil {
			_ = c.Close()
			return
		}
	}
	t.Fatalf("want somebody to listen on %s, found nobody", addr)
}

// get asks through the proxy with a key of the clients' master's folder; without
// one, with no certificate.
func (p tlsProxy) get(t *testing.T, c certificate, key string, header http.Header) (int, string) {
	t.Helper()
	config := &tls.Config{RootCAs: p.roots, MinVersion: tls.VersionTLS12}
	if key != "" {
		pair, err := tls.X509KeyPair(c.pem, p.clients.read(t, key))
		if err != nil {
			t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	transport := &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header = header.Clone()
	response, err := (&http.Client{Transport: transport, Timeout: patience}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode, response.Header.Get("X-Request-Id")
}

// TestBehindNginx: a real nginx shakes hands with the client's key and attaches
// what it saw, whatever the client itself sends under that name.
func TestBehindNginx(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	mail, social := m.issue(t, subject("mail")), m.issue(t, subject("social"))
	g := newGateway(t, m, environment{"AUTH_PROXY_HEADER": "X-SSL-Client-Cert", "TRUSTED_PROXIES": "127.0.0.1/32"})
	spoofed := http.Header{
		"X-Ssl-Client-Cert": {social.header(certheader.PercentPEM)}, "x_ssl_client_cert": {social.header(certheader.PercentPEM)},
		"X-Ssl-Auth": {social.header(certheader.Base64PEM)}, "X-Client-Id": {"social"}, "X-Client-Auth": {"mtls"},
	}
	t.Run("required", func(t *testing.T) {
		nginx := startNginx(t, g, m, "on")
		for name, header := range map[string]http.Header{"plain": {}, "spoofed": spoofed} {
			if status, _ := nginx.get(t, mail, "p256.key", header); status != http.StatusOK {
				t.Fatalf("%s: want 200, found %d", name, status)
			}
			wantShown(t, g.upstream.wantOne(t), "mail", "mtls", mail)
		}
		if status, _ := nginx.get(t, mail, "", spoofed); status != http.StatusBadRequest {
			t.Errorf("want nginx to refuse a client without a certificate, found %d", status)
		}
		g.upstream.wantNothing(t)
	})
	t.Run("optional", func(t *testing.T) {
		nginx := startNginx(t, g, m, "optional")
		// Without a certificate nginx sets no such header, and drops the client's.
		status, id := nginx.get(t, mail, "", http.Header{"X-Ssl-Client-Cert": spoofed["X-Ssl-Client-Cert"]})
		if line := g.auditOf(t, id); status != http.StatusUnauthorized || line.Reason != string(denial.CredentialMissing) {
			t.Errorf("want the spoofed certificate gone, found %d and %+v", status, line)
		}
		g.upstream.wantNothing(t)
		if status, _ := nginx.get(t, mail, "", spoofed); status != http.StatusOK {
			t.Errorf("want X-SSL-Auth to count without a certificate, found %d", status)
		}
		wantShown(t, g.upstream.wantOne(t), "social", "bearer", social)
	})
}
