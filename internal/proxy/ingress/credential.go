package ingress

import (
	"net/http"
	"net/netip"

	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/headers"
	"github.com/certgate/certgate/internal/core/refusal"
)

// Credential is what a request brought to be identified by.
type Credential struct {
	// Values has every value of the header that counts.
	Values []string
	// Auth is how possession was shown so far: [gate.Bearer], or [gate.MTLS] at a
	// trusted proxy.
	Auth string
}

// Credential chooses the header that counts. What a client attaches and what a
// proxy attaches after a handshake with the client's key never share trust: the
// proxy's header counts only on a connection from a trusted proxy, and where it
// is present there, even empty, the client's is not looked at. The refusal is of
// reason ProxyUntrusted: the only certificate came in another header or from
// somebody else. The names in h are canonical.
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

// Advised adds to the gate's refusal what the gate does not know: the name of the
// header in which a certificate is missing.
func (r *Reader) Advised(d *refusal.Error) *refusal.Error {
	if d.Reason != refusal.CredentialMissing {
		return d
	}
	return d.WithHint("Attach the client certificate in " + r.CredentialHeader)
}
