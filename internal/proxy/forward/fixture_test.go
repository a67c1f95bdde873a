package forward_test

import (
	"bufio"
	"crypto/x509"
	"errors"
	"io"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/http1/framing"
	"github.com/certgate/certgate/internal/http1/server"
	"github.com/certgate/certgate/internal/proxy/forward"
	upstreams "github.com/certgate/certgate/internal/proxy/upstream"
	"github.com/certgate/certgate/internal/tool/pki"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// mail is the client of most tests.
var mail = sync.OnceValues(func() (identity.Client, error) { return newClient("mail") })

// newClient is a client that a real authority made and a real verifier accepted.
func newClient(name string) (identity.Client, error) {
	now := time.Now()
	ca, err := pki.New(pki.Options{Name: "test", Algorithm: pki.Ed25519, Lifetime: time.Hour, Now: now})
	if err != nil {
		return identity.Client{}, err
	}
	key, err := pki.P256.Generate()
	if err != nil {
		return identity.Client{}, err
	}
	cert, err := ca.Issue(pki.Request{Client: name, PublicKey: key.Public(), Lifetime: 30 * time.Minute, Now: now})
	if err != nil {
		return identity.Client{}, err
	}
	keyring, err := trust.ParseKeyring(ca.PublicKeyPEM(), 0)
	if err != nil {
		return identity.Client{}, err
	}
	verified, err := trust.NewVerifier(keyring, nil, trust.Limits{}).Verify(cert, now)
	if err != nil {
		return identity.Client{}, err
	}
	return identity.Of(verified)
}

// grant is what the policy decides about a request that it allows.
func grant(method, target string) (access.Grant, error) {
	client, err := mail()
	if err != nil {
		return access.Grant{}, err
	}
	return grantTo(client, method, target)
}

func grantTo(client identity.Client, method, target string) (access.Grant, error) {
	policy, err := access.Compile([]access.Rule{{
		Name: "all", Clients: []string{client.Name()}, Allow: []string{method + " /"},
	}}, nil)
	if err != nil {
		return access.Grant{}, err
	}
	parsed, err := access.ParseTarget(target)
	if err != nil {
		return access.Grant{}, err
	}
	return policy.Decide(client, method, parsed)
}

// hop is what the gateway says in these tests.
var hop = forward.Hop{RequestID: "r-1", Auth: "bearer", For: "192.0.2.7", Proto: "https", Host: "api.example"}

const (
	signed           = "X-Test-Signed" // with it the gateway has looked at signatures
	maxBody          = 1000
	credentialHeader = "X-Ticket"
)

// gateway is a server that forwards every request, and what became of them.
type gateway struct {
	addr    string
	results chan forward.Result
	server  interface{ Close() }
}

// soon is a timeout that a test waits for. What must happen before it happens in time
// on a busy machine, too, so the tests that wait run in parallel.
const soon = 3 * time.Second

// A way is how a request goes to the upstream.
type way string

const (
	lean    way = "lean"
	netHTTP way = "net/http"
	quick   way = "lane" // lean, and the client's connection is package lane's
)

var ways = []way{lean, netHTTP, quick}

// allWays gives each test for each way: what the client and the upstream see
// is the same.
func allWays[T any](tests []T) iter.Seq2[way, T] {
	return func(yield func(way, T) bool) {
		for _, w := range ways {
			for _, tt := range tests {
				if !yield(w, tt) {
					return
				}
			}
		}
	}
}

type options struct {
	way         way // lean when empty
	upstream    string
	pool        *upstreams.Pool // instead of upstream
	timeout     time.Duration
	maxBody     int64
	readTimeout time.Duration
	roots       *x509.CertPool // of an upstream with TLS
}

// pool has an address for each host, in cleartext.
func pool(hosts ...string) *upstreams.Pool { return smallPool(1000, hosts...) }

func smallPool(most int, hosts ...string) *upstreams.Pool {
	var addresses []*url.URL
	for _, host := range hosts {
		addresses = append(addresses, &url.URL{Scheme: "http", Host: host})
	}
	return upstreams.New(upstreams.Options{Addresses: addresses, MaxInFlight: most, Now: time.Now})
}

func newGateway(t testing.TB, o options) gateway {
	t.Helper()
	if o.timeout == 0 {
		o.timeout = time.Minute
	}
	if o.maxBody == 0 {
		o.maxBody = maxBody
	}
	if o.pool == nil {
		o.pool = pool(o.upstream)
	}
	f := forward.New(forward.Options{
		FastPath: true,
		Pool:     o.pool, Timeout: o.timeout,
		MaxBodyBytes: o.maxBody, CredentialHeaders: []string{credentialHeader},
	})
	if o.way == netHTTP {
		f.UseTransport()
	}
	if o.roots != nil {
		f.TrustRoots(o.roots)
	}
	results := make(chan forward.Result, 1000)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g, err := grant(r.Method, r.RequestURI)
		if err != nil {
			t.Errorf("grant: %v", err)
			panic(http.ErrAbortHandler)
		}
		said := hop
		said.SignaturesRead = r.Header.Get(signed) != ""
		result := f.Forward(w, r, f.Body(w, r), g, said)
		results <- result
		finish(w, result)
	})
	t.Cleanup(f.Close)
	if o.way == quick {
		addr, s := newLane(t, handler, o)
		return gateway{addr: addr, results: results, server: s}
	}
	s := httptest.NewUnstartedServer(handler)
	s.Config.ErrorLog = zap.NewStdLog(zap.NewNop())
	s.Config.ReadTimeout = o.readTimeout
	s.Start()
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return gateway{addr: s.Listener.Addr().String(), results: results, server: s}
}

// laneServer is a lane on its listener.
type laneServer struct {
	*server.Server
	listener net.Listener
	served   chan error
}

func newLane(t testing.TB, handler http.Handler, o options) (addr string, s laneServer) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	rest := &http.Server{
		Handler: handler, MaxHeaderBytes: 64 << 10, ReadHeaderTimeout: time.Minute, ReadTimeout: o.readTimeout,
		ConnContext: framing.Context, ConnState: framing.State, ErrorLog: zap.NewStdLog(zap.NewNop()),
	}
	watched := framing.NewListener(l, framing.Options{WriteTimeout: time.Minute})
	s = laneServer{server.New(rest, time.Minute), watched, make(chan error, 1)}
	go func() { s.served <- s.Serve(watched) }()
	t.Cleanup(s.Close)
	return l.Addr().String(), s
}

// Close ends the connections and waits for the server.
func (s laneServer) Close() {
	_ = s.listener.Close()
	_ = s.Server.Close()
	<-s.served
	s.served <- nil // it may be closed again
}

// finish does with a result what its documentation asks for.
func finish(w http.ResponseWriter, result forward.Result) {
	refused := refusal.Of(result.Err)
	switch {
	case result.Err == nil:
	case result.Status != 0:
		panic(http.ErrAbortHandler)
	default:
		http.Error(w, string(refused.Reason), refused.Reason.Status())
	}
}

// reason is the reason of a result's error, "" when it has none.
func reason(t *testing.T, r forward.Result) refusal.Reason {
	t.Helper()
	if r.Err == nil {
		return ""
	}
	refused := refusal.Of(r.Err)
	if refused == nil {
		t.Fatalf("want a *denial.Error, found %v", r.Err)
	}
	return refused.Reason
}

// upstream is a TCP server that speaks for itself: what it got and what it
// answers is not touched by any library.
type upstream struct {
	addr  string
	conns atomic.Int64
}

// newUpstream answers each connection with serve. n counts them from 1.
func newUpstream(t testing.TB, serve func(n int, c *conn)) *upstream {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &upstream{addr: l.Addr().String()}
	var all sync.WaitGroup
	var open sync.Map
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n := int(u.conns.Add(1))
			open.Store(c, true)
			all.Go(func() {
				defer c.Close()
				serve(n, &conn{c, bufio.NewReader(c)})
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		open.Range(func(c, _ any) bool {
			c.(net.Conn).Close()
			return true
		})
		all.Wait()
	})
	return u
}

// conn is one end of a connection that is spoken by hand.
type conn struct {
	net.Conn
	r *bufio.Reader
}

// head reads up to the empty line, which is not part of the result.
func (c *conn) head() (string, error) {
	var b strings.Builder
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return b.String(), err
		}
		if line == "\r\n" {
			return b.String(), nil
		}
		b.WriteString(line)
	}
}

// rest reads everything until the other side ends.
func (c *conn) rest() string {
	all, _ := io.ReadAll(c.r)
	return string(all)
}

func (c *conn) say(text string) { _, _ = io.WriteString(c, text) }

// recorder is an upstream that keeps each head it gets and answers 200.
func recorder(t testing.TB) (*upstream, chan string) {
	t.Helper()
	got := make(chan string, 1000)
	return newUpstream(t, func(_ int, c *conn) {
		for {
			head, err := c.head()
			if err != nil {
				return
			}
			got <- head
			c.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	}), got
}

// answering is an upstream that reads a header and answers with fixed bytes.
func answering(t testing.TB, answer string) *upstream {
	t.Helper()
	return newUpstream(t, func(_ int, c *conn) {
		if _, err := c.head(); err == nil {
			c.say(answer)
		}
	})
}

func dial(t testing.TB, addr string) *conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	// So that what should come and does not is a failure and not a hang.
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &conn{c, bufio.NewReader(c)}
}

// answer is what a client got.
type answer struct {
	*http.Response
	body string
	err  error // of reading the body
}

// receive reads one answer to a request of the given method.
func (c *conn) receive(t *testing.T, method string) answer {
	t.Helper()
	res, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	body, err := io.ReadAll(res.Body)
	return answer{res, string(body), err}
}

// ask sends one request, as raw bytes, and reads the answer.
func (g gateway) ask(t *testing.T, request string) answer {
	t.Helper()
	c := dial(t, g.addr)
	c.say(request)
	method, _, _ := strings.Cut(request, " ")
	return c.receive(t, method)
}

// closed reports whether the other side ends or resets the connection, and
// fails the test when it says anything before.
func (c *conn) closed(t *testing.T) {
	t.Helper()
	n, err := c.r.Read(make([]byte, 1))
	if n > 0 || errors.Is(err, net.ErrClosed) {
		t.Errorf("want the connection closed by the other side, found %d bytes and %v", n, err)
	}
}

func lines(text ...string) string { return strings.Join(text, "\r\n") + "\r\n" }

// post is a request with a body.
func post(headers []string, body string) string {
	return lines(append([]string{"POST /events HTTP/1.1", "Host: gateway"}, append(headers, "")...)...) + body
}

func get(target string) string { return lines("GET "+target+" HTTP/1.1", "Host: gateway", "") }
