package access

import (
	"fmt"
	"slices"
)

// Proof states whether requests must be signed with the key of the client's certificate.
type Proof string

// Values of the proof setting of a rule.
const (
	ProofUnsaid  Proof = ""        // the default of the gateway
	ProofOff     Proof = "off"     // signatures are ignored
	ProofObserve Proof = "observe" // signatures are verified, and the result is logged only
	ProofRequire Proof = "require" // requests without a valid signature are refused
)

// Proof returns the setting of the rule that grants the request. The zero Grant returns
// ProofUnsaid.
func (g *Grant) Proof() Proof {
	if g.rule == nil {
		return ProofUnsaid
	}
	return g.rule.proof
}

// EveryRule reports whether f is true for the proof setting of every rule. It is false for a
// nil policy and for a policy without rules.
func (p *Policy) EveryRule(f func(Proof) bool) bool {
	if p == nil || len(p.rules) == 0 {
		return false
	}
	return !slices.ContainsFunc(p.rules, func(r compiledRule) bool { return !f(r.proof) })
}

// proof returns the proof setting of a rule. An invalid value is an error.
func (c *compiler) proof(i int, text string) Proof {
	p := Proof(text)
	switch p {
	case ProofUnsaid, ProofOff, ProofObserve, ProofRequire:
	default:
		c.fault("rules", i, "proof", -1, fmt.Errorf("want proof to be require, observe or off, found %.40q", text))
	}
	return p
}
