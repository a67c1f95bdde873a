package gateway

import (
	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/provenance"
)

// newProvenance is whom a configuration believes, on every surface.
func newProvenance(c config.Config) *provenance.Reader {
	return provenance.New(provenance.Options{
		CredentialHeader: c.AuthHeader, ProxyHeader: c.ProxyHeader, TrustedProxies: c.TrustedProxies,
		PublicAuthorities: c.PublicAuthorities,
	})
}
