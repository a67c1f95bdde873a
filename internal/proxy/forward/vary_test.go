package forward_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/proxy/forward"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
	"github.com/certgate/certgate/internal/testkit/upstream"
)

// TestVary checks that the Vary field of every forwarded response lists the request fields
// that certgate reads, in one line with the names that the service lists.
func TestVary(t *testing.T) {
	const name = credentialHeader
	tests := []struct {
		name   string
		own    []string // the service's fields
		signed bool
		want   string
	}{
		{"no field", nil, false, name},
		{"no field, signed", nil, true, name + ", Signature"},
		{"another name", []string{"Vary: Accept-Encoding"}, false, "Accept-Encoding, " + name},
		{"another name, signed", []string{"Vary: Accept-Encoding"}, true, "Accept-Encoding, " + name + ", Signature"},
		{"several lines", []string{"Vary: Accept-Encoding", "Vary: Origin,,Accept ,"}, false, "Accept-Encoding, Origin, Accept, " + name},
		{"asterisk", []string{"Vary: *"}, true, "*"},
		{"asterisk among other names", []string{"Vary: Accept", "Vary: a, *,b"}, false, "*"},
		{"a name with an asterisk", []string{"Vary: a*"}, false, "a*, " + name},
		{"certgate's name in lower case", []string{"Vary: Origin, " + strings.ToLower(name)}, false, "Origin, " + strings.ToLower(name)},
		{"one of certgate's two names", []string{"vary: signature"}, true, "signature, " + name},
		{"empty", []string{"Vary:"}, false, name},
		{"listed in Connection", []string{"Connection: Vary", "Vary: Origin"}, false, name},
	}
	bodies := []struct{ name, lines, body string }{
		{"whole", "Content-Length: 2\r\n", "hi"},
		{"streamed", "Transfer-Encoding: chunked\r\n", chunks("hi", "")},
	}
	for w, tt := range allRoutes(tests) {
		for _, body := range bodies {
			t.Run(string(w)+"/"+tt.name+"/"+body.name, func(t *testing.T) {
				own := strings.Join(append(slices.Clone(tt.own), ""), "\r\n")
				up := answering(t, dated(w, "HTTP/1.1 200 OK\r\n"+own+body.lines+"\r\n"+body.body))
				g := newGateway(t, options{route: w, upstream: up.Addr})
				res := g.exchange(t, getSigned(tt.signed))
				if have := res.Header["Vary"]; len(have) != 1 || have[0] != tt.want || res.Text != "hi" {
					t.Errorf("Vary %q with body %q, want %q", have, res.Text, tt.want)
				}
			})
		}
	}
}

// TestVaryOnStatuses checks that responses of every status contain Vary.
func TestVaryOnStatuses(t *testing.T) {
	for w, status := range allRoutes([]string{"204 No Content", "304 Not Modified", "404 Not Found", "500 Failed"}) {
		t.Run(string(w)+"/"+status, func(t *testing.T) {
			up := answering(t, dated(w, "HTTP/1.1 "+status+"\r\nContent-Length: 0\r\n\r\n"))
			g := newGateway(t, options{route: w, upstream: up.Addr})
			if have := g.exchange(t, get("/")).Header["Vary"]; !slices.Equal(have, []string{credentialHeader}) {
				t.Errorf("Vary %q, want %s", have, credentialHeader)
			}
		})
	}
}

// TestVaryOfRepeats checks that the Vary field of a response depends on its own request,
// even if the upstream sends the same bytes as for the previous request.
func TestVaryOfRepeats(t *testing.T) {
	up := upstream.Answering(t, func(*http.Request, string) string { return dated(allFast, rawhttp.Empty) })
	g := newGateway(t, options{route: allFast, upstream: up.Addr})
	for _, signed := range []bool{false, false, true, true, false} {
		want := forward.NewVary([]string{credentialHeader, ""}).Value(signed)
		if have := g.exchange(t, getSigned(signed)).Header.Get("Vary"); have != want {
			t.Errorf("Vary %q, want %q", have, want)
		}
	}
	if n := up.Conns(); n != 1 {
		t.Errorf("%d connections, want one", n)
	}
}

// getSigned returns a GET request. yes tells the gateway of the test to treat its signature
// as read.
func getSigned(yes bool) string {
	if !yes {
		return get("/")
	}
	return rawhttp.Lines("GET / HTTP/1.1", "Host: gateway", signed+": 1", "")
}
