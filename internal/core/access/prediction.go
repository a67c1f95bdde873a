package access

// Prediction is the decision of a policy that is not in force. It is not a [Grant], so no
// request can be forwarded because of it. The zero value is a refusal.
type Prediction struct {
	client string
	rule   *compiledRule // nil for a refusal
}

// Predict decides as [Policy.Decide] does about a client of this name. It returns no Grant
// and formats no text, so that it allocates no memory. A nil policy, an empty name and a zero
// target are refused.
func (p *Policy) Predict(client, method string, t Target) Prediction {
	if p == nil || client == "" || !t.valid() {
		return Prediction{}
	}
	if _, denied := p.onDenyList(client); denied {
		return Prediction{}
	}
	return Prediction{client, p.find(client, method, t)}
}

// Allowed reports whether a rule allows the request, regardless of its rate and proof.
func (p Prediction) Allowed() bool { return p.rule != nil }

// Proof returns the setting of the rule as [Grant.Proof] does.
func (p Prediction) Proof() Proof {
	if p.rule == nil {
		return ProofUnsaid
	}
	return p.rule.proof
}
