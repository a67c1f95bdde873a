// Package headers holds the names of header fields and the rules for comparing
// them.
//
// It is the only package that lists which fields certgate writes, which fields it
// strips from a client's request, and which spellings of a name are the same name.
// Every package that decides about a field by its name uses this one, so that the
// forwarding path, the authorization surfaces, the configuration and the signature
// check apply the same rules.
package headers

// Fields that certgate adds to a forwarded request.
const (
	ClientID              = "X-Client-Id"
	ClientAuth            = "X-Client-Auth"
	ClientCertSerial      = "X-Client-Cert-Serial"
	ClientCertFingerprint = "X-Client-Cert-Fingerprint"
	ClientAssertion       = "X-Client-Assertion" // only with ASSERTION_KEY_FILE
	RequestID             = "X-Request-Id"
	ForwardedFor          = "X-Forwarded-For"
	ForwardedProto        = "X-Forwarded-Proto"
	ForwardedHost         = "X-Forwarded-Host"
)

// Fields that certgate reads from a request or adds to a response.
const (
	Connection       = "Connection"
	ContentDigest    = "Content-Digest"
	ContentLength    = "Content-Length"
	TransferEncoding = "Transfer-Encoding"
	Signature        = "Signature"
	SignatureInput   = "Signature-Input"
	Reason           = "X-Certgate-Reason"
	Traceparent      = "Traceparent"
	Tracestate       = "Tracestate"
	Vary             = "Vary"

	// A proxy that asks for an authorization decision describes the original
	// request in one of these two pairs of fields.
	ForwardedMethod = "X-Forwarded-Method"
	ForwardedURI    = "X-Forwarded-Uri"
	OriginalMethod  = "X-Original-Method"
	OriginalURI     = "X-Original-Uri"
)

// IsIdentity reports whether name, in any case, is one of the fields that describe the
// client to the service. Other spellings that [Fold] maps to these names do not count.
func IsIdentity(name string) bool {
	for _, own := range [...]string{ClientID, ClientAuth, ClientCertSerial, ClientCertFingerprint, ClientAssertion, RequestID} {
		if equalFold(own, name) {
			return true
		}
	}
	return false
}

// IsSignature reports whether a field of this name carries a signature of the
// request (RFC 9421, section 4), or has a name that folds to such a field.
func IsSignature(name string) bool { return Same(name, Signature) || Same(name, SignatureInput) }

// Common returns the names of the most frequent request fields, in canonical form. A
// package can compute its decisions about these names in advance.
func Common() []string {
	return []string{
		"Accept", "Accept-Encoding", "Accept-Language", "Authorization", "Cache-Control", "Connection", "Content-Encoding",
		"Content-Length", "Content-Type", "Cookie", "Digest", "Idempotency-Key", "If-Match", "If-Modified-Since", "If-None-Match",
		"Origin", "Pragma", "Range", "Referer", Traceparent, Tracestate, "User-Agent", "Via", "X-Amzn-Trace-Id",
		"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Real-Ip", "X-Request-Id", "X-Ssl-Auth",
	}
}

// ProxyCertificates returns the fields in which well-known proxies and load
// balancers put the certificate of the client's TLS handshake, in canonical form.
func ProxyCertificates() []string {
	return []string{
		"Client-Cert", "X-Forwarded-Client-Cert", "X-Forwarded-Tls-Client-Cert", "X-Ssl-Client-Cert", "Ssl-Client-Cert",
		"X-Tls-Client-Cert", "X-Amzn-Mtls-Clientcert", "X-Arr-Clientcert", "Cloudfront-Viewer-Cert-Pem", "Cf-Client-Cert-Der-Base64",
	}
}

// IsCertificateChain reports whether a field of this name carries the issuers of a
// client certificate without the certificate itself (RFC 9440, section 2.3).
func IsCertificateChain(name string) bool {
	return Same(name, "Client-Cert-Chain") || Same(name, "Cf-Client-Cert-Chain-Der-Base64")
}
