package access

import "time"

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

// Take takes a token of the predicting policy as [Grant.Take] does, and reports whether there
// was one. It is false for a refusal.
func (p Prediction) Take(now time.Time) bool {
	if p.rule == nil {
		return false
	}
	return p.rule.limiter == nil || p.rule.limiter.take(p.client, now) <= 0
}

// KeepsRate reports whether the predicting policy would count the request in the bucket of
// the grant if it replaced the policy in force: the client and the name, rate and burst of
// the rule are equal. See [Policy.After].
func (p Prediction) KeepsRate(g Grant) bool {
	if p.rule == nil || g.rule == nil || p.client != g.client.Name() || p.rule.name != g.rule.name {
		return false
	}
	if p.rule.limiter == nil || g.rule.limiter == nil {
		return p.rule.limiter == g.rule.limiter
	}
	return p.rule.limiter.rate == g.rule.limiter.rate
}
