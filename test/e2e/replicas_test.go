package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

// redisSecret is the password of Redis, which must not be in any output.
const redisSecret = "certgate-redis-s3cret-of-these-tests"

// startRedis runs a real server at the address until the test ends, and returns when it
// accepts commands.
func startRedis(t *testing.T, addr string, settings ...string) *harness.Process {
	t.Helper()
	path := harness.LookProgram(t, "redis-server")
	harness.KeepSecret(redisSecret)
	host, port, _ := net.SplitHostPort(addr)
	p := harness.StartCommand(t, "redis", nil, exec.Command(path, append([]string{
		"--bind", host, "--port", port, "--save", "", "--appendonly", "no", "--requirepass", redisSecret,
	}, settings...)...))
	if _, err := p.Stdout.WaitLine(func(line string) bool { return strings.Contains(line, "Ready to accept connections") }); err != nil {
		t.Fatalf("want redis ready: %v", err)
	}
	return p
}

// sharing returns the settings of a gateway that stores nonces in Redis.
func sharing(addr string) harness.Env {
	return harness.SignatureRequired().With(harness.Env{
		"REDIS_URL": "redis://:" + redisSecret + "@" + addr + "/1",
		"ACCESS_RULES": `rules:
  - {name: signed, clients: [mail], allow: ["GET /events", "POST /events"]}
  - {name: seen, clients: [mail], allow: ["GET /seen"], proof: observe}
`,
	})
}

// replicas are two gateways with one upstream.
type replicas struct {
	a, b    *harness.Gateway
	arrived atomic.Int64 // requests at the upstream
}

func newReplicas(t *testing.T, m *harness.MasterKey, env harness.Env) *replicas {
	t.Helper()
	r := &replicas{}
	u := harness.NewUpstream(t, func(http.ResponseWriter, *http.Request) { r.arrived.Add(1) })
	r.a, r.b = harness.StartGateway(t, u, harness.GatewayEnv(m.PublicKey, u).With(env)), harness.StartGateway(t, u, harness.GatewayEnv(m.PublicKey, u).With(env))
	return r
}

// outcome counts the results of requests that were sent to both replicas.
type outcome struct {
	once, twice, never int // requests, by how many of the two allowed them
	overloaded         int // responses: Redis took longer than a gateway waits
}

// race sends each request to both replicas at the same time, one request after the other.
func (r *replicas) race(t *testing.T, requests []harness.Request) (o outcome) {
	t.Helper()
	a, b := harness.Dial(t, r.a.Addr), harness.Dial(t, r.b.Addr)
	for _, one := range requests {
		var both sync.WaitGroup
		var answers [2]harness.Response
		start := make(chan struct{})
		for i, c := range []*harness.Conn{a, b} {
			both.Go(func() {
				<-start
				_ = c.SetDeadline(time.Now().Add(harness.Timeout)) // each takes its own time
				_, _ = c.Write([]byte(one.String()))               // read tells
				answers[i] = c.ReadResponse(t, one.Method)
			})
		}
		close(start)
		both.Wait()
		o.add(t, answers)
	}
	return o
}

func (o *outcome) add(t *testing.T, answers [2]harness.Response) {
	t.Helper()
	allowed := 0
	for _, a := range answers {
		switch {
		case a.Status == 200:
			allowed++
		case a.Status == 503 && strings.Contains(a.Body, string(refusal.Overloaded)):
			o.overloaded++
		case a.Status != 401 || !strings.Contains(a.Body, string(refusal.ProofReplayed)):
			t.Errorf("want 200 or proof_replayed, found %d and %s", a.Status, a.Body)
		}
	}
	switch allowed {
	case 0:
		o.never++
	case 1:
		o.once++
	default:
		o.twice++
	}
}

func signedRequests(t *testing.T, c harness.Signer, count int) []harness.Request {
	t.Helper()
	list := make([]harness.Request, count)
	for i := range list {
		list[i] = c.Sign(t, harness.PlainRequest("POST", "/events").Post(harness.EventJSON("Meeting")), harness.SignatureOptions{})
	}
	return list
}

// TestReplicasShareNonces sends each of two thousand signed requests to two gateways at
// once and expects exactly one accepted.
func TestReplicasShareNonces(t *testing.T) {
	t.Parallel()
	const times = 2000
	addr := harness.FreeAddress(t)
	startRedis(t, addr)
	m := harness.NewMasterKey(t, "p256")
	c := NewSigner(t, m, harness.OU("mail"))
	r := newReplicas(t, m, sharing(addr))
	o := r.race(t, signedRequests(t, c, times))
	// On a busy machine Redis may respond too late, so that both replicas refuse a request.
	// A request is never accepted twice.
	if o.twice != 0 || o.never > o.overloaded || o.overloaded > times/100 || r.arrived.Load() != int64(o.once) {
		t.Errorf("want each allowed once, found %+v and %d at the upstream", o, r.arrived.Load())
	}
	for _, g := range []*harness.Gateway{r.a, r.b} {
		if up := metrics(t, g)["certgate_redis_up"].GetMetric()[0].GetGauge().GetValue(); up != 1 {
			t.Errorf("want certgate_redis_up 1, found %v", up)
		}
	}
}

// TestReplicasWithoutRedis checks that replicas without REDIS_URL accept a signed request
// once each.
func TestReplicasWithoutRedis(t *testing.T) {
	t.Parallel()
	const times = 50
	m := harness.NewMasterKey(t, "p256")
	c := NewSigner(t, m, harness.OU("mail"))
	r := newReplicas(t, m, harness.SignatureRequired())
	if o := r.race(t, signedRequests(t, c, times)); o.twice != times || r.arrived.Load() != 2*times {
		t.Errorf("want each allowed twice, found %+v and %d at the upstream", o, r.arrived.Load())
	}
	for name, want := range map[string]float64{"certgate_nonces": times, "certgate_nonces_capacity": 1 << 20} {
		if found := metrics(t, r.a)[name].GetMetric()[0].GetGauge().GetValue(); found != want {
			t.Errorf("want %s %v, found %v", name, want, found)
		}
	}
}

// redisLine waits for the log's line on Redis.
func redisLine(t *testing.T, g *harness.Gateway, message string) {
	t.Helper()
	if _, err := g.Stderr.WaitLine(func(line string) bool { return strings.Contains(line, `"msg":"`+message) }); err != nil {
		t.Fatalf("want %q in the log: %v", message, err)
	}
}

// TestReplicasLoseRedis checks REDIS_DOWN while Redis is down and after it has come back
// empty.
func TestReplicasLoseRedis(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	c := NewSigner(t, m, harness.OU("mail"))
	signed := func() harness.Request {
		return c.Sign(t, harness.PlainRequest("GET", "/events"), harness.SignatureOptions{})
	}
	for _, down := range []string{"refuse", "remember"} {
		t.Run(down, func(t *testing.T) {
			t.Parallel()
			addr := harness.FreeAddress(t)
			redis := startRedis(t, addr)
			r := newReplicas(t, m, sharing(addr).With(harness.Env{"REDIS_DOWN": down}))
			before := sendUntilAllowed(t, r.a, signed)
			wantReplayed(t, r.b, before)
			redis.Signal(t, syscall.SIGKILL)
			redis.WantExit(t, -1)
			if down == "refuse" {
				wantNothingSigned(t, r.a, signed, before)
				wantNothingSigned(t, r.b, signed, before)
				seen := harness.HeaderValues(r.a.WantAllowed(t, c.Sign(t, harness.PlainRequest("GET", "/seen"), harness.SignatureOptions{})), "X-Request-Id")
				if l := r.a.AuditLineOf(t, seen[0]); l.Auth != "bearer" || l.WouldRefuse != string(refusal.Overloaded) {
					t.Errorf("want it let through and would_refuse overloaded, found %+v", l)
				}
			} else {
				wantOnceEach(t, r, signed, before)
			}
			redisLine(t, r.a, "redis is out")
			startRedis(t, addr)
			redisLine(t, r.a, "redis is back")
			after := sendUntilAllowed(t, r.a, signed)
			redisLine(t, r.b, "redis is back")
			wantReplayed(t, r.b, after)
			wantSpokenOnce(t, r.a)
		})
	}
}

// wantNothingSigned expects signed requests refused while Redis is down.
func wantNothingSigned(t *testing.T, g *harness.Gateway, signed func() harness.Request, before harness.Request) {
	t.Helper()
	for range 10 {
		if a := g.WantRefused(t, signed(), refusal.Overloaded); a.Header.Get("Retry-After") != "1" {
			t.Errorf("want Retry-After: 1, found %q", a.Header.Get("Retry-After"))
		}
	}
	g.WantRefused(t, before, refusal.Overloaded)
}

// wantOnceEach expects a request accepted once by each replica, from local memory.
func wantOnceEach(t *testing.T, r *replicas, signed func() harness.Request, before harness.Request) {
	t.Helper()
	for range 10 {
		meanwhile := signed()
		for _, g := range []*harness.Gateway{r.a, r.b} {
			g.WantAllowed(t, meanwhile)
			g.WantRefused(t, meanwhile, refusal.ProofReplayed)
		}
	}
	r.a.WantRefused(t, before, refusal.ProofReplayed)
}

// wantSpokenOnce expects one log line when Redis goes down, one when it is back, and no
// lines of a Redis library. If the inventory of clients was to be shared meanwhile, there is a
// line about it, too.
func wantSpokenOnce(t *testing.T, g *harness.Gateway) {
	t.Helper()
	lines := map[string]int{}
	for line := range strings.Lines(g.Stderr.String()) {
		var l struct{ Msg, Redis string }
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Errorf("want JSON in the log, found %q", line)
		}
		if l.Redis != "" {
			lines[l.Msg]++
		}
	}
	for message, count := range lines {
		if count != 1 {
			t.Errorf("want %q once, found it %d times", message, count)
		}
	}
	delete(lines, "the inventory is not shared with other replicas")
	delete(lines, "the inventory is shared again")
	if len(lines) != 2 {
		t.Errorf("want two lines about redis, found %v", lines)
	}
}

// TestRedisOverTLS connects with rediss:// and a private CA, which SSL_CERT_FILE names.
func TestRedisOverTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, kind string, der []byte) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.ParseIP(harness.ProxyAddress)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile := file("redis.crt", "CERTIFICATE", der)
	addr := harness.FreeAddress(t)
	host, port, _ := net.SplitHostPort(addr)
	startRedis(t, net.JoinHostPort(host, "0"), "--tls-port", port, "--tls-cert-file", certFile, "--tls-key-file", file("redis.key", "PRIVATE KEY", private),
		"--tls-ca-cert-file", certFile, "--tls-auth-clients", "no")

	m := harness.NewMasterKey(t, "p256")
	c := NewSigner(t, m, harness.OU("mail"))
	env := sharing(addr).With(harness.Env{"REDIS_URL": "rediss://:" + redisSecret + "@" + addr})
	g := harness.NewGateway(t, m, env.With(harness.Env{"SSL_CERT_FILE": certFile}))
	once := sendUntilAllowed(t, g, func() harness.Request {
		return c.Sign(t, harness.PlainRequest("GET", "/events"), harness.SignatureOptions{})
	})
	wantReplayed(t, g, once)

	otherKey := harness.NewGateway(t, m, env)
	otherKey.WantRefused(t, c.Sign(t, harness.PlainRequest("GET", "/events"), harness.SignatureOptions{}), refusal.Overloaded)
	redisLine(t, otherKey, "redis is out")
}

// sendUntilAllowed sends newly signed requests until one is allowed, and returns that one.
// On a loaded machine Redis may take longer than the gateway waits.
func sendUntilAllowed(t *testing.T, g *harness.Gateway, sign func() harness.Request) harness.Request {
	t.Helper()
	for deadline := time.Now().Add(harness.Timeout); time.Now().Before(deadline); time.Sleep(harness.PollInterval) {
		r := sign()
		switch a := harness.Send(t, g.Addr, r); a.Status {
		case 200:
			g.Upstream.WantOne(t)
			return r
		case 503:
		default:
			t.Fatalf("want 200, found %d and %s", a.Status, a.Body)
		}
	}
	t.Fatal("want an allowed request in time, found none")
	return harness.Request{}
}

// wantReplayed sends a request that was allowed before until Redis responds in time, and
// expects proof_replayed.
func wantReplayed(t *testing.T, g *harness.Gateway, r harness.Request) {
	t.Helper()
	var a harness.Response
	for deadline := time.Now().Add(harness.Timeout); time.Now().Before(deadline); time.Sleep(harness.PollInterval) {
		if a = harness.Send(t, g.Addr, r); a.Status != 503 {
			break
		}
	}
	g.Upstream.WantNothing(t)
	if a.Problem(t).Reason != string(refusal.ProofReplayed) {
		t.Errorf("want %s, found %d %s", refusal.ProofReplayed, a.Status, a.Body)
	}
}

// TestRedisEvictionWarning checks that the gateway warns when Redis may evict keys.
func TestRedisEvictionWarning(t *testing.T) {
	t.Parallel()
	addr := harness.FreeAddress(t)
	startRedis(t, addr, "--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru")
	g := harness.NewGateway(t, harness.NewMasterKey(t, "p256"), sharing(addr))
	redisLine(t, g, "redis may evict nonces before they expire")
}
