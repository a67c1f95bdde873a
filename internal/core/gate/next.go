package gate

import (
	"time"

	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/httpsig"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
)

// Change states how the decision about a request would change if the next rules were in
// force. It is empty if the decision would be the same.
type Change string

// The changes.
const (
	// NextRefuses means that the request is allowed and the next rules would refuse it.
	NextRefuses Change = "refuse"
	// NextAllows means that the request is refused and the next rules would allow it.
	NextAllows Change = "allow"
	// NextNeedsProof means that the next rules require a signature, and that the request
	// has one that the rules in force do not verify. The next rules allow the request
	// exactly if the signature is valid.
	NextNeedsProof Change = "proof"
	// NextLimitsRate means that the request is allowed and over the rate of the next rules.
	NextLimitsRate Change = "rate"
	// NextRenames means that both allow the request, for clients of different names.
	NextRenames Change = "rename"
)

// Changes returns every change except the empty one.
func Changes() []Change {
	return []Change{NextRefuses, NextAllows, NextNeedsProof, NextLimitsRate, NextRenames}
}

// NextRules are rules that are compared with the rules in force. The comparison never
// influences a decision: it runs after the decision and returns a [Change] only.
type NextRules struct {
	// Policy has the rules and the denied clients. It must not be the policy in force,
	// because the comparison takes tokens of its rates.
	Policy *access.Policy
}

// NextIdentity determines the names of clients under the next rules.
type NextIdentity struct {
	// Verifier has the deny list of the next rules and is otherwise the verifier in force.
	// Nil means that both deny lists revoke the same certificates.
	Verifier *trust.Verifier
	// Names reads the names with the scopes of the next rules.
	Names *identity.Reader
}

// name returns the name of the client under the next rules, or "" if they refuse the
// certificate. The arguments verified and err are the result of the verifier in force. A
// certificate that it refused for another reason than a revocation is refused by both.
func (n *NextIdentity) name(chain certheader.Chain, verified trust.Verified, err error, now time.Time) string {
	if n.Verifier != nil && (err == nil || isRevoked(err)) {
		verified, err = n.Verifier.Verify(chain.Leaf, now, chain.Intermediates...)
	}
	if err != nil {
		return ""
	}
	client, err := n.Names.Of(verified)
	if err != nil {
		return ""
	}
	return client.Name()
}

func isRevoked(err error) bool {
	e := refusal.Of(err)
	return e != nil && e.Reason == refusal.CertificateRevoked
}

// compare returns the change for a decision of the gate. The decision is a copy, so that
// compare cannot change it. The grant is that of the rules in force, also if its rate is
// exceeded.
func (g *Gate) compare(r *Request, d Decision, granted access.Grant) Change {
	allowed := d.Refusal == nil
	next := g.predict(r, &d, granted)
	switch {
	case next == NextNeedsProof:
		return next
	case next == NextAllows && !allowed:
		return next
	case next == NextAllows && d.NextName != d.Client.Name():
		return NextRenames
	case next == NextAllows, !allowed:
		return ""
	default:
		return next
	}
}

// predict returns the decision of the next rules: any [Change] except NextRenames.
func (g *Gate) predict(r *Request, d *Decision, granted access.Grant) Change {
	found := g.Next.Policy.Predict(d.NextName, r.Method, d.Target)
	if !found.Allowed() {
		return NextRefuses
	}
	if change := g.predictProof(r, d, found); change != NextAllows {
		return change
	}
	hasToken := found.Take(r.Time)
	if d.Last == Rate && found.KeepsRate(granted) { // the result of the bucket in force is exact
		hasToken = d.Refusal == nil
	}
	if !hasToken {
		return NextLimitsRate
	}
	return NextAllows
}

// predictProof returns NextAllows if the request meets the requirement of the next rules, or
// else NextRefuses or NextNeedsProof. It verifies no signature.
func (g *Gate) predictProof(r *Request, d *Decision, found access.Prediction) Change {
	switch {
	case g.Signatures.required(found.Proof()) != access.ProofRequire, r.Auth == MTLS, d.Auth == Signed:
		return NextAllows
	case d.Last == Proof && d.Refusal != nil, d.WouldRefuse != nil: // the signature was refused
		return NextRefuses
	case !httpsig.HasSignature(r.Header):
		return NextRefuses
	default:
		return NextNeedsProof
	}
}
