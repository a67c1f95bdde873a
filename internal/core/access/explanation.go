package access

import (
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/refusal"
)

// Explain returns the prediction for a client of this name and, if it is a refusal, the error
// that [Policy.Decide] returns for such a client. A name that no certificate can have is
// refused with reason IdentityInvalid.
func (p *Policy) Explain(client, method string, t Target) (Prediction, error) {
	if p == nil || !t.valid() {
		return Prediction{}, refusal.New(refusal.AccessDenied, "want a policy and a target, found a zero value")
	}
	if err := identity.CheckAny(client); err != nil {
		return Prediction{}, refusal.New(refusal.IdentityInvalid, "client %.80q: %v", client, err)
	}
	if err := p.checkDenyList(client); err != nil {
		return Prediction{}, err
	}
	found := p.Predict(client, method, t)
	if !found.Allowed() {
		return found, p.refusal(client, method, t)
	}
	return found, nil
}

// Denies reports whether the deny list has the client. A nil policy denies none.
func (p *Policy) Denies(client string) bool {
	if p == nil {
		return false
	}
	_, denied := p.onDenyList(client)
	return denied
}

// Rule returns the name of the rule that allows the request, or "" for a refusal.
func (p Prediction) Rule() string { return (&Grant{rule: p.rule}).Rule() }

// Rate returns the rate and burst of that rule as [Grant.Rate] does.
func (p Prediction) Rate() string { return (&Grant{rule: p.rule}).Rate() }
