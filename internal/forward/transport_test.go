package forward

import (
	"net/http"
	"net/url"
	"testing"
	"time"
)

// The upstream is what was configured: no variable of the environment puts a
// proxy in between, which would read everything. (Asked here, because net/http
// never uses a proxy for loopback addresses.)
func TestNoProxyFromTheEnvironment(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	f := New(Options{Upstream: &url.URL{Scheme: "http", Host: "upstream.example"}, Timeout: time.Second})
	defer f.Close()
	if f.transport.Proxy != nil {
		t.Error("want no proxy, found a way to choose one")
	}
}

// BenchmarkKeep is hot: it runs once for every forwarded request and looks at
// every header of it.
func BenchmarkKeep(b *testing.B) {
	in := http.Header{
		"Accept": {"*/*"}, "Accept-Encoding": {"gzip"}, "Accept-Language": {"en"}, "Content-Length": {"120"},
		"Content-Type": {"application/json"}, "User-Agent": {"mail/1.0"}, "X-Ssl-Auth": {"MII"},
		"X-Forwarded-For": {"192.0.2.7"}, "X-Forwarded-Proto": {"https"}, "Cookie": {"a=b"},
	}
	f := newHeaderFilter([]string{"X-SSL-Auth"})
	b.ReportAllocs()
	for b.Loop() {
		if len(f.keep(in)) == 0 {
			b.Fatal("nothing kept")
		}
	}
}
