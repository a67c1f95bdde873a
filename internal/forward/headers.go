package forward

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/certgate/certgate/internal/access"
)

// The headers that carry the gateway's word to the upstream.
const (
	headerClient      = "X-Client-Id"
	headerAuth        = "X-Client-Auth"
	headerSerial      = "X-Client-Cert-Serial"
	headerFingerprint = "X-Client-Cert-Fingerprint"
	headerRequestID   = "X-Request-Id"
)

// protected names, folded: the gateway's own, those of proxies that vouch for a
// client, and those that ask an upstream to take the request for another one.
// What a client sends under such a name is never forwarded.
var protected = map[string]bool{
	"x-request-id": true,
	// Who writes the request writes its framing; a Content_Length would be a
	// second one to CGI and WSGI.
	"content-length":    true,
	"transfer-encoding": true,

	"forwarded": true,
	"x-real-ip": true,
	// A CGI upstream turns Proxy into HTTP_PROXY (CVE-2016-5385).
	"proxy": true,

	"x-arr-clientcert":       true,
	"x-http-method":          true,
	"x-http-method-override": true,
	"x-method-override":      true,
}

// protectedFamilies are prefixes of folded names.
var protectedFamilies = []string{
	"x-client-", "client-cert", "x-forwarded-", "x-ssl-", "ssl-client-", "x-amzn-mtls-",
	"x-original-", "x-rewrite-",
}

// hopByHop fields concern one connection only (RFC 9110, section 7.6.1), and
// Expect is answered by the server that reads the body.
var hopByHop = []string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect",
}

// headerFilter knows which inbound headers may go on.
type headerFilter struct{ credentials []string }

func newHeaderFilter(credentials []string) headerFilter {
	var f headerFilter
	for _, name := range credentials {
		if name != "" {
			f.credentials = append(f.credentials, fold(name))
		}
	}
	return f
}

// keep copies what may go on. What a client lists in Connection is dropped too,
// and because the gateway's own headers are set afterwards, no client can list
// those away.
func (f headerFilter) keep(in http.Header) http.Header {
	out := make(http.Header, len(in)+8)
	for name, values := range in {
		if !f.protects(name) {
			out[name] = values
		}
	}
	dropHopByHop(out)
	if _, ok := out["User-Agent"]; !ok {
		out["User-Agent"] = nil // or the transport would add its own
	}
	return out
}

func (f headerFilter) protects(name string) bool {
	folded := fold(name)
	if protected[folded] || slices.Contains(f.credentials, folded) {
		return true
	}
	for _, family := range protectedFamilies {
		if strings.HasPrefix(folded, family) {
			return true
		}
	}
	return false
}

// fold maps all names to one that some upstream could take for the same: case
// does not count, CGI and WSGI turn '-' into '_', lighttpd every byte that is
// no letter or digit.
func fold(name string) string {
	folded := []byte(name)
	for i, c := range folded {
		switch {
		case 'A' <= c && c <= 'Z':
			folded[i] = c + 'a' - 'A'
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		default:
			folded[i] = '-'
		}
	}
	return string(folded)
}

func dropHopByHop(h http.Header) {
	for _, list := range h["Connection"] {
		for name := range strings.SplitSeq(list, ",") {
			if name = textproto.TrimString(name); name != "" {
				h.Del(name)
			}
		}
	}
	for _, name := range hopByHop {
		delete(h, name)
	}
}

func setIdentity(h http.Header, g access.Grant, hop Hop) {
	cert := g.Client().Certificate()
	h[headerClient] = []string{g.Client().Name()}
	h[headerAuth] = []string{hop.Auth}
	h[headerSerial] = []string{cert.Serial()}
	h[headerFingerprint] = []string{cert.Fingerprint()}
	h[headerRequestID] = []string{hop.RequestID}
	h["X-Forwarded-For"] = []string{hop.For}
	h["X-Forwarded-Proto"] = []string{hop.Proto}
	h["X-Forwarded-Host"] = []string{hop.Host}
}
