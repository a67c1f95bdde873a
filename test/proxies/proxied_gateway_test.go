package proxies

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/test/harness"
)

// proxyHeader is the field in which most proxies of the tests attach the handshake's
// certificate.
const proxyHeader = "X-SSL-Client-Cert"

// credentials holds the certificates of the clients and of the proxy. Several proxies share it.
type credentials struct {
	clients      *harness.MasterKey
	mail, social harness.Certificate
	long         harness.Certificate // nearly 16 KiB in base64
	handshake    tls.Certificate
	roots        *x509.CertPool
	files        map[string]string // values of the placeholders for certificates and keys
}

func newCredentials(t *testing.T) *credentials {
	t.Helper()
	m, server := harness.NewMasterKey(t, "p256"), harness.NewMasterKey(t, "p256")
	own := server.Issue(t, harness.CertificateOptions{Subject: "/CN=app.example", Extensions: "subjectAltName = DNS:app.example\n"})
	key := string(server.ReadFile(t, "p256.key"))
	server.WriteFile(t, "server.crt", string(own.PEM))
	server.WriteFile(t, "server.pem", string(own.PEM)+key)
	c := &credentials{clients: m, mail: m.Issue(t, harness.OU("mail")), social: m.Issue(t, harness.OU("social")), roots: x509.NewCertPool()}
	const comment = 11_700 // bytes, for 12 kB of DER
	c.long = m.Issue(t, harness.CertificateOptions{Subject: "/OU=mail", Extensions: harness.ClientExtensions + "nsComment = " + strings.Repeat("x", comment) + "\n"})
	c.handshake = tlsKeyPair(t, m, c.mail)
	c.roots.AppendCertsFromPEM(server.ReadFile(t, server.CertFile))
	c.files = map[string]string{
		"SERVER_CERT": filepath.Join(server.Dir, "server.crt"), "SERVER_KEY": filepath.Join(server.Dir, "p256.key"),
		"SERVER_PEM": filepath.Join(server.Dir, "server.pem"), "CLIENT_CA": filepath.Join(m.Dir, m.CertFile),
	}
	return c
}

// tlsKeyPair returns the certificate and key that a client uses in the handshake.
func tlsKeyPair(t *testing.T, m *harness.MasterKey, c harness.Certificate) tls.Certificate {
	t.Helper()
	pair, err := tls.X509KeyPair(c.PEM, m.ReadFile(t, "p256.key"))
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// proxiedGateway is a real proxy in front of a real gateway.
type proxiedGateway struct {
	*credentials
	addr     string
	header   string // in which the proxy attaches the handshake's certificate
	decodes  bool   // whether the proxy decodes escapes of unreserved characters in a path
	mutual   bool   // whether the proxy attaches the handshake's certificate
	gateway  *harness.Gateway
	recorder *harness.Recorder
}

// newProxiedGateway starts a gateway that trusts the proxy of a file. start starts the proxy.
func newProxiedGateway(t *testing.T, c *credentials, file string) *proxiedGateway {
	t.Helper()
	env := harness.Env{"TRUSTED_PROXIES": "127.0.0.1/32"}
	if isMutual(file) {
		env["AUTH_PROXY_HEADER"] = headerOf(file)
	}
	return newProxiedGatewayWith(t, c, file, env)
}

func isMutual(file string) bool { return strings.Contains(file, "-mtls.") }

func isTraefik(file string) bool { return strings.HasPrefix(file, "traefik-") }

// headerOf returns the field in which the proxy of a file attaches the certificate.
func headerOf(file string) string {
	switch program, _, _ := strings.Cut(file, "-"); program {
	case "traefik":
		return "X-Forwarded-Tls-Client-Cert"
	case "envoy":
		return "X-Forwarded-Client-Cert"
	default:
		return proxyHeader
	}
}

func newProxiedGatewayWith(t *testing.T, c *credentials, file string, env harness.Env) *proxiedGateway {
	t.Helper()
	program, _, _ := strings.Cut(file, "-")
	harness.LookProgram(t, proxyCommands()[program].name) // before anything else is started
	g := harness.NewGateway(t, c.clients, env)
	return &proxiedGateway{
		credentials: c, header: headerOf(file), decodes: isTraefik(file), mutual: isMutual(file), gateway: g, recorder: harness.NewRecorder(t, g.Addr),
	}
}

// start starts the proxy until the test ends; edit may be nil.
func (f *proxiedGateway) start(t *testing.T, file string, edit func(text string) string) {
	t.Helper()
	values := maps.Clone(f.files)
	values["GATEWAY"] = f.recorder.Addr
	values["GATEWAY_HOST"], values["GATEWAY_PORT"], _ = strings.Cut(f.recorder.Addr, ":")
	f.addr = startProxy(t, proxyOptions{file, values, edit}).addr
	if isTraefik(file) {
		f.waitForRoute(t, f.handshakes()...)
		f.gateway.Upstream.Take()
	}
}

// waitForRoute waits until Traefik has read its dynamic configuration: it listens before
// it does so.
func (f *proxiedGateway) waitForRoute(t *testing.T, pairs ...tls.Certificate) {
	t.Helper()
	for deadline := time.Now().Add(harness.Timeout); time.Now().Before(deadline); time.Sleep(harness.PollInterval) {
		if a, err := f.send(t, harness.PlainGet("/events"), pairs...); err == nil && a.Status != http.StatusNotFound {
			return
		}
	}
	t.Fatal("want Traefik to read its dynamic configuration in time")
}

// clientAddress is the address of clients. It differs from the proxy's.
const clientAddress = "127.0.0.2"

// dial connects to the proxy by TLS, with a client certificate or without one.
func (f *proxiedGateway) dial(t *testing.T, pairs ...tls.Certificate) (*harness.Conn, error) {
	t.Helper()
	dialer := tls.Dialer{
		NetDialer: &net.Dialer{Timeout: harness.Timeout, LocalAddr: &net.TCPAddr{IP: net.ParseIP(clientAddress)}},
		Config:    &tls.Config{RootCAs: f.roots, ServerName: "app.example", MinVersion: tls.VersionTLS12, Certificates: pairs},
	}
	c, err := dialer.DialContext(t.Context(), "tcp", f.addr)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(harness.Timeout)); err != nil {
		t.Fatal(err)
	}
	return &harness.Conn{Conn: c, Reader: bufio.NewReader(c)}, nil
}

// send sends r over a connection of its own. A proxy that refuses a client may respond, or
// close the connection, which is an error.
func (f *proxiedGateway) send(t *testing.T, r harness.Request, pairs ...tls.Certificate) (harness.Response, error) {
	t.Helper()
	c, err := f.dial(t, pairs...)
	if err != nil {
		return harness.Response{}, err
	}
	defer c.Close()
	return RoundTrip(c, r)
}

func RoundTrip(c *harness.Conn, r harness.Request) (harness.Response, error) {
	// Ignore an error: the proxy may have sent a response. Otherwise reading fails, too.
	_, _ = io.WriteString(c, r.String())
	res, err := http.ReadResponse(c.Reader, &http.Request{Method: r.Method})
	if err != nil {
		return harness.Response{}, err
	}
	defer res.Body.Close()
	if res.Close { // ReadResponse deletes the field
		res.Header.Set("Connection", "close")
	}
	body, err := io.ReadAll(res.Body)
	return harness.Response{Status: res.StatusCode, Header: res.Header, Body: string(body)}, err
}

// sendAsMail sends r as the client mail, with the credential that the proxy expects. The
// test fails without a response.
func (f *proxiedGateway) sendAsMail(t *testing.T, r harness.Request) harness.Response {
	t.Helper()
	a, err := f.send(t, r, f.handshakes()...)
	if err != nil {
		t.Fatalf("want a response, found %v", err)
	}
	return a
}

func (f *proxiedGateway) handshakes() []tls.Certificate {
	if f.mutual {
		return []tls.Certificate{f.handshake}
	}
	return nil
}

// wantMail sends r as mail and expects it at the upstream with mail's identity. It returns
// the header that arrived there.
func (f *proxiedGateway) wantMail(t *testing.T, r harness.Request) []string {
	t.Helper()
	f.recorder.Take()
	if a := f.sendAsMail(t, r); a.Status != http.StatusOK {
		t.Fatalf("want 200, found %d and %.200q", a.Status, a.Body)
	}
	head := f.gateway.Upstream.WantOne(t)
	if f.mutual {
		harness.WantClientHeaders(t, head, "mail", "mtls", f.mail)
	}
	return head
}

// attached returns a header line with social's certificate under a name.
func (f *proxiedGateway) attached(name string) string {
	return name + ": " + f.social.HeaderValue(certheader.Base64DER)
}

// overHTTP2 sends a header by HTTP/2, as most clients do where a proxy offers it, and
// returns the status. A name in lower case is sent unchanged.
func (f *proxiedGateway) overHTTP2(t *testing.T, header http.Header, pairs ...tls.Certificate) int {
	t.Helper()
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: f.roots, ServerName: "app.example", MinVersion: tls.VersionTLS12, Certificates: pairs},
		ForceAttemptHTTP2: true,
	}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+f.addr+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host, request.Header = "app.example", header
	response, err := (&http.Client{Transport: transport, Timeout: harness.Timeout}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.ProtoMajor != 2 {
		t.Errorf("want HTTP/2, found %s", response.Proto)
	}
	return response.StatusCode
}
