package ingress

import (
	"net/http"
	"net/netip"

	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/headers"
	"github.com/certgate/certgate/internal/core/refusal"
)

// Credential is the certificate header that counts.
type Credential struct {
	// Values contains every value of the header.
	Values []string
	// Auth is how the client has proved possession of its key so far: [gate.MTLS] at a
	// trusted proxy, otherwise [gate.Bearer].
	Auth string
}

// Credential returns the header that counts: on a connection from a trusted proxy the
// proxy's header if it is present, even if it is empty, otherwise the client's header. The
// client's header is never read beside the proxy's, because a proxy's header proves
// possession of the key and a client's header does not. The refusal has the reason
// ProxyUntrusted: the only certificate came in another header, or from a peer that is not a
// trusted proxy. The names in h must be canonical.
func (r *Reader) Credential(h http.Header, peer netip.Addr) (Credential, *refusal.Error) {
	if r.proxy != "" && r.Trusts(peer) {
		if values, present := h[r.proxy]; present {
			return Credential{values, gate.MTLS}, nil
		}
	}
	values := h[r.credential]
	if len(values) > 0 {
		return Credential{values, gate.Bearer}, nil
	}
	for _, name := range append([]string{r.proxy}, headers.ProxyCertificates()...) {
		if _, present := h[name]; present && name != "" && name != r.credential {
			return Credential{}, r.proxyUntrusted(peer, name)
		}
	}
	return Credential{Auth: gate.Bearer}, nil
}

func (r *Reader) proxyUntrusted(peer netip.Addr, name string) *refusal.Error {
	var found *refusal.Error
	switch {
	case r.ProxyHeader == "":
		found = refusal.New(refusal.ProxyUntrusted, "a certificate in %s, but AUTH_PROXY_HEADER is not set", name)
	case !headers.Same(name, r.ProxyHeader):
		found = refusal.New(refusal.ProxyUntrusted, "a certificate in %s, but AUTH_PROXY_HEADER is %s", name, r.ProxyHeader)
	default:
		found = refusal.New(refusal.ProxyUntrusted, "a certificate in %s from %s, which is not in TRUSTED_PROXIES", name, peer)
	}
	return found.WithHint("A client attaches its certificate in " + r.CredentialHeader)
}

// AddHint adds the name of the client's header to the refusal of a request without a
// certificate. Package gate does not know the name.
func (r *Reader) AddHint(refused *refusal.Error) *refusal.Error {
	if refused.Reason != refusal.CredentialMissing {
		return refused
	}
	return refused.WithHint("Attach the client certificate in " + r.CredentialHeader)
}
