package gateway

import (
	"cmp"

	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/httpsig"
	"github.com/certgate/certgate/internal/guard/throttle"
)

// possession is which requests a configuration wants signed, and how.
func possession(c config.Config, guard *throttle.Guard, nonces httpsig.Nonces) gate.Possession {
	requires := func(said access.Proof) bool {
		return cmp.Or(said, c.Proof) == access.ProofRequire
	}
	return gate.Possession{
		Default:    c.Proof,
		Everywhere: c.Rules.Policy.EveryRule(requires),
		Verifier: &httpsig.Verifier{
			CredentialHeader: c.AuthHeader, Authorities: c.PublicAuthorities,
			LegacyRSA: c.LegacyRSAProof, ClockSkew: c.Limits.ClockSkew, Nonces: nonces,
		},
		Guard: guard.Prove, Observer: guard.Observe,
	}
}
