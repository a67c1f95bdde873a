package forward_test

import (
	"crypto/x509"
	"flag"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
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
	pools "github.com/certgate/certgate/internal/proxy/upstream"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
	"github.com/certgate/certgate/internal/testkit/upstream"
	"github.com/certgate/certgate/internal/tool/pki"
)

// TestMain lets all parallel tests run at the same time, because they wait for timeouts and
// use no processor, and finds goroutines that are left over.
func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "64")
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
	pool        *pools.Pool // instead of upstream
	timeout     time.Duration
	maxBody     int64
	readTimeout time.Duration
	roots       *x509.CertPool // of an upstream with TLS
}

// pool returns a pool with one unencrypted address for each host.
func pool(hosts ...string) *pools.Pool { return smallPool(1000, hosts...) }

func smallPool(most int, hosts ...string) *pools.Pool {
	var addresses []*url.URL
	for _, host := range hosts {
		addresses = append(addresses, &url.URL{Scheme: "http", Host: host})
	}
	return pools.New(pools.Options{Addresses: addresses, MaxInFlight: most, Now: time.Now})
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

// recorder starts an upstream that sends each received head to a channel and responds
// with 200.
func recorder(t testing.TB) (*upstream.Server, chan string) {
	t.Helper()
	got := make(chan string, 1000)
	return upstream.New(t, func(_ int, c *rawhttp.Conn) {
		for {
			head, err := c.Head()
			if err != nil {
				return
			}
			got <- head
			c.Send(rawhttp.Empty)
		}
	}), got
}

// answering starts an upstream that reads a header and responds with fixed bytes.
func answering(t testing.TB, response string) *upstream.Server {
	t.Helper()
	return upstream.New(t, func(_ int, c *rawhttp.Conn) {
		if _, err := c.Head(); err == nil {
			c.Send(response)
		}
	})
}

// ask sends one request as raw bytes and reads the response.
func (g gateway) ask(t *testing.T, request string) rawhttp.Response {
	t.Helper()
	c := rawhttp.Dial(t, g.addr)
	c.Send(request)
	method, _, _ := strings.Cut(request, " ")
	return c.Response(t, method)
}

// post returns a POST request with the header lines and the body.
func post(headers []string, body string) string {
	return rawhttp.Lines(append([]string{"POST /events HTTP/1.1", "Host: gateway"}, append(headers, "")...)...) + body
}

func get(target string) string { return rawhttp.Lines("GET "+target+" HTTP/1.1", "Host: gateway", "") }
