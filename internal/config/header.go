package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// headerName is a field name (RFC 9110, section 5.1) in which clients may
// attach their certificate: neither the gateway nor a proxy needs it.
type headerName string

func (h *headerName) UnmarshalText(text []byte) error {
	s := string(text)
	switch {
	case !httpguts.ValidHeaderFieldName(s):
		return errors.New(quote(s))
	case isProxys(s):
		return fmt.Errorf("%s, which is for proxies and AUTH_PROXY_HEADER", quote(s))
	case isReserved(s):
		return fmt.Errorf("%s, which has a meaning of its own", quote(s))
	}
	*h = headerName(s)
	return nil
}

// proxyHeader is a field name in which proxies may attach the certificate of a
// TLS handshake.
type proxyHeader string

func (h *proxyHeader) UnmarshalText(text []byte) error {
	s := string(text)
	switch {
	case !httpguts.ValidHeaderFieldName(s):
		return errors.New(quote(s))
	case fold(s) == "client-cert-chain": // RFC 9440, section 2.3
		return fmt.Errorf("%s, which has every certificate but the client's", quote(s))
	case isReserved(s) && !slices.Contains(forwardedCertificates, fold(s)):
		return fmt.Errorf("%s, which has a meaning of its own", quote(s))
	}
	*h = proxyHeader(s)
	return nil
}

// fold makes the names one that are one to CGI and WSGI upstreams.
func fold(name string) string {
	return strings.ReplaceAll(strings.ToLower(name), "_", "-")
}

// forwardedCertificates are the headers of Envoy and of Traefik, reserved names
// that a proxy may have.
var forwardedCertificates = []string{"x-forwarded-client-cert", "x-forwarded-tls-client-cert"}

// isProxys is true for what proxies attach after a TLS handshake with the
// client's key. A client could attach it as well, with a certificate whose key
// it does not have: one name never stands for both kinds of trust.
func isProxys(name string) bool {
	name = fold(name)
	for _, family := range []string{"client-cert", "x-ssl-client-", "ssl-client-", "x-amzn-mtls-"} {
		if strings.HasPrefix(name, family) {
			return true
		}
	}
	return name == "x-arr-clientcert" || slices.Contains(forwardedCertificates, name)
}

// isReserved covers the connection's own fields, what the gateway tells the
// upstream, and fields whose content would be logged or forwarded elsewhere.
func isReserved(name string) bool {
	name = fold(name)
	for _, family := range []string{"x-client-", "x-forwarded-", "x-original-", "x-certgate-"} {
		if strings.HasPrefix(name, family) {
			return true
		}
	}
	return slices.Contains([]string{
		"host", "connection", "content-length", "content-type", "transfer-encoding", "te", "trailer", "upgrade",
		"keep-alive", "expect", "authorization", "proxy-authorization", "proxy-authenticate", "proxy-connection",
		"cookie", "set-cookie", "forwarded", "x-request-id", "signature", "signature-input", "content-digest",
	}, name)
}
