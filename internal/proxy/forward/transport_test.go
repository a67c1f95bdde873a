package forward

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/proxy/upstream"
)

// The upstream is what was configured: no variable of the environment puts a
// proxy in between, which would read everything. (Asked here, because net/http
// never uses a proxy for loopback addresses.)
func TestNoProxyFromTheEnvironment(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	pool := upstream.New(upstream.Options{Addresses: []*url.URL{{Scheme: "http", Host: "upstream.example"}}, MaxInFlight: 1, Now: time.Now})
	f := New(Options{Pool: pool, Timeout: time.Second})
	defer f.Close()
	if f.transport.Proxy != nil {
		t.Error("want no proxy, found a way to choose one")
	}
}

// TestFastPathOption: without it net/http's transport sends every request.
func TestFastPathOption(t *testing.T) {
	pool := upstream.New(upstream.Options{Addresses: []*url.URL{{Scheme: "http", Host: "upstream.example"}}, MaxInFlight: 1, Now: time.Now})
	for _, fast := range []bool{false, true} {
		f := New(Options{Pool: pool, Timeout: time.Second, FastPath: fast})
		if have := len(f.lean) > 0; have != fast {
			t.Errorf("FastPath %v: found a client of http1/client: %v", fast, have)
		}
		f.Close()
	}
}

// TestRewind: a body that was not loaded can be sent again only while none of it is
// gone, and an attempt that was given up takes nothing of it.
func TestRewind(t *testing.T) {
	r := &http.Request{Body: io.NopCloser(strings.NewReader("abc")), ContentLength: 3}
	b := newRequestBody(r, 10)
	first, second := &attempt{b: b}, &attempt{b: b}
	_ = first.Close() // as the transport does after a failed dial
	if !b.rewind() {
		t.Error("want an untouched body to begin anew")
	}
	if n, err := first.Read(make([]byte, 1)); n != 0 || !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("the first attempt got %d bytes and %v", n, err)
	}
	if n, err := second.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Fatalf("want a byte, found %d and %v", n, err)
	}
	if b.rewind() {
		t.Error("want no new beginning after a byte")
	}
	_ = b.Close()
	if n, err := second.Read(make([]byte, 1)); n != 0 || !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("a closed body gave %d bytes and %v", n, err)
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
	f := NewFilter([]string{"X-SSL-Auth"})
	b.ReportAllocs()
	for b.Loop() {
		kept := 0
		if f.keep(in, selection{}, func(string, string) { kept++ }); kept == 0 {
			b.Fatal("nothing kept")
		}
	}
}
