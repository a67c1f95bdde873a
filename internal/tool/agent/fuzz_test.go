package agent_test

import (
	"bufio"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/tool/agent"
)

// FuzzTargetURL checks that every request target that net/http accepts is forwarded to
// the gateway's origin with the same bytes. The exception is a target with two leading
// slashes and bytes that package url escapes: they are escaped, and the slashes stay.
func FuzzTargetURL(f *testing.F) {
	for _, seed := range []string{"/", "/events?a=b", "//evil.example/x", "//a|b", "/a%2fb?", "/{id}?#", "/\u00fc", "/..//%2e%2e", "/*", "///", "/?//x"} {
		f.Add(seed)
	}
	target := &url.URL{Scheme: "https", Host: "schedule.example.com"}
	f.Fuzz(func(t *testing.T, raw string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET " + raw + " HTTP/1.1\r\nHost: localhost\r\n\r\n")))
		if err != nil || !strings.HasPrefix(r.RequestURI, "/") {
			return
		}
		u := agent.TargetURL(target, r.RequestURI)
		if u.Host != target.Host || u.Scheme != target.Scheme || u.User != nil {
			t.Fatalf("%q: want the target, found %q", r.RequestURI, u)
		}
		found := u.RequestURI()
		if found == r.RequestURI {
			return
		}
		path, _, _ := strings.Cut(found, "?")
		decoded, err := url.PathUnescape(path)
		if !strings.HasPrefix(r.RequestURI, "//") || !strings.HasPrefix(found, "//") || err != nil || decoded != r.URL.Path {
			t.Errorf("want %q, found %q", r.RequestURI, found)
		}
	})
}
