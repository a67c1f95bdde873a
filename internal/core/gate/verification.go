package gate

import (
	"time"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/trust"
)

// Verification is the [Identifier] that reads and verifies the certificate each
// time. The zero value trusts nobody.
type Verification struct {
	// Verifier answers for certificates; nil trusts none.
	Verifier *trust.Verifier
	// MaxCredentialBytes bounds the header value; 0 takes none.
	MaxCredentialBytes int
}

// Identify reads the certificate, verifies it and takes the client's name. It
// answers every source alike.
func (v Verification) Identify(claim Claim, now time.Time) (found Identification) {
	found.Last = Credential
	chain, err := certheader.Parse(claim.Values, v.MaxCredentialBytes)
	if err != nil {
		found.Err = err
		return found
	}
	found.Last = Trust
	if found.Certificate, found.Err = v.Verifier.Verify(chain.Leaf, now, chain.Intermediates...); found.Err != nil {
		found.Signed = trust.RefusedCertificate(found.Err)
		return found
	}
	found.Last = Identity
	found.Client, found.Err = identity.Of(found.Certificate)
	return found
}
