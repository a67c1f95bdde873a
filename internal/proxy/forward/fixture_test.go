package forward_test

import (
	"crypto/x509"
	"flag"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/proxy/dialer"
	"github.com/certgate/certgate/internal/proxy/forward"
	pools "github.com/certgate/certgate/internal/proxy/upstream"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
	"github.com/certgate/certgate/internal/testkit/upstream"
)

// TestMain lets all parallel tests run at the same time, because most of them wait for timeouts
// and use no processor, and finds goroutines that are left over. The tests that take the most
// processor time are parallel too, so that they run while the others wait.
func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "64")
	goleak.VerifyTestMain(m)
}

// hop contains the values that the gateway adds to requests in these tests.
var hop = forward.Metadata{RequestID: "r-1", Auth: "bearer", For: "192.0.2.7", Proto: "https", Host: "api.example"}

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

// waitForTimeout skips a test that waits for a timeout when the tests run with -short.
func waitForTimeout(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: this test waits for a timeout")
	}
}

// rounds returns how often a test repeats a sequence that fails only with some timings: n times,
// and a third of that with -short.
func rounds(n int) int {
	if testing.Short() {
		return n / 3
	}
	return n
}

// A route selects the server and the HTTP client that forward a request.
type route string

const (
	http1Client route = "http1 client"
	netHTTP     route = "net/http"
	allFast     route = "fast" // the fast path, with a client connection that package http1/server serves
)

var routes = []route{http1Client, netHTTP, allFast}

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
	route       route // http1Client when empty
	upstream    string
	pool        *pools.Pool // instead of upstream
	timeout     time.Duration
	maxBody     int64
	readTimeout time.Duration
	roots       *x509.CertPool // of an upstream with TLS
	dialer      *dialer.Dialer // instead of roots
	observe     func(forward.Attempt)
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
	if o.dialer == nil {
		o.dialer = dialer.New(dialer.Options{Timeout: o.timeout}, dialer.Security{Roots: o.roots})
	}
	f := forward.New(forward.Options{
		FastPath: true,
		Pool:     o.pool, Timeout: o.timeout, Dialer: o.dialer,
		MaxBodyBytes: o.maxBody, CredentialHeaders: []string{credentialHeader},
		Observe: o.observe,
	})
	if o.route == netHTTP {
		f.UseTransport()
	}
	results := make(chan forward.Result, 1000)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g, err := grant(r.Method, r.RequestURI)
		if err != nil {
			t.Errorf("grant: %v", err)
			panic(http.ErrAbortHandler)
		}
		h := hop
		h.SignaturesRead = r.Header.Get(signed) != ""
		result := f.Forward(w, r, f.Body(w, r), g, &h)
		results <- result
		finish(w, result)
	})
	t.Cleanup(f.Close)
	if o.route == allFast {
		addr, s := newFastServer(t, handler, o)
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

// exchange sends one request as raw bytes and reads the response.
func (g gateway) exchange(t *testing.T, request string) rawhttp.Response {
	t.Helper()
	return rawhttp.Exchange(t, g.addr, request)
}

// post returns a POST request with the header lines and the body.
func post(headers []string, body string) string {
	return rawhttp.Lines(append([]string{"POST /events HTTP/1.1", "Host: gateway"}, append(headers, "")...)...) + body
}

func get(target string) string { return rawhttp.Lines("GET "+target+" HTTP/1.1", "Host: gateway", "") }
