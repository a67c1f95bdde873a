package httpapi

import (
	"strings"

	"github.com/certgate/certgate/internal/denial"
)

// proxyHeaders are where well-known proxies put the certificate of a TLS
// handshake. Which one is believed is a setting; the list is here to tell a
// client whose certificate came in one of them what is missing.
var proxyHeaders = []string{
	"Client-Cert", "X-Forwarded-Client-Cert", "X-Forwarded-Tls-Client-Cert",
	"X-Amzn-Mtls-Clientcert", "X-Ssl-Client-Cert", "Ssl-Client-Cert", "X-Arr-Clientcert",
}

// credential chooses the header that counts. What a client attaches and what a
// proxy attaches after a handshake with the client's key never share trust: the
// proxy's header counts only on a connection from a trusted proxy, and where it
// is present there, even empty, the client's is not looked at.
func (s *surface) credential(x *exchange) ([]string, *denial.Error) {
	h := x.c.Request.Header
	if s.proxyHeader != "" && isTrusted(x.peer, s.TrustedProxies) {
		if values, present := h[s.proxyHeader]; present {
			x.hop.Auth = "mtls"
			return values, nil
		}
	}
	values := h[s.header]
	if len(values) > 0 {
		return values, nil
	}
	for _, name := range append([]string{s.proxyHeader}, proxyHeaders...) {
		if _, present := h[name]; present && name != "" && name != s.header {
			return nil, s.proxyUntrusted(x, name)
		}
	}
	return nil, nil
}

func (s *surface) proxyUntrusted(x *exchange, name string) *denial.Error {
	switch {
	case s.ProxyHeader == "":
		return denial.New(denial.ProxyUntrusted, "a certificate in %s, but AUTH_PROXY_HEADER is not set", name)
	case !strings.EqualFold(name, s.ProxyHeader):
		return denial.New(denial.ProxyUntrusted, "a certificate in %s, but AUTH_PROXY_HEADER is %s", name, s.ProxyHeader)
	default:
		return denial.New(denial.ProxyUntrusted, "a certificate in %s from %s, which is not in TRUSTED_PROXIES", name, x.peer)
	}
}
