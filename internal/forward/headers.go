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

// isHopByHop: fields that concern one connection only (RFC 9110, section 7.6.1),
// and Expect, which is answered by the server that reads the body.
func isHopByHop(name string) bool {
	switch name {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect":
		return true
	default:
		return false
	}
}

// usualNames are what most requests bring; they are decided about once.
var usualNames = []string{
	"Accept", "Accept-Encoding", "Accept-Language", "Authorization", "Cache-Control", "Connection", "Content-Encoding",
	"Content-Length", "Content-Type", "Cookie", "Digest", "Idempotency-Key", "If-Match", "If-Modified-Since", "If-None-Match",
	"Origin", "Pragma", "Range", "Referer", "Traceparent", "Tracestate", "User-Agent", "Via", "X-Amzn-Trace-Id",
	"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Real-Ip", "X-Request-Id", "X-Ssl-Auth",
}

// Filter knows which of a client's header fields may go on. It is immutable and
// safe for concurrent use; [NewFilter] makes one.
type Filter struct {
	credentials []string        // folded
	usual       map[string]bool // what [Filter.decide] says of a name; never written to
}

// NewFilter makes a filter that takes these for credentials; empty names are none.
func NewFilter(credentials []string) Filter {
	var f Filter
	names := usualNames
	for _, name := range credentials {
		if name != "" {
			f.credentials = append(f.credentials, fold(name))
			names = append(slices.Clip(names), http.CanonicalHeaderKey(name))
		}
	}
	f.usual = make(map[string]bool, len(names))
	for _, name := range names {
		f.usual[name] = f.decide(name)
	}
	return f
}

// vouch gives the gateway's own fields, but for the request's id.
func vouch(m *message, give func(name, value string)) {
	identify(m.g, m.hop.Auth, give)
	give("X-Forwarded-For", m.hop.For)
	give("X-Forwarded-Proto", m.hop.Proto)
	give("X-Forwarded-Host", m.hop.Host)
}

// Identity gives the fields that tell a service who is calling, each once. An
// invalid grant gives none.
func Identity(g access.Grant, hop Hop, give func(name, value string)) {
	if !g.Valid() {
		return
	}
	identify(g, hop.Auth, give)
	give(headerRequestID, hop.RequestID)
}

func identify(g access.Grant, auth string, give func(name, value string)) {
	client := g.Client()
	cert := client.Certificate()
	give(headerClient, client.Name())
	give(headerAuth, auth)
	give(headerSerial, cert.Serial())
	give(headerFingerprint, cert.Fingerprint())
}

// keep gives the client's fields that may go on, without what it lists in
// Connection, and without signatures that were read.
func (f Filter) keep(in http.Header, signaturesRead bool, give func(name, value string)) {
	listed := options(in["Connection"])
	for name, values := range in {
		if !f.passes(name) || isListed(listed, name) || signaturesRead && IsSignature(name) {
			continue
		}
		for _, value := range values {
			give(name, value)
		}
	}
}

// passes reports whether a field of this name may go on.
func (f Filter) passes(name string) bool {
	if pass, ok := f.usual[name]; ok {
		return pass
	}
	return f.decide(name)
}

func (f Filter) decide(name string) bool { return !isHopByHop(name) && !f.Protects(name) }

// Protects reports whether the name, in any case, is the gateway's own, one of a
// proxy that vouches for a client, or a credential's, or could be taken for one of
// these. What a client sends under it never reaches a service.
func (f Filter) Protects(name string) bool {
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

// IsSignature reports whether a field of this name, in any case, carries a signature
// of the request (RFC 9421, section 4), or could be taken for one that does.
func IsSignature(name string) bool {
	if len(name) != len("signature") && len(name) != len("signature-input") {
		return false
	}
	folded := fold(name)
	return folded == "signature" || folded == "signature-input"
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

// options are what the values of Connection fields list (RFC 9110, section
// 7.6.1): names of fields that concern the connection only, and options of it.
func options(connection []string) (names []string) {
	for _, list := range connection {
		if list == "keep-alive" || list == "close" { // as nearly always
			continue
		}
		for name := range strings.SplitSeq(list, ",") {
			names = append(names, textproto.TrimString(name))
		}
	}
	return names
}

func isListed(names []string, name string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
}
