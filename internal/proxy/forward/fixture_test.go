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

// newClient returns a client whose certificate was issued by an authority and accepted by
// a verifier.
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

// grant returns the decision of a policy that allows the request.
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

// hop contains the values that the gateway adds to requests in these tests.
var hop = forward.Hop{RequestID: "r-1", Auth: "bearer", For: "192.0.2.7", Proto: "https", Host: "api.example"}

const (
	signed           = "X-Test-Signed" // a request with this field counts as one whose signatures were read
	maxBody          = 1000
	credentialHeader = "X-Ticket"
)

// gateway is a server that forwards every request and records the results.
type gateway struct {
	addr    string
	results chan forward.Result
	server  interface{ Close() }
}

// soon is a timeout that a test waits for. It is long enough for the events that must
// happen earlier, even on a busy machine. The tests that wait run in parallel.
const soon = 3 * time.Second

// A route selects the server and the HTTP client that forward a request.
type route string

const (
	lean    route = "lean"
	netHTTP route = "net/http"
	quick   route = "lane" // the fast path, with a client connection served by package lane
)

var routes = []route{lean, netHTTP, quick}

// allRoutes yields each test for each route. The client and the upstream must see the same
// bytes on all routes.
func allRoutes[T any](tests []T) iter.Seq2[route, T] {
	return func(yield func(route, T) bool) {
		for _, w := range routes {
			for _, tt := range tests {
				if !yield(w, tt) {
					return
				}
			}
		}
	}
}

type options struct {
	route       route // lean when empty
	upstream    string
	pool        *upstreams.Pool // instead of upstream
	timeout     time.Duration
	maxBody     int64
	readTimeout time.Duration
	roots       *x509.CertPool // of an upstream with TLS
}

// pool returns a pool with one unencrypted address for each host.
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
	if o.route == netHTTP {
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
	if o.route == quick {
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

// laneServer is a lane with its listener.
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
	s.served <- nil // so that Close can be called again
}

// finish handles a result as its documentation requires.
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

// reason returns the reason of the result's error, or "" if there is no error.
func reason(t *testing.T, r forward.Result) refusal.Reason {
	t.Helper()
	if r.Err == nil {
		return ""
	}
	refused := refusal.Of(r.Err)
	if refused == nil {
		t.Fatalf("want a *refusal.Error, found %v", r.Err)
	}
	return refused.Reason
}

// upstream is a TCP server that reads and writes raw bytes, without an HTTP library.
type upstream struct {
	addr  string
	conns atomic.Int64
}

// newUpstream starts an upstream that calls serve for each connection. n counts the
// connections from 1.
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

// conn is one end of a connection whose bytes the test writes and reads itself.
type conn struct {
	net.Conn
	r *bufio.Reader
}

// head reads up to the empty line and returns the text before it.
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

// rest reads until the other side closes the connection.
func (c *conn) rest() string {
	all, _ := io.ReadAll(c.r)
	return string(all)
}

func (c *conn) say(text string) { _, _ = io.WriteString(c, text) }

// recorder starts an upstream that sends each received head to a channel and responds
// with 200.
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

// answering starts an upstream that reads a header and responds with fixed bytes.
func answering(t testing.TB, response string) *upstream {
	t.Helper()
	return newUpstream(t, func(_ int, c *conn) {
		if _, err := c.head(); err == nil {
			c.say(response)
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
	// With a deadline, missing bytes fail the test instead of blocking it.
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &conn{c, bufio.NewReader(c)}
}

// response is an HTTP response that a client received.
type response struct {
	*http.Response
	body string
	err  error // from reading the body
}

// receive reads one response to a request of the given method.
func (c *conn) receive(t *testing.T, method string) response {
	t.Helper()
	res, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("want a response, found %v", err)
	}
	body, err := io.ReadAll(res.Body)
	return response{res, string(body), err}
}

// ask sends one request as raw bytes and reads the response.
func (g gateway) ask(t *testing.T, request string) response {
	t.Helper()
	c := dial(t, g.addr)
	c.say(request)
	method, _, _ := strings.Cut(request, " ")
	return c.receive(t, method)
}

// closed checks that the other side closes or resets the connection without sending
// another byte.
func (c *conn) closed(t *testing.T) {
	t.Helper()
	n, err := c.r.Read(make([]byte, 1))
	if n > 0 || errors.Is(err, net.ErrClosed) {
		t.Errorf("want the connection closed by the other side, found %d bytes and %v", n, err)
	}
}

func lines(text ...string) string { return strings.Join(text, "\r\n") + "\r\n" }

// post returns a POST request with the header lines and the body.
func post(headers []string, body string) string {
	return lines(append([]string{"POST /events HTTP/1.1", "Host: gateway"}, append(headers, "")...)...) + body
}

func get(target string) string { return lines("GET "+target+" HTTP/1.1", "Host: gateway", "") }
