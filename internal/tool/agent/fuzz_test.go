package agent_test

import (
	"bufio"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/tool/agent"
)

// FuzzURL: whatever request target net/http lets in, the request goes to the
// gateway and nowhere else, with the same bytes; two slashes with odd bytes behind
// them are escaped, and still two slashes.
func FuzzURL(f *testing.F) {
	for _, seed := range []string{"/", "/events?a=b", "//evil.example/x", "//a|b", "/a%2fb?", "/{id}?#", "/\u00fc", "/..//%2e%2e", "/*", "///", "/?//x"} {
		f.Add(seed)
	}
	target := &url.URL{Scheme: "https", Host: "schedule.example.com"}
	f.Fuzz(func(t *testing.T, raw string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET " + raw + " HTTP/1.1\r\nHost: localhost\r\n\r\n")))
		if err != nil || !strings.HasPrefix(r.RequestURI, "/") {
			return
		}
		u := agent.URLOf(target, r.RequestURI)
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
