package deploy

import (
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/testkit/ca"
	"github.com/certgate/certgate/test/harness"
)

const day = 24 * time.Hour

// allowsEvents are the rules of the gateways in these tests.
const allowsEvents = "rules:\n  - name: events\n    clients: [mail, web]\n    allow: [\"GET /events\"]\n"

// authority is a CA that issues certificates of clients.
type authority struct{ ca.CA }

// newAuthority returns a CA whose certificate ends after a time.
func newAuthority(t *testing.T, end time.Duration) authority {
	t.Helper()
	a := authority{ca.New(t, endsAfter(end), func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign })}
	harness.KeepPEM(a.CertificatePEM())
	return a
}

func endsAfter(end time.Duration) ca.Change {
	return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = time.Now().Add(-400*day), time.Now().Add(end) }
}

// issue returns a client certificate that ends after a time.
func (a authority) issue(t *testing.T, client string, end time.Duration) harness.Certificate {
	t.Helper()
	return a.issueSigner(t, client, end).Certificate
}

// issueSigner returns a client certificate with its key.
func (a authority) issueSigner(t *testing.T, client string, end time.Duration) harness.Signer {
	t.Helper()
	key := ca.Key(t)
	return harness.Signer{Certificate: harness.NewCertificate(t, ca.PEM(a.Client(t, key.Public(), ca.Named(client), endsAfter(end)))), Key: key}
}

// keyID returns the id of the key in metrics.
func (a authority) keyID(t *testing.T) string {
	t.Helper()
	return harness.KeyID(t, string(a.PublicKeyPEM()))
}

// list returns an empty revocation list in PEM that is current for a time.
func (a authority) list(t *testing.T, current time.Duration) string {
	t.Helper()
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: time.Now().Add(-30 * day), NextUpdate: time.Now().Add(current),
	}, a.Certificate, a.Key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}))
}

// pair writes a certificate for 127.0.0.1 with its key, and returns the names of the files.
func (a authority) pair(t *testing.T, end time.Duration) (certFile, keyFile string) {
	t.Helper()
	key := ca.Key(t)
	cert := a.Client(t, key.Public(), endsAfter(end), func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
		c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	})
	return writeFile(t, "tls.crt", string(ca.PEM(cert))), writeFile(t, "tls.key", privateKey(t, key))
}

func privateKey(t *testing.T, key crypto.Signer) string {
	t.Helper()
	text := ca.KeyPEM(t, key)
	harness.KeepPEM(text)
	return string(text)
}

// writeFile writes a file in a folder of its own.
func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	replaceFile(t, path, text)
	return path
}

// replaceFile replaces a file in one step.
func replaceFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// startTLS starts a service with a certificate that ends after a time.
func startTLS(t *testing.T, a authority, end time.Duration) (url string) {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(a.pair(t, end))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}

// startRedis starts a Redis server.
func startRedis(t *testing.T) (addr string, p *harness.Process) {
	t.Helper()
	addr = harness.FreeAddress(t)
	host, port, _ := net.SplitHostPort(addr)
	p = harness.StartCommand(t, "redis", nil, exec.Command(harness.LookProgram(t, "redis-server"),
		"--bind", host, "--port", port, "--save", "", "--appendonly", "no"))
	if _, err := p.Stdout.WaitLine(func(line string) bool { return strings.Contains(line, "Ready to accept connections") }); err != nil {
		t.Fatalf("want redis ready: %v", err)
	}
	return addr, p
}

// gateway is a gateway whose metrics become a history.
type gateway struct{ *harness.Gateway }

// startGateway starts a gateway that trusts the authorities.
func startGateway(t *testing.T, authorities []authority, more harness.Env) gateway {
	t.Helper()
	var keys string
	for _, a := range authorities {
		keys += string(a.CertificatePEM())
	}
	u := harness.NewUpstream(t, nil)
	env := harness.GatewayEnv(keys, u).With(harness.Env{"ACCESS_RULES": allowsEvents}).With(more)
	for _, name := range []string{"ACCESS_RULES", "AUTH_PUBLIC_KEY"} {
		if env[name+"_FILE"] != "" {
			env = env.Without(name)
		}
	}
	return gateway{harness.StartGateway(t, u, env)}
}

// send sends n requests of a client and expects the status.
func (g gateway) send(t *testing.T, n int, client harness.Certificate, path string, status int) {
	t.Helper()
	for range n {
		if a := harness.Send(t, g.Addr, harness.Get(path, client)); a.Status != status {
			t.Fatalf("GET %s: want %d, found %d", path, status, a.Status)
		}
	}
}

// wait scrapes the gateway until the sum of a metric satisfies the condition.
func (g gateway) wait(t *testing.T, metric string, condition func(value float64) bool) {
	t.Helper()
	for deadline := time.Now().Add(harness.Timeout); time.Now().Before(deadline); time.Sleep(harness.PollInterval) {
		if value, found := scrapeGateway(t, g.Gateway).value(metric); found && condition(value) {
			return
		}
	}
	t.Fatalf("want another value of %s within %s", metric, harness.Timeout)
}

func isZero(value float64) bool     { return value == 0 }
func isPositive(value float64) bool { return value > 0 }

// at scrapes the gateways for a time before the end of a history.
func at(t *testing.T, before time.Duration, gateways ...gateway) observation {
	t.Helper()
	o := observation{before, map[string]scrape{}}
	for i, g := range gateways {
		o.scrapes[instanceName(i)] = scrapeGateway(t, g.Gateway)
	}
	return o
}

// again returns the observation for another time.
func (o observation) again(before time.Duration) observation { return observation{before, o.scrapes} }

func instanceName(i int) string { return fmt.Sprintf("gateway-%d", i) }

// newSteadyHistory returns a history of a day in which one gateway does not change.
func newSteadyHistory(t *testing.T, g gateway) *history {
	t.Helper()
	o := at(t, 0, g)
	return newHistory([]string{instanceName(0)}, o.again(day), o)
}

// newChange returns a history in which one gateway changes ten minutes before the end.
func newChange(t *testing.T, g gateway, change func()) *history {
	t.Helper()
	before := at(t, 10*time.Minute, g)
	change()
	after := at(t, 0, g)
	return newHistory([]string{instanceName(0)}, before.again(2*time.Hour), before, after.again(8*time.Minute), after)
}

// rotation is a gateway with three keys in force.
type rotation struct {
	gateway

	keys                      string // the file with the keys
	old, current, never       authority
	ofOld, ofCurrent, ofNever harness.Certificate
}

func newRotation(t *testing.T) rotation {
	t.Helper()
	r := rotation{old: newAuthority(t, 100*day), current: newAuthority(t, 100*day), never: newAuthority(t, 100*day)}
	r.ofOld, r.ofCurrent, r.ofNever = r.old.issue(t, "web", 50*day), r.current.issue(t, "mail", 50*day), r.never.issue(t, "web", 50*day)
	r.keys = writeFile(t, "keys.pem", string(r.old.CertificatePEM())+string(r.current.CertificatePEM())+string(r.never.CertificatePEM()))
	r.gateway = startGateway(t, nil, harness.Env{"AUTH_PUBLIC_KEY_FILE": r.keys})
	return r
}

// use sends a request with each of the certificates, and then scrapes the gateway for a time
// before the end of a history.
func (r rotation) use(t *testing.T, before time.Duration, certificates ...harness.Certificate) observation {
	t.Helper()
	for _, c := range certificates {
		for _, a := range []authority{r.old, r.current, r.never} {
			if c.Parsed.CheckSignatureFrom(a.Certificate) == nil {
				r.useLater(t, c, a)
			}
		}
	}
	return at(t, before, r.gateway)
}

// useLater sends a request whose time differs from the last use of the key in the metrics.
func (g gateway) useLater(t *testing.T, client harness.Certificate, a authority) {
	t.Helper()
	const metric = "certgate_key_last_used_timestamp_seconds"
	before, _ := scrapeGateway(t, g.Gateway).value(metric, "key_id", a.keyID(t))
	for deadline := time.Now().Add(harness.Timeout); time.Now().Before(deadline); time.Sleep(harness.PollInterval) {
		g.send(t, 1, client, "/events", 200)
		if now, _ := scrapeGateway(t, g.Gateway).value(metric, "key_id", a.keyID(t)); now > before {
			return
		}
	}
	t.Fatalf("want another value of %s", metric)
}

// startWithLog starts a gateway that writes its log to a file that may be unreadable.
func startWithLog(t *testing.T, a authority, log *os.File) gateway {
	t.Helper()
	u := harness.NewUpstream(t, nil)
	addr, admin := harness.FreeAddress(t), harness.FreeAddress(t)
	command := exec.Command(harness.BinaryPath(t, "certgate"), "serve")
	command.Stderr = log
	p := harness.StartCommand(t, "certgate", harness.GatewayEnv(string(a.PublicKeyPEM()), u).With(harness.Env{
		"LISTEN_ADDR": addr, "ADMIN_ADDR": admin,
	}), command)
	p.WaitForListener(t, addr)
	p.WaitForListener(t, admin)
	return gateway{&harness.Gateway{Process: p, Addr: addr, Admin: admin, Upstream: u}}
}

// startHealthy starts a gateway that has every optional metric.
func startHealthy(t *testing.T) (g gateway, old, current authority) {
	t.Helper()
	old, current = newAuthority(t, 100*day), newAuthority(t, 100*day)
	redis, _ := startRedis(t)
	certFile, keyFile := current.pair(t, 50*day)
	g = startGateway(t, []authority{old, current}, harness.AuthzEnabled.With(harness.Env{
		"ACCESS_RULES_FILE": writeFile(t, "rules.yaml", allowsEvents+"deny:\n  - client: social\n"),
		"ACCESS_RULES_NEXT": strings.Replace(allowsEvents, "[mail, web]", "[mail]", 1),
		"AUTH_CRL_FILE":     writeFile(t, "list.pem", current.list(t, 7*day)),
		"UPSTREAM_URL":      startTLS(t, current, 50*day) + "," + startTLS(t, current, 50*day),
		"UPSTREAM_CA_FILE":  writeFile(t, "ca.pem", string(current.CertificatePEM())), "UPSTREAM_CERT_FILE": certFile, "UPSTREAM_KEY_FILE": keyFile,
		"AUTH_PROOF": "observe", "REDIS_URL": "redis://" + redis, "REDIS_DOWN": "remember",
	}))
	g.wait(t, "certgate_redis_up", isPositive)
	return g, old, current
}
