package headers

import "slices"

// Kind is the meaning of a field to certgate. It depends on the name alone.
type Kind int

// The kinds. Every field except a Forwarded one is stripped from a client's
// request before certgate forwards it.
const (
	Forwarded   Kind = iota // No entry of the table matches; the field is forwarded.
	Certificate             // A proxy attaches the certificate of a TLS handshake.
	Credential              // A client attaches a certificate.
	Caller                  // certgate describes the client to the service.
	User                    // An authenticating proxy names a user.
	Origin                  // A proxy describes the origin of the request.
	Rewrite                 // The field replaces the method or the path of the request.
	File                    // The field selects a file that a web server sends.
	Environment             // A CGI program reads the field as an environment variable.
	Framing                 // The field determines the end of the message.
	HopByHop                // The field concerns one connection only.
)

// Group is one row of the table of stripped fields.
type Group struct {
	Kind Kind
	// Names are field names as their vendors write them. A name that ends in "*"
	// matches every name with that beginning. Names are compared after [Fold].
	Names []string
	// Meaning is the reason for stripping the group, for the documentation.
	Meaning string
}

var hopByHop = [...]string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "TE", "Trailer", "Upgrade",
	"HTTP2-Settings", "Expect",
}

// stripped is searched from the top, so a narrow pattern stands above a wide one.
var stripped = [...]Group{
	{Certificate, []string{
		"Client-Cert*", "X-Forwarded-Client-Cert", "X-Forwarded-Tls-Client-Cert", "X-SSL-Client-*", "SSL-Client-*",
		"X-Tls-Client-Cert*", "X-Amzn-Mtls-*", "X-ARR-ClientCert", "CloudFront-Viewer-Cert-*", "Cf-Client-Cert-*", "Cf-Cert-*",
	}, "client certificates that a proxy attaches after a TLS handshake"},
	{Credential, []string{"X-SSL-*"}, "client certificates that a client attaches"},
	{Caller, []string{"X-Client-*", "X-Request-Id"}, "the identity that certgate itself writes"},
	{User, []string{
		"X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Groups", "X-Forwarded-Preferred-Username", "X-Auth-Request-*",
		"X-Remote-*", "Remote-User", "Remote-Groups", "Remote-Name", "Remote-Email", "X-Authenticated-*", "X-Webauth-*",
	}, "users that an authenticating proxy names"},
	{Origin, []string{
		"Forwarded", "X-Forwarded-*", "X-Real-IP", "True-Client-IP", "CF-Connecting-IP*", "Fastly-Client-IP", "X-Cluster-Client-IP",
	}, "where the request came from, according to a proxy"},
	{Rewrite, []string{
		"X-HTTP-Method", "X-HTTP-Method-Override", "X-Method-Override", "X-Original-*", "X-Rewrite-*",
	}, "another method or path than the one that was decided on"},
	{File, []string{"X-Accel-*", "X-Sendfile*"}, "files that a web server is to send"},
	{Environment, []string{"Proxy"}, "the variable `HTTP_PROXY` of a CGI program"},
	{Framing, []string{"Content-Length", "Transfer-Encoding"}, "the length of the body, which certgate writes itself"},
	{HopByHop, hopByHop[:], "the connection between the client and certgate"},
}

// Stripped returns the table of the fields that are stripped from every request.
// The fields that AUTH_HEADER and AUTH_PROXY_HEADER name are stripped as well.
func Stripped() []Group { return append([]Group(nil), stripped[:]...) }

// maxPattern is greater than the length of any pattern of the tables, so that later bytes
// of a name cannot change the result.
const maxPattern = 64

// KindOf returns the kind of a field name in any spelling. It does not allocate.
func KindOf(name string) Kind {
	var buffer [maxPattern]byte
	folded := foldInto(&buffer, name)
	for i := range stripped {
		if stripped[i].has(folded) {
			return stripped[i].Kind
		}
	}
	return Forwarded
}

func (g *Group) has(folded []byte) bool {
	for _, pattern := range g.Names {
		if matches(pattern, folded) {
			return true
		}
	}
	return false
}

// matches reports whether a name that [foldInto] has folded matches the pattern. Patterns
// consist of letters, digits and hyphens. Setting the bit 0x20 converts their letters to
// lower case and changes no other byte.
func matches(pattern string, folded []byte) bool {
	const lowerCase = 0x20
	size := len(pattern)
	if pattern[size-1] == '*' {
		size--
	} else if len(folded) != size {
		return false
	}
	if len(folded) < size {
		return false
	}
	for i, c := range folded[:size] {
		if c != pattern[i]|lowerCase {
			return false
		}
	}
	return true
}

// IsHopByHop reports whether a field of this name concerns one connection only and
// is not forwarded in either direction (RFC 9110, section 7.6.1). Expect is included
// because certgate reads the body itself.
func IsHopByHop(name string) bool { return hopByHopLengths>>len(name)&1 != 0 && isHopByHop(name) }

// hopByHopLengths has a bit for the length of each name that [IsHopByHop] knows. Most other
// names have another length.
const hopByHopLengths uint64 = 1<<len("TE") | 1<<len("Expect") | 1<<len("Upgrade") | 1<<len("Connection") | 1<<len("HTTP2-Settings") |
	1<<len("Proxy-Connection") | 1<<len(TransferEncoding) | 1<<len("Proxy-Authenticate") | 1<<len("Proxy-Authorization")

func isHopByHop(name string) bool {
	for _, hop := range &hopByHop {
		if Same(hop, name) {
			return true
		}
	}
	return Same(name, TransferEncoding)
}

// reserved lists forwarded fields that cannot carry a certificate, because the gateway, a
// proxy or the service reads them for another purpose, or because their content is
// logged.
var reserved = [...]string{
	"Host", "Content-*", "Authorization", "WWW-Authenticate", "Authentication-Info", "Cookie", "Set-Cookie", "Accept*", "Cache-Control", "Date",
	"Idempotency-Key", "Origin", "Range", "Referer", "Server", "Signature", "Signature-Input", "Traceparent", "Tracestate",
	"User-Agent", "Vary", "Via", "X-Certgate-*", "X-Idempotency-Key",
}

// IsReserved reports whether a field of this name has a meaning of its own, so that
// neither a client nor a proxy can attach a certificate in it. Names that proxies
// use for certificates are not reserved: their kind is Certificate.
func IsReserved(name string) bool {
	switch KindOf(name) {
	case Certificate, Credential:
		return false
	case Forwarded:
		var buffer [maxPattern]byte
		folded := foldInto(&buffer, name)
		return slices.ContainsFunc(reserved[:], func(pattern string) bool { return matches(pattern, folded) })
	default:
		return true
	}
}
