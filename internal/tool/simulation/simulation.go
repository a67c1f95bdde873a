// Package simulation decides requests with access rules that need not be in force, without
// serving them.
//
// [Rules.Decide] decides about a request that is described by the name of its client. [Replay]
// decides recorded requests again and counts the differences. [Rules.Run] compares the
// decisions with those that an operator expects.
//
// The decisions are made by packages access and identity, as in the gateway. No result can be
// used to forward a request.
package simulation

import (
	"cmp"
	"slices"

	"github.com/certgate/certgate/internal/config/rules"
	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
)

// Rules are the rules that decide.
type Rules struct {
	rules.Document
	// Keyring has the keys in force. Nil means that they are not known: every name may be
	// that of a client.
	Keyring *trust.Keyring
	// Proof applies to rules without a proof field.
	Proof access.Proof
}

// Request is a request of a client that is known by its name only.
type Request struct {
	Client string
	Method string
	Target string // path and query, as in the request line
}

// Verdict is the decision of rules about a [Request].
type Verdict struct {
	// Last is the step that refused, or [gate.Access].
	Last gate.Step
	// Target is the parsed target, if it could be parsed.
	Target access.Target
	access.Prediction
	// Proof is the requirement of the rule that allows the request.
	Proof access.Proof
	// Refusal is nil if a rule allows the request.
	Refusal *refusal.Error
}

// Decide decides about the target, the name of the client, and access. It does not decide about
// the certificate, signatures and rates.
func (r Rules) Decide(q Request) (v Verdict) {
	v.Last = gate.Target
	var err error
	if v.Target, err = access.ParseTarget(q.Target); err == nil {
		v.Last = gate.Identity
		err = r.checkName(q.Client)
	}
	if err == nil {
		v.Last = gate.Access
		v.Prediction, err = r.Policy.Explain(q.Client, q.Method, v.Target)
		v.Proof = r.requiredProof(v.Prediction)
	}
	v.Refusal = refusal.Of(err)
	return v
}

// requiredProof returns the setting of the rule, or the default.
func (r Rules) requiredProof(p access.Prediction) access.Proof {
	return cmp.Or(p.Proof(), r.Proof, access.ProofOff)
}

// checkName refuses an invalid name, and a name that no key in force may issue.
func (r Rules) checkName(client string) error {
	if err := identity.CheckAny(client); err != nil {
		return refusal.New(refusal.IdentityInvalid, "client %.80q: %v", client, err)
	}
	if r.Keyring == nil {
		return nil
	}
	mayIssue := func(a trust.Anchor) bool { return r.Names.Permits(a.ID(), client) }
	if slices.ContainsFunc(r.Keyring.Anchors(), mayIssue) {
		return nil
	}
	return refusal.New(refusal.IdentityOutOfScope, "no key in force may issue the client name %.80q", client)
}
