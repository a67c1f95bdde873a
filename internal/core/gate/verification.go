package gate

import (
	"time"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/trust"
)

// Verification is the [Identifier] that parses and verifies the certificate each time. The
// zero value refuses every credential.
type Verification struct {
	// Verifier verifies certificates. Nil trusts none.
	Verifier *trust.Verifier
	// Names reads the clients' names. Nil accepts no certificate.
	Names *identity.Reader
	// MaxCredentialBytes is the longest header value in bytes. 0 accepts none.
	MaxCredentialBytes int
	// Next determines the name under the next rules. Nil determines none.
	Next *NextIdentity
}

// Identify parses the certificate, verifies it and returns the client in it. The source of
// the claim has no influence.
func (v Verification) Identify(claim Claim, now time.Time) (found Identification) {
	found.Last = Credential
	chain, err := certheader.Parse(claim.Values, v.MaxCredentialBytes)
	if err != nil {
		found.Err = err
		return found
	}
	found.Last = Trust
	verified, err := v.Verifier.Verify(chain.Leaf, now, chain.Intermediates...)
	if v.Next != nil {
		found.NextName = v.Next.name(chain, verified, err, now)
	}
	if err != nil {
		found.Err = err
		found.Signed = trust.RefusedCertificate(found.Err)
		found.SignedClient, _ = v.Names.Claimed(found.Signed) // "" with an error
		return found
	}
	found.Last = Identity
	if found.Client, found.Err = v.Names.Of(verified); found.Err != nil {
		found.Certificate = verified.WithoutCertificate()
		return found
	}
	found.Certificate = found.Client.Certificate()
	return found
}
