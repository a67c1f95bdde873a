package forward

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/proxy/upstream"
)

// TestNoProxyFromTheEnvironment checks that HTTP_PROXY has no effect, because the proxy
// would read every request. The test reads the field, because net/http never uses a proxy for loopback
// addresses.
func TestNoProxyFromTheEnvironment(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	pool := upstream.New(upstream.Options{Addresses: []*url.URL{{Scheme: "http", Host: "upstream.example"}}, MaxInFlight: 1, Now: time.Now})
	f := New(Options{Pool: pool, Timeout: time.Second})
	defer f.Close()
	if f.transports[0].Proxy != nil {
		t.Error("want no proxy, found a function that chooses one")
	}
}

// TestFastPathOption checks that without FastPath net/http's transport sends every request.
func TestFastPathOption(t *testing.T) {
	pool := upstream.New(upstream.Options{Addresses: []*url.URL{{Scheme: "http", Host: "upstream.example"}}, MaxInFlight: 1, Now: time.Now})
	for _, fast := range []bool{false, true} {
		f := New(Options{Pool: pool, Timeout: time.Second, FastPath: fast})
		if have := len(f.clients) > 0; have != fast {
			t.Errorf("FastPath %v: a client of http1/client is in use: %v", fast, have)
		}
		f.Close()
	}
}

// BenchmarkFilter measures the filter, which runs for every field of every forwarded
// request.
func BenchmarkFilter(b *testing.B) {
	in := http.Header{
		"Accept": {"*/*"}, "Accept-Encoding": {"gzip"}, "Accept-Language": {"en"}, "Content-Length": {"120"},
		"Content-Type": {"application/json"}, "User-Agent": {"mail/1.0"}, "X-Ssl-Auth": {"MII"},
		"X-Forwarded-For": {"192.0.2.7"}, "X-Forwarded-Proto": {"https"}, "Cookie": {"a=b"},
	}
	f := NewFilter([]string{"X-SSL-Auth"})
	b.ReportAllocs()
	for b.Loop() {
		forwarded := 0
		if f.each(in, skipped{}, func(string, string) { forwarded++ }); forwarded == 0 {
			b.Fatal("no field forwarded")
		}
	}
}
