package gateway

import (
	"cmp"

	"github.com/certgate/certgate/internal/access"
	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/flood"
	"github.com/certgate/certgate/internal/gate"
	"github.com/certgate/certgate/internal/proof"
)

// possession is which requests a configuration wants signed, and how.
func possession(c config.Config, guard *flood.Guard, nonces proof.Nonces) gate.Possession {
	requires := func(said access.Proof) bool {
		return cmp.Or(said, c.Proof) == access.ProofRequire
	}
	return gate.Possession{
		Default:    c.Proof,
		Everywhere: c.Rules.Policy.EveryRule(requires),
		Verifier: &proof.Verifier{
			CredentialHeader: c.AuthHeader, Authorities: c.PublicAuthorities,
			LegacyRSA: c.LegacyRSAProof, ClockSkew: c.Limits.ClockSkew, Nonces: nonces,
		},
		Guard: guard.Prove, Observer: guard.Observe,
	}
}
