package gateway

import (
	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/proxy/ingress"
)

// newProvenance is whom a configuration believes, on every surface.
func newProvenance(c config.Config) *ingress.Reader {
	return ingress.New(ingress.Options{
		CredentialHeader: c.AuthHeader, ProxyHeader: c.ProxyHeader, TrustedProxies: c.TrustedProxies,
		PublicAuthorities: c.PublicAuthorities,
	})
}
